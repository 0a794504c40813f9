"""Photographs brought to one size once and kept as a file of pixels that knows what it was made from."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from glassnet.console import say
from glassnet.data.pictures import read_pictures
from glassnet.errors import InputError
from glassnet.files import atomic


def cached_pictures(paths: Sequence[Path], *, size: int, cache: Path) -> UInt8[Tensor, "n channel {size} {size}"]:
    """Read photographs as squares of `size` pixels in colour, from a cache if it was made from the same files.

    The cache is made anew where a file's name, length or time of change differs. Where it cannot be written, which is
    said, the photographs are read again each time.

    Args:
        paths: Image files.
        size: Height and width in pixels.
        cache: The file to keep them in, as CACHE.npy; its name should tell the size.

    Raises:
        InputError: A photograph is missing or cannot be read; it is named, and no cache is written.
    """
    digest, file = _digest(paths, size), cache.with_name(f"{cache.name}.npy")
    if (kept := _kept(file, digest, (len(paths), 3, size, size))) is not None:
        return kept
    images = read_pictures(paths, size=size, channels=3, description=f"Reading {len(paths):,} photographs, once")
    try:
        with atomic(file) as temporary, temporary.open("wb") as sink:
            sink.write(json.dumps({"digest": digest}).encode() + b"\n")
            np.save(sink, images.numpy(), allow_pickle=False)
    except InputError as error:
        say(f"the photographs are not kept for the next time: {error}")
    return images


def _digest(paths: Sequence[Path], size: int) -> str:
    """Sum up what the cache depends on: the size, and each file's name, length and time of change."""
    digest = hashlib.sha256(f"1:{size}".encode())
    for path in paths:
        try:
            found = path.stat()
        except OSError as error:
            raise InputError(f"{path} is listed but cannot be read ({error.strerror}); fetch the data again.") from None
        digest.update(f"{path.parent.name}/{path.name}:{found.st_size}:{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _kept(file: Path, digest: str, shape: tuple[int, ...]) -> UInt8[Tensor, "n channel height width"] | None:
    """Read the cache; None where there is none, or one of other files, or a damaged one."""
    try:
        with file.open("rb") as source:
            if json.loads(source.readline()) != {"digest": digest}:
                return None
            images = np.load(source, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return torch.from_numpy(images) if images.shape == shape and images.dtype == np.uint8 else None
