"""One segmented image, one reconstructed image, and the latent code; and a file that a page sends, as pixels."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from glassnet.explorer.arrays import Arrays, encode
from glassnet.explorer.asked import Number, Opened, Part, Wait, alone, binary, body_of, computed, few_at_once
from glassnet.explorer.routes.maps import shown_group
from glassnet.explorer.schemas import LatentsMeta, ReadMeta, ReconstructionMeta, SegmentationMeta
from glassnet.explorer.shown import OpenSubject, Refusal
from glassnet.tasks.explored import ViewName, explored

ROUTER = APIRouter(prefix="/subjects/{subject}")
Noise = Annotated[str, Query(max_length=50, description="As --noise takes it; the run's own if not given.")]
FileName = Annotated[str, Query(max_length=300, description="What the file is called.")]


@ROUTER.get(
    "/segmentation/{number}", responses=binary("truth, predicted u1, confidence f4 (h, w)"), response_class=Response
)
async def segmentation(opened: Opened, number: Number, part: Part = "test", *, wait: Wait) -> Response:
    """Give truth, prediction and confidence of each pixel of an image."""
    key = ("segmentation", part, number)
    what = f"segmentation of {part} image {number}"
    return await computed(opened, key, what, lambda: _segmentation(opened, part, number), wait=wait, short=True)


@ROUTER.get(
    "/reconstruction/{number}",
    responses=binary("noisy, output, original f4 (c, h, w), code f4 (d)"),
    response_class=Response,
)
async def reconstruction(
    opened: Opened, number: Number, part: Part = "test", noise: Noise = "", *, wait: Wait
) -> Response:
    """Give an image, what noise leaves of it, and what the model makes of that."""
    key = ("reconstruction", part, number, noise)
    what = f"reconstruction of {part} image {number}"
    return await computed(
        opened, key, what, lambda: _reconstruction(opened, part, number, noise), wait=wait, short=True
    )


@ROUTER.get("/latents", responses=binary("dims i4, kl, low, high f4"), response_class=Response)
async def latents(opened: Opened, part: Part = "test", *, wait: Wait) -> Response:
    """Give the latent dimensions that carry most, and between which values they lie."""
    return await computed(
        opened, ("latents", part), f"codes of the {part} images", lambda: _latents(opened, part), wait=wait
    )


@ROUTER.post("/decode", responses=binary("images f4 (n, c, h, w)", is_computed=False), response_class=Response)
async def decode(request: Request, opened: Opened) -> Response:
    """Give the images that codes, f4 (n, d), stand for."""
    body = await body_of(request)
    return await alone(lambda: _decoded(opened, body))


@ROUTER.post("/read", responses=binary("pixels u1 (c, h, w)", is_computed=False), response_class=Response)
async def read(request: Request, opened: Opened, name: FileName = "") -> Response:
    """Give the pixels of an image file as the model takes them; it is kept nowhere."""
    async with few_at_once():
        body = await body_of(request)
        return await alone(lambda: _read(opened, body, name))


def _require(opened: OpenSubject, view: ViewName) -> None:
    task = opened.subject.task.name
    if view not in explored(task).views:
        raise Refusal(404, f"{opened.name} learned {task}; this is for {view} alone.")


def _segmentation(opened: OpenSubject, part: Part, number: int) -> Arrays:
    from glassnet.analysis.scores import as_probabilities
    from glassnet.explorer.segmented import segment

    _require(opened, "segmentation")
    group, subject = shown_group(opened, part, number), opened.subject
    truth = group.split.targets[0] if subject.labelled else None
    name = group.name_of(0, part)
    found = segment(
        opened.model(),
        group.images,
        truth,
        classes=len(subject.classes),
        name=name,
        probabilities=partial(as_probabilities, subject),
    )
    arrays = {"truth": found.truth, "predicted": found.predicted, "confidence": found.confidence}
    meta = SegmentationMeta(
        number=number,
        mean_iou=found.mean_iou,
        pixel_accuracy=found.pixel_accuracy,
        classes=list(found.classes),
        iou=list(found.iou),
        ignored=found.ignored,
    )
    return Arrays(arrays, meta)


def _reconstruction(opened: OpenSubject, part: Part, number: int, noise: str) -> Arrays:
    from glassnet.explorer.reconstructed import own_noise, reconstruct, strengths

    _require(opened, "reconstruction")
    group, subject = shown_group(opened, part, number), opened.subject
    noise = noise or own_noise(subject)
    found = reconstruct(subject, opened.model(), group.split, part, noise, name=group.name_of(0, part))
    arrays = {"noisy": found.noisy, "output": found.output, "original": found.original, "code": found.code}
    meta = ReconstructionMeta(
        number=number,
        noise=noise,
        strengths=strengths(subject),
        psnr=found.psnr,
        ssim=found.ssim,
        noisy_psnr=found.noisy_psnr,
        code=len(found.code),
        loss=found.loss,
    )
    return Arrays(arrays, meta)


def _latents(opened: OpenSubject, part: Part) -> Arrays:
    from glassnet.explorer.reconstructed import latents as measure

    _require(opened, "reconstruction")
    found = measure(opened.subject, opened.model(), opened.part(part).split, part)
    arrays = {"dims": found.dims, "kl": found.kl, "low": found.low, "high": found.high}
    meta = LatentsMeta(dimensions=found.dimensions, active=found.active, variational=found.variational)
    return Arrays(arrays, meta)


def _decoded(opened: OpenSubject, body: bytes) -> Response:
    import math

    import numpy as np

    from glassnet.explorer.reconstructed import check_code
    from glassnet.explorer.reconstructed import decode as decode_codes

    _require(opened, "reconstruction")
    model = opened.model()
    size = math.prod(check_code(model))
    if not body or len(body) % (4 * size):
        raise Refusal(400, f"got {len(body)} bytes, expected codes of {size} float32 numbers each.")
    codes = np.frombuffer(body, "<f4").astype(np.float32).reshape(-1, size)
    return encode(Arrays({"images": decode_codes(model, codes)})).response()


def _read(opened: OpenSubject, body: bytes, name: str) -> Response:
    from glassnet.console import printable
    from glassnet.explorer.reading import read_upload

    shape = opened.subject.image_shape
    pixels, (width, height) = read_upload(body, shape, name)
    note = "" if (height, width) == shape[1:] else f"scaled and cropped to {shape[2]}×{shape[1]} pixels"
    meta = ReadMeta(name=printable(name, lines=False)[:100], width=width, height=height, note=note)
    return encode(Arrays({"pixels": pixels}, meta)).response()
