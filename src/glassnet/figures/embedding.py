"""Embeddings: points coloured by class beside the same points by cluster, or beside another embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from glassnet.errors import InputError, unknown_name
from glassnet.figures.annotations import (
    LABELLED,
    centre_margins,
    draw_borders,
    draw_centres,
    grid_of,
    point_margins,
    write_names,
)
from glassnet.figures.panels import (
    BY_CLASS,
    BY_CLUSTER,
    NUMBERS,
    PANEL,
    ROOMY,
    Panel,
    check_numbers,
    class_panel,
    draw_panel,
    number_lines,
    side_by_side,
)
from glassnet.figures.scatter import NOISE, Method
from glassnet.figures.style import in_house_style, require_finite, require_shape, shorten
from glassnet.method_titles import CLUSTERING_TITLES

TITLE = 48
"""Characters of a heading over one panel."""


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
    clustering: Literal["kmeans", "agglomerative", "hdbscan"] = "kmeans",
) -> Figure:
    """Draw an embedding twice, coloured by true class and by cluster, with its numbers below.

    A cluster has the colour and marker of the class that it is matched to, so a point that changes colour between the
    panels is one that clustering puts with another class. More than 5,000 points are drawn as a density in two
    dimensions, and 5,000 of them at random in three; the figure says so.

    Args:
        points: Positions in 2 or 3 dimensions.
        targets: True class of each point.
        assignment: Cluster of each point, from 0; -1 for noise.
        classes: Names of the classes, in order.
        numbers: What to print, any of `figures.panels.NUMBERS`; those that are None are left out.
        title: The figure's heading.
        method: What the axes are.
        matching: Class that each cluster stands for, -1 for none; by default the one-to-one matching that most points
            agree with.
        centres: The clusters' centres: in 2 dimensions, borders are drawn halfway between them. Without, they are drawn
            where the nearest point is another cluster's.
        clustering: How the clusters were found.

    Raises:
        InputError: The arrays do not fit each other or hold NaN, or a number, the method or the clustering is unknown.
    """
    if clustering not in CLUSTERING_TITLES:
        raise unknown_name("clustering", str(clustering), CLUSTERING_TITLES)
    check_numbers(numbers)
    places, truth = checked_points(points, targets, classes)
    cluster = checked_assignment(assignment, len(places))
    middles = None if centres is None else require_finite("the centres", centres).astype(np.float64)
    count = max(int(cluster.max()) + 1, 0 if middles is None else len(middles))
    match = _matched(truth, cluster, len(classes), count, matching)
    flat = places.shape[1] == 2
    right_panel = _cluster_panel(
        cluster, match, classes, number_lines(numbers, BY_CLUSTER), CLUSTERING_TITLES[clustering]
    )
    if flat and middles is not None:
        right_panel = replace(right_panel, heading=f"{right_panel.heading}, + centre")
    panels = (class_panel(truth, classes, number_lines(numbers, BY_CLASS)), right_panel)
    figure, foot = side_by_side(title, panels, number=len(places), flat=flat)
    left, right = (draw_panel(figure, i, foot, places, panel, method) for i, panel in enumerate(panels))
    write_names(left, places, truth, classes, inches=PANEL)
    if flat and count:
        grid = grid_of(right)
        margins = point_margins(*grid, places, cluster, count) if middles is None else centre_margins(*grid, middles)
        draw_borders(right, *grid, margins, match)
    if flat and middles is not None:
        draw_centres(right, middles)
    return figure


def checked_points(
    points: np.ndarray, targets: np.ndarray, classes: Sequence[str], *, what: str = "points"
) -> tuple[Float[np.ndarray, "n d"], Integer[np.ndarray, " n"]]:
    """Return the points and their classes, refusing what is no embedding of labelled images.

    Raises:
        InputError: The points are not finite and (n, 2) or (n, 3), or the targets are not a class for each.
    """
    places, truth = require_finite(what, points).astype(np.float64), np.asarray(targets)
    if places.ndim != 2 or places.shape[1] not in (2, 3) or not len(places):
        raise InputError(f"{what} have shape {places.shape}, expected (n, 2) or (n, 3) with n of 1 or more.")
    require_shape("targets", truth, (len(places),), f"({len(places)},)")
    if truth.min() < 0 or truth.max() >= len(classes):
        raise InputError(
            f"targets go from {truth.min()} to {truth.max()}, expected 0 to {len(classes) - 1}, because there are "
            f"{len(classes)} classes."
        )
    return places, truth.astype(np.int64)


def checked_assignment(assignment: np.ndarray, number: int) -> Integer[np.ndarray, " n"]:
    """Return the clusters of `number` points, refusing what are none.

    Raises:
        InputError: It is not one whole number of -1 (noise) or more for each point.
    """
    cluster = np.asarray(assignment)
    require_shape("cluster assignments", cluster, (number,), f"({number},)")
    if cluster.min() < -1:
        raise InputError(f"cluster assignments go down to {cluster.min()}, expected clusters from 0, and -1 for noise.")
    return cluster.astype(np.int64)


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
    counts, inside = np.zeros((clusters, classes), dtype=np.int64), cluster >= 0
    np.add.at(counts, (cluster[inside], truth[inside]), 1)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    # A cluster without a point of the class that was left over does not stand for it.
    match = {int(r): int(c) for r, c in zip(rows, columns, strict=True) if counts[r, c]}
    return [match.get(index, -1) for index in range(clusters)]


def _cluster_panel(
    cluster: np.ndarray, match: Sequence[int], classes: Sequence[str], lines: Sequence[str], clustering: str
) -> Panel:
    heading = "cluster → matched class"
    if len(match) > LABELLED:
        heading += f" (the first {LABELLED} of {len(match)})"
    longest = 36 if len(match) <= ROOMY else 15
    names = [shorten(classes[c], longest).strip() if c >= 0 else "none" for c in match]
    entries = [(c, f"{index} → {name}") for index, (c, name) in enumerate(zip(match, names, strict=True))][:LABELLED]
    noise = int((cluster < 0).sum())
    if noise:
        entries.append((NOISE, f"noise ({noise:,})"))
    groups = np.where(cluster < 0, len(match), cluster)
    return Panel(f"By {clustering} cluster", lines, heading, groups, [*match, NOISE], entries)


@in_house_style
def points_figure(
    points: Float[np.ndarray, "n d"],
    targets: Integer[np.ndarray, " n"] | None,
    classes: Sequence[str],
    numbers: Mapping[str, float | None],
    title: str,
    *,
    method: Method | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """Draw an embedding once, coloured by class where there are classes.

    Args:
        points: Positions in 2 or 3 dimensions.
        targets: Class of each point; None where there are none.
        classes: Names of the classes, in order.
        numbers: What to print, any of `figures.panels.NUMBERS`; those that are None are left out.
        title: The figure's heading.
        method: What the axes are.
        names: Name of each point, written instead of the classes' names as long as there is room.

    Raises:
        InputError: The arrays do not fit each other or hold NaN, or a number or the method is unknown.
    """
    check_numbers(numbers)
    truth = np.zeros(len(points), dtype=np.int64) if targets is None else targets
    places, truth = checked_points(points, truth, ("",) if targets is None else classes)
    lines = number_lines(numbers, NUMBERS)
    if targets is None:
        panel = Panel(f"{len(places):,} points", lines, "", truth, [0], [(0, "one point per image")])
    else:
        panel = class_panel(truth, classes, lines)
    figure, foot = side_by_side(shorten(title, TITLE), [panel], number=len(places), flat=places.shape[1] == 2)
    axes = draw_panel(figure, 0, foot, places, panel, method)
    if names is not None:
        write_names(axes, places, np.arange(len(places)), names, inches=PANEL, edges=truth.tolist())
    elif targets is not None:
        write_names(axes, places, truth, classes, inches=PANEL)
    return figure


@in_house_style
def embedding_pair(
    left: Float[np.ndarray, "n d"],
    right: Float[np.ndarray, "n d"],
    targets: Integer[np.ndarray, " n"],
    classes: Sequence[str],
    numbers: tuple[Mapping[str, float | None], Mapping[str, float | None]],
    title: str,
    *,
    names: tuple[str, str],
    method: Method | tuple[Method, Method] | None = None,
    assignments: tuple[Integer[np.ndarray, " n"], Integer[np.ndarray, " n"]] | None = None,
    centres: tuple[Float[np.ndarray, "j d"], Float[np.ndarray, "k d"]] | None = None,
) -> Figure:
    """Draw two embeddings by true class, side by side, with the borders of the clusters found in each.

    Args:
        left: Positions in 2 or 3 dimensions.
        right: Those of the same images in the other embedding, in as many dimensions.
        targets: True class of each image.
        classes: Names of the classes, in order.
        numbers: What to print below the left and the right, any of `figures.panels.NUMBERS`; None is left out.
        title: The figure's heading.
        names: The panels' titles.
        method: What the axes are, the same for both or one each.
        assignments: Clusters of the left and of the right, -1 for noise; drawn in 2 dimensions as borders, where the
            nearest point is another cluster's.
        centres: Their centres on the left and on the right, for borders halfway between these instead.

    Raises:
        InputError: The arrays do not fit each other or hold NaN, or a number or a method is unknown.
    """
    sides = [checked_points(p, targets, classes, what=w) for p, w in ((left, "left points"), (right, "right points"))]
    shapes = [places.shape for places, _ in sides]
    if shapes[0] != shapes[1]:
        raise InputError(f"left points have shape {shapes[0]} and right {shapes[1]}, expected the same images in both.")
    for each in numbers:
        check_numbers(each)
    number, dims = shapes[0]
    middles = None if centres is None else [require_finite("the centres", c).astype(np.float64) for c in centres]
    clusters = None if assignments is None else [checked_assignment(a, number) for a in assignments]
    lines = [number_lines(each, NUMBERS) for each in numbers]
    truth = sides[0][1]
    bordered = dims == 2 and not (clusters is None and middles is None)
    note = "; lines: borders of the clusters" if bordered else ""
    first, second = (class_panel(truth, classes, lines[i], title=names[i], note=note) for i in (0, 1))
    figure, foot = side_by_side(title, (first, second), number=number, flat=dims == 2)
    methods = method if isinstance(method, tuple) else (method, method)
    for i, panel in enumerate((first, second)):
        places = sides[i][0]
        axes = draw_panel(figure, i, foot, places, panel, methods[i])
        grid, margins = grid_of(axes), None
        if dims == 2 and middles is not None:
            margins = centre_margins(*grid, middles[i])
        elif dims == 2 and clusters is not None and clusters[i].max() >= 0:
            margins = point_margins(*grid, places, clusters[i], int(clusters[i].max()) + 1)
        if margins is not None:
            draw_borders(axes, *grid, margins, [-1] * margins.shape[-1], tint=False)
        write_names(axes, places, truth, classes, inches=PANEL)
    return figure
