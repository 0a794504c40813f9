"""A grid of trainings over two settings, as a heat map of the cells' means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from glassnet.errors import InputError
from glassnet.figures.style import ACCENT, GRID, INK, in_house_style, new_figure, require_finite, require_shape, shorten
from glassnet.figures.tuning import Better, better_of, written

# At most 0.75 opaque, so that text in the ink of either theme keeps a contrast of 4.5 on it.
GOOD = LinearSegmentedColormap.from_list("good", [to_rgba(ACCENT, 0.03), to_rgba(ACCENT, 0.75)])
POOR = GOOD.reversed()


@in_house_style
def tuning_grid(
    means: Float[np.ndarray, "r c"],
    rows: tuple[str, Sequence[str]],
    columns: tuple[str, Sequence[str]],
    *,
    metric: str,
    title: str,
    spreads: Float[np.ndarray, "r c"] | None = None,
    report: Float[np.ndarray, "r c"] | None = None,
    better: Better | None = None,
) -> Figure:
    """Draw the mean of each cell of a two-dimensional grid, stronger the better, with the best one framed.

    Args:
        means: Mean over seeds; NaN where there is no cell.
        rows: Name of the setting that goes down, and its values.
        columns: Name of the setting that goes to the right, and its values.
        metric: What the numbers are, as in "validation accuracy".
        title: The figure's heading.
        spreads: Sample standard deviation of each cell, NaN for none.
        report: The number reported elsewhere for each cell, NaN for none.
        better: Which end is best; by default the lower one for a loss, an error or a time, else the higher one.

    Raises:
        InputError: An array has not one number for each pair of values, or there is no cell at all.
    """
    shape = (len(rows[1]), len(columns[1]))
    cells = _cells("the means", means, shape)
    if np.isnan(cells).all():
        raise InputError("the means are all NaN, expected a number in one cell at least.")
    more = [None if x is None else _cells(w, x, shape) for w, x in (("the spreads", spreads), ("the report", report))]
    wide = 0.45 + 0.075 * max((len(name) for name in columns[1]), default=1)
    size = float(np.clip(wide, 1.0, 2.2)), 0.35 + 0.2 * (1 + sum(x is not None for x in more))
    labels = 0.085 * max(len(shorten(name, 24)) for name in rows[1])
    figure = new_figure(max(1.2 + labels + size[0] * shape[1], 5.8), 2.1 + size[1] * shape[0])
    axes = figure.add_subplot()
    low, high = float(np.nanmin(cells)), float(np.nanmax(cells))
    norm, best_end = Normalize(low, high if high > low else low + 1e-9), better_of(metric, better)
    colours = GOOD if best_end == "higher" else POOR
    axes.pcolormesh(np.ma.masked_invalid(cells), cmap=colours, norm=norm)
    axes.set_xticks(np.arange(shape[1]) + 0.5, [shorten(name, 24) for name in columns[1]])
    axes.set_yticks(np.arange(shape[0]) + 0.5, [shorten(name, 24) for name in rows[1]])
    axes.set(xlabel=columns[0], ylabel=rows[0], xlim=(0, shape[1]), ylim=(shape[0], 0))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    best = int(np.nanargmax(cells) if best_end == "higher" else np.nanargmin(cells))
    _write(axes, cells, more, best)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, location="bottom", aspect=40, shrink=0.8)
    bar.set_label(f"{metric}, mean over seeds; {best_end} is better")
    bar.outline.set_edgecolor(GRID)
    bar.ax.ticklabel_format(useOffset=False, style="plain")
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _cells(what: str, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    require_shape(what, array, shape, f"{shape}, a row and a column for each value")
    require_finite(what, array[~np.isnan(array)])
    return array


def _write(axes: Axes, means: np.ndarray, more: Sequence[np.ndarray | None], best: int) -> None:
    """Write each cell's mean, its spread and the report's number, and frame the best one."""
    spreads, report = more
    for index, (row, column) in enumerate(np.ndindex(*means.shape)):
        value = float(means[row, column])
        texts = ["–" if np.isnan(value) else written(value)]
        for form, numbers in (("± {}", spreads), ("report {}", report)):
            if numbers is not None and np.isfinite(numbers[row, column]) and not np.isnan(value):
                texts.append(form.format(written(float(numbers[row, column]))))
        axes.text(
            column + 0.5, row + 0.5, "\n".join(texts), color=INK, ha="center", va="center", fontsize=9,
            fontweight="bold" if index == best else "normal",
        )  # fmt: skip
    row, column = divmod(best, means.shape[1])
    frame = Rectangle((column + 0.03, row + 0.03), 0.94, 0.94, fill=False, edgecolor=INK, linewidth=1.6)
    axes.add_patch(frame)
