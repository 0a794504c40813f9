"""A sheet of channels: the images that activate each most, its synthetic image, its classes, and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from jaxtyping import Float, Int, Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from glassnet.errors import InputError
from glassnet.figures.images import BEHIND_LINE, draw_picture, to_pictures
from glassnet.figures.style import ACCENT, GRID, MUTED, PALETTE, in_house_style, new_canvas, require_shape, shorten

TILE, GAP, MARGIN = 0.86, 0.05, 0.12
"""Inches: side of a picture, between two, around all."""
PITCH, LINE, HEAD = 1.08, 0.168, 0.28
"""Inches: from one channel to the next at least, of a line of text, for the heads of the columns."""
BARS = 1.75
"""Inches of the bars of classes."""
LETTER, SMALL = 0.066, 0.0625
"""Inches that a letter takes at most on average, of the facts and of the notes."""
UPRIGHT, SHORT = 12, 3
"""Up to so many classes, with names of so many letters at most, have a bar each; of others the first five have."""
LISTED, NAME = 5, 16
"""Classes that are listed otherwise, and letters of a name."""
LEAST_PIXELS, AROUND, WHOLE = 28, 1.5, 0.75
"""A crop has so many pixels a side at least and is so many times the box; where that is most of an image, it is all."""
BOXED = PALETTE[1]


@dataclass(frozen=True, eq=False)
class ChannelRow:
    """One channel of a sheet.

    Attributes:
        name: As in "channel 12".
        facts: Lines below the name.
        images: Those that activate it most, the strongest first, float in [0, 1] or uint8.
        boxes: Of each image, left, top, right and bottom in pixels of what the channel saw there; None for all of it.
        picture: Its synthetic image; None where there is none.
        reach: A few words below that image.
        bars: A number of 0 or more for each class; NaN for none.
    """

    name: str
    facts: tuple[str, ...]
    images: Real[np.ndarray, "k c h w"]
    boxes: Int[np.ndarray, "k 4"] | None = None
    picture: Real[np.ndarray, "c _ _"] | None = None
    reach: str = ""
    bars: Float[np.ndarray, " classes"] | None = None


@in_house_style
def channel_sheet(
    rows: Sequence[ChannelRow],
    *,
    title: str,
    note: str = "",
    classes: Sequence[str] = (),
    feet: Sequence[str] = (),
) -> Figure:
    """Draw a row for each channel: its numbers, strongest images, synthetic image and mean activation by class.

    Where a channel sees only a part of an image, that part is framed, and of a large image it is shown with what is
    around it. Bars are scaled by the longest of their own row.

    Args:
        rows: The channels, in order.
        title: The figure's heading.
        note: What the figure shows, below the heading.
        classes: Names of the classes, in order; none draws no bars.
        feet: What a stranger has to know of the numbers, at the foot.

    Raises:
        InputError: There is no channel, bars are not one a class, or images cannot be drawn.
    """
    if not rows:
        raise InputError("there are no channels to draw, expected at least one.")
    for row in rows:
        if row.bars is not None:
            require_shape("bars", row.bars, (len(classes),), f"({len(classes)},), one for each class")
        if row.boxes is not None:
            require_shape("boxes", row.boxes, (len(row.images), 4), f"({len(row.images)}, 4)")
    plan = _plan(rows, classes, title)
    written = wrap(note, int((plan.width - 2 * MARGIN) / SMALL))
    foot = [line for text in feet for line in wrap(text, int((plan.width - 2 * MARGIN) / SMALL))]
    top = 0.42 + LINE * len(written) + HEAD
    end = top + plan.pitch * len(rows)
    figure, axes = new_canvas(plan.width, end + LINE * len(foot) + 0.12)
    axes.text(MARGIN, 0.23, title, fontsize=12, fontweight="bold", va="center")
    for number, line in enumerate(written):
        axes.text(MARGIN, 0.48 + LINE * number, line, fontsize=8.5, color=MUTED, va="center")
    _heads(axes, plan, top - 0.12)
    for number, row in enumerate(rows):
        _row(axes, row, plan, top + plan.pitch * number, classes)
    for number, line in enumerate(foot):
        axes.text(MARGIN, end + 0.05 + LINE * number, line, fontsize=8, color=MUTED, va="center")
    return figure


@dataclass(frozen=True)
class _Plan:
    """Where the columns begin, in inches.

    Attributes:
        images: The strongest images.
        shown: How many of them.
        picture: The synthetic image; None where no row has one.
        bars: The bars; None without classes.
        width: Of all.
        pitch: From one channel to the next.
    """

    images: float
    shown: int
    picture: float | None
    bars: float | None
    width: float
    pitch: float


def _plan(rows: Sequence[ChannelRow], classes: Sequence[str], title: str) -> _Plan:
    lines = [line for row in rows for line in (row.name, *row.facts)]
    images = MARGIN + max(1.2, LETTER * max(map(len, lines))) + 0.12
    shown = max(len(row.images) for row in rows)
    right = images + shown * (TILE + GAP)
    picture = bars = None
    if any(row.picture is not None for row in rows):
        picture = right + 0.16
        right = picture + TILE + GAP
    if classes and any(row.bars is not None for row in rows):
        bars = right + (0.16 if picture is None else 0.3)
        right = bars + BARS
    width = max(right + MARGIN, 2 * MARGIN + 0.1 * len(title), 5.2)
    pitch = max(PITCH, 0.1 + LINE * (1 + max(len(row.facts) for row in rows)))
    return _Plan(images, shown, picture, bars, width, pitch)


def _heads(axes: Axes, plan: _Plan, y: float) -> None:
    most = "the image that activates it most" if plan.shown == 1 else "the images that activate it most"
    heads = [(plan.images, most if plan.shown > 2 or plan.picture is None else "strongest")]
    heads += [] if plan.picture is None else [(plan.picture, "synthetic image")]
    heads += [] if plan.bars is None else [(plan.bars, "mean activation by class")]
    for x, word in heads:
        axes.text(x, y, word, fontsize=8.5, color=MUTED, va="center")


def _row(axes: Axes, row: ChannelRow, plan: _Plan, top: float, classes: Sequence[str]) -> None:
    axes.text(MARGIN, top + 0.08, row.name, fontsize=9.5, fontweight="bold", va="center")
    for number, line in enumerate(row.facts):
        axes.text(MARGIN, top + 0.08 + LINE * (number + 1), line, fontsize=8, va="center")
    for place, picture in enumerate(to_pictures(row.images)):
        box = None if row.boxes is None else row.boxes[place]
        _crop(axes, picture, box, plan.images + place * (TILE + GAP), top)
    if plan.picture is not None and row.picture is not None:
        draw_picture(axes, to_pictures(row.picture[None])[0], plan.picture, top, TILE)
        axes.text(plan.picture + TILE / 2, top + TILE + 0.09, row.reach, fontsize=7.5, ha="center", va="center")
    if plan.bars is not None and row.bars is not None:
        _bars(axes, row.bars, classes, plan.bars, top)


def _crop(axes: Axes, picture: Float[np.ndarray, "h w 3"], box: np.ndarray | None, left: float, top: float) -> None:
    """Draw what a channel saw of an image, framed, with what is around it."""
    if box is None:
        draw_picture(axes, picture, left, top, TILE)
        return
    x, y, crop = crop_around(picture, box)
    draw_picture(axes, crop, left, top, TILE)
    height, width = crop.shape[:2]
    scale = TILE / max(height, width)
    first, last = left + (TILE - scale * width) / 2, top + (TILE - scale * height) / 2
    corner = (first + scale * (box[0] - x), last + scale * (box[1] - y))
    size = (scale * (box[2] - box[0]), scale * (box[3] - box[1]))
    for colour, thickness in ((BEHIND_LINE, 2.0), (BOXED, 1.1)):
        axes.add_patch(Rectangle(corner, *size, facecolor="none", edgecolor=colour, linewidth=thickness))


def crop_around(
    picture: Float[np.ndarray, "h w 3"], box: Int[np.ndarray, " 4"]
) -> tuple[int, int, Float[np.ndarray, "_ _ 3"]]:
    """Cut a square around a box out of a picture: its first column and row, and the square.

    It is one and a half times as large as the box, but no less than 28 pixels, and all of the picture where that is
    three quarters of it. It lies within the picture.

    Args:
        picture: Colours.
        box: Left, top, right and bottom in pixels, right and bottom excluded.
    """
    height, width = picture.shape[:2]
    side = max(LEAST_PIXELS, int(np.ceil(AROUND * max(box[2] - box[0], box[3] - box[1]))))
    if side >= WHOLE * min(height, width):
        return 0, 0, picture
    x, y = (
        int(np.clip((box[i] + box[i + 2] - side) // 2, 0, most - side)) for i, most in ((0, width), (1, height))
    )  # fmt: skip
    return x, y, picture[y : y + side, x : x + side]


def _bars(axes: Axes, values: Float[np.ndarray, " classes"], classes: Sequence[str], left: float, top: float) -> None:
    known = np.nan_to_num(values, nan=0.0)
    share = known / (known.max() or 1.0)
    if len(classes) <= UPRIGHT and max(map(len, classes)) <= SHORT:
        _upright(axes, share, classes, left, top)
        return
    order = np.argsort(-known, kind="stable")[:LISTED]
    middle = left + BARS * 0.6
    for line, one in enumerate(order.tolist()):
        y = top + 0.09 + LINE * line
        name = shorten(classes[one], NAME)
        axes.text(middle - 0.05, y, name, fontsize=7.5, ha="right", va="center")
        width = max(float(share[one]) * (left + BARS - middle), 0.005)
        axes.add_patch(Rectangle((middle, y - 0.055), width, 0.11, facecolor=ACCENT, linewidth=0))


def _upright(axes: Axes, share: Float[np.ndarray, " classes"], classes: Sequence[str], left: float, top: float) -> None:
    step, foot = BARS / len(classes), top + TILE - 0.16
    axes.plot([left, left + BARS], [foot, foot], color=GRID, linewidth=0.8)
    for place, (value, name) in enumerate(zip(share.tolist(), classes, strict=True)):
        x, height = left + step * place, value * (foot - top - 0.02)
        axes.add_patch(Rectangle((x + 0.1 * step, foot - height), 0.8 * step, height, facecolor=ACCENT, linewidth=0))
        axes.text(x + step / 2, foot + 0.09, name, fontsize=7.5, ha="center", va="center")
