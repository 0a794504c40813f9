"""Embeddings: the points coloured by class, beside the same points coloured by cluster, and what both are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.optimize import linear_sum_assignment

from glassnet.errors import InputError, unknown_name
from glassnet.figures.labels import LABELLED, named_classes, write_names
from glassnet.figures.scatter import Method, draw_borders, draw_points, look, square_axes
from glassnet.figures.style import INK, MUTED, in_house_style, new_free_figure, require_finite, require_shape, shorten

BY_CLASS = {
    "explained_variance": ("variance explained", ".1%"),
    "knn_accuracy": ("kNN accuracy", ".1%"),
    "trustworthiness": ("trustworthiness", ".3f"),
}
BY_CLUSTER = {
    "ari": ("adjusted Rand index", ".3f"),
    "accuracy": ("matched accuracy", ".1%"),
    "nmi": ("normalised mutual information", ".3f"),
    "silhouette": ("silhouette", ".3f"),
}
PANEL, SIDE, BETWEEN, HEAD, LABELS, LINE = 4.1, 0.72, 0.82, 0.72, 0.6, 0.2
"""Inches: side of a panel, left of it, between both, above, the axis labels below, a line of text."""
CHARACTERS = 56
"""As many fit below a panel in one line."""


@dataclass(frozen=True)
class _Panel:
    title: str
    numbers: Sequence[str]
    """Lines below the axes; the last one is the legend's heading."""
    groups: Integer[np.ndarray, " n"]
    classes: Sequence[int]
    """Class that gives each group its look, -1 for none."""
    entries: Sequence[tuple[int, str]]
    """The legend: class and text."""

    @property
    def columns(self) -> int:
        return int(np.clip(PANEL / (0.32 + 0.082 * max(len(name) for _, name in self.entries)), 1, 10))

    @property
    def foot(self) -> float:
        """Height of what stands below the axes, in inches."""
        return LABELS + LINE * (len(self.numbers) + -(-len(self.entries) // self.columns)) + 0.12


@in_house_style
def embedding_figure(
    points: Float[np.ndarray, "n d"],
    targets: Integer[np.ndarray, " n"],
    assignment: Integer[np.ndarray, " n"],
    classes: Sequence[str],
    numbers: Mapping[str, float | None],
    title: str,
    *,
    method: Method | None = None,
    matching: Integer[np.ndarray, " k"] | None = None,
    centres: Float[np.ndarray, "k d"] | None = None,
) -> Figure:
    """Draw an embedding twice, coloured by true class and by cluster, with its numbers below.

    A cluster has the colour and marker of the class that it is matched to, so a point that changes colour between the
    panels is one that clustering puts with another class.

    Args:
        points: Positions in 2 or 3 dimensions.
        targets: True class of each point.
        assignment: Cluster of each point, from 0.
        classes: Names of the classes, in order.
        numbers: What to print, any of explained_variance, knn_accuracy, trustworthiness, ari, nmi, accuracy and
            silhouette; those that are None are left out.
        title: The figure's heading.
        method: What the axes are.
        matching: Class that each cluster stands for, -1 for none; by default the one-to-one matching that most points
            agree with.
        centres: The clusters' centres: in 2 dimensions, borders are drawn halfway between them.

    Raises:
        InputError: The arrays do not fit each other or hold NaN, or a number or the method is unknown.
    """
    places, truth, cluster = _checked(points, targets, assignment, classes)
    middles = None if centres is None else require_finite("the centres", centres)
    count = max(int(cluster.max()) + 1, 0 if middles is None else len(middles))
    match = _matched(truth, cluster, len(classes), count, matching)
    lines = _lines(numbers, BY_CLASS), _lines(numbers, BY_CLUSTER)
    panels = _class_panel(truth, classes, lines[0]), _cluster_panel(cluster, match, classes, lines[1])
    foot = max(panel.foot for panel in panels)
    width, height = SIDE + 2 * PANEL + BETWEEN + 0.15, HEAD + PANEL + foot
    figure = new_free_figure(width, height)
    figure.text(0.12 / width, 1 - 0.22 / height, title, fontsize=12, fontweight="bold", va="center")
    left, right = (
        _draw(figure, SIDE + i * (PANEL + BETWEEN), foot, places, panel, method) for i, panel in enumerate(panels)
    )
    write_names(left, places, truth, classes, inches=PANEL)
    if middles is not None and places.shape[1] == 2:
        draw_borders(right, middles, match)
    return figure


def _checked(
    points: np.ndarray, targets: np.ndarray, assignment: np.ndarray, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    places = require_finite("points", points).astype(np.float64)
    if places.ndim != 2 or places.shape[1] not in (2, 3) or not len(places):
        raise InputError(f"points have shape {places.shape}, expected (n, 2) or (n, 3) with n of 1 or more.")
    truth, cluster = np.asarray(targets), np.asarray(assignment)
    require_shape("targets", truth, (len(places),), f"({len(places)},)")
    require_shape("cluster assignments", cluster, (len(places),), f"({len(places)},)")
    if truth.min() < 0 or truth.max() >= len(classes) or cluster.min() < 0:
        raise InputError(
            f"targets go from {truth.min()} to {truth.max()} and clusters from {cluster.min()}, expected targets from "
            f"0 to {len(classes) - 1}, as there are {len(classes)} classes, and clusters from 0."
        )
    return places, truth.astype(np.int64), cluster.astype(np.int64)


def _matched(
    truth: np.ndarray, cluster: np.ndarray, classes: int, clusters: int, matching: np.ndarray | None
) -> list[int]:
    """Give each cluster's class: the caller's, or that of the one-to-one matching that most points agree with."""
    if matching is not None:
        given = np.asarray(matching)
        if given.ndim != 1 or len(given) < clusters or not ((given >= -1) & (given < classes)).all():
            raise InputError(
                f"matching is {given.tolist()}, expected a class from -1 (none) to {classes - 1} for each of the "
                f"{clusters} clusters."
            )
        return [int(c) for c in given[:clusters]]
    counts = np.zeros((clusters, classes), dtype=np.int64)
    np.add.at(counts, (cluster, truth), 1)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    # A cluster without a point of the class that was left over does not stand for it.
    match = {int(r): int(c) for r, c in zip(rows, columns, strict=True) if counts[r, c]}
    return [match.get(index, -1) for index in range(clusters)]


def _lines(numbers: Mapping[str, float | None], names: Mapping[str, tuple[str, str]]) -> list[str]:
    """Write the numbers that there are, as many on a line as the panel is wide."""
    for key in numbers:
        if key not in BY_CLASS | BY_CLUSTER:
            raise unknown_name("number", key, BY_CLASS | BY_CLUSTER, noun="numbers")
    there = [(name, form, n) for key, (name, form) in names.items() if (n := numbers.get(key)) is not None]
    told = [f"{name} {n:{form}}".replace("-", "−") for name, form, n in there]
    lines: list[str] = []
    for number in told:
        longer = f"{lines[-1]},   {number}" if lines else ""
        if lines and len(longer) <= CHARACTERS:
            lines[-1] = longer
        else:
            lines.append(number)
    return lines


def _class_panel(truth: np.ndarray, classes: Sequence[str], lines: Sequence[str]) -> _Panel:
    named, present = named_classes(truth, len(classes)), np.unique(truth).size
    heading = "class" if len(named) == present else f"class (the {len(named)} largest of {present})"
    entries = [(c, shorten(classes[c], 16)) for c in named]
    return _Panel("By true class", [*lines, heading], truth, range(len(classes)), entries)


def _cluster_panel(cluster: np.ndarray, match: Sequence[int], classes: Sequence[str], lines: Sequence[str]) -> _Panel:
    heading = "cluster → class that it is matched to"
    if len(match) > LABELLED:
        heading += f" (the first {LABELLED} of {len(match)})"
    names = [shorten(classes[c], 12).strip() if c >= 0 else "none" for c in match]
    entries = [(c, f"{index} → {name}") for index, (c, name) in enumerate(zip(match, names, strict=True))][:LABELLED]
    return _Panel("By k-means cluster", [*lines, heading], cluster, match, entries)


def _draw(figure: Figure, left: float, bottom: float, points: np.ndarray, panel: _Panel, method: Method | None) -> Axes:
    """Draw a panel whose axes have their lower left corner there, in inches; below it its numbers and its legend."""
    width, height = figure.get_size_inches()
    axes = square_axes(figure, (left / width, bottom / height, PANEL / width, PANEL / height), points, method)
    axes.set_title(panel.title, loc="left")
    draw_points(axes, points, panel.groups, panel.classes, inches=PANEL)
    top = bottom - LABELS
    for number, line in enumerate(panel.numbers):
        colour = MUTED if number == len(panel.numbers) - 1 else INK
        figure.text(left / width, (top - LINE * (number + 0.5)) / height, line, color=colour, va="center")
    handles = []
    for index, name in panel.entries:
        colour, marker = look(index, number=len(points))
        handles.append(Line2D([], [], linestyle="", marker=marker, color=colour, markersize=6, label=name))
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(left / width, (top - LINE * len(panel.numbers)) / height),
        ncols=panel.columns, columnspacing=1.0, handletextpad=0.1, borderpad=0.1, borderaxespad=0, fontsize=9,
        handlelength=1.2,
    )  # fmt: skip
    return axes
