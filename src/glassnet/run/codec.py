"""Frozen results to JSON values and arrays, and back: what an analysis found, as it lies on disk.

A result is a dataclass of numbers, texts, tuples, mappings, other such dataclasses and NumPy arrays. Arrays leave the
JSON and stand in it as {"array": KEY}, so that a reader of analysis.json sees where each is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import cattrs
import numpy as np
from cattrs.strategies import configure_union_passthrough

from glassnet.errors import InputError

R = TypeVar("R")
Arrays = Mapping[str, np.ndarray]


def encode(result: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Return the JSON values of a result and its arrays by key; a number that is not finite becomes None."""
    arrays: dict[str, np.ndarray] = {}
    return _encoded(result, "", arrays), arrays


def _encoded(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"array": path}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        stored = [field.name for field in dataclasses.fields(value) if _is_stored(field, value)]
        return {name: _encoded(getattr(value, name), f"{path}/{name}".strip("/"), arrays) for name in stored}
    if isinstance(value, Mapping):
        return {_key(key): _encoded(one, f"{path}/{_key(key)}".strip("/"), arrays) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_encoded(one, f"{path}/{place}".strip("/"), arrays) for place, one in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _is_stored(field: dataclasses.Field[Any], value: Any) -> bool:
    """Tell whether a field is written: "later" ones, unknown to what was kept before, only where they say something."""
    if field.metadata.get("later") and getattr(value, field.name) == field.default:
        return False
    return field.metadata.get("stored", True)


_BETWEEN = " @ "


def _key(key: Any) -> str:
    """Write a key; one of several texts, such as (method, layer), as one text."""
    return _BETWEEN.join(map(str, key)) if isinstance(key, tuple) else str(key)


def decode(
    kind: type[R],
    document: Any,
    arrays: Arrays,
    *,
    source: object,
    again: str = "remove its folder and make it again.",
) -> R:
    """Rebuild a result from its JSON values and arrays.

    Raises:
        InputError: They are not those of such a result; `source` is named as where they came from, and `again` says
            what to do.
    """
    lost = [key for key in _named(document) if key not in arrays]
    if lost:
        raise InputError(f"{source} is damaged (array {lost[0]} is missing); remove its folder and make it again.")
    try:
        return _converter(arrays).structure(document, kind)
    except (cattrs.BaseValidationError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        problem = "; ".join(cattrs.transform_error(error)[:2])
        raise InputError(f"{source} is damaged ({problem[:300]}); {again}") from None


def _converter(arrays: Arrays) -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    configure_union_passthrough(bool | int | float | str | None, converter)

    def array_of(value: Any, _kind: Any) -> np.ndarray:
        return arrays[value["array"]]

    converter.register_structure_hook_func(_is_array, array_of)
    converter.register_structure_hook(float, lambda value, _: _number(value))
    converter.register_structure_hook_func(_has_tuple_keys, lambda value, kind: _tuple_keyed(converter, value, kind))
    return converter


def _named(document: Any) -> Iterator[str]:
    """Yield the keys of the arrays that a document names."""
    if isinstance(document, list):
        for one in document:
            yield from _named(one)
    elif isinstance(document, dict):
        if document.keys() == {"array"}:
            yield str(document["array"])
        for one in document.values():
            yield from _named(one)


def _number(value: Any) -> float:
    """Read a number; None stands for one that was not finite, where the result has no other meaning of it."""
    if isinstance(value, str | bool):
        raise ValueError(f"{value!r} is not a number")
    return math.nan if value is None else float(value)


def _is_array(kind: Any) -> bool:
    return np.ndarray in (kind, getattr(kind, "array_type", None), getattr(kind, "__origin__", None))


def _has_tuple_keys(kind: Any) -> bool:
    arguments: Any = getattr(kind, "__args__", ())
    origin = getattr(kind, "__origin__", None)
    mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    return mapping and len(arguments) == 2 and getattr(arguments[0], "__origin__", None) is tuple


def _tuple_keyed(converter: cattrs.Converter, value: Mapping[str, Any], kind: Any) -> dict[Any, Any]:
    length = len(kind.__args__[0].__args__)
    pairs = {tuple(key.split(_BETWEEN)): one for key, one in value.items()}
    for key in pairs:
        if len(key) != length:
            raise ValueError(f"the key {_key(key)} has {len(key)} parts, expected {length}")
    return {key: converter.structure(one, kind.__args__[1]) for key, one in pairs.items()}
