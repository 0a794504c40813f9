"""Layers as points: pictures on disk, any other on demand, channels' activation, and own images among the points."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from glassnet.explorer.arrays import Arrays, encode
from glassnet.explorer.asked import Opened, Part, Wait, as_json, binary, computed, pixels_of
from glassnet.explorer.embedding import Wanted, answer, listed, made, on_disk
from glassnet.explorer.schemas import EmbeddingList, LayerScores
from glassnet.explorer.shown import OpenSubject
from glassnet.method_titles import EMBEDDING_TITLES

ROUTER = APIRouter(prefix="/subjects/{subject}")
Layer = Annotated[str, Query(min_length=1, max_length=300, description="Name of the layer.")]
Images = Annotated[int, Query(ge=1, le=10_000_000, description="So many images at most, drawn by seed.")]


def _wanted(
    layer: Layer,
    method: Literal["pca", "tsne", "umap"] = "tsne",
    dims: Annotated[int, Query(ge=2, le=3)] = 2,
    images: Images = 5000,
    part: Part = "test",
    seed: Annotated[int, Query(ge=0, lt=2**32)] = 0,
    perplexity: Annotated[float | None, Query(ge=1, le=1e6, allow_inf_nan=False)] = None,
) -> Wanted:
    return Wanted(layer, method, dims, images, part, seed, perplexity)


Picture = Annotated[Wanted, Depends(_wanted)]
Align = Annotated[str | None, Query(max_length=300, description="Layer whose picture this one is turned onto.")]


@ROUTER.get("/embeddings")
def embeddings(opened: Opened, part: Part = "test") -> EmbeddingList:
    """List the pictures that are on disk."""
    return listed(opened, part)


@ROUTER.get("/embedding", responses=binary("points f4 (n, dims), numbers i4, cluster i4, label i4"))
async def embedding(opened: Opened, wanted: Picture, align: Align = None, *, wait: Wait) -> Response:
    """Give a layer's picture: from disk, or made now."""
    align = None if align == wanted.layer else align
    known = await run_in_threadpool(_on_disk, opened, wanted, align)
    if known is not None:
        return encode(known).response()
    what = f"{EMBEDDING_TITLES[wanted.method]} of {wanted.layer}"
    return await computed(opened, ("embedding", wanted, align), what, lambda: _made(opened, wanted, align), wait=wait)


def _on_disk(opened: OpenSubject, wanted: Wanted, align: str | None) -> Arrays | None:
    picture = on_disk(opened, wanted)
    onto = on_disk(opened, dataclasses.replace(wanted, layer=align)) if align is not None and picture else None
    if picture is None or (align is not None and onto is None):
        return None
    return answer(opened, wanted, picture, onto, align)


def _made(opened: OpenSubject, wanted: Wanted, align: str | None) -> Arrays:
    picture = made(opened, wanted)
    onto = None if align is None else made(opened, dataclasses.replace(wanted, layer=align))
    return answer(opened, wanted, picture, onto, align)


@ROUTER.get("/activation", responses=binary("numbers i4, values f4"))
async def activation(
    opened: Opened,
    layer: Layer,
    channel: Annotated[int, Query(ge=0)],
    part: Part = "test",
    images: Images = 5000,
    seed: Annotated[int, Query(ge=0, lt=2**32)] = 0,
    *,
    wait: Wait,
) -> Response:
    """Give the mean activation of a channel for each image."""
    wanted = Wanted(layer, images=images, part=part, seed=seed)
    key = ("activation", wanted, channel)
    what = f"activation of channel {channel} of {layer}"
    return await computed(opened, key, what, lambda: _activation(opened, wanted, channel), wait=wait)


def _activation(opened: OpenSubject, wanted: Wanted, channel: int) -> Arrays:
    from glassnet.explorer.placing import activation

    return activation(opened, wanted, channel)


@ROUTER.post("/place", responses=binary("point f4 (dims)"))
async def place(request: Request, opened: Opened, wanted: Picture, align: Align = None, *, wait: Wait) -> Response:
    """Say where an own image falls in a picture; the body is its pixels."""
    body = await pixels_of(request, opened)
    key = ("place", wanted, align, hashlib.blake2b(body).hexdigest())
    what = f"own image in the picture of {wanted.layer}"
    return await computed(opened, key, what, lambda: _place(opened, wanted, align, body), wait=wait)


def _place(opened: OpenSubject, wanted: Wanted, align: str | None, body: bytes) -> Arrays:
    from glassnet.explorer.pixels import own_pixels
    from glassnet.explorer.placing import place

    part = opened.part(wanted.part)
    return place(opened, wanted, align, own_pixels(body, part.scale, part.split.image_shape))


@ROUTER.get("/scores", responses=as_json(LayerScores), response_class=Response)
async def scores(opened: Opened, images: Images = 5000, *, wait: Wait) -> Response:
    """Say what each layer's features tell: probe accuracy, kNN accuracy and more."""
    return await computed(opened, ("scores", images), "layers compared", lambda: _scores(opened, images), wait=wait)


def _scores(opened: OpenSubject, images: int) -> LayerScores:
    from glassnet.explorer.comparing import scores_of

    return scores_of(opened, images)
