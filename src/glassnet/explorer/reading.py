"""An image file that a page sends, read as own photographs are, in memory alone."""

from __future__ import annotations

import io
import math

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from glassnet.console import printable
from glassnet.data.decoding import DAMAGE, DamagedError, Encoded, decode
from glassnet.data.pictures import as_planes
from glassnet.errors import InputError
from glassnet.explorer.shown import Refusal

MOST_BYTES, MOST_PIXELS = 20_000_000, 50_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
"""What a page may send; others are not even tried."""
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def read_upload(
    content: bytes, shape: tuple[int, int, int], name: str = ""
) -> tuple[UInt8[np.ndarray, "channel height width"], tuple[int, int]]:
    """Return an image file's pixels as the model takes them, and its own width and height.

    Args:
        content: The file.
        shape: Channels (1 for grey, 3 for colour), height and width; the image is scaled and cropped to its centre.
        name: What it is called.

    Raises:
        Refusal: It is too large, of another kind, or damaged.
        InputError: The model takes no images of 1 or 3 channels.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise InputError(
            f"the model takes images with {channels} channels, but image files have 1 or 3, so this file cannot be "
            "read."
        )
    label = printable(name, lines=False)[:100] or "the file"
    size = _size_of(content, label)
    try:
        image = decode(Encoded(label, content, FORMATS), "L" if channels == 1 else "RGB", max(height, width))
    except DamagedError as error:
        raise Refusal(415, f"{label} cannot be read as an image ({error.reason}); take another file.") from None
    return as_planes(ImageOps.fit(image, (width, height), method=Image.Resampling.BILINEAR)), size


def _size_of(content: bytes, label: str) -> tuple[int, int]:
    """Return width and height of an image file by its header, nothing else being read yet."""
    if len(content) > MOST_BYTES:
        raise Refusal(413, f"{label} is larger than {MOST_BYTES // 1000000} MB; use a smaller one.")
    too_large = f"{label} has more than {MOST_PIXELS // 1000000} megapixels; use a smaller one."
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as file:
            size = file.size
    except _BOMBS:
        raise Refusal(413, too_large) from None
    except DAMAGE:
        kinds = "PNG, JPEG, WebP, BMP, TIFF or GIF"
        raise Refusal(415, f"{label} is damaged or not an image, expected a {kinds} file.") from None
    if math.prod(size) > MOST_PIXELS:
        raise Refusal(413, too_large)
    return size
