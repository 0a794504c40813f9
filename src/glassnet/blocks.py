"""What a report is made of: typed blocks that a task's views build and `report.page.render` writes.

Nothing here reads a run or a file. Text is escaped when it is written; `Markup` stands as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Integer

from glassnet.tables import Table


@dataclass(frozen=True)
class Headline:
    """A number that a reader looks for first, with what bounds it: its interval, or what it was counted on."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Terms:
    """Terms and what they mean, as measures and methods need it."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Missing:
    """What this run lacks, in one sentence, and the command that makes it."""

    what: str
    command: str = ""


@dataclass(frozen=True)
class Picture:
    """A still figure: SVG follows the page's theme, PNG stands as it is."""

    title: str
    alt: str
    drawing: bytes
    lead: str = ""
    """One sentence above the figure: what to see in it."""
    caption: str = ""
    kind: Literal["svg", "png"] = "svg"
    name: str = ""
    """Name of the saved file without its suffix, and of the figure in an error; the title if empty."""
    dpi: float = 96
    """Pixels of a PNG per inch of the page; 192 draws it at half its size."""


@dataclass(frozen=True)
class Map:
    """One attribution map of an image: the layer, a number in words, and the PNG."""

    title: str
    png: bytes
    value: str = ""


@dataclass(frozen=True)
class Example:
    """One image with its maps; a gallery shows it, and a panel opens it from a cell or a point."""

    id: int
    """Unique in its run; blocks name examples by it."""
    name: str
    """The file's name, or the image's number in its data set."""
    heading: str
    """What happened, in a few words: "4 taken for 9"."""
    thumbnail: bytes
    """The image itself, PNG."""
    facts: tuple[tuple[str, str], ...] = ()
    maps: tuple[Map, ...] = ()
    """The map to look at first comes first: a gallery's card shows it, the panel shows all."""


@dataclass(frozen=True)
class Gallery:
    """Examples side by side: each card with its image and first map, or with its first map alone where compact."""

    title: str
    examples: tuple[int, ...]
    lead: str = ""
    caption: str = ""
    compact: bool = False


@dataclass(frozen=True)
class Answer:
    """What a network says of an image without a label: its likeliest classes, and pictures that explain the first."""

    name: str
    """The file's name, or the image's number."""
    picture: bytes
    """The image itself, PNG."""
    classes: tuple[tuple[str, float], ...]
    """The likeliest classes with their probabilities, the likeliest first."""
    maps: tuple[Map, ...] = ()
    channels: tuple[Map, ...] = ()


@dataclass(frozen=True)
class Answers:
    """Images with what a network says of each, one below the other."""

    title: str
    answers: tuple[Answer, ...]
    lead: str = ""
    caption: str = ""


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Which class is taken for which; a cell opens its examples."""

    title: str
    classes: tuple[str, ...]
    counts: Integer[np.ndarray, "classes classes"]
    """Images of class row that the model takes for class column."""
    examples: Mapping[tuple[int, int], Sequence[int]] = field(default_factory=dict)
    """(true, predicted) → ids of examples, those to see first first."""
    lead: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Thumbnails:
    """Small images as one PNG: tile i stands in row i // columns, column i % columns."""

    png: bytes
    width: int
    height: int
    columns: int


@dataclass(frozen=True, eq=False)
class Points:
    """The images behind the points of one or more embeddings; embeddings of the same images share one object."""

    names: tuple[str, ...]
    labels: Integer[np.ndarray, " n"]
    classes: tuple[str, ...]
    colours: tuple[str, ...]
    """A hex colour per class; fewer colours than classes begin again, as squares."""
    predicted: Integer[np.ndarray, " n"] | None = None
    examples: Integer[np.ndarray, " n"] | None = None
    """Id of the example that a point opens, -1 for none."""
    thumbnails: Thumbnails | None = None
    """Tile i shows point i."""


@dataclass(frozen=True, eq=False)
class Scatter:
    """An embedding in two or three dimensions: a point shows its image, three dimensions turn."""

    title: str
    alt: str
    positions: Float[np.ndarray, "n dims"]
    points: Points
    lead: str = ""
    caption: str = ""
    clusters: Integer[np.ndarray, " n"] | None = None
    axes: tuple[str, ...] = ()
    measures: Table | None = None


@dataclass(frozen=True)
class Row:
    """Blocks side by side where the page is wide enough."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Fold:
    """Blocks behind a line that opens them."""

    summary: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Template:
    """A task's own markup: Jinja, escaped, with the context's names and `show(block)`."""

    source: str
    context: Mapping[str, Any] = field(default_factory=dict)


Block: TypeAlias = (
    Prose | Terms | Missing | Table | Picture | Gallery | Answers | ConfusionMatrix | Scatter | Row | Fold | Template
)


@dataclass(frozen=True)
class Section:
    """A part of a run's report with an entry in the contents."""

    key: str
    """What its address is made of: letters, digits and dashes."""
    title: str
    blocks: tuple[Block, ...]
    folded: bool = False
    """Closed at first, as settings and methods are."""


@dataclass(frozen=True)
class RunReport:
    """One run (or one network with images): results first."""

    name: str
    model: str
    data: str
    headlines: tuple[Headline, ...]
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    examples: tuple[Example, ...] = ()
    when: str = ""


@dataclass(frozen=True)
class Page:
    """One run, or several that begin with their comparison."""

    runs: tuple[RunReport, ...]
    comparison: Table | None = None
    lead: str = ""
    """One sentence above the comparison."""
