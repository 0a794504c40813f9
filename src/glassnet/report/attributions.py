"""Where each layer looks: the attribution figures of a run, and which images they show."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from glassnet.attribution.methods import TITLES
from glassnet.report import numbers
from glassnet.report.faithfulness import measure_notes, measures
from glassnet.report.inline import Picture, find_picture
from glassnet.report.records import files, mapping, names, rows, text
from glassnet.report.tables import Table, table
from glassnet.run import RunDirectory


@dataclass(frozen=True)
class Group:
    """Images explained together."""

    rule: str
    """By which rule the images were taken."""
    methods: str
    layers: str
    pictures: tuple[Picture, ...]
    missing: str
    table: Table | None
    measures: Table | None
    """How faithful the maps are, where that was measured."""
    notes: tuple[str, ...]
    """What these numbers are to be compared with."""


def attributions(run: RunDirectory) -> dict[str, Any] | None:
    """Collect what the section on attributions shows; None where nothing was explained.

    Raises:
        InputError: A file of the attributions is damaged.
    """
    found = [mapping(run, name) for name in files(run, "attributions", first=("correct", "wrong"))]
    return {"groups": [_group(run, group) for group in found]} if found else None


def _group(run: RunDirectory, group: dict[str, Any]) -> Group:
    drawn = [(name, find_picture(run, name)) for name in dict.fromkeys(names(group, "figures"))]
    pictures = tuple(picture for _, picture in drawn if picture)
    missing = ", ".join(name for name, picture in drawn if not picture) if drawn else "of these images"
    methods = _listed([TITLES.get(name, name) for name in names(group, "methods")])
    return Group(
        text(group.get("rule")), methods, _listed(names(group, "layers")), pictures, missing, _images(group),
        measures(group, TITLES), measure_notes(group, TITLES),
    )  # fmt: skip


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else numbers.DASH


_COLUMNS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "Test image": lambda image: text(image.get("index")) or numbers.DASH,
    "True class": lambda image: text(image.get("label")) or numbers.DASH,
    "Predicted": lambda image: text(image.get("predicted")) or numbers.DASH,
    "Correct": lambda image: numbers.plain(image.get("correct")),
    "Explained class": lambda image: text(image.get("target")) or text(image.get("predicted")) or numbers.DASH,
    "Its probability": lambda image: numbers.percent(image.get("probability"), 1),
    "Its share of the image": lambda image: numbers.percent(image.get("share"), 1),
    "Mean IoU": lambda image: numbers.percent(image.get("iou"), 1),
}


def _images(group: dict[str, Any]) -> Table | None:
    """List the images; a column in which none has anything is of another task and left out."""
    images = rows(group, "images")
    if not images:
        return None
    cells = {name: [cell(image) for image in images] for name, cell in _COLUMNS.items()}
    shown = [name for name, column in cells.items() if name == "Test image" or set(column) != {numbers.DASH}]
    words = tuple(number for number, name in enumerate(shown) if name in list(_COLUMNS)[:5])
    return table("The images shown", shown, list(zip(*(cells[name] for name in shown), strict=True)), words=words)
