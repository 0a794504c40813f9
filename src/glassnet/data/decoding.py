"""Decode one image file: upright, 8 bits a channel, on white, and so few large ones at once that memory allows them."""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from glassnet.data.listing import not_regular
from glassnet.errors import InputError

# What Pillow's decoders raise on damaged files
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)
DECODED_BYTES = 512 << 20
"""What images that are decoded at the same time may take together; one that takes more is decoded alone."""
BYTES_PER_PIXEL = 4
COPIES = 3
"""Of an image, while it is turned, laid on white and converted."""
HUGE_PIXELS = 1 << 24
"""Pixels from which on an image is reduced by whole numbers before it is copied."""
ORIENTATION = 0x0112
"""The EXIF tag that says how an image is to be turned."""
SAMPLE_FORMAT = 339
"""The TIFF tag that says whether whole numbers have a sign: 2, or 1 where they have none."""
GREY_LEVELS = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey levels of 2 and 4 bits by; it leaves the level that is transparent as it is."""


class DamagedError(InputError):
    """A file that cannot be read as an image."""

    def __init__(self, path: Path, reason: object) -> None:
        """Name the file and what is wrong with it."""
        super().__init__(f"{path} cannot be read as an image ({reason}); replace it or delete it.")
        self.path, self.reason = path, reason


def damaged(path: Path, error: Exception) -> DamagedError:
    """Say what Pillow means by an error."""
    unknown = isinstance(error, UnidentifiedImageError)
    return DamagedError(path, "it is damaged, or of an unknown format" if unknown else error)


class _Room:
    """The memory that is left for decoding; what asks for more waits until others are done."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._taken = 0

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Take so many bytes while the block runs; alone, more than there are."""
        with self._free:
            self._free.wait_for(lambda: not self._taken or self._taken + size <= DECODED_BYTES)
            self._taken += size
        try:
            yield
        finally:
            with self._free:
                self._taken -= size
                self._free.notify_all()


_room = _Room()


def decode(path: Path, mode: Literal["L", "RGB"], size: int) -> Image.Image:
    """Read an image in grey or in colour, upright, its shorter side `size` pixels or more.

    JPEGs are decoded at a fraction of their size where that is enough, and what is huge is averaged over squares of
    pixels at once; so the result may be smaller than the file's image.

    Raises:
        DamagedError: The file cannot be read as an image.
    """
    try:
        with opened(path) as file:
            file.draft(None, (2 * size, 2 * size))
            with _room.taken(math.prod(file.size) * BYTES_PER_PIXEL * (1 if _is_huge(file) else COPIES)):
                return to_eight_bits(_upright(file, size), mode)
    except DAMAGE as error:
        raise _named(path, error) from None


def decode_whole(path: Path, mode: Literal["L", "RGB"] | None = None) -> Image.Image:
    """Read an image at its own size, upright; in its own mode if none is given.

    Raises:
        DamagedError: The file cannot be read as an image.
    """
    try:
        with opened(path) as file, _room.taken(math.prod(file.size) * BYTES_PER_PIXEL * COPIES):
            _mend_transparency(file)
            upright = ImageOps.exif_transpose(file)
            upright.info.update({key: file.info[key] for key in ("unsigned", "wide") if key in file.info})
            return to_eight_bits(upright, mode) if mode else upright
    except DAMAGE as error:
        raise _named(path, error) from None


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file, of which only the header is read yet; a pipe, which could be waited for, is refused.

    Raises:
        DamagedError: It is no regular file.
    """
    reason = not_regular(path)
    if reason:
        raise DamagedError(path, reason)
    with Image.open(path) as file:
        yield file


def _named(path: Path, error: Exception) -> DamagedError:
    return error if isinstance(error, DamagedError) else damaged(path, error)


def _is_huge(file: Image.Image) -> bool:
    return math.prod(file.size) > HUGE_PIXELS and file.mode in ("L", "RGB", "RGBA", "CMYK")


def _upright(file: Image.Image, size: int) -> Image.Image:
    _mend_transparency(file)
    factor = min(file.size) // (2 * size) if _is_huge(file) and "transparency" not in file.info else 1
    if factor < 2:
        ImageOps.exif_transpose(file, in_place=True)
        return file
    turn = file.getexif().get(ORIENTATION, 1)
    small = file.reduce(factor)
    small.getexif()[ORIENTATION] = turn
    return ImageOps.exif_transpose(small)


def _mend_transparency(file: Image.Image) -> None:
    """Correct what Pillow says of a PNG's transparent level: it gives it in the file's bits, not in the pixels'."""
    file.info.pop("wide", None)
    if is_wide(file):
        file.info["wide"] = True
        file.info["unsigned"] = getattr(file, "tag_v2", {}).get(SAMPLE_FORMAT, (1,))[0] == 1
    level, bits = file.info.get("transparency"), str(_raw_mode(file))
    if file.format != "PNG" or level is None:
        return
    if bits in GREY_LEVELS:
        file.info["transparency"] = level * GREY_LEVELS[bits]
    elif file.mode == "RGB" and "16" in bits:
        file.info["transparency"] = tuple(value >> 8 for value in level)


def is_wide(file: Image.Image) -> bool:
    """Tell whether pixels are whole numbers of 32 bits, or of 16 with a sign, which have no usual range."""
    return file.mode == "I" and file.format == "TIFF"


def _raw_mode(file: Image.Image) -> Any:
    """Return how the file lays its pixels out; known before they are read."""
    tiles = getattr(file, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    return arguments[0] if isinstance(arguments, tuple) and arguments else arguments


def to_eight_bits(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    """Convert to 8 bits a channel, on white where the image is transparent.

    16 bits are divided by 257; whole numbers of 32 bits are stretched from the lowest to the highest of the image.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):  # Pillow would clip 16 bits to 255
        image = _with_clear(_levels(image), np.asarray(image) == image.info.get("transparency", -1))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _levels(image: Image.Image) -> UInt8[np.ndarray, "height width"]:
    values: Integer[np.ndarray, "height width"] = np.asarray(image)
    if not image.info.get("wide"):
        return (values.clip(0, 65535) // 257).astype(np.uint8)
    exact = (values.view(np.uint32) if image.info.get("unsigned") else values).astype(np.float64)
    low, high = exact.min(), exact.max()
    return ((exact - low) * (255 / (high - low) if high > low else 0)).round().astype(np.uint8)


def _with_clear(levels: UInt8[np.ndarray, "height width"], clear: np.ndarray) -> Image.Image:
    """Make a grey image of which some pixels are transparent."""
    image = Image.fromarray(levels)
    if clear.any():
        image.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    return image
