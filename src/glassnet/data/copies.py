"""Copies: test images that are among those learned from, pixel by pixel, or nearly so."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from glassnet.console import progress, say
from glassnet.data.dataset import Dataset, Split

CHUNK_IMAGES = 512
CHUNK_OTHERS = 8192
THUMBNAIL_PIXELS = 16
LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in a grey level, as where a photograph is saved in grey (ITU-R BT.601)."""
NEAR = 0.99
"""Correlation of two thumbnails from which on one image counts as a near copy of the other."""
FLAT_LEVELS = 2.0
"""Standard deviation of the grey levels of a thumbnail below which it shows nothing, and is like no other."""


@dataclass(frozen=True)
class NearCopy:
    """An image and the one that it resembles most.

    Attributes:
        image: Its index.
        other: Index of the one that it resembles.
        correlation: Of the two thumbnails; 1 where they differ in brightness and contrast alone.
        mirrored: Whether one of them is turned left to right.
    """

    image: int
    other: int
    correlation: float
    mirrored: bool


def counted(dataset: Dataset) -> Dataset:
    """Return a data set that knows how many of its test images are learned from; copies are said, and noted."""
    copies = int(exact_copies(dataset).sum())
    if copies <= dataset.leak:  # which a data set may know by itself, and has then said
        return dataset
    what = "1 test image is a copy" if copies == 1 else f"{copies:,} test images are copies"
    of = "training" if dataset.validation is None else "training or validation"
    warning = f"{what} of {of} images, pixel by pixel, so figures on this split are too good"
    say(f"warning: {warning}.")
    return dataclasses.replace(dataset, leak=copies, note=f"{dataset.note}; {warning}")


def held_out_copies(training: Split, validation: Split) -> int:
    """Count the images to choose the epoch by whose pixels are learned from; copies are said."""
    copies = int(_copied(validation, [training]).sum())
    if copies:
        what = "1 validation image is a copy" if copies == 1 else f"{copies:,} validation images are copies"
        say(f"warning: {what} of training images, pixel by pixel, so validation figures are too good.")
    return copies


def exact_copies(dataset: Dataset) -> Bool[Tensor, " n"]:
    """Tell of each test image whether an image with the same pixels is trained on, or chooses the epoch."""
    return _copied(dataset.test, [part for name, part in dataset.parts.items() if name != "test"])


def _copied(split: Split, others: Sequence[Split]) -> Bool[Tensor, " n"]:
    """Tell of each image whether one of the others has the same pixels.

    Where checksums are known, only images are read whose checksum another has, too.
    """
    mine, theirs = split.sums, [other.sums for other in others]
    rows, rows_of = np.arange(len(split)), [np.arange(len(other)) for other in others]
    if mine is not None and all(sums is not None for sums in theirs):
        rows = np.flatnonzero(np.isin(mine, np.concatenate([sums for sums in theirs if sums is not None])))
        rows_of = [np.flatnonzero(np.isin(sums, mine)) for sums in theirs if sums is not None]
    known = [_digest_array(other, some) for other, some in zip(others, rows_of, strict=True)]
    copied = torch.zeros(len(split), dtype=torch.bool)
    copied[torch.from_numpy(rows)] = torch.from_numpy(np.isin(_digest_array(split, rows), np.concatenate(known)))
    return copied


def _digest_array(split: Split, rows: np.ndarray) -> np.ndarray:
    """Return digests of some images, 16 bytes each, where a set of them would take 100."""
    return np.frombuffer(b"".join(digests(split, torch.from_numpy(rows))), "S16")


def digests(split: Split, rows: Int64[Tensor, " m"] | None = None) -> Iterator[bytes]:
    """Yield a digest of the pixels of each image, or of some, so many at a time in memory."""
    for some in (torch.arange(len(split)) if rows is None else rows).split(CHUNK_IMAGES):
        images = split.take(some)[0].cpu().contiguous().view(torch.uint8)
        yield from map(digest, images.numpy())


def digest(pixels: UInt8[np.ndarray, ...]) -> bytes:
    """Return a digest of one image's pixels, by which copies are known."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()


def thumbnails(images: UInt8[Tensor, "n channels height width"]) -> Float[Tensor, "n d"]:
    """Return small grey images less their mean, of length 1, so that a product of two is their correlation.

    What is flat has length 0.
    """
    width = THUMBNAIL_PIXELS
    weights = LUMA if images.shape[1] == 3 else (1 / images.shape[1],) * images.shape[1]
    grey = torch.einsum("nchw,c->nhw", images.float(), torch.tensor(weights))[:, None]
    small = F.interpolate(grey, (width, width), mode="bilinear", antialias=True).flatten(1)
    small = small - small.mean(dim=1, keepdim=True)
    length = small.norm(dim=1, keepdim=True)
    return torch.where(length > FLAT_LEVELS * width, small / length.clamp(min=1e-6), 0.0)


def near_copies(images: Float[Tensor, "n d"], others: Float[Tensor, "m d"] | None = None) -> list[NearCopy]:
    """Find the images that are nearly others: scaled, mirrored, saved anew, turned brighter or grey.

    Of two thumbnails a and b, a·b = E + O and a·mirror(b) = E − O, where E is the product of their parts that are even
    from left to right and O that of the odd ones: so E + |O| is the correlation with the more alike of b and its mirror
    image, for the work of one product.

    Args:
        images: What `thumbnails` gives.
        others: The same of those to compare with; None for the images themselves, each with those before it.
    """
    alone = others is None
    others = images if others is None else others
    halves, mirror_halves = _even_and_odd(images), _even_and_odd(others)
    found: list[NearCopy] = []
    with progress("Comparing images", len(images), announce=False) as advance:
        for start in range(0, len(images), CHUNK_IMAGES):
            part = slice(start, start + CHUNK_IMAGES)
            end = min(start + CHUNK_IMAGES, len(images)) if alone else len(others)
            found += _nearest(halves, mirror_halves, part, end, alone=alone)
            advance(len(images[part]))
    return found


def _nearest(
    images: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor], part: slice, end: int, *, alone: bool
) -> list[NearCopy]:
    """Return the near copies of a part of the images among the first others, up to `end`."""
    best = torch.full((len(images[0][part]),), -1.0)
    place, mirrored = torch.zeros_like(best, dtype=torch.int64), torch.zeros_like(best, dtype=torch.bool)
    for start in range(0, end, CHUNK_OTHERS):
        columns = slice(start, min(start + CHUNK_OTHERS, end))
        even, odd = (one[part] @ other[columns].T for one, other in zip(images, others, strict=True))
        scores = even + odd.abs()
        if alone:  # an image is compared with those before it
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(part.start - start), -1)
        score, column = scores.max(dim=1)
        better = score > best
        best = torch.where(better, score, best)
        place = torch.where(better, column + start, place)
        mirrored = torch.where(better, odd.gather(1, column[:, None])[:, 0] < 0, mirrored)
    rows = (best >= NEAR).nonzero().flatten().tolist()
    return [NearCopy(part.start + i, int(place[i]), min(float(best[i]), 1.0), bool(mirrored[i])) for i in rows]


def _even_and_odd(images: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n half"], Float[Tensor, "n half"]]:
    """Divide thumbnails into their even and odd parts from left to right, of which one half holds all."""
    grid = images.view(-1, THUMBNAIL_PIXELS, THUMBNAIL_PIXELS)
    left, right = grid.chunk(2, dim=2)
    turned = right.flip(2)
    return ((left + turned) / 2**0.5).flatten(1), ((left - turned) / 2**0.5).flatten(1)
