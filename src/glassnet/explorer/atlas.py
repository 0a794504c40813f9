"""Thumbnails of a part's images on a few pages, so that a page can show any of them at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from glassnet.explorer.described import PartName
from glassnet.explorer.schemas import Atlas
from glassnet.explorer.shown import ImagePart, OpenSubject, Refusal

LARGEST_TILE = 64
PAGE_SIDE = 2048
"""Pixels of a page's side, at most."""
_CHUNK = 512


@dataclass(frozen=True)
class Layout:
    """How thumbnails lie on pages."""

    tile: int
    columns: int
    images: int
    media: str

    @property
    def per_page(self) -> int:
        """Tiles on a full page."""
        return self.columns * self.columns

    @property
    def pages(self) -> int:
        """Number of pages."""
        return math.ceil(self.images / self.per_page)


def layout_of(image_shape: tuple[int, int, int], images: int) -> Layout:
    """Return how so many thumbnails of such images lie."""
    channels, height, width = image_shape
    tile = min(LARGEST_TILE, max(height, width))
    return Layout(tile, PAGE_SIDE // tile, images, "image/webp" if channels == 3 else "image/png")


def layout_of_part(part: ImagePart) -> Layout:
    """Return how the thumbnails of a part lie."""
    return layout_of(part.split.image_shape, len(part.split))


def atlas_of(opened: OpenSubject, name: PartName) -> Atlas:
    """Describe the atlas of a part; of a run by its run.json, as long as the data are not loaded."""
    if opened.is_loaded or opened.path is None:
        part = opened.part(name)
        layout, digest = layout_of_part(part), digest_of(part)
    else:
        basics = opened.basics
        layout, digest = layout_of(basics.image_shape, basics.parts[name]), "as-trained"
    return Atlas(
        tile=layout.tile,
        columns=layout.columns,
        per_page=layout.per_page,
        pages=layout.pages,
        images=layout.images,
        media=layout.media,
        digest=digest,
    )


def digest_of(part: ImagePart) -> str:
    """Return what changes where the images do."""
    from glassnet.data.fingerprint import images_digest

    if part.digest is None:
        part.digest = str(images_digest(part.split))[:32]
    return part.digest


def draw_page(part: ImagePart, page: int) -> bytes:
    """Draw one page.

    Raises:
        Refusal: There is no such page.
    """
    from glassnet.explorer.pixels import encode_image

    layout = layout_of_part(part)
    if not 0 <= page < layout.pages:
        raise Refusal(404, f"there is no page {page} of thumbnails, only {layout.pages}.")
    first = page * layout.per_page
    count = min(layout.per_page, layout.images - first)
    chunks = [
        _thumbnails(part, start, min(start + _CHUNK, first + count), layout.tile)
        for start in range(first, first + count, _CHUNK)
    ]
    return encode_image(_on_page(np.concatenate(chunks), layout), layout.media)


def _thumbnails(part: ImagePart, start: int, stop: int, tile: int) -> UInt8[np.ndarray, "n c tile tile"]:
    """Return images scaled down into squares; what is not square has black beside it."""
    import torch

    from glassnet.explorer.pixels import drawable

    pixels = drawable(part.scale.to_bytes(part.split.take(slice(start, stop))[0]))
    height, width = pixels.shape[2:]
    scale = tile / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    if size != (height, width):
        small = torch.nn.functional.interpolate(torch.from_numpy(pixels).float(), size=size, mode="area")
        pixels = small.round().to(torch.uint8).numpy()
    squares = np.zeros((len(pixels), pixels.shape[1], tile, tile), np.uint8)
    top, left = (tile - size[0]) // 2, (tile - size[1]) // 2
    squares[:, :, top : top + size[0], left : left + size[1]] = pixels
    return squares


def _on_page(tiles: UInt8[np.ndarray, "n c tile tile"], layout: Layout) -> UInt8[np.ndarray, "c height width"]:
    rows = math.ceil(len(tiles) / layout.columns)
    channels, tile = tiles.shape[1], layout.tile
    page = np.zeros((rows * layout.columns, channels, tile, tile), np.uint8)
    page[: len(tiles)] = tiles
    grid = page.reshape(rows, layout.columns, channels, tile, tile).transpose(2, 0, 3, 1, 4)
    return grid.reshape(channels, rows * tile, layout.columns * tile)
