"""Settings to JSON and back, text to typed values, and the ranges that numbers must lie in."""

from __future__ import annotations

import dataclasses
import math
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import cattrs

from glassnet.errors import InputError, unknown_name

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]


def positive(settings: Any, *names: str) -> None:
    """Refuse a number that is not finite and above 0."""
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, int) and not 0 < value < 2**31:
            raise InputError(f"--{name.replace('_', '-')} is {value}, expected a number above 0 and below 2^31.")
        if isinstance(value, float) and not 0 < value < math.inf:  # a NaN fails every comparison
            raise InputError(f"--{name.replace('_', '-')} is {value}, expected a finite number above 0.")


def between(settings: Any, name: str, low: float, high: float) -> None:
    """Refuse a number outside low … high (high excluded)."""
    value = getattr(settings, name)
    if not low <= value < high:
        raise InputError(f"--{name.replace('_', '-')} is {value}, expected at least {low} and below {high}.")


def paths(settings: Any) -> None:
    """Turn what is given for a path as text into one, as a script will, where the command line gives paths.

    What JSON could not hold and safetensors not open, since both are for UTF-8, is refused.
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if any("\ud800" <= character <= "\udfff" for character in str(value)):
            option = f"--{field.name.replace('_', '-')}"
            raise InputError(f"{option} is {os.fsencode(str(value))!r}, which is not valid UTF-8; rename it.")
        if "Path" not in str(field.type) or value is None:
            continue
        one = isinstance(value, str | os.PathLike) or not isinstance(value, Iterable)
        several = "tuple" in str(field.type) and not one
        given = tuple(value) if several else (value,)
        if not all(isinstance(one, str | os.PathLike) for one in given):
            raise InputError(f"--{field.name.replace('_', '-')} is {value!r}, expected a path.")
        converted = tuple(map(Path, given))
        object.__setattr__(settings, field.name, converted if "tuple" in str(field.type) else converted[0])


def seeded(settings: Any) -> None:
    """Refuse a seed that torch's generators do not take alike."""
    if not 0 <= settings.seed < 2**31:
        raise InputError(f"--seed is {settings.seed}, expected 0 or more and below 2^31.")


S = TypeVar("S")

OLD_NAMES: Mapping[str, str] = {
    "pasted": "copy_paste",
    "small_epochs": "low_res_epochs",
    "small_size": "low_res_size",
}
"""Settings under their names before version 0.2; runs of then are read, and the old options understood."""
_KINDS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a name",
    Path: "a path",
    type(None): "none",
}


def to_json(settings: Any) -> dict[str, Any]:
    """Turn a settings dataclass into values that JSON holds: paths become strings, tuples lists."""
    return _JSON.unstructure(settings)


def from_json(kind: type[S], values: Mapping[str, Any]) -> S:
    """Rebuild a settings dataclass from `to_json`'s values.

    Raises:
        InputError: A value's name is none of the dataclass's fields, it has another type than the field, or a value
            that the dataclass needs is missing.
    """
    hints = field_types(kind)
    rebuilt: dict[str, Any] = {}
    for name, value in renamed(values).items():
        if name not in hints:
            raise unknown_name("setting", name, hints, where=f" in {kind.__name__}", noun="settings")
        rebuilt[name] = _structure(_JSON, value, hints[name], f"the setting {name}")
    required = (
        f.name
        for f in dataclasses.fields(kind)  # type: ignore[arg-type]
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
    missing = [name for name in required if name not in rebuilt]
    if missing:
        raise InputError(f"the settings lack {', '.join(missing)}; {kind.__name__} needs all of its values.")
    return kind(**rebuilt)


def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give settings that were saved under an old name the name of today."""
    return {OLD_NAMES.get(name, name): value for name, value in values.items()}


def from_text(text: str, hint: Any, what: str, *, expected: str | None = None) -> Any:
    """Read a value of a type from text, as on the command line: 8,8,16 for a tuple, true, none.

    Args:
        text: The value.
        hint: Its type, as an annotation.
        what: What the value is for, as the error begins: "the model option filters".
        expected: What the error says is expected; if not given, the type in words.

    Raises:
        InputError: The text is no such value.
    """
    if type(None) in typing.get_args(hint) and text.lower() == "none":
        return None
    return _structure(_TEXT, text, hint, what, expected)


def to_text(value: Any) -> str:
    """Write a value as the command line takes it: a tuple with commas, a truth value in small letters."""
    if isinstance(value, tuple | list):
        return ",".join(map(to_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def field_types(kind: Any) -> dict[str, Any]:
    """Return the types of a dataclass's fields by name, without what they tell the command line."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def type_of(default: Any) -> Any:
    """Return the type of values like a default: tuple[int, ...] for (8, 8)."""
    return tuple[type(default[0]), ...] if isinstance(default, tuple) and default else type(default)  # type: ignore[misc]


def _structure(converter: cattrs.Converter, value: Any, hint: Any, what: str, expected: str | None = None) -> Any:
    try:
        return converter.structure(value, hint)
    except Exception:  # cattrs hands on whatever a value's type raises
        quoted = f"'{value}'" if isinstance(value, str) else repr(value)
        raise InputError(f"{what} is {quoted}, expected {expected or _described(hint)}.") from None


def _described(hint: Any) -> str:
    """Say a type in words."""
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(hint)))}"
    if typing.get_origin(hint) is tuple:
        return f"a list whose values are each {_described(typing.get_args(hint)[0])}"
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return " or ".join(_described(one) for one in typing.get_args(hint))
    return _KINDS.get(hint, str(hint))


def _exactly(*kinds: type) -> Callable[[Any, Any], Any]:
    """Take a value of these types as it is, and refuse any other: JSON's 1 is no truth value, and "3" no number."""

    def take(value: Any, _: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError(value)
        return value

    return take


def _is_tuple(hint: Any) -> bool:
    return bool(typing.get_origin(hint) is tuple)


def _read_tuple(hint: Any) -> Callable[[Any, Any], Any]:
    item = typing.get_args(hint)[0]
    # No text is a list of no names and of no paths, but no list of numbers.
    named = item in (str, Path)
    return lambda text, _: tuple(_TEXT.structure(part, item) for part in text.split(",") if text or not named)


def _json_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False)
    converter.register_structure_hook(int, _exactly(int))
    converter.register_structure_hook(float, _exactly(float, int))
    converter.register_structure_hook(bool, _exactly(bool))
    converter.register_structure_hook(str, _exactly(str))
    converter.register_structure_hook_func(lambda hint: hint == int | str, _exactly(int, str))
    return converter


def _text_converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False)
    converter.register_structure_hook(bool, lambda text, _: {"true": True, "false": False}[text.lower()])
    converter.register_structure_hook_factory(_is_tuple, _read_tuple)
    return converter


_JSON, _TEXT = _json_converter(), _text_converter()
