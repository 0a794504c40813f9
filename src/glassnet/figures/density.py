"""Many points as a density: a cell has the colour of the class that most of its points have, stronger the more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer, Real
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

DENSE = 5000
"""More points than these are drawn as a density in two dimensions, and only so many of them in three."""
FAINTEST = 0.22
"""Opacity of a cell with one point; that of the fullest is 1."""


def cells_a_side(number: int) -> int:
    """Choose how many cells a side has: about as many cells as points, each 0.6 to 1.0 mm wide in a panel."""
    return int(np.clip(np.sqrt(number), 100, 160))


def class_density(
    points: Float[np.ndarray, "n 2"],
    groups: Integer[np.ndarray, " n"],
    number: int,
    *,
    low: Float[np.ndarray, " 2"],
    high: Float[np.ndarray, " 2"],
    cells: int,
) -> tuple[Integer[np.ndarray, "cells cells"], Integer[np.ndarray, "cells cells"]]:
    """Count the points of each cell, and find the group that most of them are of, the first of equals.

    Args:
        points: Positions.
        groups: Group of each point, 0 to number - 1.
        number: How many groups there are.
        low: Lower left corner of the grid.
        high: Upper right corner.
        cells: Cells along each side.

    Returns:
        Points of each cell, by row (upwards) and column, and the group; what it is in an empty cell means nothing.
    """
    places = np.clip(((points - low) / (high - low) * cells).astype(np.int64), 0, cells - 1)
    index = places[:, 1] * cells + places[:, 0]
    total, most, group = (np.zeros(cells * cells, dtype=np.int64) for _ in range(3))
    for candidate in range(number):  # one group's counts at a time: a hundred of them together are large
        counts = np.bincount(index[groups == candidate], minlength=cells * cells)
        more = counts > most
        total, most, group = total + counts, np.maximum(most, counts), np.where(more, candidate, group)
    return total.reshape(cells, cells), group.reshape(cells, cells)


def opacity(counts: Real[np.ndarray, "*cells"], most: int) -> Float[np.ndarray, "*cells"]:
    """Give a cell's opacity: 0 without points, else linear in the logarithm of their number, 1 for `most`."""
    share = np.log(np.maximum(counts, 1)) / np.log(max(most, 2))
    return np.where(counts > 0, FAINTEST + (1 - FAINTEST) * share, 0.0)


def draw_density(
    axes: Axes, points: Float[np.ndarray, "n 2"], groups: Integer[np.ndarray, " n"], colours: Sequence[str]
) -> int:
    """Draw the density of groups of points.

    Args:
        axes: What to draw on, its limits already set.
        points: Positions.
        groups: Group of each point, from 0.
        colours: Colour of each group.

    Returns:
        The points of the fullest cell.
    """
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    low, high = np.array([left, bottom]), np.array([right, top])
    cells = cells_a_side(len(points))
    counts, group = class_density(points, groups, len(colours), low=low, high=high, cells=cells)
    most = int(counts.max())
    image = np.empty((cells, cells, 4))
    image[..., :3] = np.array([to_rgb(colour) for colour in colours])[group]
    image[..., 3] = opacity(counts, most)
    axes.imshow(image, extent=(left, right, bottom, top), origin="lower", interpolation="nearest", aspect="auto")
    axes.set(xlim=(left, right), ylim=(bottom, top))
    return most
