"""What a run's manifest, run.json, must hold and of which types."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from glassnet.errors import InputError
from glassnet.files import read_json

REMEDY = "restore it or train the run again"
_MISSING = object()


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_size(value: Any) -> bool:
    return _is_count(value) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_measure(value: Any) -> bool:
    """A number, none where it cannot be told, or several by name."""
    return value is None or _is_number(value) or (isinstance(value, dict) and all(map(_is_measure, value.values())))


def _is_interval(value: Any) -> bool:
    return value is None or (
        isinstance(value, list) and len(value) == 2 and all(one is None or _is_number(one) for one in value)
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_fingerprint(value: Any) -> bool:
    """Of each part of the data its number of images and digests, and in a word what the targets are."""
    return isinstance(value, dict) and all(_OF_A_FINGERPRINT.get(name, _is_part)(part) for name, part in value.items())


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and _is_count(value.get("images"))


_OF_A_FINGERPRINT: Mapping[str, Callable[[Any], bool]] = {
    "targets": _is_text,
    "classes": lambda value: _is_object(value) and all(map(_is_object, value.values())),
}
Kind = tuple[Callable[[Any], bool], str]
COUNT: Kind = (_is_count, "a whole number of 0 or more")
SIZE: Kind = (_is_size, "a whole number of 1 or more")
NUMBER: Kind = (_is_number, "a number")
MEASURE: Kind = (_is_measure, "a number or null")
INTERVAL: Kind = (_is_interval, "two numbers")
TEXT: Kind = (_is_text, "a text")
TEXTS: Kind = (_is_list_of(_is_text), "a list of texts")
SHAPE: Kind = (lambda value: value is None or _is_list_of(_is_count)(value), "a list of whole numbers, or null")
OBJECT: Kind = (_is_object, "an object")
FINGERPRINT: Kind = (_is_fingerprint, "the number of images of each part, and digests")
LIST: Kind = (_is_list_of(lambda _: True), "a list")

_REQUIRED: Mapping[str, Mapping[str, Kind]] = {
    "settings": {"data": TEXT, "model": TEXT, "task": TEXT},
    "model": {
        "name": TEXT,
        "options": OBJECT,
        "in_channels": SIZE,
        "num_classes": COUNT,
        "image_size": SIZE,
        "parameters": COUNT,
        "layers": LIST,
    },
    "data": {"name": TEXT, "classes": TEXTS, "train": COUNT, "validation": COUNT, "test": COUNT},
    "metrics": {"epoch": COUNT, "test_loss": MEASURE},
}
_IF_THERE: Mapping[str, Mapping[str, Kind]] = {
    "data": {
        **{"note": TEXT, "channels": SIZE, "image_size": SIZE, "fingerprint": FINGERPRINT},
        **{"leak": COUNT, "validation_leak": COUNT},
    },
    "weights": {"epoch": COUNT, "digest": TEXT},
    "model": {"reference": OBJECT, "probed": OBJECT},
    "machine": {},
    "versions": {},
}
_TOP: Mapping[str, Kind] = {"seconds": NUMBER, "started": TEXT, "device": TEXT, "precision": TEXT, "seed": COUNT}
_LAYER: Mapping[str, Kind] = {
    "name": TEXT,
    "kind": TEXT,
    "input": SHAPE,
    "output": SHAPE,
    "parameters": COUNT,
    "macs": COUNT,
}


def read_manifest(path: Path, *, newest: int) -> dict[str, Any]:
    """Read run.json of the run at `path`.

    Args:
        path: The run.
        newest: Latest schema version that can be read.

    Raises:
        InputError: It is damaged, lacks what a run needs, holds a value of another type, or is newer.
    """
    file = path / "run.json"
    manifest = read_json(file, remedy=REMEDY)
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if type(version) is not int or version < 1:
        raise damaged(file, "it has no schema_version")
    if version > newest:
        raise InputError(
            f"{path} has schema version {version}, but this glassnet reads up to {newest}; "
            "upgrade with `pip install --upgrade glassnet`."
        )
    require(file, manifest, {part: tuple(kinds) for part, kinds in _REQUIRED.items()})
    for problem in _problems(manifest):
        raise damaged(file, problem)
    return manifest


def require(file: Path, manifest: Mapping[str, Any], needed: Mapping[str, Iterable[str]]) -> None:
    """Refuse a manifest that lacks some of the keys that are needed, by its parts.

    Raises:
        InputError: It does.
    """
    lacking = [f"{part}.{key}" for part, keys in needed.items() for key in keys if key not in _part(manifest, part)]
    if lacking:
        raise damaged(file, f"it lacks {', '.join(lacking)}")


def require_metrics(file: Path, manifest: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse metrics that are not there or no numbers; of a name that ends in _interval, a pair.

    Raises:
        InputError: One is.
    """
    names = tuple(names)
    require(file, manifest, {"metrics": names})
    kinds = {name: INTERVAL if name.endswith("_interval") else MEASURE for name in names}
    for problem in _of(manifest["metrics"], kinds, "metrics."):
        raise damaged(file, problem)


def damaged(file: Path, why: str) -> InputError:
    """Build the error for a damaged run.json."""
    return InputError(f"{file} is damaged ({why}); {REMEDY}.")


def _problems(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Say what has another type than it must have."""
    yield from _of(manifest, {key: kind for key, kind in _TOP.items() if manifest.get(key) is not None}, "")
    for part, kinds in _REQUIRED.items():
        yield from _of(manifest[part], kinds, f"{part}.")
    for part, kinds in _IF_THERE.items():
        if manifest.get(part) is not None:
            yield from _of(manifest, {part: OBJECT}, "")
            there = {key: kind for key, kind in kinds.items() if manifest[part].get(key) is not None}
            yield from _of(manifest[part], there, f"{part}.")
    if manifest.get("weights") is not None:
        yield from _of(manifest["weights"], _IF_THERE["weights"], "weights.")
    for number, layer in enumerate(manifest["model"]["layers"]):
        where = f"model.layers[{number}]"
        yield from _of({where: layer}, {where: OBJECT}, "")
        yield from _of(layer, _LAYER, f"{where}.")


def _of(values: Mapping[str, Any], kinds: Mapping[str, Kind], where: str) -> Iterator[str]:
    for key, (check, words) in kinds.items():
        value = values.get(key, _MISSING)
        if value is _MISSING:
            yield f"it lacks {where}{key}"
        elif not check(value):
            yield f"{where}{key} is {json.dumps(value)[:60]}, expected {words}"


def _part(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = manifest.get(name)
    return part if isinstance(part, dict) else {}
