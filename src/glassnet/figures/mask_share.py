"""How much of each layer's attribution lies inside a mask, network beside network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from glassnet.errors import InputError
from glassnet.figures.layer_panels import SMALL, write_numbers
from glassnet.figures.style import (
    ACCENT,
    GRID,
    MUTED,
    in_house_style,
    new_figure,
    require_finite,
    require_shape,
    shorten,
)


@dataclass(frozen=True)
class LayerShares:
    """Shares of one network, layer by layer, from the input to the output.

    Attributes:
        layers: Names.
        shares: Mean share of the attribution that lies inside the mask, 0 to 1; NaN, a gap, where no map has one.
        intervals: Its low and high, NaN likewise.
        sides_pixels: Height of the layer's own maps.
        uniform: The share of a map that is the same everywhere: the mask's share of the image's area.
        left_out: How many of each layer's maps are all zero and not in the mean; None says nothing of them.
    """

    layers: Sequence[str]
    shares: Float[np.ndarray, " l"]
    intervals: Float[np.ndarray, "l 2"]
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
    for name, network in networks.items():
        _check(name, network)
    counts = [len(network.layers) for network in networks.values()]
    # Title and legend share the top line.
    figure = new_figure(max(1.2 + sum(max(0.42 * count, 2.2) for count in counts), 8.2), 4.5)
    ratios = [max(count, 5) for count in counts]
    panels = figure.subplots(1, len(networks), sharey=True, squeeze=False, width_ratios=ratios)[0]
    for axes, (name, network) in zip(panels, networks.items(), strict=True):
        _panel(axes, name, network, interval_name)
    highest = max(float(np.nanmax(network.intervals, initial=network.uniform)) for network in networks.values())
    panels[0].set_ylim(0, min(1.12 * highest + 0.03, 1.05))
    panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    panels[0].set_ylabel(f"share of the positive attribution\ninside {mask_name} (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=8.5)
    figure.suptitle(title, x=0.01, ha="left")
    figure.supxlabel(_foot(networks), fontsize=9.5)
    return figure


def _foot(networks: Mapping[str, LayerShares]) -> str:
    foot = "layer, from the input to the output, and the side of its maps in pixels"
    if not any(np.any(network.left_out) for network in networks.values() if network.left_out is not None):
        return foot
    return foot + "\n−n: so many maps are all zero, have no share and are left out"


def _panel(axes: Axes, name: str, network: LayerShares, interval_name: str) -> None:
    at = np.arange(len(network.layers))
    axes.axhline(network.uniform, color=MUTED, linewidth=1, linestyle="--", label="a uniform map")
    axes.vlines(at, *network.intervals.T, color=ACCENT, linewidth=1.4, label=interval_name)
    axes.plot(at, network.shares, "o-", color=ACCENT, markersize=5, linewidth=1.2)
    if len(at) <= 26:
        there = ~np.isnan(network.shares)
        numbers = [f"{100 * share:.0f}" for share in network.shares[there]]
        write_numbers(axes, at[there], network.intervals[there, 1], numbers, above=True)
    left_out = np.zeros(len(at), dtype=int) if network.left_out is None else network.left_out
    each = zip(network.layers, network.sides_pixels, left_out, strict=True)
    sides = [f"{shorten(layer, 16)}\n{side} px" + (f"\n−{out:,}" if out else "") for layer, side, out in each]
    turned = max(map(len, network.layers)) > 6
    axes.set_xticks(at, sides, rotation=90 if turned else 0, fontsize=SMALL if turned else 9)
    axes.set(xlim=(-0.6, len(at) - 0.4))
    axes.set_title(name)
    axes.grid(axis="y", color=GRID)


def _check(name: str, network: LayerShares) -> None:
    number = len(network.layers)
    if not number:
        raise InputError(f"{name} has no layer, expected at least one.")
    shares, bounds = np.asarray(network.shares), np.asarray(network.intervals)
    require_shape(f"the shares of {name}", shares, (number,), f"({number},), one for each layer")
    require_shape(f"the intervals of {name}", bounds, (number, 2), f"({number}, 2), low and high for each layer")
    require_shape(f"the sides of {name}", network.sides_pixels, (number,), f"({number},), one for each layer")
    if network.left_out is not None:
        require_shape(f"left_out of {name}", network.left_out, (number,), f"({number},), one for each layer")
    require_finite(f"the intervals of {name} where it has a share", bounds[~np.isnan(shares)])
    every = np.concatenate([shares, bounds.ravel(), [network.uniform]])
    low, high = np.nanmin(every), np.nanmax(every)
    if low < 0 or high > 1:
        raise InputError(f"the shares of {name} go from {low:.3g} to {high:.3g}, expected 0 to 1.")
