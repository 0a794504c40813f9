"""Attributions: where each layer looks, image by image, method by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap

import numpy as np
from jaxtyping import Bool, Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glassnet.errors import InputError
from glassnet.figures.images import draw_outline, draw_picture, to_pictures
from glassnet.figures.overlay import ZEROS, draw_map, draw_scales, method_name
from glassnet.figures.style import MUTED, in_house_style, new_canvas, require_finite, require_shape, shorten

SIDE = 1.67
"""Inches: a map's side, 160 pixels in a browser, which draws 96 to the inch, and 250 in a PNG of 150 to the inch."""
COLUMNS = 4
"""Layers side by side; more of them go on below."""
MARGIN, GAP, CAPTION, LINE, HEADER, FOOT = 0.12, 0.06, 0.32, 0.18, 0.2, 0.62
"""Inches."""
TOP, NUMBER, METHOD, BETWEEN = 0.68, 0.17, 0.45, 0.3
"""Inches: above the first block, for a number below each map, for the methods' names, and between two blocks."""
WIDEST, LEAST = 9.4, 5.4
"""Inches: what blocks side by side fill at most, and the figure's least width."""
BOLD, PLAIN, SMALL = 0.09, 0.08, 0.061
"""Inches that a letter takes at most on average: of a caption's first line, of its others, of the foot."""


@dataclass(frozen=True)
class Plan:
    """Where the blocks and tiles stand, in inches."""

    images: int
    layers: int
    methods: int
    alone: int
    """Maps of methods that explain the input alone: below the image, or beside it where there are no layers."""
    lines: int
    """Lines of the captions beyond the first."""
    number: float
    """Height of the number below each map; 0 without numbers."""

    @property
    def columns(self) -> int:
        """Layers side by side, or without layers the image and its maps, so that the lines are equally full."""
        tiles, most = (self.layers, COLUMNS) if self.layers else (1 + self.alone, COLUMNS + 1)
        return -(-tiles // -(-tiles // most))

    @property
    def step(self) -> float:
        """Height of one tile in the image's column, with its name."""
        return HEADER + SIDE + GAP

    @property
    def pitch(self) -> float:
        """Height of one of the methods' lines."""
        return SIDE + self.number + GAP

    @property
    def group(self) -> float:
        """Height of one line of layers with all its methods."""
        return HEADER + self.methods * self.pitch

    @property
    def block_width(self) -> float:
        """Width of an image's block."""
        first = SIDE + METHOD if self.layers else 0.0
        return first + self.columns * (SIDE + GAP) - GAP

    @property
    def across(self) -> int:
        """Blocks side by side."""
        return max(1, min(self.images, int((WIDEST + BETWEEN) / (self.block_width + BETWEEN))))

    @property
    def width(self) -> float:
        """Width that the blocks take with their margins."""
        return 2 * MARGIN + self.across * (self.block_width + BETWEEN) - BETWEEN

    @property
    def end(self) -> float:
        """Where the last blocks end."""
        return self.block(-(-self.images // self.across) * self.across)[1]

    def block(self, image: int) -> tuple[float, float]:
        """Top left corner of an image's block."""
        line, place = divmod(image, self.across)
        if self.layers:
            high = max(-(-self.layers // self.columns) * self.group, (1 + self.alone) * self.step)
        else:
            high = -(-(1 + self.alone) // self.columns) * self.step
        height = CAPTION + LINE * self.lines + high + 0.12
        return MARGIN + place * (self.block_width + BETWEEN), TOP + line * height

    def of_input(self, image: int, place: int) -> tuple[float, float]:
        """Top left corner of the image (place 0) and of the maps of the input alone."""
        left, top = self.block(image)
        line, column = (place, 0) if self.layers else divmod(place, self.columns)
        return left + column * (SIDE + GAP), top + CAPTION + LINE * self.lines + HEADER + line * self.step

    def tile(self, image: int, layer: int, method: int) -> tuple[float, float]:
        """Top left corner of a layer's map."""
        left, top = self.block(image)
        line, column = divmod(layer, self.columns)
        y = top + CAPTION + LINE * self.lines + line * self.group + HEADER
        return left + SIDE + METHOD + column * (SIDE + GAP), y + method * self.pitch


@in_house_style
def attribution_grid(
    images: Real[np.ndarray, "n c h w"],
    maps: Mapping[tuple[str, str], np.ndarray],
    layers: Sequence[str],
    methods: Sequence[str],
    captions: Sequence[str],
    *,
    title: str = "Where each layer looks",
    numbers: Mapping[tuple[str, str], Real[np.ndarray, " n"]] | None = None,
    number_name: str = "",
    regions: Bool[np.ndarray, "_ _ _"] | None = None,
) -> Figure:
    """Draw a block per image: the image, and beside it one map per layer (column) and method (row).

    Blocks stand side by side where two or more fit; without layers, maps of the input stand beside their image.

    Maps without channels (Grad-CAM) are laid over the grey image as heat, as opaque as they are high. Maps with
    channels (guided methods) are drawn with their sign, of the channels the one with the greatest magnitude. Each map
    is scaled by its own maximum, so colours compare places within a map, never two maps. A map of zeros says so, and a
    line at the foot says what it means.

    Args:
        images: Float in [0, 1] or uint8, with 1 or 3 channels.
        maps: By (method, layer), arrays (n, h, w), drawn as heat, or (n, c, h, w), drawn with their sign, as are
            arrays (n, h, w) that hold negative numbers. What a method has at no layer stays blank. Maps at the layer
            "input", which explain the input alone, stand below the image, or beside it where there are no layers.
        layers: The columns, in order.
        methods: The rows, in order.
        captions: One per image: its label, the prediction, the target's probability; further lines are lighter.
        title: The figure's heading.
        numbers: By (method, layer), a share of 1 for each image, written below its map; NaN is left out, and so
            are numbers of maps of the input.
        number_name: What these numbers are, as in "share inside the stroke".
        regions: The part of each image that is explained, as a segmented one; its outline is drawn on image and maps.

    Raises:
        InputError: A method or layer has no map, one has another shape or holds NaN, the regions are not of the
            images' shape, or the captions are not as many as the images.
    """
    pictures = _captioned(images, captions)
    alone, rows = _methods(maps, layers, methods)
    keys = [(m, "input") for m in alone] + [(m, name) for m in rows for name in layers if (m, name) in maps]
    content = _content(maps, keys, numbers, regions, pictures.shape[:3])
    plan = Plan(len(pictures), len(layers) if rows else 0, len(rows), len(alone), 0, NUMBER if content.numbers else 0)
    written = [_wrapped(caption, plan.block_width) for caption in captions]
    plan = replace(plan, lines=max(map(len, written)) - 1)
    width = max(plan.width, LEAST, 2 * MARGIN + 0.105 * len(title))
    feet = [line for text in content.feet(number_name) for line in wrap(text, int((width - 2 * MARGIN) / SMALL))]
    figure, axes = new_canvas(width, plan.end + FOOT + LINE * len(feet))
    _write_title(axes, title, layered=bool(rows))
    places = _Places(plan, list(layers) if rows else [], alone, rows)
    for number, (picture, lines) in enumerate(zip(pictures, written, strict=True)):
        _frame(axes, places, number, picture, lines)
        _fill(axes, places, number, picture, content)
    _write_feet(axes, plan.end, feet, {array.ndim for array in content.maps.values()})
    return figure


def _wrapped(caption: str, width: float) -> list[tuple[str, str]]:
    """Break a caption's lines at a width in inches; return each with its font weight, bold what was the first."""
    first, *others = caption.split("\n")
    bold = [(line, "bold") for line in wrap(first, int(width / BOLD)) or [""]]
    return bold + [(line, "normal") for other in others for line in wrap(other, int(width / PLAIN))]


@dataclass(frozen=True)
class _Places:
    """Where the maps of a figure stand.

    Attributes:
        plan: Sizes of the blocks and their parts.
        layers: The columns.
        alone: Methods that explain the input alone.
        rows: All other methods.
    """

    plan: Plan
    layers: list[str]
    alone: list[str]
    rows: list[str]

    def corner(self, number: int, key: tuple[str, str]) -> tuple[float, float]:
        """Say where a map stands: with the image where it explains the input alone, else in its layer's column."""
        method, layer = key
        if layer == "input":
            return self.plan.of_input(number, 1 + self.alone.index(method))
        return self.plan.tile(number, self.layers.index(layer), self.rows.index(method))


@dataclass(frozen=True, eq=False)
class _Content:
    """What is drawn beside the images.

    Attributes:
        maps: By (method, layer), as `draw_map` takes them.
        numbers: By (method, layer), what stands below a map.
        regions: What of each image is explained.
    """

    maps: dict[tuple[str, str], np.ndarray]
    numbers: dict[tuple[str, str], np.ndarray]
    regions: np.ndarray | None

    def feet(self, number_name: str) -> list[str]:
        """Say at the foot what a stranger would not know of these."""
        feet = [f"Below each layer's map: {number_name}."] if self.numbers else []
        feet += ["White line: outline of the explained region."] if np.any(self.regions) else []
        return feet + ([ZEROS] if any(not one.any() for array in self.maps.values() for one in array) else [])


def _content(
    maps: Mapping[tuple[str, str], np.ndarray],
    keys: Sequence[tuple[str, str]],
    numbers: Mapping[tuple[str, str], np.ndarray] | None,
    regions: np.ndarray | None,
    expected: tuple[int, int, int],
) -> _Content:
    """Check what is to be drawn against the images' shape (n, h, w)."""
    if regions is not None:
        require_shape("regions", regions, expected, str(expected))
    checked = {key: _checked(maps, key, expected) for key in keys}
    below = {key: values for key, values in (numbers or {}).items() if key in checked and key[1] != "input"}
    return _Content(checked, below, regions)


def _fill(axes: Axes, places: _Places, number: int, picture: np.ndarray, content: _Content) -> None:
    """Draw an image's maps and what goes with them: numbers below, the outline of its region on top."""
    outlined = [places.plan.of_input(number, 0)]
    for key, values in content.maps.items():
        corner = places.corner(number, key)
        draw_map(axes, picture, values[number], corner, SIDE)
        outlined += [corner] if values[number].any() else []
        if key in content.numbers and np.isfinite(content.numbers[key][number]):
            _write_number(axes, corner, float(content.numbers[key][number]))
    if content.regions is not None:
        for corner in outlined:
            draw_outline(axes, content.regions[number], *corner, SIDE)


def _write_title(axes: Axes, title: str, *, layered: bool) -> None:
    axes.text(MARGIN, 0.23, title, fontsize=12, fontweight="bold", va="center")
    blocks = "One block per image, one column per layer." if layered else "One block per image."
    note = f"{blocks} Each map is scaled by its own maximum."
    axes.text(MARGIN, 0.47, note, fontsize=8.5, color=MUTED, va="center")


def _write_feet(axes: Axes, foot: float, feet: Sequence[str], kinds: set[int]) -> None:
    """Draw the scales of the kinds of maps at the foot, and below them the lines that it has."""
    draw_scales(axes, MARGIN, foot + 0.08, kinds)
    for line, words in enumerate(feet):
        axes.text(MARGIN, foot + FOOT + LINE * line + 0.04, words, fontsize=8, color=MUTED, va="center")


def _frame(axes: Axes, places: _Places, number: int, picture: np.ndarray, lines: Sequence[tuple[str, str]]) -> None:
    """Draw what stands in an image's block beside the maps: its heading, the image, the names of layers and methods."""
    plan = places.plan
    _heading(axes, plan, number, lines, ["image", *map(method_name, places.alone)])
    draw_picture(axes, picture, *plan.of_input(number, 0), SIDE)
    for column, layer in enumerate(places.layers):
        _layer(axes, plan, number, column, layer, places.rows)


def _captioned(images: Real[np.ndarray, "n c h w"], captions: Sequence[str]) -> np.ndarray:
    pictures = to_pictures(images)
    if len(captions) != len(pictures) or not len(pictures):
        raise InputError(f"got {len(pictures)} images and {len(captions)} captions, expected one caption per image.")
    return pictures


def _write_number(axes: Axes, corner: tuple[float, float], share: float) -> None:
    x, y = corner[0] + SIDE / 2, corner[1] + SIDE + NUMBER / 2 + 0.01
    axes.text(x, y, f"{share:.0%}", fontsize=8, ha="center", va="center")


def _methods(
    maps: Mapping[tuple[str, str], np.ndarray], layers: Sequence[str], methods: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Part the methods that explain the input alone from those that explain layers, seeing that each has a map."""
    alone = [method for method in methods if (method, "input") in maps]
    rows = [method for method in methods if method not in alone]
    for method in rows:
        if not any((method, layer) in maps for layer in layers):
            raise InputError(
                f"there is no map of {method}, expected one at any of {', '.join(layers) or 'the layers'}."
            )
    for layer in layers if rows else ():
        if not any((method, layer) in maps for method in rows):
            raise InputError(f"there is no map at {layer}, expected one of any of {', '.join(rows)}.")
    if not methods or not (layers or alone):
        raise InputError("there are no maps to draw, expected at least one method and one layer.")
    return alone, rows


def _checked(
    maps: Mapping[tuple[str, str], np.ndarray], key: tuple[str, str], expected: tuple[int, int, int]
) -> np.ndarray:
    array = require_finite(f"the maps of {key[0]} at {key[1]}", maps[key])
    if array.ndim not in (3, 4) or (len(array), *array.shape[-2:]) != expected:
        number, height, width = expected
        raise InputError(
            f"the maps of {key[0]} at {key[1]} have shape {array.shape}, expected ({number}, {height}, {width}) or "
            f"({number}, channels, {height}, {width}), like the images; resize them first."
        )
    array = array.astype(np.float64)
    # Heat has no colour for what lowers the score; a map that has both is drawn with its sign.
    return array[:, None] if array.ndim == 3 and (array < 0).any() else array


def _heading(axes: Axes, plan: Plan, number: int, lines: Sequence[tuple[str, str]], names: Sequence[str]) -> None:
    """Open an image's block: a rule, its caption, the names of the image and of the maps of the input."""
    left, top = plan.block(number)
    axes.plot([left, left + plan.block_width], [top, top], color=MUTED, linewidth=1)
    for line, (words, weight) in enumerate(lines):
        axes.text(left, top + 0.17 + LINE * line, words, fontsize=10, fontweight=weight, va="center")
    for place, name in enumerate(names):
        x, y = plan.of_input(number, place)
        axes.text(x + SIDE / 2, y - HEADER / 2, shorten(name, 24), fontsize=8.5, ha="center", va="center")


def _layer(axes: Axes, plan: Plan, number: int, column: int, layer: str, methods: Sequence[str]) -> None:
    """Write a layer's name above its maps, and beside the first of each line the methods'."""
    x, y = plan.tile(number, column, 0)
    axes.text(x + SIDE / 2, y - HEADER / 2, shorten(layer, 22), fontsize=8.5, ha="center", va="center")
    if column % plan.columns == 0:
        for row, method in enumerate(methods):
            middle = plan.tile(number, column, row)[1] + SIDE / 2
            axes.text(x - 0.18, middle, method_name(method), fontsize=8.5, rotation=90, ha="center", va="center")
