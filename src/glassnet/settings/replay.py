"""Settings to JSON and back, so that a run can be replayed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from glassnet.errors import InputError, unknown_name

S = TypeVar("S")


def to_json(settings: Any) -> dict[str, Any]:
    """Turn a settings dataclass into values that JSON holds: paths become strings, tuples lists."""
    return {field.name: _plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def from_json(kind: type[S], values: Mapping[str, Any]) -> S:
    """Rebuild a settings dataclass from `to_json`'s values.

    Raises:
        InputError: A value's name is none of the dataclass's fields, or it has another type than the field.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    rebuilt: dict[str, Any] = {}
    for name, value in values.items():
        if name not in fields:
            raise unknown_name("setting", name, fields, where=f" in {kind.__name__}", noun="settings")
        if "Path" in str(fields[name].type):
            value = [Path(v) for v in value] if isinstance(value, list) else value
            value = Path(value) if isinstance(value, str) else value
        rebuilt[name] = tuple(value) if isinstance(value, list) else value
        _check_type(name, rebuilt[name], fields[name])
    return kind(**rebuilt)


_OPTIONAL: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "int | None": (int, "a whole number"),
    "float | None": ((int, float), "a number"),
    "str | None": (str, "a name"),
}


def _check_type(name: str, value: Any, field: dataclasses.Field[Any]) -> None:
    """Compare a value's type with that of the field's default, or with the field's own where the default is none."""
    default = field.default
    if str(field.type) in _OPTIONAL:
        kind, words = _OPTIONAL[str(field.type)]
        if value is not None and not isinstance(value, kind):
            raise InputError(f"the setting {name} is {value!r}, expected {words}.")
    wanted = (int, float) if type(default) is float else type(default)
    if default is not None and default is not dataclasses.MISSING and not isinstance(value, wanted):
        raise InputError(f"the setting {name} is {value!r}, expected a value like {default!r}.")
