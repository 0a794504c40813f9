"""Points in the colours and markers of their classes; more than a few thousand as a density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Integer, Real
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from glassnet.errors import unknown_name
from glassnet.figures.style import class_colour, class_marker

Method = Literal["pca", "tsne", "umap", "pacmap"]
AXES = {
    None: ("axis", "axis", ""),
    "pca": ("principal component", "PC", " (feature units)"),
    "tsne": ("t-SNE axis", "t-SNE", " (no unit)"),
    "umap": ("UMAP axis", "UMAP", " (no unit)"),
    "pacmap": ("PaCMAP axis", "PaCMAP", " (no unit)"),
}
"""What an axis is called in two and in three dimensions, and its unit."""
NO_CLASS = "#7b8494"
"""Colour of a cluster that no class is matched to."""
STRAY = "#b4bac5"
"""Colour of noise, paler than that of any cluster."""
NOISE = -2
"""Stands for a class where a point belongs to no cluster at all."""
RASTERIZED = 3000
"""More points than these are drawn as pixels also in vector formats, and as dots, too small to have a shape."""


def look(index: int, *, number: int) -> tuple[str, str]:
    """Give the colour and the marker of a class (-1: none, `NOISE`) in a picture of `number` points."""
    if index == NOISE:
        return STRAY, "." if number <= RASTERIZED else "o"
    if index < 0:
        return NO_CLASS, "x" if number <= RASTERIZED else "o"
    return class_colour(index), class_marker(index) if number <= RASTERIZED else "o"


def square_axes(
    figure: Figure, place: tuple[float, float, float, float], points: Float[np.ndarray, "n d"], method: Method | None
) -> Axes:
    """Make a square or cubic axes around the points, one unit as long in each direction.

    Args:
        figure: What it is added to.
        place: Left, bottom, width, height in shares of the figure.
        points: What will be drawn.
        method: What the axes are.

    Raises:
        InputError: The method is unknown.
    """
    if method not in AXES:
        raise unknown_name("embedding", str(method), [name for name in AXES if name])
    flat = points.shape[1] == 2
    axes = figure.add_axes(place, projection=None if flat else "3d")
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    half = 0.53 * (np.ptp(points, axis=0).max() or 1.0)
    long, short, unit = AXES[method]
    for direction, centre, number in zip("xyz", middle, "123", strict=False):
        label = f"{long if flat else short} {number}{unit}"
        axes.set(**{f"{direction}lim": (centre - half, centre + half), f"{direction}label": label})
    if isinstance(axes, Axes3D):
        _bare_cube(axes)
    elif unit != AXES["pca"][2]:
        axes.set(xticks=[], yticks=[])
    return axes


def _bare_cube(axes: Axes3D) -> None:
    axes.set_box_aspect((1, 1, 1), zoom=1.05)
    for line in (axes.xaxis, axes.yaxis, axes.zaxis):
        line.set_pane_color((0, 0, 0, 0))
        line.set_ticklabels([])
        line.labelpad = -9


def draw_points(
    axes: Axes,
    points: Float[np.ndarray, "n d"],
    groups: Integer[np.ndarray, " n"],
    classes: Sequence[int],
    *,
    inches: float,
) -> None:
    """Draw each group of points in the look of its class, smaller and fainter the more there are.

    Groups take turns, so that none lies on top of the others as a whole.

    Args:
        axes: What to draw on.
        points: Positions.
        groups: Group of each point.
        classes: Class that gives each group its look, -1 for none, `NOISE`.
        inches: Side of the axes.
    """
    number = len(points)
    # A quarter of the axes would be covered if no point lay on another; but a point must stay visible.
    size = float(np.clip(0.25 * (72 * inches) ** 2 / number, 1.5, 36))
    alpha = float(np.interp(np.log10(number), [2.7, 3.7, 4.8], [0.9, 0.7, 0.4]))
    turns = np.random.default_rng(0).permutation(number) % (4 if number >= 100 else 1)
    for turn in range(int(turns.max()) + 1):
        for group in np.unique(groups):
            chosen = points[(groups == group) & (turns == turn)]
            colour, marker = look(classes[group], number=number)
            line = 1.0 if marker == "x" else 0
            if len(chosen):
                # matplotlib's annotation knows the flat axes only, whose third argument is another one.
                axes.scatter(  # type: ignore[misc]
                    *chosen.T, s=size, c=colour, marker=marker, alpha=alpha, linewidths=line,
                    rasterized=number > RASTERIZED,
                )  # fmt: skip


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
