"""Rows of images under each other, as noisy, reconstructed and original, each image with its number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glassnet.errors import InputError
from glassnet.figures.images import LINE, draw_picture, to_pictures
from glassnet.figures.style import MUTED, in_house_style, new_canvas

TILE, GAP, MARGIN = 0.82, 0.07, 0.12
"""Inches."""
LETTER = 0.078
"""Inches that a letter of a row's name takes."""


@in_house_style
def image_rows(
    rows: Mapping[str, Real[np.ndarray, "n c h w"]],
    *,
    title: str,
    note: str = "",
    captions: Mapping[str, Sequence[str]] | None = None,
    columns: Sequence[str] = (),
) -> Figure:
    """Draw images row by row, each row named at its left.

    Args:
        rows: Images by the row's name, float in [0, 1] or uint8, with 1 or 3 channels; as many in each row.
        title: The figure's heading.
        note: How to read it, below the heading.
        captions: By the row's name, a word below each of its images.
        columns: A heading for each column.

    Raises:
        InputError: There is no row, rows differ in length, captions are not as many as images, or images cannot be
            drawn.
    """
    pictures = {name: to_pictures(np.asarray(images)) for name, images in rows.items()}
    told = captions or {}
    count = _check(pictures, told, columns)
    left = MARGIN + LETTER * max(max(map(len, name.split("\n"))) for name in pictures) + 0.1
    lines = note.split("\n") if note else []
    top = 0.45 + LINE * len(lines) + (0.24 if columns else 0.08)
    heights = [TILE + GAP + (LINE if name in told else 0) for name in pictures]
    width = max(left + count * (TILE + GAP) + MARGIN, 2 * MARGIN + 0.098 * len(title), 5.2)
    figure, axes = new_canvas(width, top + sum(heights) + 0.08)
    _head(axes, title, lines)
    for place, word in enumerate(columns):
        axes.text(left + place * (TILE + GAP) + TILE / 2, top - 0.11, word, fontsize=8.5, ha="center", va="center")
    for (name, row), height in zip(pictures.items(), heights, strict=True):
        axes.text(left - 0.1, top + TILE / 2, name, fontsize=9, fontweight="bold", ha="right", va="center")
        _row(axes, row, told.get(name, ()), left, top)
        top += height
    return figure


def _head(axes: Axes, title: str, lines: Sequence[str]) -> None:
    axes.text(MARGIN, 0.23, title, fontsize=12, fontweight="bold", va="center")
    for number, line in enumerate(lines):
        axes.text(MARGIN, 0.46 + LINE * number, line, fontsize=8.5, color=MUTED, va="center")


def _row(axes: Axes, row: np.ndarray, captions: Sequence[str], left: float, top: float) -> None:
    for place, picture in enumerate(row):
        at = left + place * (TILE + GAP)
        draw_picture(axes, picture, at, top, TILE)
        if captions:
            axes.text(at + TILE / 2, top + TILE + LINE * 0.55, captions[place], fontsize=8, ha="center", va="center")


def _check(pictures: Mapping[str, np.ndarray], captions: Mapping[str, Sequence[str]], columns: Sequence[str]) -> int:
    """Return how many images a row has."""
    lengths = {len(row) for row in pictures.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(
            f"rows of {', '.join(map(str, sorted(lengths))) or 'no'} images, expected the same number of at least 1."
        )
    count = lengths.pop()
    for name, words in captions.items():
        if name not in pictures or len(words) != count:
            raise InputError(f"there are {len(words)} captions for row '{name}', expected {count} for a row there is.")
    if columns and len(columns) != count:
        raise InputError(f"there are {len(columns)} column headings, expected {count}, one for each image of a row.")
    return count
