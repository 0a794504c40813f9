"""A confusion matrix as a page shows it: a table whose errors stand out, the most frequent ones named beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glassnet.blocks import ConfusionMatrix
from glassnet.formats import DASH, count, percent

WHOLE = 16
"""Up to so many classes the matrix is shown whole."""
PART = 10
"""Of more classes, so many of the most confused are shown, and the whole matrix folded."""
FOLDED = 100
"""Of still more classes the whole matrix is left out: nobody could read it."""
LISTED = 6


@dataclass(frozen=True)
class Cell:
    """How many images of one class the model takes for another."""

    number: str
    kind: str
    """right, wrong or none."""
    strength: int
    """How much colour the cell has, in percent."""
    words: str
    examples: tuple[int, ...]


@dataclass(frozen=True)
class Matrix:
    """A table of some of the classes."""

    caption: str
    classes: tuple[str, ...]
    others: bool
    """Whether the last column but one counts images taken for classes that are not shown."""
    rows: tuple[tuple[str, tuple[Cell, ...], str, str], ...]
    """Per class: its name, cells, images taken for other classes, recall."""
    long: bool
    """Whether names must stand upright above the columns."""


@dataclass(frozen=True)
class ConfusionView:
    """What the template writes."""

    matrix: Matrix
    whole: Matrix | None
    pairs: tuple[tuple[str, str, Cell, str], ...]
    """The most frequent errors: true class, predicted class, cell, share in words."""


def confusion_view(block: ConfusionMatrix) -> ConfusionView:
    """Choose what of a confusion matrix is shown first: all of it, or of many classes those that are most confused."""
    every = range(len(block.classes))
    cells = _cells(block)
    errors = _errors(np.asarray(block.counts))
    caption = "Number of images per true class (row) and predicted class (column)"
    pairs = tuple(
        (block.classes[i], block.classes[j], cells[i][j], _of(block.counts, i, j)) for i, j in errors[:LISTED]
    )
    whole = _matrix(block, cells, every, f"{caption}.")
    if len(every) <= WHOLE:
        return ConfusionView(whole, None, pairs)
    chosen = sorted(list(dict.fromkeys(place for pair in errors for place in pair))[:PART]) or every[:PART]
    part = _matrix(block, cells, chosen, f"{caption}: the {len(chosen)} classes of the most frequent errors.")
    return ConfusionView(part, whole if len(every) <= FOLDED else None, pairs)


def _errors(counts: np.ndarray) -> list[tuple[int, int]]:
    """List the pairs (true, predicted) that were confused, the most frequent first."""
    wrong = counts * ~np.eye(len(counts), dtype=bool)
    order = np.argsort(-wrong, axis=None, kind="stable")[: int((wrong > 0).sum())]
    return [(int(place // len(counts)), int(place % len(counts))) for place in order]


def _cells(block: ConfusionMatrix) -> list[list[Cell]]:
    """Colour an error by the root of its share of the row, to the largest such share: a rare one still shows."""
    counts = np.asarray(block.counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * ~np.eye(len(counts), dtype=bool)
    strengths = np.rint(100 * np.sqrt(shares / max(float(shares.max(initial=0)), 1e-12))).astype(int)
    return [[_cell(block, i, j, int(strengths[i, j])) for j in range(len(counts))] for i in range(len(counts))]


def _cell(block: ConfusionMatrix, i: int, j: int, strength: int) -> Cell:
    kind = "right" if i == j else "wrong" if block.counts[i, j] else "none"
    words = f"{block.classes[i]} recognised" if i == j else f"{block.classes[i]} taken for {block.classes[j]}"
    return Cell(count(int(block.counts[i, j])), kind, strength, words, tuple(block.examples.get((i, j), ())))


def _matrix(block: ConfusionMatrix, cells: list[list[Cell]], chosen: Sequence[int], caption: str) -> Matrix:
    names = tuple(block.classes[place] for place in chosen)
    return Matrix(
        caption=caption,
        classes=names,
        others=len(chosen) < len(block.classes),
        rows=tuple(
            (
                block.classes[i],
                tuple(cells[i][j] for j in chosen),
                count(int(block.counts[i].sum() - block.counts[i, list(chosen)].sum())),
                percent(block.counts[i, i] / block.counts[i].sum(), 1) if block.counts[i].sum() else DASH,
            )
            for i in chosen
        ),
        long=max(map(len, names), default=0) > 3,
    )


def _of(counts: np.ndarray, i: int, j: int) -> str:
    """Say how many images of a class that is."""
    total = counts[i].sum()
    return f"{count(int(counts[i, j]))} of {count(int(total))} ({percent(counts[i, j] / total, 1)})"
