"""Answers as bytes: arrays one after the other with their shapes in a header, or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from starlette.responses import Response

from glassnet.explorer.schemas import Answer, ArrayMeta, Dtype

BINARY = "application/octet-stream"
_DTYPES: dict[str, tuple[Dtype, str]] = {
    "f": ("float32", "<f4"),
    "i": ("int32", "<i4"),
    "u": ("uint8", "|u1"),
    "b": ("uint8", "|u1"),
}
"""By the kind of a NumPy type, how it travels."""


@dataclass(frozen=True)
class Reply:
    """An answer that is ready to be sent, as often as it is asked for.

    Attributes:
        body: Its bytes.
        media: Their type.
        headers: Further headers.
    """

    body: bytes
    media: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, status: int = 200) -> Response:
        """Return it as a response."""
        return Response(self.body, status, dict(self.headers), self.media)


@dataclass(frozen=True, eq=False)
class Arrays:
    """Arrays by name, and what is said of them.

    Attributes:
        arrays: float32, int32 or uint8, or what becomes one of these.
        meta: What goes into the header X-Meta.
    """

    arrays: Mapping[str, np.ndarray]
    meta: Answer | None = None


def encode(answer: Arrays | Answer) -> Reply:
    """Turn an answer into bytes: arrays without padding, little-endian and in C order; all else as JSON."""
    if isinstance(answer, Answer):
        return Reply(answer.model_dump_json().encode(), "application/json")
    parts = {name: _portable(array) for name, array in answer.arrays.items()}
    described = [
        ArrayMeta(name=name, dtype=dtype, shape=list(array.shape)).model_dump()
        for name, (dtype, array) in parts.items()
    ]
    headers = {"X-Arrays": json.dumps(described)}
    if answer.meta is not None:
        headers["X-Meta"] = _header(json.loads(answer.meta.model_dump_json()))
    return Reply(b"".join(array.tobytes() for _, array in parts.values()), BINARY, headers)


def _portable(array: np.ndarray) -> tuple[Dtype, np.ndarray]:
    """Return an array as one of the three types that travel, with the type's name."""
    kind = "u" if array.dtype == np.uint8 else {"u": "i"}.get(array.dtype.kind, array.dtype.kind)
    name, code = _DTYPES[kind]
    return name, np.ascontiguousarray(array, dtype=code)


def _header(value: Any) -> str:
    """Write JSON that a header can hold: ASCII, in one line."""
    return json.dumps(value, ensure_ascii=True)
