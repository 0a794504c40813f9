"""Segmentations as pictures: overlays in the classes' colours, and what is right, missed, invented and mistaken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Real, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from scipy.ndimage import distance_transform_edt

from glassnet.errors import InputError, unknown_name
from glassnet.figures.images import LINE, MARGIN, draw_picture, to_pictures
from glassnet.figures.style import (
    GRID,
    MUTED,
    PALETTE,
    class_colour,
    in_house_style,
    new_canvas,
    require_shape,
    shorten,
)
from glassnet.images import VOID

Masks = UInt8[np.ndarray, "n h w"]
SIDE, GAP = 1.15, 0.08
"""Inches: a picture's side, and between two."""
KEY_WIDTH = 2.6
"""Inches: an entry of the legend of right and wrong."""
OUTLINE = "#0b0b0b"
"""Round a name on a picture; plain black would be taken for ink that has to follow the page's theme."""
NAMED_FROM = 0.03
"""Share of a picture from which on a class's name stands on it: twenty colours are too many to tell apart."""
COVER = 0.65
"""Opacity of a class's colour over the image."""
LUMINANCE = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in how bright a colour looks (ITU-R BT.601)."""
RIGHT, WRONG, UNJUDGED = (1.0, 1.0, 1.0), (0.82, 0.1, 0.1), (0.45, 0.45, 0.45)
"""The 2019 report's white and red, and the grey of void."""
BACKGROUND, OBJECT = to_rgb("#15171c"), (0.93, 0.93, 0.93)
MISSED, INVENTED, MISTAKEN = to_rgb(PALETTE[4]), to_rgb("#e62e00"), to_rgb(PALETTE[1])
"""Under each of the three colour blindnesses any two of the six colours stay 0.12 apart in OKLab (see PALETTE)."""
COLUMNS = ("image", "truth", "prediction", "right and wrong")


def mistake_colours(truth: UInt8[np.ndarray, "h w"], predicted: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Give each kind of mistake its own colour: an object missed, one invented, one taken for another.

    Background that is right is dark, an object that is right is light, void is grey.
    """
    object_, called = truth != 0, predicted != 0
    colours = np.empty((*truth.shape, 3))
    colours[~object_ & ~called] = BACKGROUND
    colours[object_ & (predicted == truth)] = OBJECT
    colours[object_ & ~called] = MISSED
    colours[~object_ & called] = INVENTED
    colours[object_ & called & (predicted != truth)] = MISTAKEN
    colours[truth == VOID] = UNJUDGED
    return colours


def report_colours(truth: UInt8[np.ndarray, "h w"], predicted: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Colour a prediction as the 2019 report did: black background, white where the object is right, red where wrong.

    A pixel that is called background is black also where it is none; void pixels are grey.
    """
    colours = np.zeros((*truth.shape, 3))
    object_ = predicted != 0
    colours[object_ & (predicted == truth)] = RIGHT
    colours[object_ & (predicted != truth)] = WRONG
    colours[truth == VOID] = UNJUDGED
    return colours


Colour = tuple[float, ...]
Colouring = Callable[[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]], Float[np.ndarray, "h w 3"]]
JUDGEMENTS: dict[str, tuple[Colouring, tuple[tuple[Colour, str], ...]]] = {
    "mistakes": (
        mistake_colours,
        (
            (BACKGROUND, "background, correct"),
            (OBJECT, "object, correct"),
            (UNJUDGED, "void, not evaluated"),
            (MISSED, "missed: object as background"),
            (INVENTED, "invented: background as object"),
            (MISTAKEN, "mistaken: object as another class"),
        ),
    ),
    "report": (
        report_colours,
        (
            ((0.0, 0.0, 0.0), "black: predicted as background, right or wrong"),
            (RIGHT, "white: object, predicted correctly"),
            (WRONG, "red: object predicted, but not there"),
            (UNJUDGED, "grey: void, not evaluated"),
        ),
    ),
}
"""How the picture of right and wrong is coloured, and its legend, by the name that `segmentation_grid` takes."""


def mask_colour(label: int) -> tuple[float, ...]:
    """Give the colour of a class from 1 on: the palette's, and from the eleventh on the same ones half as bright."""
    turn = (label - 1) // len(PALETTE) % 2
    return tuple((0.5 if turn else 1.0) * part for part in to_rgb(class_colour(label - 1)))


def overlay(picture: Float[np.ndarray, "h w 3"], mask: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Lay each class's colour over the image in grey but for the background, and grey over void.

    Over the image's own colours a class would have another one in each picture, and none of them that of the legend.
    """
    mixed = np.repeat(picture @ LUMINANCE[:, None], 3, axis=-1)
    for label in np.unique(mask):
        if label == 0:
            continue
        colour = UNJUDGED if label == VOID else mask_colour(int(label))
        where = mask == label
        mixed[where] = (1 - COVER) * mixed[where] + COVER * np.array(colour)
    return mixed


@in_house_style
def segmentation_grid(
    images: Real[np.ndarray, "n c h w"],
    truth: Masks,
    predicted: Masks,
    classes: Sequence[str],
    captions: Sequence[str],
    *,
    title: str,
    note: str = "",
    per_row: int = 2,
    colours: Literal["mistakes", "report"] = "mistakes",
) -> Figure:
    """Draw each image with its true mask, its predicted one, and what is right and wrong of it.

    Args:
        images: Float in [0, 1] or uint8.
        truth: True class of each pixel, 255 for void.
        predicted: Predicted class of each pixel.
        classes: Names of the classes, the background first.
        captions: One per image, in a line.
        title: The figure's heading.
        note: How the images were taken, below the heading.
        per_row: Images beside each other, each with its four pictures.
        colours: Colours of right and wrong: each kind of mistake its own, or "report" for the 2019 report's black,
            white and red, in which an object that is missed is as black as the background.

    Raises:
        InputError: The arrays do not fit each other, or there are no such colours.
    """
    if colours not in JUDGEMENTS:
        raise unknown_name("colours", str(colours), JUDGEMENTS)
    judge, key = JUDGEMENTS[colours]
    pictures = _checked(images, truth, predicted, captions)
    seen = sorted({int(label) for label in np.unique(np.stack([truth, predicted])) if 0 < label < VOID})
    block, step = 4 * (SIDE + GAP) + 0.15, SIDE + LINE + 0.14
    width, rows = 2 * MARGIN + per_row * block - 0.15, -(-len(pictures) // per_row)
    named = [(mask_colour(c), shorten(classes[c], 32)) for c in seen]
    pitch = max(1.32, 0.28 + 0.068 * max((len(name) for _, name in named), default=0))
    entries = max(1, int((width - MARGIN) / pitch))
    across = max(2, int(width / KEY_WIDTH)) if len(key) > 4 else 2
    top, foot = 0.85, 0.2 * (-(-len(seen) // entries)) + 0.24 + 0.19 * (-(-len(key) // across))
    figure, axes = new_canvas(width, top + rows * step + foot)
    axes.text(MARGIN, 0.2, title, fontsize=12, fontweight="bold", va="center")
    axes.text(MARGIN, 0.42, note, fontsize=8.5, color=MUTED, va="center")
    for number, picture in enumerate(pictures):
        left, up = MARGIN + number % per_row * block, top + number // per_row * step
        masks = truth[number], predicted[number]
        drawn = (picture, *(overlay(picture, mask) for mask in masks), judge(*masks))
        for place, one in enumerate(drawn):
            draw_picture(axes, one, left + place * (SIDE + GAP), up, SIDE)
        for place, mask in enumerate(masks, 1):
            _name_classes(axes, mask, classes, left + place * (SIDE + GAP), up)
        axes.text(left, up + SIDE + 0.11, captions[number], fontsize=8.5, va="center")
        if number < per_row:
            _draw_heads(axes, left, top)
    down = top + rows * step
    _legend(axes, named, down + 0.1, entries, (pitch, 0.2))
    _legend(axes, key, down + 0.2 * (-(-len(seen) // entries)) + 0.18, across, (KEY_WIDTH, 0.19))
    return figure


def _checked(
    images: Real[np.ndarray, "n c h w"], truth: Masks, predicted: Masks, captions: Sequence[str]
) -> Float[np.ndarray, "n h w 3"]:
    """Return the images as pictures, after seeing that all is there for each."""
    pictures = to_pictures(images)
    expected = pictures.shape[:3]
    for what, masks in (("true masks", truth), ("predicted masks", predicted)):
        require_shape(what, np.asarray(masks), expected, str(expected))
    if len(captions) != len(pictures):
        raise InputError(f"there are {len(captions)} captions for {len(pictures)} images, expected one for each.")
    return pictures


def _name_classes(axes: Axes, mask: UInt8[np.ndarray, "h w"], classes: Sequence[str], left: float, up: float) -> None:
    """Write the name of each class but the background where it is widest, unless it is small."""
    height, width = mask.shape
    for label in np.unique(mask):
        where = mask == label
        if label in (0, VOID) or where.mean() < NAMED_FROM:
            continue
        deepest = int(distance_transform_edt(np.pad(where, 1))[1:-1, 1:-1].argmax())
        row, column = (deepest // width + 0.5) / height, (deepest % width + 0.5) / width
        axes.text(
            left + SIDE * min(max(column, 0.2), 0.8), up + SIDE * min(max(row, 0.06), 0.94),
            shorten(classes[label], 11),
            fontsize=6, color="white", ha="center", va="center",
            path_effects=[withStroke(linewidth=1.6, foreground=OUTLINE)],
        )  # fmt: skip


def _draw_heads(axes: Axes, left: float, top: float) -> None:
    for place, head in enumerate(COLUMNS):
        axes.text(left + place * (SIDE + GAP), top - 0.16, head, fontsize=8.5, color=MUTED, va="center")


def _legend(
    axes: Axes, named: Sequence[tuple[Colour, str]], top: float, across: int, pitch: tuple[float, float]
) -> None:
    """Write a legend, so many entries across, each `pitch` inches from the one left of it and from that above."""
    for number, (colour, text) in enumerate(named):
        _key(axes, colour, text, MARGIN + number % across * pitch[0], top + pitch[1] * (number // across))


def _key(axes: Axes, colour: Colour, text: str, left: float, middle: float) -> None:
    # A picture, not a patch: plain black would be taken for ink that has to follow the page's theme.
    axes.imshow(np.full((1, 1, 3), colour), extent=(left, left + 0.13, middle + 0.065, middle - 0.065), aspect="auto")
    axes.add_patch(Rectangle((left, middle - 0.065), 0.13, 0.13, facecolor="none", edgecolor=GRID, linewidth=0.8))
    axes.text(left + 0.18, middle, text, fontsize=8.5, va="center")
