"""The overlap of each class, a bar with its interval, the best first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from glassnet.errors import InputError
from glassnet.figures.style import ACCENT, GRID, INK, PALETTE, in_house_style, new_figure, shorten


@in_house_style
def class_bars(
    values: Sequence[float | None],
    intervals: Sequence[tuple[float, float] | None],
    classes: Sequence[str],
    *,
    baselines: Sequence[float | None] | None = None,
    title: str = "Intersection over union by class",
) -> Figure:
    """Draw each class's intersection over union with its 95% interval; classes without a value are left out.

    Args:
        values: 0 to 1, None for a class that is neither there nor predicted.
        intervals: 95% interval of each, None for none.
        classes: Names of the classes.
        baselines: What predicting background everywhere scores in each class, drawn as a mark; None for no marks.
        title: The figure's heading.

    Raises:
        InputError: The lists differ in length, or no class has a value.
    """
    shown = _shown(values, intervals, classes, baselines)
    figure = new_figure(6.4, 1.5 + 0.22 * len(shown))
    axes = figure.add_subplot()
    places = np.arange(len(shown))
    axes.barh(places, [100 * (values[i] or 0) for i in shown], color=ACCENT, height=0.7)
    for place, i in enumerate(shown):
        bounds = intervals[i]
        if bounds is not None:
            axes.plot([100 * bounds[0], 100 * bounds[1]], [place, place], color=INK, linewidth=1.2)
    if baselines is not None:
        marks = [100 * (baselines[i] or 0) for i in shown]
        axes.plot(marks, places, "|", color=PALETTE[1], markersize=13, markeredgewidth=3, label="all background")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center")
    axes.set_yticks(places, [shorten(classes[i], 18) for i in shown])
    axes.set(xlim=(0, 100), ylim=(len(shown) - 0.4, -0.6), xlabel="intersection over union (%), line: 95% interval")
    axes.grid(axis="x", color=GRID)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _shown(
    values: Sequence[float | None],
    intervals: Sequence[tuple[float, float] | None],
    classes: Sequence[str],
    baselines: Sequence[float | None] | None,
) -> list[int]:
    """Return the classes that have a value, the highest first, after seeing that there is one of all for each."""
    if not len(values) == len(intervals) == len(classes) == len(values if baselines is None else baselines):
        raise InputError(
            f"there are {len(values)} values, {len(intervals)} intervals and {len(baselines or ())} baselines for "
            f"{len(classes)} classes, expected one of each for each."
        )
    shown = sorted((i for i, v in enumerate(values) if v is not None), key=lambda i: -(values[i] or 0))
    if not shown:
        raise InputError("no class has a value; measure masks in which one is there.")
    return shown
