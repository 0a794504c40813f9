"""Channels as detectors of classes: each image's highest activations, kept in memory or a file, and their AUROC."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from glassnet.console import step

AT_ONCE = 2**18
"""Numbers that a thread ranks at once, about 50 bytes each; one channel has all its images there."""
READ_AT_ONCE = 2**21
"""Numbers that are read at once."""
THREADS = 8
"""Threads that rank, at most."""
LOW_HALF = 2**32 - 1


class Maxima:
    """The highest activation of each channel in each image, float32; a part is in memory, what is more in a file.

    Attributes:
        channels: Number of channels.
        images: Number of images.
    """

    def __init__(self, channels: int, images: int, held: int) -> None:
        """Allocate rows for `held` images; if there are more, they go to a temporary file without a name."""
        self.channels, self.images = channels, images
        self._part = torch.empty(max(1, min(held, images)), channels)
        self._first = self._filled = 0  # the image that the part begins with, and how many it holds
        self._file: IO[bytes] | None = None

    def put(self, rows: Float[Tensor, "batch channel"]) -> None:
        """Take the maxima of the next images."""
        while len(rows):
            if self._filled == len(self._part):
                self._write()
            count = min(len(rows), len(self._part) - self._filled)
            self._part[self._filled : self._filled + count] = rows[:count]
            self._filled += count
            rows = rows[count:]

    def _write(self) -> None:
        """Append the part to the file: all of its images of the first channel, then of the second."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="glassnet-")  # noqa: SIM115 - closed by `close`
        self._file.write(self._part.T.contiguous().numpy().data)
        self._first, self._filled = self._first + self._filled, 0

    def blocks(self) -> Iterator[tuple[slice, Float32[np.ndarray, "block n"]]]:
        """Yield the channels' maxima, as many at a time as are ranked at once."""
        ranked, read = (max(1, one // self.images) for one in (AT_ONCE, READ_AT_ONCE))
        for first in range(0, self.channels, read):
            block = self._read(slice(first, min(first + read, self.channels)))
            for start in range(0, len(block), ranked):
                some = block[start : start + ranked]
                yield slice(first + start, first + start + len(some)), some

    def _read(self, chosen: slice) -> Float32[np.ndarray, "block n"]:
        count, width = chosen.stop - chosen.start, len(self._part)
        found = np.empty((count, self.images), np.float32)
        for first in range(0, self._first, width):
            assert self._file is not None
            self._file.seek(4 * (first * self.channels + chosen.start * width))
            read = np.frombuffer(self._file.read(4 * count * width), np.float32)
            found[:, first : first + width] = read.reshape(count, width)
        found[:, self._first :] = self._part[: self._filled, chosen].T.contiguous().numpy()
        return found

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()


def auroc(
    maxima: Maxima, images: Int64[Tensor, " pairs"], classes: Int64[Tensor, " pairs"], count: int
) -> Float64[np.ndarray, "channel k"]:
    """Return the area under the ROC curve of each channel as a detector of each class.

    (R - p (p + 1) / 2) / (p q), with R the sum of the ranks of the class's p images among all p + q, equals sharing
    their mean rank (Mann and Whitney 1947); NaN where p or q is 0.

    Args:
        maxima: Of each channel in each image.
        images: Numbers of images.
        classes: The class of each of these; an image of several classes stands there several times.
        count: Number of classes.
    """
    positive = torch.bincount(classes, minlength=count).double()
    pairs = positive * (maxima.images - positive)
    one_each = torch.equal(images, torch.arange(maxima.images))
    groups = (classes if one_each else torch.arange(maxima.images)).numpy()
    found = torch.empty(maxima.channels, count, dtype=torch.float64)

    def fill(chosen: slice, block: Float32[np.ndarray, "block n"]) -> None:
        sums = rank_sums(block, groups, count if one_each else maxima.images)
        if not one_each:
            sums = torch.zeros(len(sums), count, dtype=torch.float64).index_add_(1, classes, sums[:, images])
        found[chosen] = (sums - positive * (positive + 1) / 2) / torch.where(pairs > 0, pairs, torch.nan)

    _in_threads(fill, maxima)
    return found.numpy()


def _in_threads(work: Callable[[slice, Float32[np.ndarray, "block n"]], None], maxima: Maxima) -> None:
    """Do the work for all blocks, of which few are in memory at a time."""
    threads = min(torch.get_num_threads(), THREADS) if maxima.images <= AT_ONCE else 1
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for chosen, block in maxima.blocks():
            step()
            waiting.append(pool.submit(work, chosen, block))
            if len(waiting) > threads:
                waiting.popleft().result()
        for one in waiting:
            one.result()


def rank_sums(
    scores: Float32[np.ndarray, "rows n"], groups: Int64[np.ndarray, " n"], count: int
) -> Float64[Tensor, "rows groups"]:
    """Rank each row from 1, the lowest first, equals sharing their mean rank, and add the ranks up by group.

    A score and its group are sorted as one whole number, several times as fast as places are found by sorting.
    """
    rows, n = scores.shape
    keys = ordered(scores)
    keys <<= 32
    keys |= groups
    keys.sort(axis=1)
    cells = keys & LOW_HALF
    cells += count * np.arange(rows)[:, None]
    keys >>= 32
    begins = np.ones((rows, n), bool)  # where a score is another than the one before
    np.not_equal(keys[:, 1:], keys[:, :-1], out=begins[:, 1:])
    del keys
    first = np.flatnonzero(begins)
    after = np.append(first[1:], rows * n)
    # Twice the mean rank, counted on from row to row.
    twice = torch.from_numpy(np.repeat(first + after + 1, after - first))
    del first, after, begins
    sums = torch.zeros(rows * count, dtype=torch.int64).scatter_add_(0, torch.from_numpy(cells).view(-1), twice)
    before = np.arange(rows)[:, None] * n * np.bincount(groups, minlength=count)
    return sums.view(rows, count).double() / 2 - torch.from_numpy(before).double()


def ordered(scores: Float32[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
    """Return whole numbers of 32 bits that are ordered as the scores are, and equal where these are."""
    bits = (scores + np.float32(0)).view(np.int32)  # + 0 makes -0.0 to 0.0
    bits ^= (bits >> 31) & 0x7FFFFFFF
    return bits.astype(np.int64)
