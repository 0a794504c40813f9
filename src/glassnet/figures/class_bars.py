"""The overlap of each class, a bar with its interval, the best first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from glassnet.errors import InputError
from glassnet.figures.style import (
    ACCENT,
    GRID,
    INK,
    PALETTE,
    Intervals,
    in_house_style,
    interval_pairs,
    new_figure,
    shorten,
)


@in_house_style
def class_bars(
    values: Sequence[float | None],
    intervals: Intervals,
    classes: Sequence[str],
    *,
    baselines: Sequence[float | None] | None = None,
    title: str = "Intersection over union by class",
) -> Figure:
    """Draw each class's intersection over union with its 95% interval; classes without a value are left out.

    Args:
        values: 0 to 1, None for a class that is neither there nor predicted.
        intervals: 95% interval of each; None, or (None, None), for none.
        classes: Names of the classes.
        baselines: What predicting background everywhere scores in each class, drawn as a mark; None for no marks.
        title: The figure's heading.

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
        axes.plot(marks, places, "|", color=PALETTE[1], markersize=13, markeredgewidth=3, label="all background")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center")
    axes.set_yticks(places, [shorten(classes[i], 28) for i in order])
    line = "" if np.isnan(bounds[order]).all() else ", line: 95% interval"
    axes.set(xlim=(0, 100), ylim=(len(order) - 0.4, -0.6), xlabel="intersection over union (%)" + line)
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
            f"{len(classes)} classes, expected one of each for each."
        )
    order = sorted((i for i, v in enumerate(values) if v is not None), key=lambda i: -(values[i] or 0))
    if not order:
        raise InputError("no class has a value; measure masks in which one is there.")
    return order
