"""Read image files into one uint8 tensor: upright, resized, cropped to squares, in parallel threads."""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from glassnet.console import progress, say
from glassnet.data.dataset import Dataset
from glassnet.data.decoding import (
    DAMAGE,
    DamagedError,
    Encoded,
    Kind,
    decode,
    decode_and_kind,
    kind_of,
    opened,
    used_range,
)
from glassnet.errors import InputError

SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
DIM_SHARE = 1 / 8
"""Share of the range of 16 bits below which all values of an image lie that is read nearly black."""
SAMPLED = 16
"""Files of a folder that are looked at for their range."""
NAMED = 10
"""Damaged files that an error names, of however many."""
CHUNK_IMAGES = 1024  # bounds the memory that interpolation takes beside its input and output
Fit = Literal["crop", "pad", "stretch"]
"""How an image becomes a square: its centre alone, the whole with grey bars beside it, or the whole out of shape."""
BARS = (128, 128, 128)
"""Colour of the bars that "pad" adds: mid grey, which lies near the mean of photographs."""
_THREADS = min(16, (os.cpu_count() or 1) + 2)
Item = TypeVar("Item")
Content = TypeVar("Content")


def read_pictures(
    paths: Sequence[Path], *, size: int, description: str, channels: int | None = None
) -> UInt8[Tensor, "n channel {size} {size}"]:
    """Read images as squares of `size` pixels.

    Each is turned as its EXIF orientation says, laid on white where it is transparent, scaled until its shorter side is
    `size` (bilinear with antialias), and cropped to its centre. 16 bits a channel are divided by 257; whole numbers of
    32 bits are stretched from the lowest to the highest of each image.

    Args:
        paths: Image files.
        size: Height and width in pixels.
        description: What the progress bar is called.
        channels: 1 for grayscale, 3 for colour; by default 1 if all images are grayscale, else 3.

    Raises:
        InputError: Files cannot be read as images; all of them are counted, and the first ten named.
    """
    return read_undamaged_pictures(paths, size=size, description=description, channels=channels)[0]


def read_undamaged_pictures(
    paths: Sequence[Path],
    *,
    size: int,
    description: str,
    channels: int | None = None,
    skip_damaged: bool | None = None,
    fit: Fit = "crop",
) -> tuple[UInt8[Tensor, "m channel {size} {size}"], list[int]]:
    """Read images as `read_pictures` does, and return with them the indices of the files that they are of.

    Args:
        paths: Image files.
        size: Height and width in pixels.
        description: What the progress bar is called.
        channels: 1 for grayscale, 3 for colour; by default 1 if all images are grayscale, else 3.
        skip_damaged: Leave out what cannot be read, and say so, instead of refusing it; None where there is no choice.
        fit: How an image becomes a square.

    Raises:
        InputError: Files cannot be read as images, and are not to be left out.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        headers = list(pool.map(is_gray_and_wide, paths))
    gray = channels == 1 if channels else all(one for one, _ in headers)
    say_wide([path for path, (_, wide) in zip(paths, headers, strict=True) if wide])
    say_dim(paths)
    images = np.empty((len(paths), 1 if gray else 3, size, size), dtype=np.uint8)
    rows = []
    decoded = read_undamaged(
        lambda path: read_picture(path, "L" if gray else "RGB", size, fit),
        paths,
        description=description,
        skip_damaged=skip_damaged,
    )
    for row, pixels in decoded:
        images[row] = pixels
        rows.append(row)
    return torch.from_numpy(images if len(rows) == len(paths) else images[rows]), rows


def read_undamaged(
    read: Callable[[Item], Content], items: Sequence[Item], *, description: str, skip_damaged: bool | None
) -> Iterator[tuple[int, Content]]:
    """Read items in parallel threads and yield the index and the content of each, in order.

    Args:
        read: Reads one, or raises DamagedError.
        items: What to read.
        description: What the progress bar is called.
        skip_damaged: Leave out what is damaged, and say so at the end, instead of refusing it; None where there is no
            such choice.

    Raises:
        InputError: Some are damaged and not to be left out; all are looked at first.
    """

    def attempt(item: Item) -> Content | DamagedError:
        try:
            return read(item)
        except DamagedError as error:
            return error

    damaged: list[DamagedError] = []
    pool = ThreadPoolExecutor(_THREADS)
    try:
        with progress(description, len(items)) as advance:
            for index, content in enumerate(pool.map(attempt, items)):
                advance()
                if isinstance(content, DamagedError):
                    damaged.append(content)
                else:
                    yield index, content
    finally:
        pool.shutdown(cancel_futures=True)  # so that an error or Ctrl-C does not wait for the rest
    leave_out(damaged, skip_damaged=skip_damaged)


def leave_out(damaged: Sequence[DamagedError], *, skip_damaged: bool | None) -> None:
    """Say which files cannot be read, where they are to be left out; else refuse them.

    Args:
        damaged: What is wrong with each.
        skip_damaged: Whether to leave them out; None where there is no such choice.

    Raises:
        InputError: There are some, and they are not to be left out.
    """
    if damaged and skip_damaged:
        say(f"{_count(damaged)} cannot be read and {'is' if len(damaged) == 1 else 'are'} left out: {_names(damaged)}.")
    elif damaged:
        raise _refusal(damaged, "" if skip_damaged is None else ", or leave {them} out with --skip-damaged")


def _refusal(damaged: Sequence[DamagedError], choice: str) -> InputError:
    if len(damaged) == 1:
        return InputError(f"{str(damaged[0]).rstrip('.')}{choice.format(them='it')}.")
    them = choice.format(them="them")
    return InputError(f"{_count(damaged)} cannot be read: {_names(damaged)}; replace them or delete them{them}.")


def say_wide(paths: Sequence[Path]) -> None:
    """Say how images of 32 bits, or of 16 with a sign, are scaled, whose values have no usual range."""
    if paths:
        what = f"{len(paths):,} images have" if len(paths) > 1 else f"{paths[0]} has"
        say(f"{what} whole numbers of 32 bits or with a sign; each is scaled from its lowest to its highest value.")


def say_dim(paths: Sequence[Path]) -> None:
    """Say that images of 16 bits use little of their range, by a sample: they are read nearly black."""
    some = paths[:: max(1, -(-len(paths) // SAMPLED))]
    highest = max((ends[1] for one in some if (ends := used_range(one))), default=1.0)
    if 0 < highest < DIM_SHARE:
        many = len(some) > 1
        what = f"the images of 16 bits, such as {some[0]}, use" if many else f"{some[0]} has 16 bits and uses"
        say(
            f"warning: {what} {highest:.0%} of the range, 0 to 65,535, so {'they look' if many else 'it looks'} "
            f"nearly black; multiply the values in the file{'s' if many else ''} by {int(1 / highest)}."
        )


def say_ignored(folder: Path, ignored: Counter[str]) -> str:
    """Say how many files of each kind are not read; return it in short, for the note of a data set.

    Args:
        folder: Where they lie.
        ignored: Files by kind: their suffix, or why they are not read.
    """
    if not ignored:
        return ""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in ignored.most_common())
    total = ignored.total()
    say(f"{total:,} file{'s' if total > 1 else ''} in {folder} not read: {kinds}; images end in {_suffixes()}.")
    return f", {total:,} hidden or other files ignored"


def _suffixes() -> str:
    return ", ".join(sorted(SUFFIXES))


def _count(damaged: Sequence[DamagedError]) -> str:
    return f"{len(damaged):,} image{'s' if len(damaged) > 1 else ''}"


def _names(damaged: Sequence[DamagedError]) -> str:
    names = ", ".join(f"{one.path} ({one.reason})" for one in damaged[:NAMED])
    return names + (f" and {len(damaged) - NAMED:,} more" if len(damaged) > NAMED else "")


def is_gray_and_wide(path: Path | Encoded) -> tuple[bool, bool]:
    """Tell from a file's header whether it has one channel, and one of 32 bits; a damaged one does not matter."""
    try:
        with opened(path) as image:
            kind = kind_of(image)
            return kind.gray, kind.wide
    except DAMAGE:
        return True, False


def read_picture(
    path: Path | Encoded, mode: Literal["L", "RGB"], size: int, fit: Fit = "crop"
) -> UInt8[np.ndarray, "channel {size} {size}"]:
    """Read one image as `read_pictures` does, in grey or in colour; cropped, or made a square in another way.

    Raises:
        DamagedError: The file cannot be read as an image.
    """
    return as_planes(_square(decode(path, mode, size), (size, size), fit))


def read_picture_and_kind(
    path: Path | str, mode: Literal["L", "RGB"], size: int
) -> tuple[UInt8[np.ndarray, "channel {size} {size}"], Kind]:
    """Read one image as `read_picture` does, cropped, and return with it what its header says.

    Raises:
        DamagedError: The file cannot be read as an image.
    """
    image, kind = decode_and_kind(path, mode, size)
    return as_planes(_square(image, (size, size), "crop")), kind


def _square(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    if image.size == size:
        return image
    if fit == "crop":
        return ImageOps.fit(image, size, method=Image.Resampling.BILINEAR)
    if fit == "pad":
        return ImageOps.pad(
            image, size, method=Image.Resampling.BILINEAR, color=BARS if image.mode == "RGB" else BARS[0]
        )
    return image.resize(size, Image.Resampling.BILINEAR)


def as_planes(image: Image.Image) -> UInt8[np.ndarray, "channel height width"]:
    """Return the pixels of a grey or colour image, channels first."""
    pixels = np.asarray(image)
    return pixels[None] if image.mode == "L" else pixels.transpose(2, 0, 1)


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
