"""What each unit of a layer sees: boxes of pixels, and where they are regular, their size, stride and offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Int, Int32, Int64
from torch import Tensor

from glassnet.display import Shown
from glassnet.errors import InputError
from glassnet.models.receptive.patterns import Windows

Pair = tuple[int, int]
How = Literal["operations", "gradient"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ReceptiveField(Shown):
    """What each unit of a layer sees of an image; a unit is one position in the layer's map, with all of its channels.

    Pairs are (height, width) or (row, column), in pixels.

    Attributes:
        layer: The layer.
        size: Height and width of what a unit far from every border sees, possibly more than the image; the largest, if
            units differ.
        stride: Pixels from one unit's window to the next; 0 if all windows are equal; None if they are not regular.
        offset: First pixel of the first unit's window, negative if the window begins in the padding; None if the
            windows are not regular.
        map_size: Rows and columns of units. Tokens have those of their grid, or form one column without a grid; a
            vector is one unit.
        image_size: Height and width of the image.
        how: "operations" (exact), or "gradient" if an operation is unknown: the rows and columns where the gradient of
            some random images is not 0, which may be less than the unit can see.
        bounds: The box of each unit, clipped to the image, as (x0, y0, x1, y1), x1 and y1 excluded; zeros for a unit
            that sees nothing.
    """

    layer: str
    size: Pair
    stride: tuple[int | None, int | None]
    offset: tuple[int | None, int | None]
    map_size: Pair
    image_size: Pair
    how: How
    bounds: Int32[np.ndarray, "rows columns 4"] = field(repr=False)

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Return the receptive-field box of one unit, as (x0, y0, x1, y1) in pixels, x1 and y1 excluded.

        Raises:
            InputError: The map has no such place.
        """
        x0, y0, x1, y1 = self.boxes(np.array([[row, column]]))[0].tolist()
        return x0, y0, x1, y1

    def boxes(self, places: Int[np.ndarray, "n 2"] | Tensor | Sequence[Sequence[int]]) -> Int64[np.ndarray, "n 4"]:
        """Return the receptive-field boxes of several units.

        Args:
            places: Row and column of each unit (n, 2), from 0.

        Returns:
            (x0, y0, x1, y1) of each box in pixels, x1 and y1 excluded.

        Raises:
            InputError: The places are not whole numbers of shape (n, 2), or lie outside the map.
        """
        rows = np.asarray(places)
        if rows.ndim != 2 or rows.shape[1] != 2 or not np.issubdtype(rows.dtype, np.integer):
            raise InputError(
                f"places is an array of {rows.dtype} of shape {rows.shape}, expected whole numbers (n, 2): rows and "
                "columns."
            )
        outside = ((rows < 0) | (rows >= self.map_size)).any(axis=1)
        if outside.any():
            raise InputError(
                f"place {tuple(rows[outside.argmax()].tolist())} is not in the map of {self.layer}, which has "
                f"{self.map_size[0]} rows and {self.map_size[1]} columns, counted from 0."
            )
        return self.bounds[rows[:, 0], rows[:, 1]].astype(np.int64)

    @property
    def is_whole(self) -> bool:
        """Whether every unit's box covers the whole image."""
        height, width = self.image_size
        return bool((self.bounds == np.array([0, 0, width, height])).all())

    def to_json(self) -> dict[str, Any]:
        """Return all attributes as JSON values, without the boxes."""
        return {
            "layer": self.layer,
            "size": list(self.size),
            "stride": list(self.stride),
            "offset": list(self.offset),
            "map_size": list(self.map_size),
            "image_size": list(self.image_size),
            "how": self.how,
        }


@dataclass(frozen=True)
class Regular:
    """Windows of one size, a stride apart: of the stride and the offset None where they are not regular."""

    size: int
    stride: int | None = None
    offset: int | None = None


def regular(
    starts: Int[np.ndarray, " n"], ends: Int[np.ndarray, " n"], length: int, windows: Windows | None
) -> Regular:
    """Return the size, stride and offset of the windows of units along one axis.

    Args:
        starts: First pixel of what each unit sees.
        ends: The pixel after the last one; no more than the first where the unit sees nothing, as in the padding.
        length: Pixels along the axis.
        windows: Those that the operations would have on an endless image, if they are the same all over.
    """
    if windows is not None and _holds(windows, starts, ends, length):
        if windows.period == 1:
            return Regular(windows.size, windows.step, windows.starts[0])
        return Regular(windows.size)
    largest = int((ends - starts).max())
    if (starts == starts[0]).all() and (ends == ends[0]).all():
        return Regular(largest, 0, int(starts[0]))
    full = np.flatnonzero(ends - starts == largest)
    if len(full) > 1:
        first, second = full[:2]
        stride, rest = divmod(int(starts[second] - starts[first]), int(second - first))
        offset = int(starts[first]) - stride * int(first)
        expected = offset + stride * np.arange(len(starts))
        low, high = expected.clip(0, length), (expected + largest).clip(0, length)
        fits = (starts == low) & (ends == high) | (starts >= ends) & (low >= high)
        if not rest and stride > 0 and fits.all():
            return Regular(largest, stride, offset)
    return Regular(largest)


def _holds(windows: Windows, starts: np.ndarray, ends: np.ndarray, length: int) -> bool:
    """Tell whether all that the units see lies in their windows, and one sees all of it that no border cuts."""
    own = np.array([windows.at(index) for index in range(len(starts))])
    clipped, free = own.clip(0, length), (own[:, 0] >= 0) & (own[:, 1] <= length)
    lies_in = (starts >= clipped[:, 0]) & (ends <= clipped[:, 1]) | (starts >= ends)
    same = (starts == own[:, 0]) & (ends == own[:, 1])
    return bool(lies_in.all() and (same[free].any() or not free.any()))
