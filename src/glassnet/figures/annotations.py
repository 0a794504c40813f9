"""What is drawn over an embedding's points: the classes' names, and the borders of clusters in the plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from mpl_toolkits.mplot3d import Axes3D, proj3d
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

from glassnet.figures.scatter import look
from glassnet.figures.style import INK, SURFACE, class_colour, shorten

CHARACTER, PADDING, HEIGHT = 0.092, 0.1, 0.22
"""Inches: width of a bold character, a label's margins together, its height."""
LABELLED = 30
"""At most so many classes are named."""
FEW = 5
"""Classes with at most so many points have their name above the median, not on it."""
CROWDED = 0.4
"""No names are written where they would cover more than this share of the axes."""


def named_classes(targets: Integer[np.ndarray, " n"], number: int) -> list[int]:
    """Choose the classes to name: those with points, the largest if there are more than `LABELLED`, in order."""
    counts = np.bincount(targets, minlength=number)
    largest = np.argsort(-counts, kind="stable")[:LABELLED]
    return sorted(int(c) for c in largest if counts[c])


def write_names(
    axes: Axes,
    points: Float[np.ndarray, "n d"],
    targets: Integer[np.ndarray, " n"],
    classes: Sequence[str],
    *,
    inches: float,
    edges: Sequence[int] | None = None,
) -> None:
    """Write each class's name at the median of its points, with a line to it where the name had to give way.

    Args:
        axes: A square axes in two or three dimensions, its limits and view already set.
        points: Positions.
        targets: Class of each point.
        classes: Names of the classes, in order.
        inches: Side of the axes, which the labels' sizes are measured against.
        edges: Class whose colour surrounds each name, where the names are of single points; its own if not given.
    """
    named = named_classes(targets, len(classes))
    names = [shorten(classes[c], 14) for c in named]
    sizes = np.array([[CHARACTER * len(name) + PADDING, HEIGHT] for name in names]) / inches
    if sizes.prod(axis=1).sum() > CROWDED:
        return
    medians = np.stack([np.median(points[targets == c], axis=0) for c in named])
    if isinstance(axes, Axes3D):
        medians = np.stack(proj3d.proj_transform(*medians.T, axes.get_proj())[:2], axis=1)
    low, span = np.array(axes.viewLim.min), np.array(axes.viewLim.size)
    wanted = (medians - low) / span
    # A name must not hide the few points that it names.
    wanted[np.bincount(targets)[named] <= FEW, 1] += 1.2 * HEIGHT / inches
    places = (low + span * move_apart(wanted, sizes)).tolist()
    for index, name in enumerate(names):
        box = {
            "boxstyle": "round,pad=0.15",
            "facecolor": SURFACE,
            "alpha": 0.85,
            "edgecolor": class_colour(named[index] if edges is None else edges[named[index]]),
        }
        axes.annotate(
            name, medians[index], places[index], ha="center", va="center", fontweight="bold", fontsize=9.5,
            color=INK, bbox=box, arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.7},
            # mplot3d counts the z-order of its points up from 1, draw call by draw call.
            zorder=10_000, annotation_clip=False,
        )  # fmt: skip


def move_apart(
    centres: Float[np.ndarray, "k 2"], sizes: Float[np.ndarray, "k 2"], *, rounds: int = 300
) -> Float[np.ndarray, "k 2"]:
    """Move boxes until none covers another, within the unit square.

    Each round pushes every two boxes that overlap apart, by half the overlap each, along the axis where it is less.

    Args:
        centres: Where the boxes would stand.
        sizes: Their widths and heights.
        rounds: Give up after so many.
    """
    placed = np.clip(centres, sizes / 2, 1 - sizes / 2)
    reach = (sizes[:, None] + sizes) / 2
    for _ in range(rounds):
        overlap = (reach - np.abs(placed[:, None] - placed)).min(axis=-1)
        pairs = np.argwhere(np.triu(overlap > 1e-9, k=1))
        if not len(pairs):
            break
        for first, second in pairs:
            apart = placed[second] - placed[first]
            missing = reach[first, second] - np.abs(apart)  # anew, as an earlier pair may have moved either
            axis = int(np.argmin(missing))
            push = max(0.5 * missing[axis] + 1e-4, 0) * (1 if apart[axis] >= 0 else -1)
            placed[first, axis] -= push
            placed[second, axis] += push
        placed = np.clip(placed, sizes / 2, 1 - sizes / 2)
    return placed


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
