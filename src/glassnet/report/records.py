"""What a run's JSON files hold, read so that a lacking value is a gap in a table and a damaged file is an error."""

import re
from collections.abc import Iterable
from typing import Any

from glassnet.errors import InputError
from glassnet.report.numbers import is_number
from glassnet.run import RunDirectory


def mapping(run: RunDirectory, name: str) -> dict[str, Any]:
    """Read a JSON file below the run that must hold an object.

    Raises:
        InputError: It is missing or damaged, or holds something else.
    """
    value = run.load_json(name)
    if not isinstance(value, dict):
        raise InputError(f"{run.path / name} is damaged (it holds no JSON object); make it again.")
    return value


def part(value: dict[str, Any], key: str) -> dict[str, Any]:
    """Take the object under `key`, empty where there is none."""
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def rows(value: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Take the list of objects under `key`, without what is no object."""
    inner = value.get(key)
    return [row for row in inner if isinstance(row, dict)] if isinstance(inner, list) else []


def names(value: dict[str, Any], key: str) -> list[str]:
    """Take the list of texts under `key`."""
    inner = value.get(key)
    return [name for name in inner if isinstance(name, str)] if isinstance(inner, list) else []


def text(value: Any) -> str:
    """Take a text or a finite number as text; anything else is empty."""
    return str(value) if isinstance(value, str) or is_number(value) else ""


def files(run: RunDirectory, folder: str, *, first: Iterable[str] = ()) -> list[str]:
    """List the JSON files of a folder below the run in natural order (conv2 before conv10).

    Args:
        run: The run.
        folder: Folder below the run.
        first: Names without suffix in the order wanted, as of the layers; what is not among them comes after.
    """
    order = {name: place for place, name in enumerate(first)}
    found = sorted(run.stems(folder), key=lambda stem: (order.get(stem, len(order)), _natural(stem)))
    return [f"{folder}/{stem}.json" for stem in found]


def _natural(stem: str) -> list[tuple[int, str]]:
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", stem)]


def task_name(run: RunDirectory) -> str:
    """Return the name of a run's task; runs of an early version had only one."""
    return text(part(dict(run.manifest), "settings").get("task")) or "classification"
