"""A grid of trainings: each cell a row, every seed a dot, the mean with its spread, and a reported number beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from glassnet.errors import InputError
from glassnet.figures.style import ACCENT, GRID, INK, MUTED, PALETTE, in_house_style, new_free_figure, shorten

Better = Literal["higher", "lower"]
LOWER = ("loss", "error", "seconds", "time")
"""A metric whose last word is one of these is better the lower it is."""
ROW, HEAD, FOOT, PLOT, LINE = 0.36, 0.92, 0.95, 4.2, 0.2
"""Inches: a row, above the rows, the axis and legend below, the plot's width, a line of text."""
CHARACTER, NARROW = 0.084, 0.072
"""Inches: a character of a bold name, one of a number."""
SEED, REPORT = PALETTE[4], PALETTE[5]


@dataclass(frozen=True)
class Spread:
    """Seeds of one cell."""

    values: tuple[float, ...]
    failed: int

    @property
    def mean(self) -> float:
        """NaN without a value."""
        return float(np.mean(self.values)) if self.values else float("nan")

    @property
    def std(self) -> float | None:
        """Sample standard deviation; None for fewer than two values."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def text(self) -> str:
        """Mean, standard deviation and number of seeds in words."""
        if not self.values:
            return f"all {self.failed} failed"
        spread = "" if self.std is None else f" ± {written(self.std)}"
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{written(self.mean)}{spread} ({len(self.values)}{failed})"


def written(value: float) -> str:
    """Write a number as the tables do: four decimals, one for numbers of 10 and more."""
    return f"{value:,.4f}" if abs(value) < 10 else f"{value:,.1f}"


def better_of(metric: str, better: Better | None) -> Better:
    """Say which end of a metric is the better one, by its name unless `better` is given."""
    if better is not None:
        return better
    words = metric.lower().split()
    return "lower" if words and words[-1] in LOWER else "higher"


@in_house_style
def tuning_figure(
    labels: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    metric: str,
    title: str,
    report: Sequence[float | None] | None = None,
    claims: Sequence[str] = (),
    columns: Mapping[str, Sequence[str]] | None = None,
    better: Better | None = None,
) -> Figure:
    """Draw the cells of a grid below each other: a dot a seed, their mean and sample standard deviation.

    Args:
        labels: Name of each cell.
        values: The metric of each cell, one number a seed; NaN for a seed that failed.
        metric: What the numbers are, as in "test accuracy".
        title: The figure's heading.
        report: The number reported elsewhere for each cell, None where there is none.
        claims: Sentences to write below, as on what the numbers decide.
        columns: Further columns of text: heading to one text a cell, as the parameters.
        better: Which end is best; by default the lower one for a loss, an error or a time, else the higher one.

    Raises:
        InputError: There is no cell, or the lists do not have one entry each.
    """
    cells = _cells(labels, values)
    columns_of_text = _checked_columns(labels, columns or {})
    reported = _reported(labels, report)
    summaries = [cell.text() for cell in cells]
    columns_of_text["mean ± std (seeds)"] = summaries
    if any(number is not None for number in reported):
        columns_of_text["report"] = ["–" if number is None else written(number) for number in reported]
    names = [shorten(label, 36) for label in labels]
    left = 0.2 + CHARACTER * max(len(name) for name in names)
    widths = [NARROW * max(map(len, (head, *texts))) + 0.2 for head, texts in columns_of_text.items()]
    width = max(left + PLOT + 0.25 + sum(widths), 8.4)
    lines = [line for claim in claims for line in textwrap.wrap(claim, int((width - 0.3) / NARROW))]
    note = len(lines) * LINE + (0.15 if lines else 0)
    height = HEAD + ROW * len(cells) + FOOT + note
    figure = new_free_figure(width, height)
    place = (left / width, (FOOT + note) / height, PLOT / width, ROW * len(cells) / height)
    axes = figure.add_axes(place)
    best = _best(cells, better_of(metric, better))
    _rows(axes, cells, reported)
    axes.set_yticks(range(len(cells)), names)
    if best is not None:
        axes.get_yticklabels()[best].set_fontweight("bold")
    axes.set(xlabel=metric, ylim=(len(cells) - 0.5, -0.5))
    _columns(figure, left + PLOT + 0.25, height - HEAD, columns_of_text, widths, best)
    figure.text(0.12 / width, 1 - 0.22 / height, title, fontsize=12, fontweight="bold", va="center")
    subtitle = _subtitle(names, cells, best, better_of(metric, better))
    figure.text(0.12 / width, 1 - 0.46 / height, subtitle, color=MUTED, va="center")
    _legend(figure, left, note, any(number is not None for number in reported))
    for number, line in enumerate(lines):
        figure.text(0.12 / width, (note - LINE * (number + 0.5)) / height, line, color=INK, va="center")
    return figure


def _cells(labels: Sequence[str], values: Sequence[Sequence[float]]) -> list[Spread]:
    if not labels or len(labels) != len(values):
        raise InputError(f"got {len(labels)} labels and values for {len(values)} cells, expected one of each per cell.")
    cells = []
    for label, seeds in zip(labels, values, strict=True):
        array = np.asarray(seeds, dtype=float).reshape(-1)
        if not array.size or np.isinf(array).any():
            raise InputError(
                f"{label} has the values {array.tolist()}, expected one number per seed, NaN if it failed."
            )
        cells.append(Spread(tuple(array[~np.isnan(array)].tolist()), int(np.isnan(array).sum())))
    if not any(cell.values for cell in cells):
        raise InputError(
            "all seeds of all cells failed, so there is nothing to draw; expected at least one that did not."
        )
    return cells


def _checked_columns(labels: Sequence[str], columns: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    for heading, texts in columns.items():
        if len(texts) != len(labels):
            raise InputError(f"column {heading!r} has {len(texts)} entries, expected {len(labels)}, one for each cell.")
    return dict(columns)


def _reported(labels: Sequence[str], report: Sequence[float | None] | None) -> Sequence[float | None]:
    if report is None:
        return [None] * len(labels)
    if len(report) != len(labels):
        raise InputError(f"report has {len(report)} numbers, expected {len(labels)}, one for each cell (or None).")
    return report


def _best(cells: Sequence[Spread], better: Better) -> int | None:
    """Find the best cell, none if there is only one."""
    means = np.array([cell.mean for cell in cells])
    if np.isfinite(means).sum() < 2:
        return None
    return int(np.nanargmax(means) if better == "higher" else np.nanargmin(means))


def _rows(axes: Axes, cells: Sequence[Spread], reported: Sequence[float | None]) -> None:
    for row, (cell, number) in enumerate(zip(cells, reported, strict=True)):
        # Seeds of equal value must stay countable.
        offsets = np.linspace(-0.18, 0.18, len(cell.values)) if len(cell.values) > 1 else np.zeros(len(cell.values))
        axes.plot(cell.values, row + offsets, "o", color=SEED, markersize=4.5, alpha=0.9, zorder=3)
        if cell.std is not None:
            axes.hlines(row, cell.mean - cell.std, cell.mean + cell.std, color=ACCENT, linewidth=2.2, zorder=2)
        if cell.values:
            axes.vlines(cell.mean, row - 0.3, row + 0.3, color=ACCENT, linewidth=2.2, zorder=4)
        if number is not None:
            axes.plot(number, row, "D", color=REPORT, markersize=6, zorder=3.5)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.ticklabel_format(axis="x", useOffset=False, style="plain")
    axes.grid(axis="x", color=GRID)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.06)


def _columns(
    figure: Figure,
    left: float,
    top: float,
    columns_of_text: Mapping[str, Sequence[str]],
    widths: Sequence[float],
    best: int | None,
) -> None:
    """Write the columns of text, right-aligned, beside the rows."""
    width, height = figure.get_size_inches()
    at = left
    for (heading, texts), wide in zip(columns_of_text.items(), widths, strict=True):
        at += wide
        for row, text in ((-1, heading), *enumerate(texts)):
            middle = top - ROW * (row + 0.5) if row >= 0 else top + 0.16
            figure.text(
                (at - 0.1) / width, middle / height, text, ha="right", va="center", color=MUTED if row < 0 else INK,
                fontweight="bold" if row >= 0 and row == best else "normal",
            )  # fmt: skip


def _subtitle(names: Sequence[str], cells: Sequence[Spread], best: int | None, better: Better) -> str:
    if best is None:
        return f"{better} is better"
    return f"{better} is better; best mean: {names[best]}, {cells[best].text()}"


def _legend(figure: Figure, left: float, bottom: float, reported: bool) -> None:
    width, height = figure.get_size_inches()
    handles = [
        Line2D([], [], linestyle="", marker="o", color=SEED, markersize=4.5, label="one seed"),
        Line2D([], [], linestyle="-", color=ACCENT, linewidth=2.2, marker="|", markersize=9, label="mean ± std"),
    ]
    if reported:
        handles.append(Line2D([], [], linestyle="", marker="D", color=REPORT, markersize=6, label="report"))
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(left / width, (bottom + 0.08) / height), ncols=3,
        borderaxespad=0, borderpad=0.1,
    )  # fmt: skip
