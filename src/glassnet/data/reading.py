"""A batch of a user's own photographs: one call from files or a folder to pixels and names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from glassnet.data.decoding import decode_whole
from glassnet.data.given import image_files
from glassnet.data.pictures import Fit, as_planes, read_undamaged, read_undamaged_pictures, say_dim
from glassnet.errors import InputError, unknown_name

Place = str | os.PathLike[str]


def read_images(
    images: Place | Iterable[Place],
    size: int | None = 224,
    *,
    fit: Fit = "crop",
    channels: Literal[1, 3] = 3,
    skip_damaged: bool = False,
) -> tuple[UInt8[Tensor, "n channel height width"], tuple[str, ...]]:
    """Read image files, or all images in a folder, into one batch.

    Each image is turned upright according to its EXIF orientation and converted to colour with 8 bits per channel: grey
    is repeated, palettes and CMYK are converted, 16-bit values are divided by 257, and transparency is replaced by
    white. Then the image is scaled (bilinear with antialiasing) to a square:

    - "crop": the shorter side becomes `size`, and the centre is kept. Proportions are kept, the ends are lost.
    - "pad": the longer side becomes `size`, with mid-grey bars along it. Proportions are kept, nothing is lost.
    - "stretch": both sides become `size`. Nothing is lost, but proportions change.

    Args:
        images: A folder (read with all its sub-folders; hidden folders and other files are ignored), an image file, or
            several of these.
        size: Height and width in pixels; None keeps the images' own size, which must be the same for all.
        fit: How to make an image square; ignored if `size` is None.
        channels: 3 for colour, 1 for grey.
        skip_damaged: Skip files that cannot be read and report them, instead of raising an error.

    Returns:
        The pixels, as every function of glassnet takes them, and the names: paths within the folder, or file names if
        files were given (paths if two files have the same name).

    Raises:
        InputError: There are no images, some cannot be read (the error names them), or their sizes differ and `size` is
            None.
    """
    files, names = _files_and_names(images)
    if fit not in get_args(Fit):
        raise unknown_name("fit", str(fit), get_args(Fit))
    if channels not in (1, 3):
        raise InputError(f"channels is {channels}, expected 3 for colour or 1 for grey.")
    if size is None:
        pixels, rows = _whole(files, channels, skip_damaged)
    elif isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise InputError(f"size is {size!r}, expected a number of pixels of 1 or more, or None for the images' own.")
    else:
        pixels, rows = read_undamaged_pictures(
            files,
            size=int(size),
            description=_described(files),
            channels=channels,
            skip_damaged=skip_damaged or None,
            fit=fit,
        )
    if not rows:
        raise InputError(f"none of the {len(files)} image files can be read, expected one at least; replace them.")
    return pixels, tuple(names[row] for row in rows)


def _files_and_names(images: Place | Iterable[Place]) -> tuple[list[Path], list[str]]:
    if isinstance(images, str | os.PathLike):
        place = Path(images)
        files = image_files(place)
        return files, [place.name if one == place else one.relative_to(place).as_posix() for one in files]
    places = list(images) if isinstance(images, Iterable) else [images]
    wrong = [type(one).__name__ for one in places if not isinstance(one, str | os.PathLike)]
    if wrong or not places:
        got = f"a value of type {wrong[0]}" if wrong else "no path"
        raise InputError(f"got {got}, expected the path of a folder or of an image file, or several of them.")
    files = [one for place in places for one in image_files(Path(place))]
    short = [one.name for one in files]
    return files, short if len(set(short)) == len(short) else [one.as_posix() for one in files]


def _whole(
    files: Sequence[Path], channels: Literal[1, 3], skip_damaged: bool
) -> tuple[UInt8[Tensor, "m channel height width"], list[int]]:
    """Read images at their own size, which is that of the first for all.

    Raises:
        InputError: They differ in size, or cannot be read and are not to be left out.
    """
    say_dim(files)
    rows: list[int] = []
    pixels: list[np.ndarray] = []
    decoded = read_undamaged(
        lambda path: as_planes(decode_whole(path, "L" if channels == 1 else "RGB")),
        files,
        description=_described(files),
        skip_damaged=skip_damaged or None,
    )
    for row, one in decoded:
        if pixels and one.shape != pixels[0].shape:
            (first_height, first_width), (height, width) = pixels[0].shape[1:], one.shape[1:]
            raise InputError(
                f"{files[row]} has {width} by {height} pixels and {files[rows[0]]} {first_width} by {first_height}, "
                "expected all the same where size is None; give a size, as in size=224."
            )
        rows.append(row)
        pixels.append(one)
    return torch.from_numpy(np.stack(pixels) if pixels else np.empty((0, channels, 1, 1), np.uint8)), rows


def _described(files: Sequence[Path]) -> str:
    return f"reading {files[0]}" if len(files) == 1 else f"reading {len(files):,} images"
