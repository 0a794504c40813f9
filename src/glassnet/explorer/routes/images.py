"""The images of a subject: labels, names, thumbnails, pictures, pixels, and what the model says of each."""

from __future__ import annotations

import threading
from collections import OrderedDict

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from glassnet.explorer.arrays import Arrays, encode
from glassnet.explorer.asked import Number, Opened, Part, Wait, binary, computed
from glassnet.explorer.atlas import atlas_of, digest_of, draw_page, layout_of_part
from glassnet.explorer.ondisk import columns_on_disk, labels_on_disk
from glassnet.explorer.schemas import Atlas, Names
from glassnet.explorer.shown import OpenSubject

ROUTER = APIRouter(prefix="/subjects/{subject}")
_KEPT_PAGES_BYTES = 1 << 26


class _Pages:
    """The last pages of thumbnails, as they were sent."""

    def __init__(self) -> None:
        self._lock, self.drawing = threading.Lock(), threading.Lock()
        self._pages: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        with self._lock:
            if key in self._pages:
                self._pages.move_to_end(key)
            return self._pages.get(key)

    def put(self, key: str, page: bytes) -> None:
        with self._lock:
            self._pages[key] = page
            while sum(map(len, self._pages.values())) > _KEPT_PAGES_BYTES and len(self._pages) > 1:
                self._pages.popitem(last=False)


_PAGES = _Pages()


@ROUTER.get("/labels", responses=binary("numbers i4, label i4", is_computed=False), response_class=Response)
def labels(opened: Opened, part: Part = "test") -> Response:
    """Give the label of each image, in the part's order; no model is needed."""
    known = labels_on_disk(opened, part)
    if known is not None:
        return encode(known).response()
    from glassnet.explorer.predicting import labels_of

    of = opened.part(part)
    return encode(Arrays({"numbers": of.numbers, "label": labels_of(opened, of)})).response()


@ROUTER.get("/names")
def names(opened: Opened, part: Part = "test") -> Names:
    """Give the names of the images, if they are files."""
    of = opened.part(part)
    return Names(numbers=of.numbers.tolist() if of.split.files else [], names=list(of.split.files or ()))


@ROUTER.get("/atlas")
def atlas(opened: Opened, part: Part = "test") -> Atlas:
    """Say how the thumbnails lie on their pages."""
    return atlas_of(opened, part)


@ROUTER.get("/atlas/{page}", responses={200: {"content": {"image/png": {}, "image/webp": {}}}}, response_class=Response)
def atlas_page(request: Request, opened: Opened, page: int, part: Part = "test") -> Response:
    """Give a page of thumbnails."""
    of = opened.part(part)
    key = f'"{digest_of(of)}-{layout_of_part(of).tile}-{page}"'
    headers = {"ETag": key, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == key:
        return Response(status_code=304, headers=headers)
    body = _PAGES.get(key)
    if body is None:
        with _PAGES.drawing:  # by one client for all that wait for it
            body = _PAGES.get(key) or draw_page(of, page)
            _PAGES.put(key, body)
    return Response(body, headers=headers, media_type=layout_of_part(of).media)


@ROUTER.get("/picture/{number}", responses={200: {"content": {"image/png": {}}}}, response_class=Response)
def picture(opened: Opened, number: Number, part: Part = "test") -> Response:
    """Give an image at the model's size."""
    from glassnet.explorer.pixels import drawable, encode_image

    of = opened.part(part)
    pixels = of.scale.to_bytes(of.images([of.place(number)]))[0]
    return Response(encode_image(drawable(pixels), "image/png"), media_type="image/png")


@ROUTER.get("/pixels/{number}", responses=binary("pixels u1 (c, h, w)", is_computed=False), response_class=Response)
def pixels(opened: Opened, number: Number, part: Part = "test") -> Response:
    """Give an image's grey values, in all channels of the model."""
    of = opened.part(part)
    return encode(Arrays({"pixels": of.scale.to_bytes(of.images([of.place(number)]))[0]})).response()


@ROUTER.get("/columns", responses=binary("numbers, label, predicted i4, confidence, loss, quality f4"))
async def columns(opened: Opened, part: Part = "test", *, wait: Wait) -> Response:
    """Give label, prediction, confidence, loss and quality of every image."""
    known = await run_in_threadpool(columns_on_disk, opened, part)
    if known is not None:
        return encode(known).response()
    return await computed(
        opened, ("columns", part), f"predictions of the {part} images", lambda: _columns(opened, part), wait=wait
    )


def _columns(opened: OpenSubject, part: Part) -> Arrays:
    from glassnet.explorer.predicting import columns

    return columns(opened, opened.part(part))


@ROUTER.get("/image/{number}", responses=binary("probabilities f4 (classes)"))
async def image(opened: Opened, number: Number, part: Part = "test", *, wait: Wait) -> Response:
    """Give what is known of an image, and the model's answer to it."""
    what = f"prediction of {part} image {number}"
    return await computed(
        opened, ("image", part, number), what, lambda: _image(opened, number, part), wait=wait, short=True
    )


def _image(opened: OpenSubject, number: int, part: Part) -> Arrays:
    from glassnet.explorer.predicting import image_facts

    return image_facts(opened, opened.part(part), number)
