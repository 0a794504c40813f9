"""Images of one size, and their masks, in files mapped into memory: made once, in parallel, gone on with after a stop.

A cache is a folder: images.u8, and masks.u8, hold the pixels of all images one after another, sums.u32 a checksum an
image (CRC-32 of its pixels and its mask; 0 where they are not there yet), and cache.json what all of it was made from.
Another origin, another cache. An image whose checksum is wrong is read again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import random
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from glassnet.console import progress, say
from glassnet.download import one_process_at_a_time
from glassnet.errors import InputError
from glassnet.files import allocate, read_json, write_json

Picture = tuple[UInt8[np.ndarray, "..."], ...]
FLUSHED_EVERY = 256
"""Images after which what is done is written down: so many are done again after a stop."""


_VERIFIED_BYTES = 1 << 33
"""Of larger caches every second image is verified when they are opened, or every third, and so on, others each time."""
_PART = 64
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""What the system says of a file that may be read and not written."""
MOST_IN_MEMORY = 1 << 29
"""Bytes of images that are read again into memory, where a cache cannot be written; of more it is refused."""
NAMED = 5
"""Damaged images that an error names."""


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
            read, and may lie where nothing can be written; images that are damaged there are read into memory.
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
            sizes = {path: math.prod(shape) for path, shape in files.items()} | {folder / "sums.u32": 4 * count}
            if not _is_of(folder, origin, sizes):
                _begin(folder, origin, sizes)
            return _complete(folder, files, read, description)
    except OSError as error:
        raise CacheError(
            f"the cache {folder} cannot be written ({error.strerror or error}); free some disk space, or choose "
            "another place with --data-root."
        ) from None


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
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    try:
        for path, size in sizes.items():
            allocate(path, size)
        write_json(folder / "cache.json", origin)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _complete(
    folder: Path, files: Mapping[Path, tuple[int, ...]], read: Callable[[int], Picture], description: str
) -> tuple[UInt8[Tensor, "n ..."], ...]:
    """Read the images that a cache lacks into it, and return what it holds."""
    mapped = tuple(_mapped(*file) for file in files.items())
    stored = np.fromfile(folder / "sums.u32", np.uint32)
    waiting, damaged = _waiting(stored, [one.numpy() for one in mapped])
    if not len(waiting):
        return mapped
    try:
        sums = np.memmap(folder / "sums.u32", np.uint32, "r+")
        arrays = [np.memmap(path, np.uint8, "r+", shape=shape) for path, shape in files.items()]
    except OSError as error:
        if error.errno not in READ_ONLY or len(waiting) * sum(one[0].numel() for one in mapped) > MOST_IN_MEMORY:
            raise
        say(
            f"the cache {folder} cannot be written ({error.strerror}); {len(waiting):,} of its {len(stored):,} images "
            "are missing or damaged, and are read into memory instead"
        )
        _fill(waiting, [one.numpy() for one in mapped], read, description)  # a private copy of these pages
        return mapped
    if damaged:
        say(f"{damaged:,} of {len(stored):,} cached images are damaged and are read again")

    def write_down(done: Sequence[int]) -> None:
        for array in arrays:
            array.flush()  # the pixels first, then their checksums, which say that they are there
        for index in done:
            sums[index] = _checksum(arrays, index)
        sums.flush()

    _fill(waiting, arrays, read, description, write_down)
    return tuple(_mapped(*file) for file in files.items())


def _fill(
    waiting: Int64[np.ndarray, " m"],
    arrays: Sequence[np.ndarray],
    read: Callable[[int], Picture],
    description: str,
    write_down: Callable[[Sequence[int]], None] = lambda _done: None,
) -> None:
    """Read images, several at a time, and put them into arrays; after some, note which are done.

    Raises:
        InputError: Some cannot be read; all others are done.
    """
    refused: dict[int, InputError] = {}

    def attempt(index: int) -> Picture | None:
        try:
            return read(index)
        except InputError as error:
            refused[index] = error
            return None

    pool = ThreadPoolExecutor((os.cpu_count() or 1) + 1)
    try:
        with progress(description, len(waiting)) as advance:
            for start in range(0, len(waiting), FLUSHED_EVERY):
                part = waiting[start : start + FLUSHED_EVERY]
                for index, picture in zip(part, pool.map(attempt, part.tolist()), strict=True):
                    for array, pixels in zip(arrays, picture or (), strict=picture is not None):
                        array[index] = pixels
                    advance()
                write_down([index for index in part.tolist() if index not in refused])
    finally:
        pool.shutdown(cancel_futures=True)
    if refused:
        raise _named([refused[index] for index in sorted(refused)])


def _named(errors: Sequence[InputError]) -> InputError:
    """Name what cannot be read, all of it at once; the rest is in the cache."""
    if len(errors) == 1:
        return errors[0]
    listed = "; ".join(str(error).rstrip(".") for error in errors[:NAMED])
    more = f"; and {len(errors) - NAMED:,} more" if len(errors) > NAMED else ""
    return InputError(f"{len(errors):,} images cannot be read, all others are in the cache: {listed}{more}.")


def _waiting(sums: np.ndarray, arrays: Sequence[np.ndarray]) -> tuple[Int64[np.ndarray, " m"], int]:
    """Return which images are not there or are damaged, and how many are damaged."""
    size = sum(array.nbytes for array in arrays)
    step = max(1, math.ceil(size / _VERIFIED_BYTES))
    there = np.flatnonzero(sums)[random.randrange(step) :: step]
    parts = [there[start : start + _PART] for start in range(0, len(there), _PART)]

    def damaged(part: np.ndarray) -> list[int]:
        return [index for index in part.tolist() if _checksum(arrays, index) != sums[index]]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wrong = [index for some in pool.map(damaged, parts) for index in some]
    return np.sort(np.concatenate([np.flatnonzero(sums == 0), np.array(wrong, np.int64)])), len(wrong)


def _checksum(arrays: Sequence[np.ndarray], index: int) -> int:
    """Return the CRC-32 of an image, and of its mask, but never 0, which says that there is none."""
    value = 0
    for array in arrays:
        value = zlib.crc32(array[index].data, value)
    return value or 1


def _mapped(path: Path, shape: tuple[int, ...]) -> UInt8[Tensor, ...]:
    """Map a file as a tensor of which a write would change a private copy, never the file."""
    return torch.from_file(str(path), shared=False, size=int(np.prod(shape)), dtype=torch.uint8).view(shape)
