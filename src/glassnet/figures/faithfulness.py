"""Deletion and insertion curves: how fast a class is lost, or found, with the pixels that a map ranks first."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from glassnet.errors import InputError
from glassnet.figures.overlay import method_name
from glassnet.figures.style import (
    GRID,
    MUTED,
    in_house_style,
    new_figure,
    require_finite,
    require_shape,
    shorten,
)

BANDS = 3
"""Of more curves in a panel the bands would hide each other."""
Curve = Float[np.ndarray, "steps 3"]
"""Mean, low and high of each step."""


@in_house_style
def faithfulness_curves(
    fractions: Float[np.ndarray, " steps"],
    deletion: Mapping[tuple[str, str], Curve],
    insertion: Mapping[tuple[str, str], Curve],
    *,
    random: tuple[Curve, Curve] | None = None,
    interval_name: str = "95% interval over images",
    title: str = "Deletion and insertion",
) -> Figure:
    """Draw a row of two panels per method, a curve per layer, dark the nearer to the output; bands are intervals.

    Args:
        fractions: Share of the pixels that have gone or come.
        deletion: By (method, layer), the target's probability: mean, low and high.
        insertion: Likewise, with the same keys.
        random: Deletion and insertion of pixels in random order, to compare with.
        interval_name: What the bands are.
        title: The figure's heading.

    Raises:
        InputError: There is no curve, or one does not fit the fractions, holds NaN, or is no probability.
    """
    if not deletion or list(deletion) != list(insertion):
        raise InputError(
            f"got {len(deletion)} deletion and {len(insertion)} insertion curves, expected both of the same maps."
        )
    at = require_finite("the fractions", fractions).astype(float)
    sides = [{key: _curve(key, curve, len(at)) for key, curve in side.items()} for side in (deletion, insertion)]
    references = [None, None] if random is None else [_curve(("random", "order"), c, len(at)) for c in random]
    methods = list(dict.fromkeys(method for method, _ in deletion))
    most = max(sum(one == method for one, _ in deletion) for method in methods)
    height = max(2.5, 0.7 + 0.2 * (most + 1))
    figure = new_figure(9.6, 0.75 + height * len(methods))
    panels = figure.subplots(len(methods), 2, sharex=True, sharey=True, squeeze=False)
    for row, method in zip(panels, methods, strict=True):
        for axes, side, reference, name in zip(row, sides, references, ("deletion", "insertion"), strict=True):
            mine = {layer: curve for (one, layer), curve in side.items() if one == method}
            _panel(axes, at, mine, reference)
            better = "lower is better" if name == "deletion" else "higher is better"
            axes.set_title(f"{method_name(method)}: {name}, {better}")
        row[0].set_ylabel("probability of the target")
    for axes, what in zip(panels[-1], ("deleted", "inserted"), strict=True):
        axes.set_xlabel(f"pixels {what}, the map's highest first")
    figure.suptitle(title, x=0.01, ha="left")
    banded = any(sum(one == method for one, _ in deletion) <= BANDS for method in methods)
    bands = f"; bands, where at most {BANDS} curves leave room: {interval_name}" if banded else ""
    figure.supxlabel(f"Mean over images{bands}. Beside each name: the area below its curve.", fontsize=8.5, color=MUTED)
    return figure


def _curve(key: tuple[str, str], curve: np.ndarray, steps: int) -> np.ndarray:
    values = require_finite(f"the curve of {key[0]} at {key[1]}", curve).astype(float)
    require_shape("curves", values, (steps, 3), f"({steps}, 3), mean, low and high of each step")
    if values.min() < -1e-6 or values.max() > 1 + 1e-6:
        raise InputError(
            f"the curve of {key[0]} at {key[1]} goes from {values.min():.3g} to {values.max():.3g}, expected "
            "probabilities from 0 to 1."
        )
    return values


def _panel(axes: Axes, at: np.ndarray, curves: Mapping[str, np.ndarray], reference: np.ndarray | None) -> None:
    shades = colormaps["viridis_r"](np.linspace(0.2, 0.95, len(curves)) if len(curves) > 1 else [0.7])
    if reference is not None:
        label = f"random order  {_area(at, reference):.3f}"
        axes.plot(at, reference[:, 0], color=MUTED, linestyle="--", linewidth=1.2, label=label)
    for (layer, curve), shade in zip(curves.items(), shades, strict=True):
        label = f"{shorten(layer, 18)}  {_area(at, curve):.3f}"
        axes.plot(at, curve[:, 0], color=shade, linewidth=1.5, label=label)
        if len(curves) <= BANDS:
            axes.fill_between(at, curve[:, 1], curve[:, 2], color=shade, alpha=0.15, linewidth=0)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(color=GRID)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, handlelength=1.4)


def _area(at: np.ndarray, curve: np.ndarray) -> float:
    heights = curve[:, 0]
    return float(((heights[1:] + heights[:-1]) / 2 * np.diff(at)).sum())
