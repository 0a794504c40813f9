"""Where the model looks in an image of the data, or in pixels that a page sends: maps, and a layer's channels."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from glassnet.explorer.arrays import Arrays
from glassnet.explorer.asked import Number, Opened, Part, Wait, binary, computed, pixels_of
from glassnet.explorer.schemas import ChannelsMeta, MapsMeta
from glassnet.explorer.shown import OpenSubject, Refusal

if TYPE_CHECKING:
    from glassnet.analysis.attribution import AttributionRequest
    from glassnet.analysis.views import Group
    from glassnet.explorer.explaining import ExplainedImage

ROUTER = APIRouter(prefix="/subjects/{subject}")
Words = Annotated[str, Query(max_length=5000, description="Names with commas between them.")]
Target = Annotated[str, Query(max_length=300, description="What is explained: predicted, label, a class …")]
Layer = Annotated[str, Query(max_length=300, description="Name of a layer.")]
Edited = Annotated[int | None, Query(ge=0, lt=2**31, description="Number of the image that was edited.")]
_ABOUT = "METHOD|LAYER f4 (h, w) or (c, h, w), probabilities f4 (classes), of masks predicted and region u1 (h, w)"
METHODS = "gradcam,guided_gradcam"
_OF_CHANNELS = "maps f4 (channels, h, w)"


@ROUTER.get("/maps/{number}", responses=binary(_ABOUT), response_class=Response)
async def maps(
    opened: Opened,
    number: Number,
    part: Part = "test",
    layers: Words = "conv",
    methods: Words = METHODS,
    target: Target = "predicted",
    *,
    wait: Wait,
) -> Response:
    """Give the maps of an image of the data, which are kept as `glassnet explain` keeps them."""
    key = ("maps", part, number, layers, methods, target)

    def run() -> Arrays:
        from glassnet.explorer.explaining import kept_maps

        request = _request(opened, part, layers, methods, target)
        place = opened.part(part).place(number)
        image = kept_maps(opened.subject, request, place, opened.context())
        return _answer(opened, image, request, number, methods)

    return await computed(opened, key, f"maps of {part} image {number}", run, wait=wait, short=True)


@ROUTER.post("/maps", responses=binary(_ABOUT), response_class=Response)
async def maps_of_pixels(
    request: Request,
    opened: Opened,
    part: Part = "test",
    number: Edited = None,
    layers: Words = "conv",
    methods: Words = METHODS,
    target: Target = "predicted",
    *,
    wait: Wait,
) -> Response:
    """Give the maps of an own image, or of an edited one, which are kept nowhere."""
    body = await pixels_of(request, opened)
    key = ("maps", digest(body), part, number, layers, methods, target)

    def run() -> Arrays:
        from glassnet.explorer.explaining import explained

        asked = _request(opened, part, layers, methods, target)
        image = explained(opened.subject, asked, sent_group(opened, body, part, number), opened.context())
        return _answer(opened, image, asked, number, methods)

    return await computed(opened, key, "maps of these pixels", run, wait=wait, short=True)


@ROUTER.get("/channels/{number}", responses=binary(_OF_CHANNELS), response_class=Response)
async def channels(opened: Opened, number: Number, part: Part = "test", layer: Layer = "", *, wait: Wait) -> Response:
    """Give what each channel of a layer gives for an image of the data."""
    key = ("channels", part, number, layer)
    what = f"channels of {part} image {number}"
    return await computed(
        opened,
        key,
        what,
        lambda: _channels(opened, shown_group(opened, part, number), part, layer),
        wait=wait,
        short=True,
    )


@ROUTER.post("/channels", responses=binary(_OF_CHANNELS), response_class=Response)
async def channels_of_pixels(
    request: Request, opened: Opened, part: Part = "test", number: Edited = None, layer: Layer = "", *, wait: Wait
) -> Response:
    """Give what each channel of a layer gives for an own or an edited image."""
    body = await pixels_of(request, opened)
    key = ("channels", digest(body), part, number, layer)

    def run() -> Arrays:
        return _channels(opened, sent_group(opened, body, part, number), part, layer)

    return await computed(opened, key, "channels of these pixels", run, wait=wait, short=True)


def digest(body: bytes) -> str:
    """Return a digest of what a page sent, so that the same request finds its job again."""
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def shown_group(opened: OpenSubject, part: Part, number: int) -> Group:
    """Return an image of the data as a group of one.

    Raises:
        Refusal: There is none of this number.
    """
    from glassnet.explorer.explaining import group_of

    of = opened.part(part)
    return group_of(of.split, of.place(number), part, labelled=opened.subject.labelled)


def sent_group(opened: OpenSubject, body: bytes, part: Part, number: int | None) -> Group:
    """Return pixels that a page sent as a group of one; of an edited image what was not edited stays exactly as it was.

    Raises:
        Refusal: There is no image of this number.
        InputError: The body is of another length.
    """
    from glassnet.explorer.explaining import group_of_pixels
    from glassnet.explorer.pixels import own_pixels

    like = None if number is None else shown_group(opened, part, number)
    scale, shape = opened.part(part).scale, opened.subject.image_shape
    return group_of_pixels(own_pixels(body, scale, shape, None if like is None else like.images), like)


def _request(opened: OpenSubject, part: Part, layers: str, methods: str, target: str) -> AttributionRequest:
    from glassnet.explorer.explaining import maps_request

    return maps_request(opened.subject, layers=words(layers), methods=words(methods), target=target, part=part)


def words(text: str) -> list[str]:
    """Return the names in a text with commas between them."""
    return [word.strip() for word in text.split(",") if word.strip()]


def _answer(
    opened: OpenSubject, image: ExplainedImage, request: AttributionRequest, number: int | None, methods: str
) -> Arrays:
    from glassnet.explorer.explaining import map_notes, predicted_mask, probabilities, target_class, target_words

    subject, context = opened.subject, opened.context()
    group, chances = image.group, probabilities(subject, image.inputs, context)
    arrays: dict[str, Any] = {f"{method}|{layer}": maps[0] for (method, layer), maps in group.maps.items()}
    arrays["probabilities"] = chances
    if group.regions is not None:
        arrays |= {"predicted": predicted_mask(subject, image.inputs, context), "region": group.regions[0]}
    meta = MapsMeta(
        number=number,
        target=target_words(image, request),
        target_class=target_class(image, subject),
        predicted=int(chances.argmax()) if len(chances) else None,
        layers=list(dict.fromkeys(layer for _, layer in group.maps)),
        methods=list(dict.fromkeys(method for method, _ in group.maps)),
        notes=map_notes(image, words(methods)),
        facts=_facts(opened, image),
        entry=image.entry,
        seconds=round(image.seconds, 4),
    )
    return Arrays(arrays, meta)


def _facts(opened: OpenSubject, image: ExplainedImage) -> list[tuple[str, str]]:
    from glassnet.formats import plain
    from glassnet.measures import MEASURES

    columns = opened.subject.task.views().explain.columns
    known = [(head, key, image.facts.get(key)) for key, head in columns]
    return [
        (head, MEASURES[key].show(value) if key in MEASURES else plain(value))
        for head, key, value in known
        if value is not None
    ]


def _channels(opened: OpenSubject, group: Group, part: Part, layer: str) -> Arrays:
    from glassnet.explorer.channels import channel_maps, strongest
    from glassnet.explorer.explaining import failing_at, model_inputs

    layer = layer or (opened.info().map_layers or [""])[-1]
    if not layer:
        raise Refusal(400, f"{opened.name} has no layer with height and width whose channels could be shown.")
    with failing_at(group.name_of(0, part)):
        maps = channel_maps(opened.model(), model_inputs(opened.subject, group, part), layer)
    order = strongest(maps).tolist()
    return Arrays({"maps": maps}, ChannelsMeta(layer=layer, channels=len(maps), order=order))
