"""Images with captions: grids, the most confident mistakes, and rows under each other as noisy and reconstructed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Integer, Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from glassnet.errors import InputError
from glassnet.figures.style import GRID, MUTED, in_house_style, new_canvas, require_finite, require_shape, shorten

TILE, GAP, MARGIN = 1.05, 0.1, 0.12
ROW_TILE, ROW_GAP = 0.82, 0.07
"""Inches."""
LINE = 0.165
"""Inches per line of a caption."""
LETTER, BOLD = 0.078, 0.088
"""Inches that a letter takes at most on average: of a plain text, and of a bold one."""
WIDEST, LEAST = 9.4, 5.5
"""Inches: what images with long captions fill at most, and a grid's least width."""
FEW_PIXELS = 128
"""A picture of at most so many a side has its pixels drawn as sharp squares."""
BEHIND_LINE = "#0b0b0b"
"""Beside a white line on a picture; plain black would be taken for ink that has to follow the page's theme."""


def to_pictures(images: Real[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n h w 3"]:
    """Turn a batch of images, float in [0, 1] or uint8, grey or colour, into colours from 0 to 1.

    Raises:
        InputError: The array has another shape, another range or holds NaN.
    """
    array = require_finite("images", images)
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise InputError(
            f"images have shape {array.shape}, expected (n, channels, height, width) with 1 or 3 channels; choose the "
            "channels to show."
        )
    values = array / 255 if array.dtype == np.uint8 else array.astype(np.float64)
    if values.size and (values.min() < -1e-3 or values.max() > 1.001):
        raise InputError(
            f"images hold values from {values.min():.3g} to {values.max():.3g}, expected 0 to 1 or uint8; pass them as "
            "they are before normalisation."
        )
    return np.repeat(values, 3 // array.shape[1], axis=1).transpose(0, 2, 3, 1).clip(0, 1)


def draw_picture(axes: Axes, picture: Float[np.ndarray, "h w 3"], left: float, top: float, side: float) -> None:
    """Draw a picture into the square of `side` inches at (`left`, `top`), centred where it is none itself."""
    left, top, width, height = _box(picture.shape[0], picture.shape[1], left, top, side)
    # Few pixels stay sharp squares at any zoom; many are brought to the figure's own resolution.
    how = "none" if max(picture.shape[:2]) <= FEW_PIXELS else "antialiased"
    axes.imshow(picture, extent=(left, left + width, top + height, top), interpolation=how, aspect="auto")
    axes.add_patch(Rectangle((left, top), width, height, facecolor="none", edgecolor=GRID, linewidth=0.8))


def draw_outline(axes: Axes, region: Bool[np.ndarray, "h w"], left: float, top: float, side: float) -> None:
    """Draw the outline of a region of a picture that `draw_picture` drew there: white between dark lines."""
    left, top, width, height = _box(region.shape[0], region.shape[1], left, top, side)
    edges = _edges(region) * (width / region.shape[1], height / region.shape[0]) + (left, top)
    if not len(edges):
        return
    steps = np.tile(np.array([Path.MOVETO, Path.LINETO], dtype=np.uint8), len(edges))
    line = Path(edges.reshape(-1, 2), steps)
    for colour, thickness in ((BEHIND_LINE, 1.8), ("#ffffff", 0.8)):
        axes.add_patch(PathPatch(line, facecolor="none", edgecolor=colour, linewidth=thickness, capstyle="projecting"))


def _edges(region: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "lines 2 2"]:
    """Return the lines between what is inside and what is outside, each as long as it is straight, as two (x, y)."""
    whole = np.pad(region, 1)
    across = _runs(whole[1:, 1:-1] != whole[:-1, 1:-1])[..., ::-1]
    return np.concatenate([across, _runs((whole[1:-1, 1:] != whole[1:-1, :-1]).T)])


def _runs(there: Bool[np.ndarray, "lines places"]) -> Float[np.ndarray, "runs 2 2"]:
    """Return where each run of True in a line begins and ends: ((line, begin), (line, end))."""
    change = np.diff(np.pad(there, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    return np.stack([np.argwhere(change == 1), np.argwhere(change == -1)], axis=1).astype(float)


def _box(rows: int, columns: int, left: float, top: float, side: float) -> tuple[float, float, float, float]:
    """Fit rows by columns of pixels into a square, in its middle: left, top, width, height."""
    height, width = side * rows / max(rows, columns), side * columns / max(rows, columns)
    return left + (side - width) / 2, top + (side - height) / 2, width, height


@in_house_style
def image_grid(
    images: Real[np.ndarray, "n c h w"],
    captions: Sequence[str],
    *,
    title: str,
    note: str = "",
    columns: int = 5,
) -> Figure:
    """Draw images row by row, each above its caption.

    Args:
        images: Float in [0, 1] or uint8, with 1 or 3 channels.
        captions: One per image; its last line is plain, those before it bold.
        title: The figure's heading.
        note: How to read it, below the heading.
        columns: Images per row, fewer where long captions need the room.

    Raises:
        InputError: The images cannot be drawn, or the captions are not as many.
    """
    pictures = to_pictures(images)
    if len(captions) != len(pictures):
        raise InputError(f"got {len(captions)} captions for {len(pictures)} images, expected one per image.")
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    notes = note.split("\n") if note else []
    top = 0.45 + LINE * len(notes) + 0.1
    step = TILE + 0.05 + LINE * lines + 0.13
    pitch = max([TILE, *map(_caption_width, captions)]) + GAP
    columns = min(columns, max(1, int(WIDEST / pitch)))
    rows = -(-len(pictures) // columns)
    figure, axes = new_canvas(max(2 * MARGIN + columns * pitch - GAP, LEAST), top + max(rows, 1) * step)
    axes.text(MARGIN, 0.23, title, fontsize=12, fontweight="bold", va="center")
    for number, line in enumerate(notes):
        axes.text(MARGIN, 0.46 + LINE * number, line, fontsize=8.5, color=MUTED, va="center")
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, up = MARGIN + (pitch - TILE - GAP) / 2 + number % columns * pitch, top + number // columns * step
        draw_picture(axes, picture, left, up, TILE)
        *names, last = caption.split("\n")
        for row, line in enumerate([*names, last]):
            y, weight = up + TILE + 0.05 + LINE * (row + 0.5), "bold" if row < len(names) else "normal"
            axes.text(left + TILE / 2, y, line, fontsize=9, fontweight=weight, ha="center", va="center")
    return figure


def _caption_width(caption: str) -> float:
    *names, last = caption.split("\n")
    return max([LETTER * len(last), *(BOLD * len(line) for line in names)])


@in_house_style
def worst_mistakes(
    images: Real[np.ndarray, "n c h w"] | Callable[[Integer[np.ndarray, " m"]], Real[np.ndarray, "m c h w"]],
    labels: Integer[np.ndarray, " n"],
    predictions: Integer[np.ndarray, " n"],
    probabilities: Float[np.ndarray, "n classes"] | Float[np.ndarray, " n"],
    classes: Sequence[str],
    *,
    count: int = 20,
    title: str = "Worst mistakes",
) -> Figure:
    """Draw the wrongly classified images, those with the highest probability of the predicted class first.

    Args:
        images: Float in [0, 1] or uint8, with 1 or 3 channels; or what gives some of them by their places, where all
            are too many for memory.
        labels: True class of each image.
        predictions: Predicted class of each image.
        probabilities: Probability of each class (n, classes), or of the predicted class alone (n,).
        classes: Names of the classes, in order.
        count: Draw at most so many images.
        title: The figure's heading.

    Raises:
        InputError: The arrays do not fit each other.
    """
    number = len(labels) if callable(images) else len(images)
    truth, taken = np.asarray(labels), np.asarray(predictions)
    shares = require_finite("probabilities", probabilities)
    require_shape("labels", truth, (number,), f"({number},)")
    require_shape("predictions", taken, (number,), f"({number},)")
    if shares.ndim != 1:
        require_shape("probabilities", shares, (number, len(classes)), f"({number}, {len(classes)}) or ({number},)")
    wrong = np.flatnonzero(truth != taken)
    confidence = shares[wrong] if shares.ndim == 1 else shares[wrong, taken[wrong]]
    worst = wrong[np.argsort(-confidence, kind="stable")][:count]
    # Who passes mistakes only has said elsewhere how many images there were.
    heading = f"{title}: {len(wrong):,} of {number:,} images wrong" if len(wrong) < number else title
    if not worst.size:
        return _no_mistakes(heading)
    which = "all" if len(worst) == len(wrong) else f"the {len(worst)} most confident"
    given = "the predicted class" if shares.ndim == 1 else "the predicted class (of the true class)"
    note = f"Shown: {which}, the most confident first. True class → predicted class;\np: probability of {given}"
    captions = [_mistake(classes, int(truth[i]), int(taken[i]), np.atleast_1d(shares[i])) for i in worst]
    return image_grid(
        images(worst) if callable(images) else np.asarray(images)[worst], captions, title=heading, note=note
    )


def _mistake(classes: Sequence[str], truth: int, taken: int, shares: np.ndarray) -> str:
    names = shorten(classes[truth], 26), shorten(classes[taken], 24)
    between = " → " if sum(map(len, names)) <= 9 else "\n→ "
    share = f"p {shares[0]:.2f}" if len(shares) == 1 else f"p {shares[taken]:.2f} ({shares[truth]:.2f})"
    return f"{names[0]}{between}{names[1]}\n{share}"


def _no_mistakes(heading: str) -> Figure:
    figure, axes = new_canvas(5.8, 1.0)
    axes.text(MARGIN, 0.23, heading, fontsize=12, fontweight="bold", va="center")
    axes.text(MARGIN, 0.62, "There are no mistakes to show: every prediction is correct.", va="center")
    return figure


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
    words = captions or {}
    count = _row_length(pictures, words, columns)
    left = MARGIN + LETTER * max(max(map(len, name.split("\n"))) for name in pictures) + 0.1
    lines = note.split("\n") if note else []
    top = 0.45 + LINE * len(lines) + (0.24 if columns else 0.08)
    heights = [ROW_TILE + ROW_GAP + (LINE if name in words else 0) for name in pictures]
    width = max(left + count * (ROW_TILE + ROW_GAP) + MARGIN, 2 * MARGIN + 0.098 * len(title), 5.2)
    figure, axes = new_canvas(width, top + sum(heights) + 0.08)
    _row_heading(axes, title, lines)
    for place, word in enumerate(columns):
        axes.text(
            left + place * (ROW_TILE + ROW_GAP) + ROW_TILE / 2, top - 0.11, word, fontsize=8.5, ha="center", va="center"
        )
    for (name, row), height in zip(pictures.items(), heights, strict=True):
        axes.text(left - 0.1, top + ROW_TILE / 2, name, fontsize=9, fontweight="bold", ha="right", va="center")
        _row(axes, row, words.get(name, ()), left, top)
        top += height
    return figure


def _row_heading(axes: Axes, title: str, lines: Sequence[str]) -> None:
    axes.text(MARGIN, 0.23, title, fontsize=12, fontweight="bold", va="center")
    for number, line in enumerate(lines):
        axes.text(MARGIN, 0.46 + LINE * number, line, fontsize=8.5, color=MUTED, va="center")


def _row(axes: Axes, row: np.ndarray, captions: Sequence[str], left: float, top: float) -> None:
    for place, picture in enumerate(row):
        at = left + place * (ROW_TILE + ROW_GAP)
        draw_picture(axes, picture, at, top, ROW_TILE)
        if captions:
            axes.text(
                at + ROW_TILE / 2, top + ROW_TILE + LINE * 0.55, captions[place], fontsize=8, ha="center", va="center"
            )


def _row_length(
    pictures: Mapping[str, np.ndarray], captions: Mapping[str, Sequence[str]], columns: Sequence[str]
) -> int:
    """Return how many images a row has."""
    lengths = {len(row) for row in pictures.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(
            f"rows of {', '.join(map(str, sorted(lengths))) or 'no'} images, expected the same number of at least 1."
        )
    count = lengths.pop()
    for name, words in captions.items():
        if name not in pictures or len(words) != count:
            raise InputError(f"got {len(words)} captions for row '{name}', expected {count} for an existing row.")
    if columns and len(columns) != count:
        raise InputError(f"got {len(columns)} column headings, expected {count}, one for each image of a row.")
    return count
