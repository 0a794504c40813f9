"""Copies: test images that are among those learned from, pixel by pixel, or nearly so."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator

import torch
from jaxtyping import Bool
from torch import Tensor

from glassnet.console import say
from glassnet.data.dataset import Dataset, Split

CHUNK_IMAGES = 512


def counted(dataset: Dataset) -> Dataset:
    """Return a data set that knows how many of its test images are learned from; copies are said, and noted."""
    copies = int(exact_copies(dataset).sum())
    if copies <= dataset.leak:  # which a data set may know by itself, and has then said
        return dataset
    what = "1 test image is a copy" if copies == 1 else f"{copies:,} test images are copies"
    of = "training" if dataset.validation is None else "training or validation"
    warning = f"{what} of {of} images, pixel by pixel: figures on this split are too good"
    say(f"warning: {warning}.")
    return dataclasses.replace(dataset, leak=copies, note=f"{dataset.note}; {warning}")


def exact_copies(dataset: Dataset) -> Bool[Tensor, " n"]:
    """Tell of each test image whether an image with the same pixels is trained on, or chooses the epoch."""
    known = {digest for name, part in dataset.parts.items() if name != "test" for digest in digests(part)}
    return torch.tensor([digest in known for digest in digests(dataset.test)], dtype=torch.bool)


def digests(split: Split) -> Iterator[bytes]:
    """Yield a digest of each image's pixels."""
    for start in range(0, len(split), CHUNK_IMAGES):
        images, _ = split.take(slice(start, start + CHUNK_IMAGES))
        pixels = images.cpu().contiguous().view(torch.uint8).numpy().reshape(len(images), -1)
        yield from (hashlib.blake2b(row.data, digest_size=16).digest() for row in pixels)
