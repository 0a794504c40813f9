"""Channels as detectors of classes: each image's highest activations, kept in memory or a file, and their AUROC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

AT_ONCE = 2**22
"""Numbers that are ranked at once, about 50 bytes each."""


class Maxima:
    """The highest activation of each channel in each image: float32 (channel, image).

    Attributes:
        channels: Number of channels.
        images: Number of images.
    """

    def __init__(self, channels: int, images: int, file: IO[bytes] | None) -> None:
        """Make room in memory, or in a file where memory is not to grow with the images."""
        self.channels, self.images, self._file = channels, images, file
        self._array = np.empty((0 if file else channels, images), np.float32)

    def put(self, start: int, rows: Float[Tensor, "batch channel"]) -> None:
        """Take the maxima of a batch of images."""
        columns = np.ascontiguousarray(rows.float().cpu().numpy().T)
        if self._file is None:
            self._array[:, start : start + columns.shape[1]] = columns
            return
        for channel, column in enumerate(columns):
            self._file.seek(4 * (channel * self.images + start))
            self._file.write(column.tobytes())

    def blocks(self) -> Iterator[tuple[slice, Float32[Tensor, "block n"]]]:
        """Yield the channels' maxima, so many at a time as are ranked at once."""
        step = max(1, AT_ONCE // self.images)
        for start in range(0, self.channels, step):
            chosen = slice(start, min(start + step, self.channels))
            yield (
                chosen,
                torch.from_numpy(self._array[chosen] if self._file is None else self._read(self._file, chosen)),
            )

    def _read(self, file: IO[bytes], chosen: slice) -> Float32[np.ndarray, "block n"]:
        file.seek(4 * chosen.start * self.images)
        count = chosen.stop - chosen.start
        read = np.frombuffer(bytearray(file.read(4 * count * self.images)), np.float32)
        return read.reshape(count, self.images)


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
    found = torch.empty(maxima.channels, count, dtype=torch.float64)
    for chosen, block in maxima.blocks():
        sums = torch.zeros(len(block), count, dtype=torch.float64)
        sums.index_add_(1, classes, mean_ranks(block)[:, images])
        found[chosen] = (sums - positive * (positive + 1) / 2) / torch.where(pairs > 0, pairs, torch.nan)
    return found.numpy()


def mean_ranks(scores: Float[Tensor, "rows n"]) -> Float64[Tensor, "rows n"]:
    """Rank each row from 1, the lowest first; equals share their mean rank."""
    values, order = scores.sort(dim=1)
    places = torch.arange(scores.shape[1]).expand_as(order)
    starts = torch.ones_like(values, dtype=torch.bool)
    starts[:, 1:] = values[:, 1:] != values[:, :-1]
    ends = torch.cat([starts[:, 1:], torch.ones_like(starts[:, :1])], dim=1)
    first = torch.where(starts, places, 0).cummax(dim=1).values
    last = torch.where(ends, places, scores.shape[1]).flip(1).cummin(dim=1).values.flip(1)
    return torch.empty_like(values, dtype=torch.float64).scatter_(1, order, (first + last).double() / 2 + 1)
