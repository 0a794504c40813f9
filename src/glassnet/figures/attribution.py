"""Attributions: where each layer looks, image by image, method by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glassnet.errors import InputError
from glassnet.figures.images import draw_outline, draw_picture, to_pictures
from glassnet.figures.overlay import ZEROS, draw_map, draw_scales, method_name
from glassnet.figures.style import MUTED, in_house_style, new_canvas, require_finite, require_shape, shorten

COLUMNS = 8
"""Layers side by side; more of them go on below."""
MARGIN, GAP, CAPTION, LINE, HEADER, FOOT = 0.12, 0.06, 0.32, 0.18, 0.2, 0.62
"""Inches."""
TOP, NUMBER = 0.68, 0.17
"""Inches: above the first block, and for a number below each map."""


@dataclass(frozen=True)
class Plan:
    """Where the blocks and tiles stand, in inches."""

    layers: int
    methods: int
    alone: int
    """Maps below the image, of methods that explain the input alone."""
    lines: int
    """Lines of the captions beyond the first."""
    number: float
    """Height of the number below each map; 0 without numbers."""

    @property
    def columns(self) -> int:
        """Layers side by side, so that the lines are equally full."""
        return -(-self.layers // max(-(-self.layers // COLUMNS), 1))

    @property
    def side(self) -> float:
        """Side of a tile."""
        return 0.98 if self.columns <= 5 else 0.86

    @property
    def step(self) -> float:
        """Height of one tile in the image's column, with its name."""
        return HEADER + self.side + GAP

    @property
    def pitch(self) -> float:
        """Height of one of the methods' lines."""
        return self.side + self.number + GAP

    @property
    def group(self) -> float:
        """Height of one line of layers with all its methods."""
        return HEADER + self.methods * self.pitch

    @property
    def width(self) -> float:
        """Width of the figure."""
        return max(self.tile(0, self.columns - 1, 0)[0] + self.side + MARGIN, 5.4)

    def block(self, image: int) -> float:
        """Top of an image's block; that of the image behind the last is where the foot begins."""
        beside, below = -(-self.layers // max(self.columns, 1)) * self.group, (1 + self.alone) * self.step
        return TOP + image * (CAPTION + LINE * self.lines + max(beside, below) + 0.12)

    def below(self, image: int, place: int) -> tuple[float, float]:
        """Top left corner of the image (place 0) and of the maps of the input alone."""
        return MARGIN, self.block(image) + CAPTION + LINE * self.lines + HEADER + place * self.step

    def tile(self, image: int, layer: int, method: int) -> tuple[float, float]:
        """Top left corner of a layer's map."""
        line, column = divmod(layer, max(self.columns, 1))
        x = MARGIN + self.side + 0.45 + column * (self.side + GAP)
        y = self.block(image) + CAPTION + LINE * self.lines + line * self.group + HEADER
        return x, y + method * self.pitch


NAMES = {"guided_gradcam": "Guided\nGrad-CAM"}
SHORT = {"guided_backpropagation": "guided backprop", "integrated_gradients": "int. gradients"}


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

    Maps without channels (Grad-CAM) are laid over the grey image as heat, as opaque as they are high. Maps with
    channels (guided methods) are drawn with their sign, of the channels the one with the greatest magnitude. Each map
    is scaled by its own maximum, so colours compare places within a map, never two maps. A map of zeros says so, and a
    line at the foot says what it means.

    Args:
        images: Float in [0, 1] or uint8, with 1 or 3 channels.
        maps: By (method, layer), arrays (n, h, w), drawn as heat, or (n, c, h, w), drawn with their sign, as are
            arrays (n, h, w) that hold negative numbers. What a method has at no layer stays blank. Maps at the layer
            "input", which explain the input alone, stand below the image.
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
    shown = _shown(maps, keys, numbers, regions, pictures.shape[:3])
    lines = max(caption.count("\n") for caption in captions)
    plan = Plan(len(layers) if rows else 0, len(rows), len(alone), lines, NUMBER if shown.numbers else 0)
    feet, foot = shown.feet(number_name), plan.block(len(pictures))
    figure, axes = new_canvas(plan.width, foot + FOOT + LINE * len(feet))
    _write_title(axes, title)
    places = _Places(plan, list(layers), alone, rows)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        _frame(axes, places, number, picture, caption)
        _fill(axes, places, number, picture, shown)
    _write_feet(axes, foot, feet, {array.ndim for array in shown.maps.values()})
    return figure


@dataclass(frozen=True)
class _Places:
    """Where the maps of a figure stand.

    Attributes:
        plan: Sizes of the blocks and their parts.
        layers: The columns.
        alone: Methods that explain the input alone, below the image.
        rows: All other methods.
    """

    plan: Plan
    layers: list[str]
    alone: list[str]
    rows: list[str]

    def corner(self, number: int, key: tuple[str, str]) -> tuple[float, float]:
        """Say where a map stands: below the image where it explains the input alone, else in its layer's column."""
        method, layer = key
        if layer == "input":
            return self.plan.below(number, 1 + self.alone.index(method))
        return self.plan.tile(number, self.layers.index(layer), self.rows.index(method))


@dataclass(frozen=True)
class _Shown:
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
        feet += ["White line: the outline of what is explained."] if np.any(self.regions) else []
        return feet + ([ZEROS] if any(not one.any() for array in self.maps.values() for one in array) else [])


def _shown(
    maps: Mapping[tuple[str, str], np.ndarray],
    keys: Sequence[tuple[str, str]],
    numbers: Mapping[tuple[str, str], np.ndarray] | None,
    regions: np.ndarray | None,
    expected: tuple[int, int, int],
) -> _Shown:
    """Check what is to be drawn against the images' shape (n, h, w)."""
    if regions is not None:
        require_shape("regions", regions, expected, str(expected))
    checked = {key: _checked(maps, key, expected) for key in keys}
    told = {key: values for key, values in (numbers or {}).items() if key in checked and key[1] != "input"}
    return _Shown(checked, told, regions)


def _fill(axes: Axes, places: _Places, number: int, picture: np.ndarray, shown: _Shown) -> None:
    """Draw an image's maps and what goes with them: numbers below, the outline of its region on top."""
    side, outlined = places.plan.side, [places.plan.below(number, 0)]
    for key, values in shown.maps.items():
        corner = places.corner(number, key)
        draw_map(axes, picture, values[number], corner, side)
        outlined += [corner] if values[number].any() else []
        if key in shown.numbers and np.isfinite(shown.numbers[key][number]):
            _write_number(axes, corner, side, float(shown.numbers[key][number]))
    if shown.regions is not None:
        for corner in outlined:
            draw_outline(axes, shown.regions[number], *corner, side)


def _write_title(axes: Axes, title: str) -> None:
    axes.text(MARGIN, 0.23, title, fontsize=12, fontweight="bold", va="center")
    note = "A block per image, a column per layer. Each map is scaled by its own maximum."
    axes.text(MARGIN, 0.47, note, fontsize=8.5, color=MUTED, va="center")


def _write_feet(axes: Axes, foot: float, feet: Sequence[str], kinds: set[int]) -> None:
    """Draw the scales of the kinds of maps at the foot, and below them the lines that it has."""
    draw_scales(axes, MARGIN, foot + 0.08, kinds)
    for line, words in enumerate(feet):
        axes.text(MARGIN, foot + FOOT + LINE * line + 0.04, words, fontsize=8, color=MUTED, va="center")


def _frame(axes: Axes, places: _Places, number: int, picture: np.ndarray, caption: str) -> None:
    """Draw what stands in an image's block beside the maps: its heading, the image, the names of layers and methods."""
    plan = places.plan
    _heading(axes, plan, number, caption, ["image", *(SHORT.get(m, method_name(m)) for m in places.alone)])
    draw_picture(axes, picture, *plan.below(number, 0), plan.side)
    for column, layer in enumerate(places.layers if places.rows else ()):
        _layer(axes, plan, number, column, layer, places.rows)


def _captioned(images: Real[np.ndarray, "n c h w"], captions: Sequence[str]) -> np.ndarray:
    pictures = to_pictures(images)
    if len(captions) != len(pictures) or not len(pictures):
        raise InputError(
            f"got {len(pictures)} images and {len(captions)} captions, expected a caption per image, one or more."
        )
    return pictures


def _write_number(axes: Axes, corner: tuple[float, float], side: float, share: float) -> None:
    x, y = corner[0] + side / 2, corner[1] + side + NUMBER / 2 + 0.01
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
            f"({number}, channels, {height}, {width}), as the images; resize them first."
        )
    array = array.astype(np.float64)
    # Heat has no colour for what lowers the score; a map that has both is drawn with its sign.
    return array[:, None] if array.ndim == 3 and (array < 0).any() else array


def _heading(axes: Axes, plan: Plan, number: int, caption: str, names: Sequence[str]) -> None:
    """Open an image's block: a rule, its caption, what stands in its first column."""
    top = plan.block(number)
    axes.plot([MARGIN, plan.width - MARGIN], [top, top], color=MUTED, linewidth=1)
    for line, words in enumerate(caption.split("\n")):
        weight = "normal" if line else "bold"
        axes.text(MARGIN, top + 0.17 + LINE * line, words, fontsize=10, fontweight=weight, va="center")
    for place, name in enumerate(names):
        x, y = plan.below(number, place)
        axes.text(x + plan.side / 2, y - HEADER / 2, shorten(name, 16), fontsize=8.2, ha="center", va="center")


def _layer(axes: Axes, plan: Plan, number: int, column: int, layer: str, methods: Sequence[str]) -> None:
    """Write a layer's name above its maps, and beside the first of each line the methods'."""
    x, y = plan.tile(number, column, 0)
    name = shorten(layer, int(plan.side * 13))
    axes.text(x + plan.side / 2, y - HEADER / 2, name, fontsize=8.5, ha="center", va="center")
    if column % plan.columns == 0:
        for row, method in enumerate(methods):
            label, middle = (
                NAMES.get(method, method_name(method)),
                plan.tile(number, column, row)[1] + plan.side / 2,
            )
            axes.text(x - 0.18, middle, label, fontsize=8, rotation=90, ha="center", va="center", linespacing=1.05)
