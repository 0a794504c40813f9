"""The borders of clusters in the plane: halfway between centres, or where the nearest point is another cluster's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

from glassnet.figures.scatter import look
from glassnet.figures.style import INK

CELLS = 160
"""Grid points along each side."""
REACH = 0.025
"""A place farther than this share of the side from every point belongs to no cluster."""
SMOOTHING_CELLS = 1.5
"""Standard deviation that evens out the steps of the grid and single strays."""


def grid_of(axes: Axes) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """Give the places across and up that borders are worked out at; the axes' limits must be set."""
    across, up = (np.linspace(*limits, CELLS) for limits in (axes.get_xlim(), axes.get_ylim()))
    return across, up


def centre_margins(
    across: Float[np.ndarray, " w"], up: Float[np.ndarray, " h"], centres: Float[np.ndarray, "k 2"]
) -> Float[np.ndarray, "h w k"]:
    """How much farther (squared) each place is from each centre than from the nearest other: negative inside.

    Squared, a margin is linear in place, so that the line at 0, half of the way between centres (Voronoi), is exact
    also between grid points.
    """
    grid = np.stack(np.meshgrid(across, up), axis=-1)
    return _lead(np.stack([-((grid - centre) ** 2).sum(axis=-1) for centre in centres], axis=-1))


def point_margins(
    across: Float[np.ndarray, " w"],
    up: Float[np.ndarray, " h"],
    points: Float[np.ndarray, "n 2"],
    assignment: Integer[np.ndarray, " n"],
    number: int,
) -> Float[np.ndarray, "h w k"]:
    """How much less each place belongs to each cluster than to the best other, noise and nothing among these.

    A place belongs to the cluster of the nearest point, or to nothing where that is far; memberships are smoothed.
    """
    grid = np.stack(np.meshgrid(across, up), axis=-1)
    distance, nearest = KDTree(points).query(grid)
    owner = np.where(distance <= REACH * np.ptp(across), assignment[nearest], -1)
    member = (owner[..., None] == np.arange(-1, number)).astype(float)
    return _lead(gaussian_filter(member, (SMOOTHING_CELLS, SMOOTHING_CELLS, 0), mode="nearest"))[..., 1:]


def _lead(score: np.ndarray) -> np.ndarray:
    """The best other's score minus each one's own: with the two best of all, no column needs the others again."""
    if score.shape[-1] == 1:
        return np.full_like(score, -np.inf)
    second, first = np.moveaxis(np.partition(score, -2, axis=-1)[..., -2:], -1, 0)
    return np.where(score == first[..., None], second[..., None], first[..., None]) - score


def draw_borders(
    axes: Axes,
    across: Float[np.ndarray, " w"],
    up: Float[np.ndarray, " h"],
    margins: Float[np.ndarray, "h w k"],
    classes: Sequence[int],
    *,
    tint: bool = True,
) -> None:
    """Draw the line around each cluster, and tint its inside in the colour of its class.

    Args:
        axes: What to draw on, its limits already set.
        across: Places of the columns.
        up: Places of the rows.
        margins: Negative inside each cluster.
        classes: Class that gives each cluster its colour, -1 for none.
        tint: Whether to tint the insides.
    """
    for index, group in enumerate(classes[: margins.shape[-1]]):
        margin = margins[..., index]
        if (margin < 0).any() and (margin > 0).any():
            if tint:
                colour = look(group, number=1)[0]
                axes.contourf(across, up, margin, levels=[-np.inf, 0], colors=[colour], alpha=0.1, zorder=0)
            axes.contour(across, up, margin, levels=[0], colors=[INK], linewidths=0.8, zorder=3)


def draw_centres(axes: Axes, centres: Float[np.ndarray, "k 2"]) -> None:
    """Mark the clusters' centres with crosses."""
    size = 9 if len(centres) <= 20 else 4
    axes.plot(*np.asarray(centres).T, "+", color=INK, markersize=size, markeredgewidth=size / 6, zorder=5)
