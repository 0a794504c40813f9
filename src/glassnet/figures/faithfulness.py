"""What maps are worth: deletion and insertion, lost weights, and how much of a map lies inside a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Integer
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from glassnet.errors import InputError
from glassnet.figures.layer_panels import SMALL, write_numbers
from glassnet.figures.overlay import method_name
from glassnet.figures.style import (
    ACCENT,
    GRID,
    MUTED,
    Intervals,
    class_colour,
    class_marker,
    in_house_style,
    interval_pairs,
    new_figure,
    require_finite,
    require_shape,
    shorten,
)

BANDS = 3
"""Of more curves in a panel the bands would hide each other."""
Curve = Float[np.ndarray, "steps 3"]
"""Mean, low and high of each step; low and high are NaN where there is no interval, as of one image."""


@in_house_style
def faithfulness_curves(
    fractions: Float[np.ndarray, " steps"],
    deletion: Mapping[tuple[str, str], Curve],
    insertion: Mapping[tuple[str, str], Curve],
    *,
    random: tuple[Curve, Curve] | None = None,
    interval_name: str = "95% interval over images",
    unit: Literal["probability", "score"] = "probability",
    title: str = "Deletion and insertion",
) -> Figure:
    """Draw a row of two panels per method, a curve per layer, dark the nearer to the output; bands are intervals.

    Args:
        fractions: Share of the pixels that have gone or come.
        deletion: By (method, layer), the target's probability: mean, low and high.
        insertion: Likewise, with the same keys.
        random: Deletion and insertion of pixels in random order, to compare with.
        interval_name: What the bands are.
        unit: What the curves are of: a class's probability, or a callable target's score, of any size and sign.
        title: The figure's heading.

    Raises:
        InputError: There is no curve, or one does not fit the fractions, holds NaN, or is no probability.
    """
    if not deletion or list(deletion) != list(insertion):
        raise InputError(
            f"got {len(deletion)} deletion and {len(insertion)} insertion curves, expected both of the same maps."
        )
    at = require_finite("the fractions", fractions).astype(float)
    sides = [{key: _curve(key, curve, len(at), unit) for key, curve in side.items()} for side in (deletion, insertion)]
    references = [None, None] if random is None else [_curve(("random", "order"), c, len(at), unit) for c in random]
    methods = list(dict.fromkeys(method for method, _ in deletion))
    most = max(sum(one == method for one, _ in deletion) for method in methods)
    height = max(2.5, 0.7 + 0.2 * (most + 1))
    figure = new_figure(9.6, 0.75 + height * len(methods))
    panels = figure.subplots(len(methods), 2, sharex=True, sharey=True, squeeze=False)
    for row, method in zip(panels, methods, strict=True):
        for axes, side, reference, name in zip(row, sides, references, ("deletion", "insertion"), strict=True):
            mine = {layer: curve for (one, layer), curve in side.items() if one == method}
            _curve_panel(axes, at, mine, reference, unit)
            better = "lower is better" if name == "deletion" else "higher is better"
            axes.set_title(f"{method_name(method)}: {name}, {better}")
        row[0].set_ylabel("probability of the target" if unit == "probability" else "score of the target")
    for axes, what in zip(panels[-1], ("deleted", "inserted"), strict=True):
        axes.set_xlabel(f"pixels {what}, the map's highest first")
    figure.suptitle(title, x=0.01, ha="left")
    few = any(sum(one == method for one, _ in deletion) <= BANDS for method in methods)
    banded = few and any(np.isfinite(curve[:, 1:]).any() for side in sides for curve in side.values())
    bands = f"; bands (for at most {BANDS} curves): {interval_name}" if banded else ""
    figure.supxlabel(
        f"Mean over images{bands}. Next to each name: the area under its curve.", fontsize=8.5, color=MUTED
    )
    return figure


def _curve(key: tuple[str, str], curve: np.ndarray, steps: int, unit: str) -> np.ndarray:
    what = f"the curve of {key[0]} at {key[1]}"
    values = _means_with_intervals(what, "curves", curve, steps)
    low, high = np.nanmin(values), np.nanmax(values)
    if unit == "probability" and (low < -1e-6 or high > 1 + 1e-6):
        raise InputError(f"{what} goes from {low:.3g} to {high:.3g}, expected probabilities from 0 to 1.")
    return values


def _means_with_intervals(what: str, which: str, rows: np.ndarray, steps: int) -> np.ndarray:
    """Return mean, low and high of each step, seeing that each mean is finite and each interval whole or not there."""
    values = np.asarray(rows, dtype=float)
    require_shape(which, values, (steps, 3), f"({steps}, 3), mean, low and high of each step")
    require_finite(what, values[:, 0])
    interval_pairs(f"the intervals of {what}", values[:, 1:], steps, each="step")
    return values


def _curve_panel(
    axes: Axes, at: np.ndarray, curves: Mapping[str, np.ndarray], reference: np.ndarray | None, unit: str
) -> None:
    shades = colormaps["viridis_r"](np.linspace(0.2, 0.95, len(curves)) if len(curves) > 1 else [0.7])
    if reference is not None:
        label = f"random order  {_area(at, reference):.3f}"
        axes.plot(at, reference[:, 0], color=MUTED, linestyle="--", linewidth=1.2, label=label)
    for (layer, curve), shade in zip(curves.items(), shades, strict=True):
        label = f"{shorten(layer, 18)}  {_area(at, curve):.3f}"
        axes.plot(at, curve[:, 0], color=shade, linewidth=1.5, label=label)
        if len(curves) <= BANDS:
            axes.fill_between(at, curve[:, 1], curve[:, 2], color=shade, alpha=0.15, linewidth=0)
    axes.set(xlim=(0, 1), **({"ylim": (0, 1.02)} if unit == "probability" else {}))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(color=GRID)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, handlelength=1.4)


def _area(at: np.ndarray, curve: np.ndarray) -> float:
    heights = curve[:, 0]
    return float(((heights[1:] + heights[:-1]) / 2 * np.diff(at)).sum())


@in_house_style
def sanity_curves(
    layers: Sequence[str],
    correlations: Mapping[str, Float[np.ndarray, "steps 3"]],
    *,
    line: float = 0.5,
    interval_name: str = "95% interval over images",
    title: str = "Do the maps change when the weights are randomised?",
) -> Figure:
    """Draw the rank correlation with the trained model's map, a curve per method, a step per layer randomised.

    Args:
        layers: What was randomised last at each step; the first is nothing.
        correlations: By method, mean, low and high at each step, -1 to 1; low and high NaN where there is no interval.
        line: From which on a map counts as not having noticed.
        interval_name: What the bars are.
        title: The figure's heading.

    Raises:
        InputError: There is no method, or its numbers do not fit the layers or are no correlations.
    """
    if not correlations or len(layers) < 2:
        raise InputError(
            f"got {len(correlations)} methods and {len(layers)} steps, expected at least one method and two steps."
        )
    at, number = np.arange(len(layers)), len(layers)
    figure = new_figure(float(np.clip(2.6 + 0.42 * number, 7.4, 14)), 4.6)
    axes = figure.subplots()
    for place, (method, rows) in enumerate(correlations.items()):
        what = f"the correlations of {method}"
        values = _means_with_intervals(what, what, rows, number)
        if np.nanmin(values) < -1 - 1e-6 or np.nanmax(values) > 1 + 1e-6:
            raise InputError(f"{what} are not all between -1 and 1, expected rank correlations.")
        x, colour = at + 0.1 * (place - (len(correlations) - 1) / 2), class_colour(place)
        axes.vlines(x, values[:, 1], values[:, 2], color=colour, linewidth=1.2)
        axes.plot(
            x, values[:, 0], color=colour, marker=class_marker(place), markersize=5, linewidth=1.4,
            label=method_name(method),
        )  # fmt: skip
    axes.axhline(
        line, color=MUTED, linewidth=1, linestyle="--", label=f"{line:g}: above it, the randomisation goes unnoticed"
    )
    axes.axhline(0, color=MUTED, linewidth=0.8)
    longest = max(len(shorten(name, 20)) for name in layers)
    names = ["none\n(trained)", *(shorten(name, 20) for name in layers[1:])]
    axes.set_xticks(at, names, rotation=90 if longest > 5 and number > 8 else 0)
    low = min(0.0, *(float(np.nanmin(rows)) for rows in correlations.values()))
    axes.set(ylim=(low - 0.08, 1.06), xlim=(-0.5, number - 0.5))
    axes.set_ylabel("rank correlation with\nthe trained model's map")
    axes.set_title(f"mean over images; bars: {interval_name}", fontweight="normal", fontsize=9.5)
    axes.set_xlabel("last layer randomised (with all layers to its left, from the output down)")
    axes.grid(axis="y", color=GRID)
    figure.legend(loc="outside lower center", ncols=2)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


@dataclass(frozen=True, eq=False)
class LayerShares:
    """Shares of one network, layer by layer, from the input to the output.

    Attributes:
        layers: Names.
        shares: Mean share of the attribution that lies inside the mask, 0 to 1; NaN, a gap, where no map has one.
        intervals: Its low and high; None or NaN where there is no share, and where one image has no interval.
        sides_pixels: Height of the layer's own maps.
        uniform: The share of a map that is the same everywhere: the mask's share of the image's area.
        left_out: How many of each layer's maps are all zero and not in the mean; None says nothing of them.
    """

    layers: Sequence[str]
    shares: Float[np.ndarray, " l"]
    intervals: Intervals
    sides_pixels: Integer[np.ndarray, " l"]
    uniform: float
    left_out: Integer[np.ndarray, " l"] | None = None


@in_house_style
def mask_share(
    networks: Mapping[str, LayerShares],
    *,
    mask_name: str = "the stroke",
    interval_name: str = "95% interval over images",
    title: str = "Attribution inside the stroke, layer by layer",
) -> Figure:
    """Draw a panel per network on a common axis: a point per layer, and the line where a uniform map would be.

    A layer without a share leaves a gap. Below each layer stands how many of its maps are all zero and left out.

    Args:
        networks: By name.
        mask_name: What the mask marks.
        interval_name: What the bars are.
        title: The figure's heading.

    Raises:
        InputError: There is no network or layer, or the numbers do not fit or are no shares.
    """
    if not networks:
        raise InputError("there is no network, expected at least one.")
    networks = {
        name: replace(network, intervals=_checked_intervals(name, network)) for name, network in networks.items()
    }
    counts = [len(network.layers) for network in networks.values()]
    # Title and legend share the top line.
    figure = new_figure(max(1.2 + sum(max(0.42 * count, 2.2) for count in counts), 8.2), 4.5)
    ratios = [max(count, 5) for count in counts]
    panels = figure.subplots(1, len(networks), sharey=True, squeeze=False, width_ratios=ratios)[0]
    for axes, (name, network) in zip(panels, networks.items(), strict=True):
        _share_panel(axes, name, network, interval_name)
    highest = max(
        float(np.nanmax(np.asarray(part, dtype=float), initial=network.uniform))
        for network in networks.values()
        for part in (network.shares, network.intervals)
    )
    panels[0].set_ylim(0, min(1.12 * highest + 0.03, 1.05))
    panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    panels[0].set_ylabel(f"fraction of the positive attribution\ninside {mask_name} (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=8.5)
    figure.suptitle(title, x=0.01, ha="left")
    figure.supxlabel(_share_foot(networks), fontsize=9.5)
    return figure


def _share_foot(networks: Mapping[str, LayerShares]) -> str:
    foot = "layer, from the input to the output, and the side length of its maps in pixels"
    if not any(np.any(network.left_out) for network in networks.values() if network.left_out is not None):
        return foot
    return foot + "\n−n: this many maps are all zero and left out, because they have no share"


def _share_panel(axes: Axes, name: str, network: LayerShares, interval_name: str) -> None:
    at = np.arange(len(network.layers))
    axes.axhline(network.uniform, color=MUTED, linewidth=1, linestyle="--", label="a uniform map")
    bounds = np.asarray(network.intervals, dtype=float)
    if not np.isnan(bounds).all():
        axes.vlines(at, *bounds.T, color=ACCENT, linewidth=1.4, label=interval_name)
    axes.plot(at, network.shares, "o-", color=ACCENT, markersize=5, linewidth=1.2)
    if len(at) <= 26:
        there = ~np.isnan(network.shares)
        numbers = [f"{100 * share:.0f}" for share in network.shares[there]]
        tops = np.where(np.isnan(bounds[:, 1]), network.shares, bounds[:, 1])
        write_numbers(axes, at[there], tops[there], numbers, above=True)
    left_out = np.zeros(len(at), dtype=int) if network.left_out is None else network.left_out
    each = zip(network.layers, network.sides_pixels, left_out, strict=True)
    sides = [f"{shorten(layer, 16)}\n{side} px" + (f"\n−{out:,}" if out else "") for layer, side, out in each]
    turned = max(map(len, network.layers)) > 6
    axes.set_xticks(at, sides, rotation=90 if turned else 0, fontsize=SMALL if turned else 9)
    axes.set(xlim=(-0.6, len(at) - 0.4))
    axes.set_title(name)
    axes.grid(axis="y", color=GRID)


def _checked_intervals(name: str, network: LayerShares) -> Float[np.ndarray, "l 2"]:
    """Return a network's intervals as an array, after seeing that all its numbers fit."""
    number = len(network.layers)
    if not number:
        raise InputError(f"{name} has no layer, expected at least one.")
    shares = np.asarray(network.shares)
    require_shape(f"the shares of {name}", shares, (number,), f"({number},), one for each layer")
    bounds = interval_pairs(f"the intervals of {name}", network.intervals, number, each="layer")
    require_shape(f"the sides of {name}", network.sides_pixels, (number,), f"({number},), one for each layer")
    if network.left_out is not None:
        require_shape(f"left_out of {name}", network.left_out, (number,), f"({number},), one for each layer")
    every = np.concatenate([shares, bounds.ravel(), [network.uniform]])
    low, high = np.nanmin(every), np.nanmax(every)
    if low < 0 or high > 1:
        raise InputError(f"the shares of {name} go from {low:.3g} to {high:.3g}, expected 0 to 1.")
    return bounds
