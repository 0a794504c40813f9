"""Class names on a scatter plot: written at each class's median, moved apart where they would cover each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from mpl_toolkits.mplot3d import Axes3D, proj3d

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
) -> None:
    """Write each class's name at the median of its points, with a line to it where the name had to give way.

    Args:
        axes: A square axes in two or three dimensions, its limits and view already set.
        points: Positions.
        targets: Class of each point.
        classes: Names of the classes, in order.
        inches: Side of the axes, which the labels' sizes are measured against.
    """
    shown = named_classes(targets, len(classes))
    names = [shorten(classes[c], 14) for c in shown]
    sizes = np.array([[CHARACTER * len(name) + PADDING, HEIGHT] for name in names]) / inches
    if sizes.prod(axis=1).sum() > CROWDED:
        return
    medians = np.stack([np.median(points[targets == c], axis=0) for c in shown])
    if isinstance(axes, Axes3D):
        medians = np.stack(proj3d.proj_transform(*medians.T, axes.get_proj())[:2], axis=1)
    low, span = np.array(axes.viewLim.min), np.array(axes.viewLim.size)
    wanted = (medians - low) / span
    # A name must not hide the few points that it names.
    wanted[np.bincount(targets)[shown] <= FEW, 1] += 1.2 * HEIGHT / inches
    places = (low + span * move_apart(wanted, sizes)).tolist()
    for index, name in enumerate(names):
        box = {
            "boxstyle": "round,pad=0.15",
            "facecolor": SURFACE,
            "alpha": 0.85,
            "edgecolor": class_colour(shown[index]),
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
