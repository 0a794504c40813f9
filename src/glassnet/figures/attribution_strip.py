"""Networks compared on the same images: where each of them looks, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glassnet.errors import InputError
from glassnet.figures.images import draw_picture, to_pictures
from glassnet.figures.overlay import ZEROS, draw_map, draw_scales
from glassnet.figures.style import MUTED, in_house_style, new_canvas, require_finite, shorten

MARGIN, GAP, SIDE, NAME, LINE, HEAD, TOP, FOOT = 0.12, 0.1, 1.67, 0.95, 0.165, 0.5, 0.68, 0.66
"""Inches."""


@in_house_style
def attribution_strip(
    images: Mapping[str, Real[np.ndarray, "n c _ _"]],
    maps: Mapping[str, Real[np.ndarray, "n _ _"]],
    captions: Sequence[str],
    *,
    below: Mapping[str, Sequence[str]],
    notes: Mapping[str, str] | None = None,
    title: str = "Where the networks look",
) -> Figure:
    """Draw a row per image: the image, and beside it one map per network, laid over what that network was given.

    Each map is scaled by its own maximum, so colours compare places within a map, never two maps.

    Args:
        images: By network, the same images at the size that it takes, float in [0, 1] or uint8.
        maps: By network, (n, h, w), 0 or more, at that size.
        captions: One per image, left of it; lines are broken at newlines.
        below: By network, lines below each map, as in "p(7) = 0.99".
        notes: By network, a line below its name, as in its layer and the size of its maps.
        title: The figure's heading.

    Raises:
        InputError: There is no network, or the arrays do not fit each other.
    """
    names = _named(images, maps, below)
    pictures = {name: to_pictures(images[name]) for name in names}
    checked = {name: _checked(name, maps[name], pictures[name].shape[:3]) for name in names}
    for name in names:
        _require_as_many(name, captions, pictures[name], below[name])
    lines = 1 + max(line.count("\n") for name in names for line in below[name])
    step, zero = SIDE + LINE * lines + 0.12, any(not m.any() for array in checked.values() for m in array)
    left = MARGIN + NAME
    end = TOP + HEAD + len(captions) * step
    width = max(left + (1 + len(names)) * (SIDE + GAP) + MARGIN, 6.2 if zero else 5.4)
    figure, axes = new_canvas(width, end + FOOT + (LINE if zero else 0))
    axes.text(MARGIN, 0.23, title, fontsize=12, fontweight="bold", va="center")
    note = "One row per image, one column per network. Each map is scaled by its own maximum."
    axes.text(MARGIN, 0.47, note, fontsize=8.5, color=MUTED, va="center")
    _head(axes, left, "image", "")
    for column, name in enumerate(names, 1):
        _head(axes, left + column * (SIDE + GAP), name, (notes or {}).get(name, ""))
    for row, caption in enumerate(captions):
        y = TOP + HEAD + row * step
        axes.text(MARGIN, y + SIDE / 2, caption, fontsize=9, va="center", linespacing=1.3)
        draw_picture(axes, pictures[names[0]][row], left, y, SIDE)
        for column, name in enumerate(names, 1):
            corner = (left + column * (SIDE + GAP), y)
            draw_map(axes, pictures[name][row], checked[name][row], corner, SIDE)
            _write_below(axes, corner, below[name][row])
    draw_scales(axes, MARGIN, end + 0.06, {3})
    if zero:
        axes.text(MARGIN, end + FOOT, ZEROS, fontsize=8, color=MUTED, va="center")
    return figure


def _named(images: Mapping[str, object], maps: Mapping[str, object], below: Mapping[str, object]) -> list[str]:
    """Return the names of the networks, after seeing that all is there for each."""
    names = list(maps)
    if not names or list(images) != names or list(below) != names:
        raise InputError(
            f"got images of {', '.join(images) or 'no network'} and maps of {', '.join(names) or 'none'}, expected "
            "images, maps and lines of the same networks, one or more."
        )
    return names


def _require_as_many(name: str, captions: Sequence[str], pictures: np.ndarray, below: Sequence[str]) -> None:
    if not len(captions) == len(pictures) == len(below):
        raise InputError(
            f"got {len(captions)} captions, {len(pictures)} images and {len(below)} lines of {name}, expected the same "
            "number of each."
        )


def _write_below(axes: Axes, corner: tuple[float, float], text: str) -> None:
    """Write lines below a map, each in the middle."""
    x, y = corner
    for line, words in enumerate(text.split("\n")):
        middle = y + SIDE + LINE * (line + 0.5) + 0.02
        axes.text(x + SIDE / 2, middle, words, fontsize=8, ha="center", va="center")


def _checked(name: str, values: np.ndarray, expected: tuple[int, ...]) -> np.ndarray:
    array = require_finite(f"the maps of {name}", values)
    if array.shape != tuple(expected):
        raise InputError(
            f"the maps of {name} have shape {array.shape}, expected {tuple(expected)}, like its images; resize them "
            "first."
        )
    return array.astype(np.float64)


def _head(axes: Axes, left: float, name: str, note: str) -> None:
    middle = left + SIDE / 2
    axes.text(middle, TOP + 0.12, shorten(name, 18), fontsize=9.5, fontweight="bold", ha="center", va="center")
    axes.text(middle, TOP + 0.33, shorten(note, 24), fontsize=8, color=MUTED, ha="center", va="center")
