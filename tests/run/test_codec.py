"""Results go to JSON values and arrays and come back as they were."""

import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float
from torch import nn  # noqa: F401 - loaded before the kinds, as everywhere

from glassnet.analysis import KINDS
from glassnet.errors import InputError
from glassnet.run.codec import decode, encode
from glassnet.tasks import TASKS


@dataclass(frozen=True)
class Part:
    name: str
    value: float | None = None


@dataclass(frozen=True)
class Result:
    number: float
    count: int
    right: bool
    parts: tuple[Part, ...]
    pair: tuple[float, float] | None
    by_two: Mapping[tuple[str, str], Part]
    by_three: Mapping[tuple[str, str, str], Float[np.ndarray, " n"]]
    anything: Mapping[str, str | float | bool | None]
    rows: Float[np.ndarray, "n d"] | None
    optional: float | None = None
    part: Part | None = None
    draws: int = field(default=0, metadata={"stored": False})


RESULT = Result(
    number=0.1,
    count=3,
    right=True,
    parts=(Part("a", 1.5), Part("b")),
    pair=(0.25, 1 / 3),
    by_two={("gradcam", "conv1"): Part("c", 2.0), ("saliency", "input"): Part("d")},
    by_three={("gradcam", "guided", "layer 1"): np.arange(3.0)},
    anything={"label": "7", "score": 0.5, "correct": False, "share": None, "count": 3},
    rows=np.arange(6.0).reshape(2, 3),
    part=Part("e"),
    draws=7,
)


def through_disk(kind, value):
    document, arrays = encode(value)
    return decode(kind, json.loads(json.dumps(document, allow_nan=False)), arrays, source="analysis.json")


def assert_same(one, other):
    """Compare two results field by field, arrays by their values and types."""
    assert type(one) is type(other) or isinstance(one, Mapping)
    if dataclasses.is_dataclass(one):
        for each in dataclasses.fields(one):
            if each.metadata.get("stored", True):
                assert_same(getattr(one, each.name), getattr(other, each.name))
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    elif isinstance(one, Mapping):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    else:
        assert one == other


def test_a_result_comes_back_as_it_was():
    back = through_disk(Result, RESULT)
    assert_same(RESULT, back)
    assert back.draws == 0  # what is not stored has its default


def test_arrays_leave_the_document_and_are_named_in_it():
    document, arrays = encode(RESULT)
    assert document["rows"] == {"array": "rows"}
    key = "by_three/gradcam @ guided @ layer 1"
    assert document["by_three"] == {"gradcam @ guided @ layer 1": {"array": key}}
    assert arrays.keys() == {"rows", key}
    assert "draws" not in document


def test_numbers_of_numpy_are_plain_ones_and_paths_are_texts():
    values = (np.float32(0.5), np.int64(3), np.bool_(True), Path("a/b"), [np.float64(2)])
    document, arrays = encode(values)
    assert document == [0.5, 3, True, "a/b", [2.0]]
    assert [type(one) for one in document] == [float, int, bool, str, list]
    assert not arrays


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_what_is_no_finite_number_becomes_none(value):
    document, _ = encode(dataclasses.replace(RESULT, number=value, optional=value))
    assert document["number"] is None
    assert document["optional"] is None
    json.dumps(document, allow_nan=False)
    back = decode(Result, document, encode(RESULT)[1], source="x")
    assert math.isnan(back.number)  # which can be nothing but a number
    assert back.optional is None


DAMAGES = {
    "an unknown field": lambda document: document.update(surplus=1),
    "a missing field": lambda document: document.pop("count"),
    "a text for a number": lambda document: document.update(number="0.1"),
    "a text for a count": lambda document: document.update(count="three"),
    "a number for a list": lambda document: document.update(parts=3),
    "an unknown field deep inside": lambda document: document["parts"][0].update(surplus=1),
    "a missing field deep inside": lambda document: document["parts"][0].pop("name"),
    "a pair of three": lambda document: document.update(pair=[1.0, 2.0, 3.0]),
    "a key of one part": lambda document: document.update(by_two={"gradcam": {"name": "a"}}),
    "a list for a mapping": lambda document: document.update(by_two=[1]),
    "an array that is not there": lambda document: document.update(rows={"array": "lost"}),
    "a number for an array": lambda document: document.update(rows=3),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_such_result_is_refused_and_its_file_named(damage):
    document, arrays = encode(RESULT)
    DAMAGES[damage](document)
    with pytest.raises(InputError, match=r"^runs/a/analysis\.json is damaged \(.+\); remove its folder and make it"):
        decode(Result, document, arrays, source="runs/a/analysis.json")


@pytest.mark.parametrize("document", [None, 3, "text", [], [1], True])
def test_what_is_no_object_is_refused(document):
    with pytest.raises(InputError, match="is damaged"):
        decode(Result, document, {}, source="x")


# Every result and every request that glassnet writes, filled from its annotations.

TYPES = (
    {f"{name} result": kind.result(None) for name, kind in KINDS.items() if name != "evaluation"}
    | {f"{name} request": kind.request for name, kind in KINDS.items()}
    | {f"{name} evaluation": task.result for name, task in TASKS.items()}
)


KINDS_OF_NUMBERS = (("Bool", "bool"), ("Int", "int64"), ("Float32", "float32"), ("Float", "float64"))


def filled(hint, *, empty):
    """Make a value of a type: the emptiest, or one with something everywhere."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hasattr(hint, "array_type"):
        sizes = [int(size) if size.isdecimal() else 4 for size in hint.dim_str.split()]
        kind = next((one for start, one in KINDS_OF_NUMBERS if hint.__name__.startswith(start)), "uint8")
        return np.arange(math.prod(sizes)).reshape(sizes).astype(kind)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{one.name: filled(hints[one.name], empty=empty) for one in dataclasses.fields(hint)})
    if type(None) in arguments:
        return None if empty else filled(next(one for one in arguments if one is not type(None)), empty=False)
    if origin is typing.Literal:
        return arguments[0] if empty else arguments[-1]
    if origin is tuple:
        several = arguments[-1] is Ellipsis
        members = (arguments[:1] * (0 if empty else 3)) if several else arguments
        return tuple(filled(one, empty=empty) for one in members)
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if empty:
            return {}
        keys = [tuple("abc"[: len(typing.get_args(arguments[0]))])] if arguments[0] is not str else ["one", "two"]
        return {key: filled(arguments[1], empty=False) for key in keys}
    if arguments:  # another union
        return filled(arguments[-1], empty=empty)
    return {str: "text", int: 3, float: 0.125, bool: True, typing.Any: 0.5}[hint]


@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize("name", TYPES)
def test_all_that_is_written_comes_back(name, empty):
    value = filled(TYPES[name], empty=empty)
    assert_same(value, through_disk(TYPES[name], value))


@dataclass(frozen=True)
class Asked:
    name: str
    samples: int | None = field(default=None, metadata={"later": True})


def test_a_later_field_is_written_only_where_it_says_something():
    """So that settings without it are equal to those that were kept before there was one."""
    assert encode(Asked("a"))[0] == {"name": "a"}
    assert encode(Asked("a", 5))[0] == {"name": "a", "samples": 5}
    for one in (Asked("a"), Asked("a", 5)):
        assert decode(Asked, encode(one)[0], {}, source="x") == one
