"""Images of one size, and their masks, in files mapped into memory: made once, in parallel, gone on with after a stop.

A cache is a folder: images.u8, and masks.u8, hold the pixels of all images one after another, done.u8 a byte an image
that says whether its pixels are there, and cache.json what all of it was made from. Another origin, another cache.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from glassnet.console import progress
from glassnet.download import one_process_at_a_time
from glassnet.errors import InputError
from glassnet.files import read_json, write_json

Picture = tuple[UInt8[np.ndarray, "..."], ...]
FLUSHED_EVERY = 256
"""Images after which what is done is written down: so many are done again after a stop."""


class CacheError(InputError):
    """A cache that cannot be written."""


def cached_pictures(
    folder: Path,
    *,
    origin: Mapping[str, Any],
    count: int,
    shapes: Mapping[str, tuple[int, ...]],
    read: Callable[[int], Picture],
    description: str,
) -> tuple[UInt8[Tensor, "n ..."], ...]:
    """Return images, and masks if there are any, mapped from a cache, after making what it lacks.

    Args:
        folder: The cache; one of another origin, or one that is damaged, is made anew. One that is complete is only
            read, and may lie where nothing can be written.
        origin: All that decides the pixels, as JSON values.
        count: Number of images.
        shapes: Shape of what is kept of each image, by name: images, and masks.
        read: Gives them for a number, in this order; called from several threads.
        description: What the progress bar is called.

    Raises:
        InputError: An image cannot be read; what is done stays, and is not done again.
        CacheError: The cache cannot be written.
    """
    files = {folder / f"{name}.u8": (count, *shape) for name, shape in shapes.items()}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with one_process_at_a_time(folder.parent):  # another one would begin anew what this one is at
            sizes = {path: math.prod(shape) for path, shape in files.items()} | {folder / "done.u8": count}
            if not _is_of(folder, origin, sizes):
                _begin(folder, origin, sizes)
            _complete(folder, files, read, description)
    except OSError as error:
        raise CacheError(
            f"the cache {folder} cannot be written ({error.strerror or error}); make room, or choose another place "
            "with --data-root."
        ) from None
    return tuple(_mapped(path, shape) for path, shape in files.items())


def files_digest(paths: Iterable[Path]) -> str:
    """Compute a digest of names, sizes and times of change, so that a cache notices that its files are others.

    Raises:
        InputError: A file is missing.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            about = path.stat()
        except OSError as error:
            raise InputError(f"{path} is listed but cannot be read ({error.strerror}); fetch the data again.") from None
        digest.update(f"{path.name} {about.st_size} {about.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _is_of(folder: Path, origin: Mapping[str, Any], sizes: Mapping[Path, int]) -> bool:
    """Tell whether a cache is of this origin, and its files are whole: mapped, a cut one would grow by zeros."""
    try:
        if any(path.stat().st_size != size for path, size in sizes.items()):
            return False
        return bool(read_json(folder / "cache.json") == json.loads(json.dumps(origin)))
    except (OSError, InputError):
        return False


def _begin(folder: Path, origin: Mapping[str, Any], sizes: Mapping[Path, int]) -> None:
    """Lay out an empty cache; what it was made from is written last."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        for path, size in sizes.items():
            with path.open("wb") as file:
                _allocate(file.fileno(), size)
        write_json(folder / "cache.json", origin)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _allocate(file: int, size: int) -> None:
    """Make a file so long and reserve its blocks: a mapped file that the disk has no room for would end the process."""
    os.ftruncate(file, size)
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file, 0, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # of a file system that cannot reserve
                raise


def _complete(
    folder: Path, files: Mapping[Path, tuple[int, ...]], read: Callable[[int], Picture], description: str
) -> None:
    waiting = np.flatnonzero(np.fromfile(folder / "done.u8", np.uint8) == 0)
    if not len(waiting):
        return
    done = np.memmap(folder / "done.u8", np.uint8, "r+")
    arrays = [np.memmap(path, np.uint8, "r+", shape=shape) for path, shape in files.items()]
    pool = ThreadPoolExecutor((os.cpu_count() or 1) + 1)
    try:
        with progress(description, len(waiting)) as advance:
            for start in range(0, len(waiting), FLUSHED_EVERY):
                part = waiting[start : start + FLUSHED_EVERY]
                for index, picture in zip(part, pool.map(read, part.tolist()), strict=True):
                    for array, pixels in zip(arrays, picture, strict=True):
                        array[index] = pixels
                    advance()
                for array in arrays:
                    array.flush()  # the pixels first, then that they are there
                done[part] = 1
                done.flush()
    finally:
        pool.shutdown(cancel_futures=True)


def _mapped(path: Path, shape: tuple[int, ...]) -> UInt8[Tensor, ...]:
    """Map a file as a tensor of which a write would change a private copy, never the file."""
    return torch.from_file(str(path), shared=False, size=int(np.prod(shape)), dtype=torch.uint8).view(shape)
