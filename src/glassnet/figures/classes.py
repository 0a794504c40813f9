"""Class by class: which class is taken for which, and the overlap of each, a bar with its interval, the best first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from glassnet.errors import InputError
from glassnet.figures.style import (
    ACCENT,
    ERROR,
    GRID,
    INK,
    PALETTE,
    Intervals,
    in_house_style,
    interval_pairs,
    new_figure,
    require_finite,
    shorten,
)

NUMBERED = 20
"""Up to so many classes each cell holds its number."""
LONGEST = 28
"""Characters of a class's name that stand there then, else 16."""
READ = 2.95
"""Inches that the label of the recalls takes."""
# At most 0.75 opaque, so that text in the ink of either theme keeps a contrast of 4.5 on it.
ERRORS = LinearSegmentedColormap.from_list("errors", [to_rgba(ERROR, 0.06), to_rgba(ERROR, 0.75)])
RIGHT = to_rgba(ACCENT, 0.16)


@in_house_style
def confusion_matrix(
    confusion: Integer[np.ndarray, "classes classes"], classes: Sequence[str], *, title: str = "Confusion matrix"
) -> Figure:
    """Draw how often each class is taken for each, in images, errors coloured by their share of the row.

    The diagonal has one quiet tint: its numbers are a hundred times the errors', and on a common scale no error would
    show. Errors are coloured by the square root of their share of the images of the true class. Each row ends with
    its recall.

    Args:
        confusion: Images of class row that the model takes for class column.
        classes: Names of the classes, in order.
        title: The figure's heading.

    Raises:
        InputError: The matrix is not one whole number, 0 or more, per pair of classes.
    """
    counts = _counts(confusion, classes)
    size = len(classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    errors = np.where(np.eye(size, dtype=bool) | (counts == 0), np.nan, 100 * shares)
    figure = new_figure(*_size(classes))
    axes = figure.add_subplot()
    norm = PowerNorm(0.5, 0, max(float(np.nanmax(errors, initial=0)), 0.1))
    axes.pcolormesh(np.ma.masked_invalid(errors), cmap=ERRORS, norm=norm, rasterized=size > 2 * NUMBERED)
    diagonal = np.where(np.eye(size, dtype=bool), 1.0, np.nan)
    axes.pcolormesh(
        np.ma.masked_invalid(diagonal), cmap=LinearSegmentedColormap.from_list("right", [RIGHT, RIGHT]),
        rasterized=size > 2 * NUMBERED,
    )  # fmt: skip
    _class_axes(axes, classes)
    if size <= NUMBERED:
        _numbers(axes, counts)
        _recalls(axes, counts)
    bar = figure.colorbar(ScalarMappable(norm, ERRORS), ax=axes, location="bottom", aspect=40, shrink=0.75, pad=0.02)
    bar.set_label("error: percentage of the true class's images, square-root scale")
    bar.outline.set_edgecolor(GRID)
    bar.ax.legend(handles=[Patch(color=RIGHT, label="right")], loc="center left", bbox_to_anchor=(1.0, 0.5))
    total, right = int(counts.sum()), int(np.trace(counts))
    figure.suptitle(f"{title}: {right:,} of {total:,} images right ({right / max(total, 1):.2%})", x=0.01, ha="left")
    return figure


def _counts(confusion: Integer[np.ndarray, "classes classes"], classes: Sequence[str]) -> np.ndarray:
    counts = require_finite("the confusion counts", confusion)
    size = len(classes)
    if counts.shape != (size, size) or not size:
        raise InputError(
            f"the confusion matrix has shape {counts.shape}, expected ({size}, {size}) for {size} classes; pass one "
            "row and one column per class."
        )
    if (counts < 0).any() or (counts != np.round(counts)).any():
        raise InputError("the confusion matrix contains negative numbers or fractions, expected counts of images.")
    return counts.astype(np.int64)


def _size(classes: Sequence[str]) -> tuple[float, float]:
    """Return the width and height in inches that leave room for long names beside cells that hold their numbers."""
    size = len(classes)
    if size > NUMBERED:
        return 8.6, 8.1
    inches = 3.2 + 0.42 * size
    width, height = max(inches, 5.2), max(inches - 0.5, 4.2)
    names = 0.07 * max(len(shorten(name, LONGEST)) for name in classes)
    missing = max(0.0, max(READ, 0.4 * size) - (height - 1.35 - names))
    return width + missing, height + missing


def _class_axes(axes: Axes, classes: Sequence[str]) -> None:
    size = len(classes)
    step = max(1, -(-size // 40))
    places = range(0, size, step)
    names = [shorten(classes[i], LONGEST if size <= NUMBERED else 16) for i in places]
    turned = max(map(len, names)) > 3
    axes.set_xticks([p + 0.5 for p in places], names, rotation=90 if turned else 0)
    axes.set_yticks([p + 0.5 for p in places], names)
    axes.set(xlabel="predicted class", ylabel="true class", xlim=(0, size), ylim=(size, 0), aspect="equal")
    axes.tick_params(length=0, labelsize=9 if size <= NUMBERED else 7)
    axes.spines[:].set_visible(False)
    if size <= NUMBERED:
        axes.hlines(np.arange(size + 1), 0, size, color=GRID, linewidth=0.8)
        axes.vlines(np.arange(size + 1), 0, size, color=GRID, linewidth=0.8)


def _numbers(axes: Axes, counts: np.ndarray) -> None:
    digits = len(f"{counts.max():,}")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(
                column + 0.5, row + 0.5, f"{count:,}", color=INK, ha="center", va="center",
                fontsize=9 if digits <= 4 else 36 / digits, fontweight="normal" if row == column else "bold",
            )  # fmt: skip


def _recalls(axes: Axes, counts: np.ndarray) -> None:
    """Write each row's recall behind it."""
    right = axes.secondary_yaxis("right")
    recalls = [f"{c[i] / c.sum():.1%}" if c.sum() else "no images" for i, c in enumerate(counts)]
    right.set_yticks(np.arange(len(counts)) + 0.5, recalls)
    right.tick_params(length=0, labelsize=9)
    right.spines[:].set_visible(False)
    right.set_ylabel("recall: correct images of the true class")


@in_house_style
def class_bars(
    values: Sequence[float | None],
    intervals: Intervals,
    classes: Sequence[str],
    *,
    baselines: Sequence[float | None] | None = None,
    title: str = "Intersection over union by class",
    measure: str = "intersection over union",
    baseline: str = "all background",
) -> Figure:
    """Draw a measure of each class with its 95% interval, the highest first; classes without a value are left out.

    Args:
        values: 0 to 1, None for a class that is neither there nor predicted.
        intervals: 95% interval of each; None, or (None, None), for none.
        classes: Names of the classes.
        baselines: What a baseline scores in each class, drawn as a mark; None for no marks.
        title: The figure's heading.
        measure: What the bars are, in words.
        baseline: What the marks are.

    Raises:
        InputError: The lists differ in length, or no class has a value.
    """
    order = _order(values, intervals, classes, baselines)
    bounds = interval_pairs("the intervals", intervals, len(classes), each="class")
    figure = new_figure(6.4, 1.5 + 0.22 * len(order))
    axes = figure.add_subplot()
    places = np.arange(len(order))
    axes.barh(places, [100 * (values[i] or 0) for i in order], color=ACCENT, height=0.7)
    for place, i in enumerate(order):
        if not np.isnan(bounds[i]).any():
            axes.plot(100 * bounds[i], [place, place], color=INK, linewidth=1.2)
    if baselines is not None:
        marks = [100 * (baselines[i] or 0) for i in order]
        axes.plot(marks, places, "|", color=PALETTE[1], markersize=13, markeredgewidth=3, label=baseline)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center")
    axes.set_yticks(places, [shorten(classes[i], 28) for i in order])
    line = "" if np.isnan(bounds[order]).all() else ", line: 95% interval"
    axes.set(xlim=(0, 100), ylim=(len(order) - 0.4, -0.6), xlabel=f"{measure} (%){line}")
    axes.grid(axis="x", color=GRID)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _order(
    values: Sequence[float | None],
    intervals: Intervals,
    classes: Sequence[str],
    baselines: Sequence[float | None] | None,
) -> list[int]:
    """Return the classes that have a value, the highest first, after seeing that there is one of all for each."""
    if not len(values) == len(intervals) == len(classes) == len(values if baselines is None else baselines):
        raise InputError(
            f"there are {len(values)} values, {len(intervals)} intervals and {len(baselines or ())} baselines for "
            f"{len(classes)} classes, expected one of each per class."
        )
    order = sorted((i for i, v in enumerate(values) if v is not None), key=lambda i: -(values[i] or 0))
    if not order:
        raise InputError("no class has a value; measure images that contain at least one class.")
    return order
