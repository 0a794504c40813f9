"""The model-randomisation check: how alike maps stay while the model's layers are lost, from the output down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from glassnet.errors import InputError
from glassnet.figures.overlay import method_name
from glassnet.figures.style import (
    GRID,
    MUTED,
    class_colour,
    class_marker,
    in_house_style,
    new_figure,
    require_finite,
    require_shape,
    shorten,
)


@in_house_style
def sanity_curves(
    layers: Sequence[str],
    correlations: Mapping[str, Float[np.ndarray, "steps 3"]],
    *,
    line: float = 0.5,
    interval_name: str = "95% interval over images",
    title: str = "Do the maps see that the weights are lost?",
) -> Figure:
    """Draw the rank correlation with the trained model's map, a curve per method, a step per layer randomised.

    Args:
        layers: What was randomised last at each step; the first is nothing.
        correlations: By method, mean, low and high at each step, -1 to 1.
        line: From which on a map counts as not having noticed.
        interval_name: What the bars are.
        title: The figure's heading.

    Raises:
        InputError: There is no method, or its numbers do not fit the layers or are no correlations.
    """
    if not correlations or len(layers) < 2:
        raise InputError(
            f"got {len(correlations)} methods and {len(layers)} steps, expected one method and two steps, or more."
        )
    at, number = np.arange(len(layers)), len(layers)
    figure = new_figure(float(np.clip(2.6 + 0.42 * number, 7.4, 14)), 4.6)
    axes = figure.subplots()
    for place, (method, rows) in enumerate(correlations.items()):
        values = require_finite(f"the correlations of {method}", rows).astype(float)
        require_shape(f"the correlations of {method}", values, (number, 3), f"({number}, 3), mean, low and high a step")
        if values.min() < -1 - 1e-6 or values.max() > 1 + 1e-6:
            raise InputError(f"the correlations of {method} leave -1 to 1, expected rank correlations.")
        x, colour = at + 0.1 * (place - (len(correlations) - 1) / 2), class_colour(place)
        axes.vlines(x, values[:, 1], values[:, 2], color=colour, linewidth=1.2)
        axes.plot(
            x, values[:, 0], color=colour, marker=class_marker(place), markersize=5, linewidth=1.4,
            label=method_name(method),
        )  # fmt: skip
    axes.axhline(line, color=MUTED, linewidth=1, linestyle="--", label=f"{line:g}: above it, the loss goes unnoticed")
    axes.axhline(0, color=MUTED, linewidth=0.8)
    longest = max(len(shorten(name, 20)) for name in layers)
    names = ["none\n(trained)", *(shorten(name, 20) for name in layers[1:])]
    axes.set_xticks(at, names, rotation=90 if longest > 5 and number > 8 else 0)
    low = min(0.0, *(float(rows.min()) for rows in correlations.values()))
    axes.set(ylim=(low - 0.08, 1.06), xlim=(-0.5, number - 0.5))
    axes.set_ylabel("rank correlation with\nthe trained model's map")
    axes.set_title(f"mean over images; bars: {interval_name}", fontweight="normal", fontsize=9.5)
    axes.set_xlabel("randomised last (and all layers left of it, from the output down)")
    axes.grid(axis="y", color=GRID)
    figure.legend(loc="outside lower center", ncols=2)
    figure.suptitle(title, x=0.01, ha="left")
    return figure
