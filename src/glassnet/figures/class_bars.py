"""The overlap of each class, a bar with its interval, the best first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from glassnet.errors import InputError
from glassnet.figures.style import ACCENT, GRID, INK, MUTED, in_house_style, new_figure, shorten


@in_house_style
def class_bars(
    values: Sequence[float | None],
    intervals: Sequence[tuple[float, float] | None],
    classes: Sequence[str],
    *,
    baseline: float | None = None,
    title: str = "Intersection over union by class",
) -> Figure:
    """Draw each class's intersection over union with its 95% interval; classes without one are named below.

    Args:
        values: 0 to 1, None for a class that is neither there nor predicted.
        intervals: 95% interval of each, None for none.
        classes: Names of the classes.
        baseline: Mean over the classes of predicting background everywhere, drawn as a line.
        title: The figure's heading.

    Raises:
        InputError: The lists differ in length, or no class has a value.
    """
    if not len(values) == len(intervals) == len(classes):
        raise InputError(
            f"there are {len(values)} values and {len(intervals)} intervals for {len(classes)} classes, "
            "expected one of both for each."
        )
    shown = sorted((i for i, v in enumerate(values) if v is not None), key=lambda i: -(values[i] or 0))
    if not shown:
        raise InputError("no class has a value; measure masks in which one is there.")
    figure = new_figure(6.4, 1.5 + 0.22 * len(shown))
    axes = figure.add_subplot()
    places = np.arange(len(shown))
    axes.barh(places, [100 * (values[i] or 0) for i in shown], color=ACCENT, height=0.7)
    for place, i in enumerate(shown):
        bounds = intervals[i]
        if bounds is not None:
            axes.plot([100 * bounds[0], 100 * bounds[1]], [place, place], color=INK, linewidth=1.2)
    if baseline is not None:
        axes.axvline(100 * baseline, color=MUTED, linestyle="--", linewidth=1, label="mean of all background")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center")
    axes.set_yticks(places, [shorten(classes[i], 18) for i in shown])
    axes.set(xlim=(0, 100), ylim=(len(shown) - 0.4, -0.6), xlabel="intersection over union (%), line: 95% interval")
    axes.grid(axis="x", color=GRID)
    figure.suptitle(title, x=0.01, ha="left")
    return figure
