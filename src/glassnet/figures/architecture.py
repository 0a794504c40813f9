"""Networks as drawings: a chain of volumes with what each layer holds, and an autoencoder from left to right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle

from glassnet.errors import InputError
from glassnet.figures.style import GRID, INK, MUTED, PALETTE, SURFACE, in_house_style, new_canvas, shorten
from glassnet.formats import DASH

KEYS = ("name", "kind", "input", "output", "parameters", "macs")
WIDTH = 4.9
"""Inches: about a phone's width, so that text is still read there."""
CHAIN = 0.68
TEXT = 1.32
RIGHT = WIDTH - 0.12
TALL, LOW = 0.6, 0.25
EDGE: dict[str, Any] = {"edgecolor": INK, "linewidth": 0.6, "zorder": 2, "joinstyle": "round"}
FAMILIES = {"convolution": PALETTE[4], "pooling": PALETTE[1], "fully connected": PALETTE[2], "input": PALETTE[7]}


class _Row(NamedTuple):
    name: str
    kind: str
    sizes: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    family: str | None
    joined: bool
    """Whether it takes what the row above returns."""


@in_house_style
def architecture(layers: Sequence[Mapping[str, Any]], title: str = "Network") -> Figure:
    """Draw a network from top to bottom, layer by layer, with its sizes, parameters and multiply-accumulates.

    Each volume's face stands for height and width, its depth for the channels; a flat bar is a vector. Layers that
    hold the map's size and few or no weights (batch-norm, ReLU, dropout) are thin rows.

    Args:
        layers: In the order in which an image passes them, mappings with `name`, `kind` (the layer's class), `input`
            and `output` (sizes without the batch; None where it is never called, or takes or gives no tensor),
            `parameters` and `macs` (multiply-accumulates per image).
        title: The figure's heading, as the model's name.

    Raises:
        InputError: There is no layer, or one lacks a value.
    """
    rows = _rows(layers)
    heights = [TALL if row.family else LOW for row in rows]
    top = 1.15
    figure, axes = new_canvas(WIDTH, top + sum(heights) + 0.15)
    _heading(axes, rows, title)
    face = max((max(row.output[-2:]) for row in rows if len(row.output) >= 2), default=1)
    for row, height, following in zip(rows, heights, [*rows[1:], None], strict=True):
        middle = top + height / 2
        if following is not None:
            end = top + height + (TALL if following.family else LOW) / 2
            style = "-" if following.joined else (0, (2, 2))
            axes.plot([CHAIN, CHAIN], [middle, end], color=MUTED, linewidth=1, linestyle=style, zorder=1)
        if row.family:
            _tall_row(axes, row, middle, face)
        else:
            _low_row(axes, row, middle)
        top += height
    return figure


def _rows(layers: Sequence[Mapping[str, Any]]) -> list[_Row]:
    if not layers:
        raise InputError("the layer table is empty, expected a row per layer; see `glassnet models NAME`.")
    for number, layer in enumerate(layers):
        lacking = [key for key in KEYS if key not in layer]
        if lacking:
            raise InputError(f"layer {number} lacks {', '.join(lacking)}, expected {', '.join(KEYS)}.")
    first = next((tuple(layer["input"]) for layer in layers if layer["input"] is not None), ())
    rows = [_Row("image", "", _size(first), first, 0, 0, "input", True)]
    for layer in layers:
        rows.append(_row(layer, rows[-1].output))
    return rows


def _row(layer: Mapping[str, Any], before: tuple[int, ...]) -> _Row:
    """Make a row of what follows on an output; what takes or gives no tensor is thin and leaves the chain as it is."""
    counts = int(layer["parameters"]), int(layer["macs"])
    if layer["input"] is None or layer["output"] is None:
        return _Row(layer["name"], layer["kind"], DASH, before, *counts, None, True)
    taken, output = tuple(layer["input"]), tuple(layer["output"])
    family = _family(layer["kind"])
    sizes = f"{_size(taken)} → {_size(output)}" if family or taken != output else _size(output)
    return _Row(layer["name"], layer["kind"], sizes, output, *counts, family, taken == before)


def _family(kind: str) -> str | None:
    words = {"conv": "convolution", "pool": "pooling", "linear": "fully connected"}
    return next((family for word, family in words.items() if word in kind.lower()), None)


def _size(shape: Sequence[int]) -> str:
    return "×".join(f"{n:,}" for n in shape) if shape else "1"


def _magnitude(count: int) -> str:
    """Write 7225344 as 7.23 M."""
    for power, unit in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {unit}"
    return str(count)


def _heading(axes: Axes, rows: Sequence[_Row], title: str) -> None:
    parameters, macs = sum(row.parameters for row in rows), sum(row.macs for row in rows)
    axes.text(0.12, 0.2, shorten(title, 42), fontsize=12, fontweight="bold", va="center")
    totals = f"{parameters:,} parameters, {_magnitude(macs)} multiply-accumulates (MACs) per image"
    axes.text(0.12, 0.43, totals, fontsize=8.5, va="center")
    used = [family for family in FAMILIES if family != "input" and any(row.family == family for row in rows)]
    x = 0.12
    for family in used:
        axes.add_patch(Rectangle((x, 0.6), 0.13, 0.11, facecolor=FAMILIES[family], edgecolor="none"))
        axes.text(x + 0.18, 0.655, family, fontsize=8.5, va="center")
        x += 0.34 + 0.068 * len(family)
    if not all(row.joined for row in rows):
        axes.plot([x, x + 0.22], [0.655, 0.655], color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
        axes.text(x + 0.27, 0.655, "another input", fontsize=8.5, va="center")
    axes.text(TEXT, 0.95, "layer: input → output\n(channels × height × width)", fontsize=8, color=MUTED, va="center")
    axes.text(RIGHT, 0.95, "parameters\nMACs", fontsize=8, color=MUTED, ha="right", va="center")
    axes.plot([0.12, RIGHT], [1.12, 1.12], color=GRID, linewidth=1)


def _tall_row(axes: Axes, row: _Row, middle: float, face: int) -> None:
    colour = FAMILIES[row.family or "input"]
    if len(row.output) >= 2:
        _volume(axes, row.output, middle, face, colour)
    else:
        half = 0.12 + 0.032 * math.log2(max(row.output[0] if row.output else 1, 1))
        axes.add_patch(Rectangle((CHAIN - half, middle - 0.055), 2 * half, 0.11, facecolor=colour, **EDGE))
    name = axes.text(TEXT, middle - 0.105, shorten(row.name, 24), fontsize=10.5, fontweight="bold", va="center")
    axes.annotate(
        shorten(row.kind, 20), (1, 0.5), (6, 0), xycoords=name, textcoords="offset points", fontsize=9, color=MUTED,
        va="center",
    )  # fmt: skip
    axes.text(TEXT, middle + 0.105, row.sizes, fontsize=10, va="center")
    if row.parameters:
        axes.text(RIGHT, middle - 0.105, f"{row.parameters:,}", fontsize=10, ha="right", va="center")
    if row.macs:
        axes.text(RIGHT, middle + 0.105, _magnitude(row.macs), fontsize=9, color=MUTED, ha="right", va="center")


def _volume(axes: Axes, shape: Sequence[int], middle: float, face: int, colour: str) -> None:
    """Draw a block: its face for height and width (areas to scale at twice the size: roots), its depth for channels."""
    height, width = (0.1 + 0.28 * math.sqrt(side / face) for side in shape[-2:])
    depth = 0.03 + 0.03 * math.log2(max(shape[-3], 1)) if len(shape) >= 3 else 0.03
    left, top = CHAIN - (width + depth) / 2, middle - (height - depth / 2) / 2
    right, bottom, lift = left + width, top + height, depth / 2
    back = [(left, top), (left + depth, top - lift), (right + depth, top - lift), (right + depth, bottom - lift)]
    axes.add_patch(Polygon([*back, (right, bottom), (left, bottom)], facecolor=colour, **EDGE))
    axes.add_patch(Rectangle((left, top), width, height, facecolor=colour, **EDGE))
    axes.plot([right, right + depth], [top, top - lift], color=INK, linewidth=0.6, zorder=2)


def _low_row(axes: Axes, row: _Row, middle: float) -> None:
    axes.plot([CHAIN], [middle], "o", markersize=4, markerfacecolor=SURFACE, markeredgecolor=MUTED, zorder=2)
    label = shorten(f"{row.name}  {row.kind}", max(38 - len(row.sizes), 8))  # 38 characters fill the line
    axes.text(TEXT, middle, label, fontsize=8.7, color=MUTED, va="center")
    axes.text(RIGHT - 0.62, middle, row.sizes, fontsize=8.7, color=MUTED, ha="right", va="center")
    if row.parameters:
        axes.text(RIGHT, middle, f"{row.parameters:,}", fontsize=8.7, color=MUTED, ha="right", va="center")


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
        x = _block(axes, x, row["name"], tuple(row["output"]), _weight_family(row), image)
    x = _code(axes, x, parts, image)
    for row in parts["decoder"]:
        last = row is parts["decoder"][-1]
        x = _block(
            axes, x, row["name"], tuple(row["output"]), _weight_family(row), image, below="sigmoid" if last else ""
        )
    _family_legend(axes, parts)
    return figure


def _weight_family(row: Mapping[str, Any]) -> str:
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
    size = "×".join(map(str, shape)) + (f"\n{below}" if below else "")
    axes.text(x, y + height / 2 + 0.07, size, fontsize=7.5, color=MUTED, ha="center", va="top", linespacing=1.3)
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


def _family_legend(axes: Axes, parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    used = {"image", "code", *(_weight_family(row) for part in ("encoder", "decoder") for row in parts[part])}
    x = 0.2
    for family, colour in COLOURS.items():
        if family in used:
            axes.add_patch(Rectangle((x, 4.02), 0.16, 0.16, facecolor=colour, edgecolor=INK, lw=0.6))
            axes.text(x + 0.22, 4.1, family, fontsize=8.5, va="center")
            x += 0.45 + 0.085 * len(family)
