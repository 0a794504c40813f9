"""Decode one image file: upright, 8 bits a channel, on white, and so few large ones at once that memory allows them."""

from __future__ import annotations

import functools
import io
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from glassnet.data import room
from glassnet.data.listing import not_regular
from glassnet.errors import InputError

# What Pillow's decoders raise on damaged files
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)
BLOCK_BYTES = 128 << 20
"""What Pillow asks malloc for at once, at most. Its own 16 MB glibc would keep for each thread that freed them."""
BYTES_PER_PIXEL = 4
COPIES = 3
"""Of an image, while it is turned, laid on white and converted."""
SMALL_BYTES = 1 << 20
"""Of a file that is read as a whole before it is decoded, at most."""
BEGINNINGS = {b"\x89PNG", *(b"\xff\xd8\xff" + bytes([marker]) for marker in range(256))}
"""First bytes of a PNG and of a JPEG."""
STRIP_PIXELS = 1 << 22
"""Pixels of more than 8 bits that are converted at once."""
HUGE_PIXELS = 1 << 24
"""Pixels from which on an image is reduced by whole numbers before it is copied."""
ORIENTATION = 0x0112
"""The EXIF tag that says how an image is to be turned."""
TURNING = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
"""What may hold an orientation, as Pillow calls it."""
SAMPLE_FORMAT = 339
"""The TIFF tag that says whether whole numbers have a sign: 2, or 1 where they have none."""
BITS, COMPRESSION, PHOTOMETRIC, PLANAR = 258, 259, 262, 284
"""TIFF tags: bits a channel, how they are packed, what 0 means (0: white), and whether each channel is a plane (2)."""
GREY_LEVELS = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey levels of 2 and 4 bits by; it leaves the level that is transparent as it is."""


@dataclass(frozen=True)
class Encoded:
    """The content of an image file that lies in no file of its own, as in a row of a table.

    Attributes:
        name: What messages call it.
        content: Its bytes.
        formats: What it may be, as Pillow calls it; None for all that Pillow reads.
    """

    name: str
    content: bytes = field(repr=False)
    formats: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """Return what messages call it."""
        return self.name


class DamagedError(InputError):
    """A file that cannot be read as an image."""

    def __init__(self, path: Path | Encoded | str, reason: object) -> None:
        """Name the file and what is wrong with it."""
        super().__init__(f"{path} cannot be read as an image ({reason}); replace it or delete it.")
        self.path, self.reason = path, reason


def damaged(path: Path | Encoded | str, error: Exception) -> DamagedError:
    """Say what Pillow means by an error."""
    unknown = isinstance(error, UnidentifiedImageError)
    return DamagedError(path, "it is damaged, or in an unknown format" if unknown else error)


class Kind(NamedTuple):
    """What a file's header tells of its pixels: whether they have one channel, and whether one of 32 bits."""

    gray: bool
    wide: bool


def kind_of(file: Image.Image) -> Kind:
    """Return what the header of an opened file tells."""
    return Kind(file.mode in ("1", "L", "LA") or file.mode.startswith("I"), is_wide(file))


def decode(path: Path | Encoded | str, mode: Literal["L", "RGB"], size: int) -> Image.Image:
    """Read an image in grey or in colour, upright, its shorter side `size` pixels or more.

    JPEGs are decoded at a fraction of their size where that is enough, and what is huge is averaged over squares of
    pixels at once; so the result may be smaller than the file's image.

    Args:
        path: The file; a path as a string is known to be that of a regular file.
        mode: Grey or colour.
        size: Pixels.

    Raises:
        DamagedError: The file cannot be read as an image.
    """
    return decode_and_kind(path, mode, size)[0]


def decode_and_kind(path: Path | Encoded | str, mode: Literal["L", "RGB"], size: int) -> tuple[Image.Image, Kind]:
    """Read an image as `decode` does, and return with it what its header says."""
    _take_large_blocks()
    try:
        with Image.open(_at_hand(path)) if isinstance(path, str) else opened(path) as file:
            kind = kind_of(file)
            if _is_plain(file):
                if min(file.size) >= 4 * size:
                    file.draft(None, (2 * size, 2 * size))
                return _loaded(file, mode), kind
            file.draft(None, (2 * size, 2 * size))
            factor = min(file.size) // (2 * size) if math.prod(file.size) > HUGE_PIXELS else 1
            with room.taken(math.prod(file.size) * BYTES_PER_PIXEL * (COPIES if factor < 2 else 1)):
                image = _upright(file, mode, factor)
                file.close()  # its pixels go before another's come
                return image, kind
    except DAMAGE as error:
        raise _named(path, error) from None


def _at_hand(path: str) -> str | io.BytesIO:
    """Return a small JPEG or PNG as its bytes: Pillow reads a header in dozens of steps, which cost less in memory."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123, a Path for each file would take longer than the call
        if os.fstat(file.fileno()).st_size > SMALL_BYTES or (begin := file.read(4)) not in BEGINNINGS:
            return path
        return io.BytesIO(begin + file.read())


def _is_plain(file: Image.Image) -> bool:
    """Tell whether a file is a small photograph that has nothing to be mended: of most data sets all are."""
    return (
        file.format == "JPEG"
        and file.mode in ("L", "RGB")
        and file.width * file.height <= STRIP_PIXELS
        and file.info.keys().isdisjoint(TURNING)
    )


def _loaded(file: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    if file.mode != mode:
        return file.convert(mode)
    file.load()
    return file


def decode_whole(path: Path, mode: Literal["L", "RGB"] | None = None) -> Image.Image:
    """Read an image at its own size, upright; in its own mode if none is given.

    Raises:
        DamagedError: The file cannot be read as an image.
    """
    _take_large_blocks()
    try:
        with opened(path) as file, room.taken(math.prod(file.size) * BYTES_PER_PIXEL * COPIES):
            _mend_transparency(file)
            upright = ImageOps.exif_transpose(file)
            upright.info.update({key: file.info[key] for key in ("unsigned", "wide") if key in file.info})
            return to_eight_bits(upright, mode) if mode else upright
    except DAMAGE as error:
        raise _named(path, error) from None


@functools.cache
def _take_large_blocks() -> None:
    """Have Pillow take memory that malloc gives back to the system: eight threads had kept an image each, of 700 MB."""
    with suppress(AttributeError, ValueError):  # as PILLOW_BLOCK_SIZE does, which is read when Pillow is imported
        Image.core.set_block_size(BLOCK_BYTES)  # type: ignore[attr-defined]


def format_of(path: Path) -> str:
    """Return the format of a file as Pillow calls it; nothing where it is no image."""
    try:
        with opened(path) as image:
            return str(image.format)
    except (InputError, *DAMAGE):
        return ""


@contextmanager
def opened(path: Path | Encoded | str) -> Iterator[Image.Image]:
    """Open an image file, of which only the header is read yet; a pipe, which could be waited for, is refused.

    Args:
        path: The file; a path as a string is known to be that of a regular file, and is not looked at again.

    Raises:
        DamagedError: It is no regular file.
    """
    if isinstance(path, Path) and (reason := not_regular(path)):
        raise DamagedError(path, reason)
    if isinstance(path, Encoded):
        with Image.open(io.BytesIO(path.content), formats=path.formats) as file:
            yield file
    else:
        with Image.open(path) as file:
            yield file


def _named(path: Path | Encoded | str, error: Exception) -> DamagedError:
    return error if isinstance(error, DamagedError) else damaged(path, error)


def _upright(file: Image.Image, mode: Literal["L", "RGB"], factor: int) -> Image.Image:
    """Convert an image to 8 bits, upright; by a factor from 2 on averaged over squares of so many pixels."""
    _mend_transparency(file)
    if factor < 2:
        ImageOps.exif_transpose(file, in_place=True)
        return to_eight_bits(file, mode)
    turn = file.getexif().get(ORIENTATION, 1)
    if file.info.get("wide"):
        file.info["range"] = _range(file)
    small = Image.new(mode, (-(-file.width // factor), -(-file.height // factor)))
    for top, strip in _strips(file, factor):
        small.paste(to_eight_bits(strip, mode).reduce(factor), (0, top // factor))
    small.getexif()[ORIENTATION] = turn
    return ImageOps.exif_transpose(small)


def _strips(image: Image.Image, multiple: int) -> Iterator[tuple[int, Image.Image]]:
    """Yield an image a few rows at a time, a multiple of some number, since its copies would take memory."""
    height = multiple * max(1, STRIP_PIXELS // (image.width * multiple))
    for top in range(0, image.height, height):
        yield top, image.crop((0, top, image.width, min(top + height, image.height)))


def _mend_transparency(file: Image.Image) -> None:
    """Correct what Pillow says of a PNG's transparent level: it gives it in the file's bits, not in the pixels'."""
    _require_right(file)
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


def _require_right(file: Image.Image) -> None:
    """Refuse the TIFFs that Pillow reads as something else than they hold, without a word.

    Raises:
        ValueError: It is one of them.
    """
    tags = getattr(file, "tag_v2", {}) if file.format == "TIFF" else {}
    bits = max(tags.get(BITS, (1,)))
    if bits == 8 and 2 in tags.get(SAMPLE_FORMAT, (1,)):
        raise ValueError("its pixels are numbers of 8 bits with a sign; save it with numbers from 0 to 255")
    if bits == 16 and tags.get(PHOTOMETRIC) == 0:
        raise ValueError("its 16 bits count from white to black; save it with 0 for black")
    if bits == 16 and tags.get(PLANAR) == 2 and tags.get(COMPRESSION, 1) == 1:
        raise ValueError("its 16 bits a channel lie in one plane for each channel; save it with pixels side by side")


def is_wide(file: Image.Image) -> bool:
    """Tell whether pixels are whole numbers of 32 bits, or of 16 with a sign, which have no usual range."""
    return file.mode == "I" and file.format == "TIFF"


def used_range(path: Path) -> tuple[float, float] | None:
    """Return the lowest and the highest value in a file of 16 bits a channel as shares of the range; None for another
    file. 12 bits of a camera that are stored in 16 end at 6%.
    """
    try:
        with opened(path) as file:
            if is_wide(file) or not (file.mode.startswith("I") or "16" in str(_raw_mode(file))):
                return None
            values = np.asarray(file)
            whole = 65535 if file.mode.startswith("I") else 255
            return float(values.min()) / whole, float(values.max()) / whole
    except (InputError, *DAMAGE):
        return None


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
        clear = image.info.get("transparency")
        image = _with_clear(_levels(image), None if clear is None else np.asarray(image) == clear)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _levels(image: Image.Image) -> UInt8[np.ndarray, "height width"]:
    values = _values(image)
    if not image.info.get("wide"):
        return (values.clip(0, 65535) // 257).astype(np.uint8)
    low, high = image.info.get("range") or _range(image)
    exact = values.astype(np.float64)
    return ((exact - low) * (255 / (high - low) if high > low else 0)).round().astype(np.uint8)


def _range(image: Image.Image) -> tuple[float, float]:
    """Return the lowest and the highest value of an image."""
    ends = [(float(one.min()), float(one.max())) for one in (_values(strip) for _, strip in _strips(image, 1))]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _values(image: Image.Image) -> Integer[np.ndarray, "height width"]:
    values = np.asarray(image)
    return values.view(np.uint32) if image.info.get("wide") and image.info.get("unsigned") else values


def _with_clear(levels: UInt8[np.ndarray, "height width"], clear: np.ndarray | None) -> Image.Image:
    """Make a grey image of which some pixels are transparent."""
    image = Image.fromarray(levels)
    if clear is not None and clear.any():
        image.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    return image
