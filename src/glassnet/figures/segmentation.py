"""Segmentations as pictures: overlays in the classes' colours, and the 2019 report's black, white and red."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Real, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from scipy.ndimage import distance_transform_edt

from glassnet.errors import InputError
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
OUTLINE = "#0b0b0b"
"""Round a name on a picture; plain black would be taken for ink that has to follow the page's theme."""
NAMED_FROM = 0.03
"""Share of a picture from which on a class's name stands on it: twenty colours are too many to tell apart."""
COVER = 0.65
"""Opacity of a class's colour over the image."""
LUMINANCE = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in how bright a colour looks (ITU-R BT.601)."""
RIGHT, WRONG, UNJUDGED = (1.0, 1.0, 1.0), (0.82, 0.1, 0.1), (0.45, 0.45, 0.45)
COLUMNS = ("image", "truth", "prediction", "right and wrong")
KEY = (
    ((0.0, 0.0, 0.0), "black: called background, rightly or not"),
    (RIGHT, "white: the object, rightly named"),
    (WRONG, "red: called an object that is not there"),
    (UNJUDGED, "grey: void, not judged"),
)


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


def mask_colour(label: int) -> tuple[float, ...]:
    """Give the colour of a class from 1 on: the palette's, and from the eleventh on the same ones half as bright."""
    turn = (label - 1) // len(PALETTE) % 2
    return tuple((0.5 if turn else 1.0) * part for part in to_rgb(class_colour(label - 1)))


def overlay(picture: Float[np.ndarray, "h w 3"], mask: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Lay each class's colour over the image in grey but for the background, and grey over void.

    Over the image's own colours a class would have another one in each picture, and none of them that of the legend.
    """
    shown = np.repeat(picture @ LUMINANCE[:, None], 3, axis=-1)
    for label in np.unique(mask):
        if label == 0:
            continue
        colour = UNJUDGED if label == VOID else mask_colour(int(label))
        where = mask == label
        shown[where] = (1 - COVER) * shown[where] + COVER * np.array(colour)
    return shown


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

    Raises:
        InputError: The arrays do not fit each other.
    """
    pictures = _checked(images, truth, predicted, captions)
    seen = sorted({int(label) for label in np.unique(np.stack([truth, predicted])) if 0 < label < VOID})
    block, step = 4 * (SIDE + GAP) + 0.15, SIDE + LINE + 0.14
    width, rows = 2 * MARGIN + per_row * block - 0.15, -(-len(pictures) // per_row)
    entries = max(1, int((width - MARGIN) / 1.32))
    top, foot = 0.85, 0.2 * (-(-len(seen) // entries)) + 0.62
    figure, axes = new_canvas(width, top + rows * step + foot)
    axes.text(MARGIN, 0.2, title, fontsize=12, fontweight="bold", va="center")
    axes.text(MARGIN, 0.42, note, fontsize=8.5, color=MUTED, va="center")
    for number, picture in enumerate(pictures):
        left, up = MARGIN + number % per_row * block, top + number // per_row * step
        _draw_image(axes, picture, truth[number], predicted[number], left, up)
        for place, mask in ((1, truth[number]), (2, predicted[number])):
            _name_classes(axes, mask, classes, left + place * (SIDE + GAP), up)
        axes.text(left, up + SIDE + 0.11, captions[number], fontsize=8.5, va="center")
        if number < per_row:
            _draw_heads(axes, left, top)
    _legend(axes, [(mask_colour(c), shorten(classes[c], 14)) for c in seen], top + rows * step, entries)
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


def _draw_image(
    axes: Axes,
    picture: Float[np.ndarray, "h w 3"],
    truth: UInt8[np.ndarray, "h w"],
    predicted: UInt8[np.ndarray, "h w"],
    left: float,
    up: float,
) -> None:
    """Draw an image's four pictures beside each other, in the order of COLUMNS."""
    shown = (picture, overlay(picture, truth), overlay(picture, predicted), report_colours(truth, predicted))
    for place, drawn in enumerate(shown):
        draw_picture(axes, drawn, left + place * (SIDE + GAP), up, SIDE)


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


def _legend(axes: Axes, named: list[tuple[tuple[float, ...], str]], top: float, entries: int) -> None:
    for number, (colour, text) in enumerate(named):
        _key(axes, colour, text, MARGIN + number % entries * 1.32, top + 0.1 + 0.2 * (number // entries))
    down = top + 0.2 * (-(-len(named) // entries)) + 0.18
    for number, (colour, text) in enumerate(KEY):
        _key(axes, colour, text, MARGIN + number % 2 * 2.6, down + 0.19 * (number // 2))


def _key(axes: Axes, colour: tuple[float, ...], text: str, left: float, middle: float) -> None:
    # A picture, not a patch: plain black would be taken for ink that has to follow the page's theme.
    axes.imshow(np.full((1, 1, 3), colour), extent=(left, left + 0.13, middle + 0.065, middle - 0.065), aspect="auto")
    axes.add_patch(Rectangle((left, middle - 0.065), 0.13, 0.13, facecolor="none", edgecolor=GRID, linewidth=0.8))
    axes.text(left + 0.18, middle, text, fontsize=8.5, va="center")
