"""An embedding as a page shows it: a drawing that stands without scripts, and the numbers with which it moves."""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

from glassnet.blocks import Points, Scatter
from glassnet.errors import InputError

WIDTH, HEIGHT, MARGIN = 600, 520, 16
"""The drawing's size and what stays free at its edges, in its own units."""
RESOLUTION = 10_000
"""Positions reach the page as whole numbers from minus this to this."""
TURNED, TILTED = 0.6, 0.35
"""How three dimensions are seen at first, in radians."""
AXIS = 0.95
"""Length of the axes of three dimensions; the farthest point is 1 from where they meet."""
BANDS = 3
"""Points of three dimensions are drawn in so many layers, near ones larger and on top."""
NAMED = 12
"""Up to so many classes, with names up to so long, are named inside the drawing."""
CROWD = 5
"""Fewer points of a class would be hidden by its name."""


@dataclass(frozen=True)
class Dots:
    """Points of one look: zero-length strokes, which round caps draw as dots."""

    path: str
    colour: str
    cap: str
    size: float
    opacity: float


@dataclass(frozen=True)
class ScatterView:
    """What the template writes of an embedding."""

    dots: tuple[Dots, ...]
    wrong: str
    """Path of the points that the model got wrong, drawn as rings behind them."""
    names: tuple[tuple[str, float, float], ...]
    """Class names inside the drawing, at the median of their points."""
    cross: tuple[tuple[str, float, float], ...]
    """In three dimensions the axes: number, and where each ends."""
    legend: tuple[tuple[str, str, str, int], ...]
    """Per class with points: name, colour, cap, number of points."""
    data: dict[str, Any]
    """What the page's script needs."""
    three: bool


def scatter_view(block: Scatter) -> ScatterView:
    """Draw an embedding and pack its numbers.

    Raises:
        InputError: The points do not have two or three dimensions, or not one position per image.
    """
    positions = np.asarray(block.positions, dtype=np.float64)
    number = len(block.points.names)
    if positions.ndim != 2 or positions.shape[0] != number or positions.shape[1] not in (2, 3):
        raise InputError(
            f"{block.title}: points have shape {positions.shape}, expected ({number}, 2) or ({number}, 3); pass one "
            "position per image."
        )
    whole = np.rint(_fit(positions) * RESOLUTION).astype("<i2")
    x, y, depth = project(whole / RESOLUTION)
    labels = np.asarray(block.points.labels)
    size = dot_size(number)
    return ScatterView(
        dots=_dots(x, y, depth, labels, block.points, size),
        wrong=_path(x, y, _wrong(block.points)),
        names=_names(x, y, labels, block.points.classes),
        cross=_cross() if positions.shape[1] == 3 else (),
        legend=tuple(
            (name, *look(block.points, place), int((labels == place).sum()))
            for place, name in enumerate(block.points.classes)
            if (labels == place).any()
        ),
        data={
            "dims": positions.shape[1],
            "positions": base64.b64encode(whole.tobytes()).decode("ascii"),
            "size": size,
            "clusters": None if block.clusters is None else [int(c) for c in block.clusters],
        },
        three=positions.shape[1] == 3,
    )


def points_data(points: Points) -> dict[str, Any]:
    """Pack what embeddings of the same images share: the names, classes, answers and thumbnails."""
    tiles = points.thumbnails
    return {
        "names": list(points.names),
        "labels": [int(label) for label in points.labels],
        "predicted": None if points.predicted is None else [int(label) for label in points.predicted],
        "examples": None if points.examples is None else [int(example) for example in points.examples],
        "classes": list(points.classes),
        "colours": [look(points, place) for place in range(len(points.classes))],
        "tiles": tiles
        and {
            "png": "data:image/png;base64," + base64.b64encode(tiles.png).decode("ascii"),
            "width": tiles.width,
            "height": tiles.height,
            "columns": tiles.columns,
        },
    }


def look(points: Points, place: int) -> tuple[str, str]:
    """Give a class its colour and the shape of its dots."""
    return points.colours[place % len(points.colours)], "square" if place >= len(points.colours) else "round"


def dot_size(number: int) -> float:
    """Choose the dots' diameter so that many points do not become one blot."""
    return float(np.clip(round(150 / max(number, 1) ** 0.5, 1), 3.2, 9))


def project(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place positions within [-1, 1] in the drawing; three dimensions are turned, then tilted, seen from afar.

    Returns:
        x and y in the drawing's units, and depth in [-1, 1], near ones positive; zeros in two dimensions.
    """
    if positions.shape[1] == 2:
        half = np.array((WIDTH, HEIGHT)) / 2 - MARGIN
        return WIDTH / 2 + positions[:, 0] * half[0], HEIGHT / 2 - positions[:, 1] * half[1], np.zeros(len(positions))
    across = positions[:, 0] * np.cos(TURNED) + positions[:, 1] * np.sin(TURNED)
    away = positions[:, 1] * np.cos(TURNED) - positions[:, 0] * np.sin(TURNED)
    up = positions[:, 2] * np.cos(TILTED) + away * np.sin(TILTED)
    depth = positions[:, 2] * np.sin(TILTED) - away * np.cos(TILTED)
    radius = HEIGHT / 2 - MARGIN
    return WIDTH / 2 + across * radius, HEIGHT / 2 - up * radius, depth


def _fit(positions: np.ndarray) -> np.ndarray:
    """Move points into [-1, 1]: two dimensions fill the drawing at one scale, three stay within the unit ball."""
    low, high = positions.min(axis=0, initial=np.inf), positions.max(axis=0, initial=-np.inf)
    centred = positions - (low + high) / 2 if len(positions) else positions
    if positions.shape[1] == 3:
        return centred / max(float(np.linalg.norm(centred, axis=1).max(initial=0)), 1e-12)
    half = np.array((WIDTH, HEIGHT)) / 2 - MARGIN
    return centred / max(float((np.abs(centred) / half).max(initial=0)), 1e-12) / half


def _dots(
    x: np.ndarray, y: np.ndarray, depth: np.ndarray, labels: np.ndarray, points: Points, size: float
) -> tuple[Dots, ...]:
    """Draw one path per class, in three dimensions one per class and layer of depth, far ones first."""
    bands = np.clip(((depth + 1) / 2 * BANDS).astype(int), 0, BANDS - 1) if depth.any() else np.full(len(x), BANDS - 1)
    dots = []
    for band in range(BANDS):
        nearness = band / (BANDS - 1)
        for place in range(len(points.classes)):
            if (chosen := (labels == place) & (bands == band)).any():
                colour, cap = look(points, place)
                dots.append(
                    Dots(
                        _path(x, y, chosen), colour, cap, round(size * (0.7 + 0.3 * nearness), 1), 0.4 + 0.55 * nearness
                    )
                )
    return tuple(dots)


def _cross() -> tuple[tuple[str, float, float], ...]:
    x, y, _ = project(np.eye(3) * AXIS)
    return tuple((str(axis + 1), round(float(x[axis]), 1), round(float(y[axis]), 1)) for axis in range(3))


def _wrong(points: Points) -> np.ndarray:
    if points.predicted is None:
        return np.zeros(len(points.names), dtype=bool)
    return np.asarray(points.predicted) != np.asarray(points.labels)


def _path(x: np.ndarray, y: np.ndarray, chosen: np.ndarray) -> str:
    return "".join(f"M{a:.0f} {b:.0f}h0" for a, b in zip(x[chosen], y[chosen], strict=True))


def _names(
    x: np.ndarray, y: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]
) -> tuple[tuple[str, float, float], ...]:
    """Place class names at the median of their points; many classes or long names stay in the legend."""
    if len(classes) > NAMED or max(map(len, classes), default=0) > NAMED:
        return ()
    return tuple(
        (name, round(float(np.median(x[labels == place])), 1), round(float(np.median(y[labels == place])), 1))
        for place, name in enumerate(classes)
        if (labels == place).sum() >= CROWD
    )
