"""Layers compared, in the network's order: where the classes come apart, and how alike two layers are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure

from glassnet.errors import InputError
from glassnet.figures.layer_panels import Curve, draw_accuracies, draw_rank, draw_separability
from glassnet.figures.style import (
    ACCENT,
    GRID,
    INK,
    MUTED,
    PALETTE,
    Intervals,
    in_house_style,
    interval_pairs,
    new_figure,
    require_finite,
    require_shape,
    shorten,
)


@in_house_style
def layer_comparison(
    names: Sequence[str],
    *,
    probe: Float[np.ndarray, " l"],
    probe_interval: Intervals | None = None,
    knn: Float[np.ndarray, " l"] | None = None,
    knn_interval: Intervals | None = None,
    separability: Float[np.ndarray, " l"] | None = None,
    effective_rank: Float[np.ndarray, " l"] | None = None,
    dimensions: Integer[np.ndarray, " l"] | None = None,
    separability_name: str = "scatter between / within classes",
    interval_name: str = "95% interval",
    chance: float | None = None,
    title: str = "Layers compared",
) -> Figure:
    """Draw each layer's accuracies, separability and effective rank, one panel below the other.

    Accuracy stands on an axis that is logarithmic in the error, as the steps from 98 to 99 and from 99 to 99.5% are
    equally long ways to a network that is nearly right. The best probe is marked, and so is the first layer from which
    no interval lies wholly below its own.

    Args:
        names: The layers, in the network's order.
        probe: Accuracy of a linear probe at each layer, 0 to 1.
        probe_interval: Its lower and upper bound; a layer whose bounds are None or NaN has no bar.
        knn: Accuracy of the nearest neighbours' vote, 0 to 1.
        knn_interval: Its lower and upper bound, likewise.
        separability: How far the classes lie apart; NaN where it is not defined.
        effective_rank: In how many directions the features spread, 1 or more.
        dimensions: Features that an image has at each layer, the most that the rank can be.
        separability_name: What `separability` is.
        interval_name: What the intervals are.
        chance: Accuracy of a guess, 0 to 1.
        title: The figure's heading.

    Raises:
        InputError: There is no layer, an array does not fit the names, holds NaN, or a share is not between 0 and 1.
    """
    if not names:
        raise InputError("there is no layer, expected the name of at least one.")
    curves = _curves(len(names), probe, probe_interval, knn, knn_interval)
    below = _below(len(names), separability, separability_name, effective_rank, dimensions)
    short = [shorten(name, 20) for name in names]
    figure, panels = _panels(short, len(below))
    draw_accuracies(panels[0], curves, chance, interval_name)
    for axes, draw in zip(panels[1:], below, strict=True):
        draw(axes)
    shares, interval = curves[0].accuracies, curves[0].interval
    best, first = _best(shares, interval)
    _finish(panels, short, best)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    _headline(figure, title, names, shares[best], best, first)
    return figure


def _curves(
    number: int,
    probe: np.ndarray,
    probe_interval: Intervals | None,
    knn: np.ndarray | None,
    knn_interval: Intervals | None,
) -> list[Curve]:
    """Check the accuracies of so many layers: the probe's curve, and the vote's where there is one."""
    shares, interval = _shares("the probe's accuracies", probe, number), _interval("probe", probe_interval, number)
    if knn is None:
        return [Curve("linear probe", ACCENT, "o", False, 0.0, shares, interval)]
    votes, bounds = _shares("the kNN accuracies", knn, number), _interval("kNN", knn_interval, number)
    return [
        Curve("linear probe", ACCENT, "o", False, -0.12, shares, interval),
        Curve("nearest neighbours", PALETTE[5], "s", True, 0.12, votes, bounds),
    ]


def _below(
    number: int,
    separability: np.ndarray | None,
    separability_name: str,
    effective_rank: np.ndarray | None,
    dimensions: np.ndarray | None,
) -> list[Callable[[Axes], None]]:
    """Check what the panels below the accuracies show of so many layers, and return what draws each."""
    drawers: list[Callable[[Axes], None]] = []
    if separability is not None:
        apart = _gaps("the separabilities", separability, number)
        drawers.append(lambda axes: draw_separability(axes, apart, separability_name))
    if effective_rank is not None:
        ranks = _positive("the effective ranks", effective_rank, number)
        sizes = None if dimensions is None else _positive("the dimensions", dimensions, number)
        drawers.append(lambda axes: draw_rank(axes, ranks, sizes))
    return drawers


def _panels(names: Sequence[str], below: int) -> tuple[Figure, list[Axes]]:
    """Open a figure with a high panel and so many low ones, wide enough for the layers and high enough for names."""
    heights = [2.9, *[1.6] * below]
    width = float(np.clip(2.4 + 0.42 * len(names), 7.4, 14))
    figure = new_figure(width, sum(heights) + 1.2 + 0.07 * max(map(len, names)))
    return figure, list(figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0])


def _finish(panels: Sequence[Axes], names: Sequence[str], best: int) -> None:
    """Mark the best layer in every panel, and name the layers below the last."""
    for axes in panels:
        axes.axvline(best, color=MUTED, linewidth=0.9, linestyle=":", zorder=0.5)
        axes.grid(axis="y", color=GRID)
        axes.margins(x=0.5 / len(names))
    panels[-1].set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 4 else 0)
    panels[-1].set(xlabel="layer, from the input to the output", xlim=(-0.6, len(names) - 0.4))


def _shares(what: str, values: np.ndarray, number: int) -> np.ndarray:
    shares = require_finite(what, values).astype(float)
    require_shape(what, shares, (number,), f"({number},), one for each layer")
    if (shares < 0).any() or (shares > 1).any():
        raise InputError(f"{what} go from {shares.min():.3g} to {shares.max():.3g}, expected shares from 0 to 1.")
    return shares


def _interval(what: str, bounds: Intervals | None, number: int) -> np.ndarray | None:
    if bounds is None:
        return None
    pairs = interval_pairs(f"the {what} intervals", bounds, number, each="layer")
    return None if np.isnan(pairs).all() else np.clip(pairs, 0, 1)


def _gaps(what: str, values: np.ndarray, number: int) -> np.ndarray:
    """Let NaN pass, as what is not defined at a layer, but nothing else."""
    array = np.asarray(values, dtype=float)
    require_finite(what, array[~np.isnan(array)])
    require_shape(what, array, (number,), f"({number},), one for each layer")
    return array


def _positive(what: str, values: np.ndarray, number: int) -> np.ndarray:
    array = require_finite(what, values).astype(float)
    require_shape(what, array, (number,), f"({number},), one for each layer")
    if (array <= 0).any():
        raise InputError(f"{what} go down to {array.min():.3g}, expected numbers above 0.")
    return array


def _best(accuracies: np.ndarray, interval: np.ndarray | None) -> tuple[int, int | None]:
    """Find the best layer, and the first from which no layer up to it is clearly worse."""
    best = int(accuracies.argmax())
    if interval is None or np.isnan(interval[: best + 1]).any():
        return best, None
    worse = np.flatnonzero(interval[:best, 1] < interval[best, 0])
    return best, int(worse[-1]) + 1 if worse.size else 0


def _headline(figure: Figure, title: str, names: Sequence[str], top: float, best: int, first: int | None) -> None:
    best_name = shorten(names[best], 20)
    line = f"the best linear probe is at {best_name}: {top:.2%} (dotted line)"
    if first is not None and first < best:
        line += f"; from {shorten(names[first], 20)} on, the intervals overlap its own"
    figure.suptitle(title, x=0.01, ha="left")
    figure.axes[0].set_title(line, fontweight="normal", fontsize=9.5, loc="left")


NUMBERED = 40
"""Up to so many layers a side each cell holds its number."""
# At most 0.75 opaque, so that text in the ink of either theme keeps a contrast of 4.5 on it.
ALIKE = LinearSegmentedColormap.from_list("alike", [to_rgba(ACCENT, 0.0), to_rgba(ACCENT, 0.75)])


@in_house_style
def cka_heatmap(
    similarity: Float[np.ndarray, "a b"],
    names_a: Sequence[str],
    names_b: Sequence[str] | None = None,
    *,
    axes: tuple[str, str] = ("layer", "layer"),
    title: str = "Centred kernel alignment",
) -> Figure:
    """Draw how alike each two layers are, 0 to 1, the network's order going up and to the right.

    What a debiased estimate puts below 0 has the colour of 0, and its number says so.

    Kornblith et al. 2019, https://arxiv.org/abs/1905.00414.

    Args:
        similarity: Alignment of each layer of the first run (row) with each of the second (column), at most 1.
        names_a: Layers of the first run.
        names_b: Layers of the second run; without, the first's.
        axes: What the rows and the columns are.
        title: The figure's heading.

    Raises:
        InputError: The matrix is not one number from -1 to 1 for each pair of layers.
    """
    columns = names_a if names_b is None else names_b
    values = require_finite("the alignments", similarity).astype(float)
    shape = (len(names_a), len(columns))
    require_shape("the alignments", values, shape, f"{shape}, a row and a column for each layer")
    if not values.size or values.min() < -1 - 1e-6 or values.max() > 1 + 1e-6:
        span = f"go from {values.min():.3g} to {values.max():.3g}" if values.size else "are empty"
        raise InputError(
            f"the alignments {span}, expected numbers of at most 1; divide by each layer's alignment with itself."
        )
    cell = float(np.clip(8.6 / max(shape), 0.24, 0.5))
    labels = [0.075 * max(len(shorten(name, 18)) for name in names) for names in (names_a, columns)]
    width, height = 1.3 + labels[0] + cell * shape[1], 1.9 + labels[1] + cell * shape[0]
    figure = new_figure(float(np.clip(width, 5.4, 14)), float(np.clip(height, 3.4, 14)))
    drawn = figure.add_subplot()
    small = max(shape) > 20
    drawn.pcolormesh(np.clip(values, 0, 1), cmap=ALIKE, norm=Normalize(0, 1), rasterized=max(shape) > NUMBERED)
    turn = 90 if max(map(len, columns)) > 3 else 0
    for ticks, names, angle in ((drawn.set_yticks, names_a, 0), (drawn.set_xticks, columns, turn)):
        every = max(1, -(-len(names) // NUMBERED))
        ticks(
            np.arange(0, len(names), every) + 0.5, [shorten(name, 18) for name in names[::every]], rotation=angle,
            fontsize=7.5 if small else 9,
        )  # fmt: skip
    drawn.set(ylabel=axes[0], xlabel=axes[1], aspect="equal")
    drawn.tick_params(length=0)
    drawn.spines[:].set_visible(False)
    if max(shape) <= NUMBERED:
        _write_cells(drawn, values, size=float(np.clip(24 * cell, 5.2, 8.5)))
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), ALIKE), ax=drawn, location="bottom", aspect=40, shrink=0.75)
    bar.set_label("alignment: 0 unrelated, 1 equal up to rotation and scale")
    bar.outline.set_edgecolor(GRID)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _write_cells(axes: Axes, values: np.ndarray, *, size: float) -> None:
    """Write each cell's number in hundredths, without the zero that all have."""
    for (row, column), value in np.ndenumerate(values):
        written = f"{value:.2f}".replace("-", "−").replace("0.", ".", 1)
        axes.text(column + 0.5, row + 0.5, written, color=INK, ha="center", va="center", fontsize=size)
