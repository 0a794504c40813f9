"""MATLAB's files of version 5, read in Python alone: what they announce is checked against what is there.

A file is a header and elements; an element is its type, its size and its content, which may hold elements in turn.
scipy's reader follows a size or a nesting that a damaged file announces, and some such files end the process with it.

The format: MathWorks, MAT-File Format, https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf, chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from glassnet.data.listing import not_regular

HEADER_BYTES = 128
MOST_BYTES = 1 << 24
"""Of a file, and of what one of its variables unpacks to."""
DEEPEST = 8
"""How deep cells and structs may lie in each other."""
MATRIX, COMPRESSED = 14, 15
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Types of an element by their number: whole numbers are stored in as few bytes as they need."""
TEXT = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
CELL, STRUCT, CHARACTERS = 1, 2, 4
NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""Classes of an array of numbers by their number."""
COMPLEX = 0x0800
Element = tuple[int, memoryview]


class MatError(ValueError):
    """A file that is not as the format wants it."""


@dataclass(frozen=True)
class _Array:
    """The first elements of an array, and those that follow."""

    kind: int
    flags: int
    shape: tuple[int, ...]
    name: str
    rest: Iterator[Element]


def read_mat(path: Path, names: Collection[str]) -> dict[str, Any]:
    """Read those variables of a file that have one of these names.

    Returns:
        By name: numbers as an array of MATLAB's shape; text as a str, of several rows as a list; a cell array as a list
        in MATLAB's order, column after column; a struct as a dictionary, several as a list; None for what is of another
        kind, as sparse and complex arrays, objects and functions.

    Raises:
        MatError: The file is damaged, or of another version.
        OSError: It cannot be read.
    """
    reason = not_regular(path)
    if reason:
        raise MatError(reason)
    if path.stat().st_size > MOST_BYTES:
        raise MatError(f"it has {path.stat().st_size:,} bytes, expected at most {MOST_BYTES:,}")
    content = memoryview(path.read_bytes())
    order = _byte_order(bytes(content[:HEADER_BYTES]))
    found = {}
    for kind, data in _elements(content[HEADER_BYTES:], order):
        if kind == COMPRESSED:
            kind, data = next(_elements(_unpacked(data), order), (0, data))
        if kind != MATRIX:
            raise MatError(f"it holds an element of type {kind} where a variable is expected")
        array = _array(data, order)
        if array.name in names:
            found[array.name] = _value(array, order, 0)
    return found


def _byte_order(header: bytes) -> str:
    order = {b"IM": "<", b"MI": ">"}.get(header[126:])
    if order is None or header[124:126] != struct.pack(f"{order}H", 0x0100):
        newer = header[124:126] in (b"\x00\x02", b"\x02\x00")
        raise MatError(f"it is {'of version 7.3' if newer else 'no MATLAB file of a known version'}, expected 5 to 7")
    return order


def _unpacked(data: memoryview) -> memoryview:
    packed = zlib.decompressobj()
    try:
        content = packed.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise MatError(f"it is packed wrongly ({error})") from None
    if not packed.eof:
        raise MatError("a packed variable ends early, or is too large")
    return memoryview(content)


def _elements(data: memoryview, order: str) -> Iterator[Element]:
    """Yield the type and the content of each element; content of up to four bytes lies in the element's head."""
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise MatError(f"{len(data) - at} bytes are left over")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        small, start = kind >> 16, at + 8
        if small:
            kind, size, start = kind & 0xFFFF, small, at + 4
        if size > (4 if small else len(data) - start):
            raise MatError(f"an element announces {size:,} bytes, more than there are")
        yield kind, data[start : start + size]
        at = start + 4 if small else start + size + (0 if kind == COMPRESSED else -size % 8)


def _array(data: memoryview, order: str) -> _Array:
    """Read the head of an array: flags, sizes and name."""
    rest = _elements(data, order)
    (_, flags), (_, sizes), (_, name) = (_next(rest) for _ in range(3))
    if len(flags) != 8 or len(sizes) % 4 or not 8 <= len(sizes) <= 128:
        raise MatError("the head of an array is damaged")
    first = struct.unpack_from(f"{order}I", flags)[0]
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    if min(shape) < 0:
        raise MatError(f"an array has the shape {shape}")
    return _Array(first & 0xFF, first, shape, _text(name, "latin-1"), rest)


def _next(elements: Iterator[Element]) -> Element:
    try:
        return next(elements)
    except StopIteration:
        raise MatError("an array ends early") from None


def _value(array: _Array, order: str, depth: int) -> Any:
    """Read what an array holds; None where it is of a kind that is not read."""
    if depth > DEEPEST:
        raise MatError(f"cells lie deeper in each other than {DEEPEST}")
    if array.kind == CELL:
        return [_inner(array, order, depth) for _ in range(math.prod(array.shape))]  # ends where the bytes do
    if array.kind == STRUCT:
        return _struct(array, order, depth)
    if array.kind == CHARACTERS:
        return _rows(array, *_next(array.rest), order)
    if array.kind in NUMBERS and not array.flags & COMPLEX:
        return _numbers(array, *_next(array.rest), order)
    return None


def _inner(array: _Array, order: str, depth: int) -> Any:
    kind, data = _next(array.rest)
    if kind != MATRIX:
        raise MatError(f"a cell holds an element of type {kind} where an array is expected")
    return _value(_array(data, order), order, depth + 1) if len(data) else np.zeros((0, 0))


def _struct(array: _Array, order: str, depth: int) -> dict[str, Any] | list[dict[str, Any]]:
    (_, width), (_, names) = _next(array.rest), _next(array.rest)
    length = struct.unpack(f"{order}i", width)[0] if len(width) == 4 else 0
    if length < 1 or len(names) % length:
        raise MatError("the names of a struct are damaged")
    fields = [_text(names[at : at + length], "latin-1").partition("\0")[0] for at in range(0, len(names), length)]
    rows = (
        [{field: _inner(array, order, depth) for field in fields} for _ in range(math.prod(array.shape))]
        if fields
        else []
    )
    return rows[0] if array.shape == (1, 1) and rows else rows


def _rows(array: _Array, kind: int, data: memoryview, order: str) -> str | list[str]:
    if kind not in TEXT:
        raise MatError(f"text is of type {kind}")
    ends = {"utf-16": "-le", "utf-32": "-le"} if order == "<" else {"utf-16": "-be", "utf-32": "-be"}
    text = _text(data, TEXT[kind] + ends.get(TEXT[kind], ""))
    if len(text) != math.prod(array.shape) or len(array.shape) != 2:
        raise MatError(f"text of {len(text)} characters has the shape {array.shape}")
    rows = [text[row :: array.shape[0]] for row in range(array.shape[0] if text else 0)]
    return rows if len(rows) > 1 else text


def _text(data: memoryview, encoding: str) -> str:
    try:
        return bytes(data).decode(encoding)
    except UnicodeDecodeError as error:
        raise MatError(f"text cannot be read ({error.reason})") from None


def _numbers(array: _Array, kind: int, data: memoryview, order: str) -> Shaped[np.ndarray, ...]:
    stored = np.dtype(order + STORED[kind]) if kind in STORED else None
    if stored is None or len(data) != math.prod(array.shape) * stored.itemsize:
        raise MatError(f"{len(data):,} bytes of type {kind} have the shape {array.shape}")
    with np.errstate(invalid="ignore"):  # of numbers with a point in an array of whole ones
        return np.frombuffer(data, stored).astype(NUMBERS[array.kind]).reshape(array.shape, order="F")
