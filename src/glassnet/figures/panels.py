"""A panel of an embedding: its points or their density, and below them its numbers, its legend and its scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from glassnet.errors import unknown_name
from glassnet.figures.annotations import named_classes
from glassnet.figures.scatter import (
    DENSE,
    NO_CLASS,
    Method,
    cells_a_side,
    draw_density,
    draw_points,
    look,
    opacity,
    square_axes,
)
from glassnet.figures.style import INK, MUTED, new_free_figure, shorten

BY_CLASS = {
    "explained_variance": ("variance explained", ".1%"),
    "knn_accuracy": ("kNN accuracy", ".1%"),
    "landmark_accuracy": ("kNN accuracy of landmarks", ".1%"),
    "placed_accuracy": ("of points placed among them", ".1%"),
    "trustworthiness": ("trustworthiness", ".3f"),
    "continuity": ("continuity", ".3f"),
    "neighbours_kept": ("neighbours kept", ".1%"),
    "distance_correlation": ("rank correlation of distances", ".3f"),
    "kl_divergence": ("KL divergence (nats)", ".3f"),
    "class_silhouette": ("silhouette of the classes", ".3f"),
}
"""What tells how well the points keep the features and the classes."""
BY_CLUSTER = {
    "ari": ("adjusted Rand index", ".3f"),
    "accuracy": ("matched accuracy", ".1%"),
    "nmi": ("normalised mutual information", ".3f"),
    "silhouette": ("silhouette", ".3f"),
    "noise_share": ("noise", ".1%"),
}
"""What tells how well the clusters fit the classes."""
NUMBERS = BY_CLASS | BY_CLUSTER
CHARACTERS = 56
"""As many fit below a panel in one line."""
ROOMY = 8
"""Up to so many entries a legend may have one on each line, with a long name."""


def check_numbers(numbers: Mapping[str, float | None]) -> None:
    """Refuse a number that has no name here.

    Raises:
        InputError: There is one; the known ones are listed.
    """
    for key in numbers:
        if key not in NUMBERS:
            raise unknown_name("number", key, NUMBERS, noun="numbers")


def number_lines(numbers: Mapping[str, float | None], keys: Iterable[str]) -> list[str]:
    """Write those of the numbers `keys` that there are, as many on a line as a panel is wide."""
    lines: list[str] = []
    for key in keys:
        value = numbers.get(key)
        if value is None:
            continue
        name, form = NUMBERS[key]
        number = f"{name} {value:{form}}".replace("-", "−")
        longer = f"{lines[-1]},   {number}" if lines else ""
        if lines and len(longer) <= CHARACTERS:
            lines[-1] = longer
        else:
            lines.append(number)
    return lines


PANEL, SIDE, BETWEEN, HEAD, LABELS, LINE = 4.1, 0.72, 0.82, 0.72, 0.6, 0.2
"""Inches: side of a panel, left of it, between both, above, the axis labels below, a line of text."""


@dataclass(frozen=True, eq=False)
class Panel:
    """What one panel shows."""

    title: str
    numbers: Sequence[str]
    """Lines below the axes."""
    heading: str
    """The legend's."""
    groups: Integer[np.ndarray, " n"]
    """Group of each point, from 0."""
    classes: Sequence[int]
    """Class that gives each group its look, below 0 for none."""
    entries: Sequence[tuple[int, str]]
    """The legend: class and text."""

    @property
    def columns(self) -> int:
        """Columns of the legend."""
        return int(np.clip(PANEL / (0.32 + 0.082 * max(len(name) for _, name in self.entries)), 1, 10))

    @property
    def foot(self) -> float:
        """Height of what stands below the axes, in inches, without the notes on many points."""
        return LABELS + LINE * (len(self.numbers) + 1 - (-len(self.entries) // self.columns)) + 0.12


def class_panel(
    truth: Integer[np.ndarray, " n"],
    classes: Sequence[str],
    lines: Sequence[str],
    *,
    title: str = "By true class",
    note: str = "",
) -> Panel:
    """Describe the panel whose points are coloured by class."""
    named, present = named_classes(truth, len(classes)), np.unique(truth).size
    heading = "class" if len(named) == present else f"class (the {len(named)} largest of {present})"
    entries = [(c, shorten(classes[c], 44 if len(named) <= ROOMY else 20)) for c in named]
    return Panel(title, lines, heading + note, truth, range(len(classes)), entries)


def side_by_side(title: str, panels: Sequence[Panel], *, number: int, flat: bool) -> tuple[Figure, float]:
    """Make the figure for one panel of `number` points, or for two side by side.

    Returns:
        The figure with its title, and the height in inches that the panels stand at.
    """
    foot = max(panel.foot for panel in panels) + LINE * _note_lines(number, flat)
    width, height = SIDE + len(panels) * PANEL + (len(panels) - 1) * BETWEEN + 0.15, HEAD + PANEL + foot
    figure = new_free_figure(width, height)
    figure.text(0.12 / width, 1 - 0.22 / height, title, fontsize=12, fontweight="bold", va="center")
    return figure, foot


def draw_panel(
    figure: Figure, column: int, bottom: float, points: np.ndarray, panel: Panel, method: Method | None
) -> Axes:
    """Draw a panel into the left (0) or the right (1) half, its axes `bottom` inches up; below it what explains it."""
    left = SIDE + column * (PANEL + BETWEEN)
    width, height = figure.get_size_inches()
    axes = square_axes(figure, (left / width, bottom / height, PANEL / width, PANEL / height), points, method)
    axes.set_title(panel.title, loc="left")
    flat, most = points.shape[1] == 2, 0
    if flat and len(points) > DENSE:
        most = draw_density(axes, points, panel.groups, [look(c, number=len(points))[0] for c in panel.classes])
    else:
        chosen = drawn_points(len(points))
        draw_points(axes, points[chosen], panel.groups[chosen], panel.classes, inches=PANEL)
    top = bottom - LABELS
    for number, line in enumerate([*panel.numbers, panel.heading]):
        colour = MUTED if number == len(panel.numbers) else INK
        figure.text(left / width, (top - LINE * (number + 0.5)) / height, line, color=colour, va="center")
    top -= LINE * (len(panel.numbers) + 1)
    _legend(figure, left, top, panel, len(points))
    _notes(figure, left, LINE * _note_lines(len(points), flat) + 0.06, len(points), most)
    return axes


def drawn_points(number: int) -> Integer[np.ndarray, " m"]:
    """Choose the points to draw where no density can be: all, or `DENSE` of them at random, the same ones each time."""
    if number <= DENSE:
        return np.arange(number)
    return np.sort(np.random.default_rng(0).choice(number, DENSE, replace=False))


def _legend(figure: Figure, left: float, top: float, panel: Panel, number: int) -> None:
    width, height = figure.get_size_inches()
    handles = []
    for index, name in panel.entries:
        colour, marker = look(index, number=number)
        handles.append(Line2D([], [], linestyle="", marker=marker, color=colour, markersize=6, label=name))
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(left / width, top / height), ncols=panel.columns,
        columnspacing=1.0, handletextpad=0.1, borderpad=0.1, borderaxespad=0, fontsize=9, handlelength=1.2,
    )  # fmt: skip


def _note_lines(number: int, flat: bool) -> int:
    return 0 if number <= DENSE else 3 if flat else 1


def _notes(figure: Figure, left: float, top: float, number: int, most: int) -> None:
    """Say how many points are drawn how, and draw the scale of a density whose fullest cell has `most`."""
    width, height = figure.get_size_inches()
    texts = []
    if most:
        cells = cells_a_side(number)
        texts = [
            f"{number:,} points as density on {cells} × {cells} cells; a cell has the",
            "colour of most of its points",
        ]
    elif number > DENSE:
        texts = [f"{DENSE:,} of {number:,} points are drawn, chosen at random"]
    for line, text in enumerate(texts):
        figure.text(left / width, (top - LINE * (line + 0.5)) / height, text, color=MUTED, va="center")
    if most:
        _scale(figure, left, top - 2.5 * LINE, most)


def _scale(figure: Figure, left: float, middle: float, most: int) -> None:
    """Draw the opacities of 1 to `most` points a cell as a bar, logarithmic like themselves."""
    width, height = figure.get_size_inches()
    bar = figure.add_axes(((left + 1.3) / width, (middle - 0.06) / height, 1.5 / width, 0.12 / height))
    counts = np.exp(np.linspace(0, np.log(max(most, 2)), 64))
    image = np.empty((1, len(counts), 4))
    image[..., :3], image[..., 3] = to_rgb(NO_CLASS), opacity(counts, most)
    bar.imshow(image, aspect="auto", interpolation="nearest")
    bar.set_axis_off()
    for x, text, side in ((1.25, "points per cell   1", "right"), (2.85, f"{max(most, 2):,}, logarithmic", "left")):
        figure.text((left + x) / width, middle / height, text, color=MUTED, va="center", ha=side)
