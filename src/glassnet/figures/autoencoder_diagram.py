"""An encoder, its code and a decoder from left to right, as the 2019 report's Figure 6 draws a VAE."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from glassnet.errors import InputError
from glassnet.figures.style import INK, MUTED, PALETTE, in_house_style, new_canvas

STEP, TALLEST, MIDDLE, LEAST = 0.98, 1.7, 2.35, 4.6
"""Inches: from block to block, the height of the image's block, that of the axis from the top, the least width."""
COLOURS = {"image": PALETTE[7], "convolution": PALETTE[4], "fully connected": PALETTE[2], "code": PALETTE[1]}
WEIGHTED = ("Conv2d", "ConvTranspose2d", "Linear")


@in_house_style
def autoencoder_diagram(layers: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw the weight layers of an autoencoder from its layer table, with the code in the middle.

    A block's height stands for height and width in pixels, its width for the channels. Where the table has layers
    `mean` and `log_variance` the code is drawn from a normal distribution; where it has only `mean` it is a point.

    Args:
        layers: Rows of the layer table, `name`, `kind`, `input`, `output`; names begin with encoder, mean, log_variance
            or decoder.
        title: The figure's heading.

    Raises:
        InputError: The table is not an autoencoder's.
    """
    parts = {
        part: [row for row in layers if row["kind"] in WEIGHTED and row["name"].partition(".")[0] == part]
        for part in ("encoder", "mean", "log_variance", "decoder")
    }
    if not parts["mean"] or not parts["decoder"]:
        raise InputError("the layer table has no layers mean and decoder, expected those of an autoencoder.")
    count = len(parts["encoder"]) + len(parts["decoder"]) + (2 if parts["log_variance"] else 1)
    figure, axes = new_canvas(max(1.5 + STEP * count, LEAST), 4.3)
    axes.text(0.15, 0.25, title, fontsize=12, fontweight="bold", va="center")
    image = tuple(layers[0]["input"])
    x = _block(axes, 0.75, "image", image, "image", image)
    for row in parts["encoder"]:
        x = _block(axes, x, row["name"], tuple(row["output"]), _family(row), image)
    x = _code(axes, x, parts, image)
    for row in parts["decoder"]:
        last = row is parts["decoder"][-1]
        x = _block(axes, x, row["name"], tuple(row["output"]), _family(row), image, below="sigmoid" if last else "")
    _legend(axes, parts)
    return figure


def _family(row: Mapping[str, Any]) -> str:
    return "fully connected" if row["kind"] == "Linear" else "convolution"


def _block(
    axes: Axes, x: float, name: str, shape: tuple[int, ...], family: str, image: tuple[int, ...], *, below: str = "",
    y: float = MIDDLE, arrow: bool = True,
) -> float:  # fmt: skip
    """Draw one block centred at x, with its name above and its shape below, and return where the next one stands."""
    height = 0.25 + TALLEST * (shape[-1] / image[-1] if len(shape) == 3 else 0.3)
    width = 0.08 + 0.055 * math.log2(1 + shape[0]) if len(shape) == 3 else 0.14
    colour = COLOURS[family]
    axes.add_patch(Rectangle((x - width / 2, y - height / 2), width, height, facecolor=colour, edgecolor=INK, lw=0.7))
    axes.text(
        x, y - height / 2 - 0.1, name.partition(".")[2] or name, fontsize=8, fontweight="bold", ha="center", va="bottom"
    )
    told = "×".join(map(str, shape)) + (f"\n{below}" if below else "")
    axes.text(x, y + height / 2 + 0.07, told, fontsize=7.5, color=MUTED, ha="center", va="top", linespacing=1.3)
    if arrow and x > 1:
        _arrow(axes, (x - STEP + 0.3, y), (x - 0.3, y))
    return x + STEP


def _code(axes: Axes, x: float, parts: Mapping[str, Sequence[Mapping[str, Any]]], image: tuple[int, ...]) -> float:
    shape = tuple(parts["mean"][-1]["output"])
    if not parts["log_variance"]:
        return _block(axes, x, "code z", shape, "code", image)
    for name, y in (("mean", MIDDLE - 0.85), ("deviation", MIDDLE + 0.85)):
        _block(axes, x, name, shape, "code", image, y=y, arrow=False)
        _arrow(axes, (x - STEP + 0.3, MIDDLE), (x - 0.25, y))
        _arrow(axes, (x + 0.25, y), (x + STEP - 0.3, MIDDLE))
    _block(axes, x + STEP, "code z", shape, "code", image, arrow=False)
    axes.text(x + STEP, MIDDLE + 0.95, "z = mean +\ndeviation × ε,\nε ~ N(0, 1)", fontsize=7.5, ha="center", va="top")
    return x + 2 * STEP


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=8, color=MUTED, lw=0.9))


def _legend(axes: Axes, parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    used = {"image", "code", *(_family(row) for part in ("encoder", "decoder") for row in parts[part])}
    x = 0.2
    for family, colour in COLOURS.items():
        if family in used:
            axes.add_patch(Rectangle((x, 4.02), 0.16, 0.16, facecolor=colour, edgecolor=INK, lw=0.6))
            axes.text(x + 0.22, 4.1, family, fontsize=8.5, va="center")
            x += 0.45 + 0.085 * len(family)
