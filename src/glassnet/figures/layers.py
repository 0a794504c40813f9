"""Layers compared, in the network's order: where do the classes come apart?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glassnet.errors import InputError
from glassnet.figures.layer_panels import Curve, draw_accuracies, draw_rank, draw_separability
from glassnet.figures.style import (
    ACCENT,
    GRID,
    MUTED,
    PALETTE,
    in_house_style,
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
    probe_interval: Float[np.ndarray, "l 2"] | None = None,
    knn: Float[np.ndarray, " l"] | None = None,
    knn_interval: Float[np.ndarray, "l 2"] | None = None,
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
        probe_interval: Its lower and upper bound.
        knn: Accuracy of the nearest neighbours' vote, 0 to 1.
        knn_interval: Its lower and upper bound.
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
    shown = [shorten(name, 20) for name in names]
    figure, panels = _panels(shown, len(below))
    draw_accuracies(panels[0], curves, chance, interval_name)
    for axes, draw in zip(panels[1:], below, strict=True):
        draw(axes)
    shares, interval = curves[0].accuracies, curves[0].interval
    best, first = _best(shares, interval)
    _finish(panels, shown, best)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    _headline(figure, title, names, shares[best], best, first)
    return figure


def _curves(
    number: int,
    probe: np.ndarray,
    probe_interval: np.ndarray | None,
    knn: np.ndarray | None,
    knn_interval: np.ndarray | None,
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


def _interval(what: str, bounds: np.ndarray | None, number: int) -> np.ndarray | None:
    if bounds is None:
        return None
    pairs = require_finite(f"the {what} intervals", bounds).astype(float)
    require_shape(f"the {what} intervals", pairs, (number, 2), f"({number}, 2), low and high for each layer")
    if (pairs[:, 0] > pairs[:, 1]).any():
        raise InputError(f"the {what} intervals have a low above their high, expected (low, high).")
    return np.clip(pairs, 0, 1)


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
    if interval is None:
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
