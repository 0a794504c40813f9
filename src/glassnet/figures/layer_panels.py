"""The panels of compared layers: accuracies on an axis that is logarithmic in the error, separability, rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from glassnet.figures.style import INK, MUTED, PALETTE

STEPS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001)
"""Shares of wrong images that the accuracy axis may have ticks at."""
FINE = tuple(tenths / 10 for tenths in range(1, 11))
"""Those of an axis that would have hardly any."""
NUMBERED = 26
"""Up to so many layers each point has its number."""
SMALL = 7.5
"""Points: size of these numbers."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracies of all layers, and how they are drawn."""

    label: str
    colour: str
    marker: str
    dashed: bool
    shift: float
    """How far beside its layer a mark stands, so that neither curve hides the other; numbers stand on that side too."""
    accuracies: Float[np.ndarray, " l"]
    interval: Float[np.ndarray, "l 2"] | None


def draw_accuracies(axes: Axes, curves: Sequence[Curve], chance: float | None, interval_name: str) -> None:
    """Draw accuracies so that halving the error is equally far everywhere; 100% has a line of its own.

    Args:
        axes: What to draw on.
        curves: Accuracies, 0 to 1.
        chance: Accuracy of a guess.
        interval_name: What the intervals are.
    """
    bounds = [curve.interval[~np.isnan(curve.interval)] for curve in curves if curve.interval is not None]
    every = 1 - np.concatenate([*(curve.accuracies for curve in curves), *bounds])
    positive, right = every[every > 0], bool((every <= 0).any())
    floor = float(positive.min(initial=1.0)) * (0.5 if right else 1)
    for curve in curves:
        _draw_curve(axes, curve, floor)
    if chance is not None:
        axes.axhline(1 - chance, color=MUTED, linewidth=0.9, linestyle="--", label=f"chance, {100 * chance:.3g}%")
    top = max(float(every.max()), 0 if chance is None else 1 - chance, 1.5 * floor)
    room = (top / floor) ** (0.14 if len(curves[0].accuracies) <= NUMBERED else 0.05)  # for the numbers
    axes.set_yscale("log")
    axes.set_ylim(top * room, floor / room)  # turned over: better is higher
    ticks = _ticks(floor, top * room)
    if right:
        ticks = [tick for tick in ticks if tick > 1.2 * floor]
    labels = [f"{100 * (1 - tick):.10g}" for tick in ticks]
    axes.set_yticks([*ticks, floor] if right else ticks, [*labels, "100"] if right else labels)
    axes.yaxis.set_minor_locator(NullLocator())
    bars = f"; bars: {interval_name}" if bounds else ""
    axes.set_ylabel(f"accuracy (%),\nlog of the error{bars}")


def _ticks(floor: float, top: float) -> list[float]:
    ticks = [step for step in STEPS if floor / 1.1 <= step <= min(top, 1)]
    return ticks if len(ticks) > 3 else [step for step in FINE if floor / 1.3 <= step <= min(top, 1)] or ticks


def _draw_curve(axes: Axes, curve: Curve, floor: float) -> None:
    at, error = np.arange(len(curve.accuracies)) + curve.shift, np.maximum(1 - curve.accuracies, floor)
    axes.plot(
        at, error, color=curve.colour, marker=curve.marker, linestyle=(0, (4, 1.5)) if curve.dashed else "-",
        markersize=5, linewidth=1.4, label=curve.label,
    )  # fmt: skip
    above, ends = curve.shift <= 0, error
    if curve.interval is not None:
        low, high = np.maximum(1 - curve.interval, floor).T
        axes.vlines(at, high, low, color=curve.colour, linewidth=1.2)
        ends = np.where(np.isnan(low), error, high if above else low)
    if len(at) <= NUMBERED:
        write_numbers(axes, at, ends, [f"{100 * value:.1f}" for value in curve.accuracies], above=above)


def write_numbers(axes: Axes, at: np.ndarray, heights: np.ndarray, texts: Sequence[str], *, above: bool) -> None:
    """Write a text above or below each point."""
    for x, y, text in zip(at, heights, texts, strict=True):
        axes.annotate(
            text, (x, y), (0, 5 if above else -5), textcoords="offset points", ha="center",
            va="bottom" if above else "top", fontsize=SMALL, color=INK,
        )  # fmt: skip


def draw_separability(axes: Axes, values: Float[np.ndarray, " l"], name: str) -> None:
    """Draw how far the classes lie apart as bars; NaN has none."""
    drawn = np.flatnonzero(~np.isnan(values))
    axes.bar(drawn, values[drawn], color=PALETTE[2], width=0.6)
    axes.set_ylabel("separability:\n" + name.replace(" / ", " /\n", 1))
    if len(values) <= NUMBERED:
        write_numbers(axes, drawn, np.maximum(values[drawn], 0), [f"{v:.2f}" for v in values[drawn]], above=True)
        axes.margins(y=0.2)


def draw_rank(axes: Axes, ranks: Float[np.ndarray, " l"], sizes: Float[np.ndarray, " l"] | None) -> None:
    """Draw the effective ranks, logarithmic, below the numbers of features that limit them."""
    at, highest = np.arange(len(ranks)), float((ranks if sizes is None else sizes).max())
    axes.plot(at, ranks, "D-", color=PALETTE[6], markersize=4, linewidth=1.4, label="effective rank")
    axes.set_yscale("log")
    axes.set_ylim(0.3, 2.2 * highest)
    if sizes is not None:
        axes.plot(at, sizes, "_", color=INK, markersize=9, label="features per image")
        axes.legend(loc="upper left", fontsize=8, ncols=2)
        axes.set_ylim(0.3, 12 * highest)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("effective rank\n(directions)")
    if len(ranks) <= NUMBERED:
        write_numbers(axes, at, ranks, [f"{rank:.3g}" for rank in ranks], above=False)
