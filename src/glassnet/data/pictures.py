"""Read image files into one uint8 tensor: upright, resized, cropped to squares, in parallel threads."""

import dataclasses
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from glassnet.console import progress
from glassnet.data.dataset import Dataset
from glassnet.errors import InputError

SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
# what Pillow's decoders raise on damaged files
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)


def read_pictures(
    paths: Sequence[Path], *, size: int, description: str, channels: int | None = None
) -> UInt8[Tensor, "n channel {size} {size}"]:
    """Read images as squares of `size` pixels.

    Each is turned as its EXIF orientation says, laid on white where it is transparent, scaled until its shorter side is
    `size` (bilinear with antialias), and cropped to its centre.

    Args:
        paths: Image files.
        size: Height and width in pixels.
        description: What the progress bar is called.
        channels: 1 for grayscale, 3 for colour; by default 1 if all images are grayscale, else 3.

    Raises:
        InputError: A file cannot be read as an image; the first such file is named.
    """
    pool = ThreadPoolExecutor(min(16, (os.cpu_count() or 1) + 2))
    try:
        gray = channels == 1 if channels else all(pool.map(_is_gray, paths))
        images = np.empty((len(paths), 1 if gray else 3, size, size), dtype=np.uint8)
        decoded = pool.map(lambda path: _decode(path, "L" if gray else "RGB", size), paths)
        with progress(description, len(paths)) as advance:
            for row, pixels in zip(images, decoded, strict=True):
                row[:] = pixels
                advance()
    finally:
        pool.shutdown(cancel_futures=True)  # so that an error or Ctrl-C does not wait for the rest
    return torch.from_numpy(images)


def _is_gray(path: Path) -> bool:
    """Tell from the file's header whether it has one channel."""
    try:
        with Image.open(path) as image:
            return image.mode in ("1", "L", "LA") or image.mode.startswith("I")
    except _DAMAGE as error:
        raise _unreadable(path, error) from None


def _decode(path: Path, mode: Literal["L", "RGB"], size: int) -> UInt8[np.ndarray, "channel {size} {size}"]:
    try:
        with Image.open(path) as file:
            file.draft(None, (2 * size, 2 * size))  # large JPEGs are decoded at a fraction of their size, and faster
            image = _convert(ImageOps.exif_transpose(file), mode)
    except _DAMAGE as error:
        raise _unreadable(path, error) from None
    pixels = np.asarray(ImageOps.fit(image, (size, size), method=Image.Resampling.BILINEAR))
    return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)


def _convert(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    """Convert to 8 bits a channel, on white where the image is transparent."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):  # Pillow would clip 16 bits to 255
        levels = np.asarray(image).clip(0, 65535) // 257
        image = Image.fromarray(levels.astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = "it is damaged, or of an unknown format" if isinstance(error, UnidentifiedImageError) else error
    return InputError(f"{path} cannot be read as an image ({reason}); replace it or delete it.")


CHUNK_IMAGES = 1024  # bounds the memory that interpolation takes beside its input and output


def resize_images(
    images: UInt8[Tensor, "n channel height width"], size: int
) -> UInt8[Tensor, "n channel {size} {size}"]:
    """Resize to `size` by `size` pixels, bilinear, with an antialias filter as wide as the reduction.

    An output pixel is a weighted mean of the input, rounded to a whole level; the weights are a triangle whose half
    width is max(1, height / size) input pixels.
    """
    resized = torch.empty((*images.shape[:2], size, size), dtype=torch.uint8)
    for start in range(0, len(images), CHUNK_IMAGES):
        chunk = images[start : start + CHUNK_IMAGES]
        resized[start : start + CHUNK_IMAGES] = F.interpolate(chunk, (size, size), mode="bilinear", antialias=True)
    return resized


def resize_dataset(dataset: Dataset, size: int | None) -> Dataset:
    """Resize both splits to `size` by `size` pixels and say so in the note; None or the own size change nothing."""
    if size is None or size == dataset.image_size:
        return dataset
    train, test = (part.with_images(resize_images(part.images, size)) for part in (dataset.train, dataset.test))
    note = f"{dataset.note}, resized from {dataset.image_size} to {size} px"
    return dataclasses.replace(dataset, train=train, test=test, note=note)
