"""The nearest images in a layer's feature space, and the labels that they contradict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request, Response

from glassnet.explorer.arrays import Arrays
from glassnet.explorer.asked import Number, Opened, Part, Wait, as_json, binary, computed, pixels_of
from glassnet.explorer.routes.maps import Edited, Layer, digest, sent_group, shown_group
from glassnet.explorer.schemas import LabelError, LabelErrors, NeighboursMeta
from glassnet.explorer.shown import OpenSubject, Refusal

if TYPE_CHECKING:
    from glassnet.analysis.features import FeaturesRequest
    from glassnet.analysis.views import Group

ROUTER = APIRouter(prefix="/subjects/{subject}")
Count = Annotated[int, Query(ge=1, le=200, description="How many neighbours.")]
Images = Annotated[int | None, Query(ge=2, description="Among how many images, drawn by seed.")]
_ABOUT = "numbers i4, distances f4"
MOST_ERRORS = 500


@ROUTER.get("/neighbours/{number}", responses=binary(_ABOUT), response_class=Response)
async def neighbours(
    opened: Opened,
    number: Number,
    part: Part = "test",
    layer: Layer = "",
    count: Count = 12,
    images: Images = None,
    *,
    wait: Wait,
) -> Response:
    """Give the images nearest to one of the data."""
    key = ("neighbours", part, number, layer, count, images)
    what = f"neighbours of {part} image {number}"

    def run() -> Arrays:
        return _nearest(opened, shown_group(opened, part, number), part, layer, count, images, number)

    return await computed(opened, key, what, run, wait=wait)


@ROUTER.post("/neighbours", responses=binary(_ABOUT), response_class=Response)
async def neighbours_of_pixels(
    request: Request,
    opened: Opened,
    part: Part = "test",
    number: Edited = None,
    layer: Layer = "",
    count: Count = 12,
    images: Images = None,
    *,
    wait: Wait,
) -> Response:
    """Give the images nearest to an own or an edited image."""
    body = await pixels_of(request, opened)
    key = ("neighbours", digest(body), part, number, layer, count, images)

    def run() -> Arrays:
        return _nearest(opened, sent_group(opened, body, part, number), part, layer, count, images, None)

    return await computed(opened, key, "neighbours of these pixels", run, wait=wait)


@ROUTER.get("/label-errors", responses=as_json(LabelErrors), response_model=None)
async def label_errors(
    opened: Opened, part: Part = "test", layer: Layer = "", images: Images = None, *, wait: Wait
) -> Response:
    """List the images whose labels are likely wrong, the likeliest first."""
    key = ("label-errors", part, layer, images)

    def run() -> LabelErrors:
        return _label_errors(opened, part, layer, images)

    return await computed(opened, key, f"likely label errors among the {part} images", run, wait=wait)


def _features(opened: OpenSubject, part: Part, layer: str, images: int | None) -> FeaturesRequest:
    from glassnet.analysis.features import FeaturesRequest

    layer = layer or opened.info().default_layer or ""
    if not layer:
        raise Refusal(400, f"{opened.name} has no layer with features in which to compare images.")
    return FeaturesRequest(layer, FeaturesRequest.images if images is None else images, part)


def _nearest(
    opened: OpenSubject, group: Group, part: Part, layer: str, count: int, images: int | None, number: int | None
) -> Arrays:
    from glassnet.analysis.features import image_labels
    from glassnet.explorer.neighbouring import nearest_images

    subject, request = opened.subject, _features(opened, part, layer, images)
    found = nearest_images(subject, request, group.images, opened.context(), count=count, number=number)
    same = None
    if group.labelled and subject.labelled and group.split.target_dimensions < 3:
        same = int((found.labels == image_labels(group.split.targets)[0]).sum())
    meta = NeighboursMeta(layer=request.layer, among=found.among, same_label=same)
    return Arrays({"numbers": found.numbers, "distances": found.distances}, meta)


def _label_errors(opened: OpenSubject, part: Part, layer: str, images: int | None) -> LabelErrors:
    from glassnet.analysis.label_errors import METHOD
    from glassnet.analysis.views import image_name
    from glassnet.explorer.neighbouring import likely_label_errors

    request = _features(opened, part, layer, images)
    features, doubts = likely_label_errors(opened.subject, request, opened.context())
    of = opened.part(part)
    numbers = features.numbers[doubts.rows].tolist()[:MOST_ERRORS]
    errors = [
        LabelError(
            number=number,
            name=image_name(of.split, of.place(number), part),
            label=int(features.labels[row]),
            suggested=int(suggested),
            agreement=float(agreement),
            confidence=float(confidence),
            score=float(score),
        )
        for number, row, suggested, agreement, confidence, score in zip(
            numbers,
            doubts.rows,
            doubts.suggested,
            doubts.agreement,
            doubts.confidence,
            doubts.scores,
            strict=False,  # there may be more than are sent
        )
    ]
    return LabelErrors(
        layer=request.layer, among=len(features.labels), neighbours=doubts.neighbours, method=METHOD, errors=errors
    )
