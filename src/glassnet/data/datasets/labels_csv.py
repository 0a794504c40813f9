"""labels.csv: which labels each image of a folder has, as a column per label or as names in one column."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8

from glassnet.data.listing import Part, not_regular, part_of
from glassnet.errors import InputError

NAME = "labels.csv"
FILE, LABELS, SPLIT = "file", "labels", "split"
IS_VALID = "is_valid"
"""fastai's column: whether an image is one to validate on."""
DELIMITERS = (",", ";", "\t")
VALUES = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
EXPECTED = f"a column {FILE}, and a column of 0 and 1 for each label, or a column {LABELS} with names as in cat;dog"


@dataclass(frozen=True, eq=False)
class LabelTable:
    """What a labels.csv says.

    Attributes:
        files: Path of each image, relative to the folder, with slashes.
        labels: Names of the labels: the columns in order, or the names in alphabetical order.
        has: 1 where an image has a label, an image a row.
        parts: Part of each image; None without a column split.
    """

    files: tuple[str, ...]
    labels: tuple[str, ...]
    has: UInt8[np.ndarray, "n labels"]
    parts: tuple[Part, ...] | None


@dataclass(frozen=True)
class _Row:
    line: int
    cells: dict[str, str]


def read_labels(file: Path) -> LabelTable:
    """Read a labels.csv: commas, semicolons or tabs between cells, any line ends, with or without a byte-order mark.

    Raises:
        InputError: It is missing or empty, or a column, a row, a value or a name is not as expected.
    """
    header, rows = _cells(file)
    others = [name for name in header if name not in (FILE, SPLIT)]
    if LABELS in others and len(others) > 1:
        more = ", ".join(name for name in others if name != LABELS)
        raise InputError(f"{file} has a column {LABELS} and others besides ({more}); expected one or the other.")
    if FILE not in header or not others:
        raise InputError(f"the header of {file} is {', '.join(header) or 'empty'}; expected {EXPECTED}.")
    files = tuple(_path(file, row) for row in rows)
    twice = [name for name, times in Counter(files).items() if times > 1]
    if twice:
        raise InputError(f"{file} has {_several(twice)} more than once, expected one row for each image.")
    if LABELS in others:
        _require_names_apart(file, rows)
    labels, has = _names(rows) if LABELS in others else (tuple(others), _columns(file, rows, others))
    unused = [name for name, times in zip(labels, has.sum(axis=0), strict=True) if not times]
    if unused or not labels:
        which = _several(unused) if unused else "any label"
        raise InputError(f"no image in {file} has {which}; expected at least one image for each label.")
    return LabelTable(files, labels, has, _parts(file, rows) if SPLIT in header else None)


def _cells(file: Path) -> tuple[list[str], list[_Row]]:
    """Read the header and the rows that are not blank, each with its line and its cells by column."""
    if reason := not_regular(file):
        raise InputError(f"{file} {reason.removeprefix('it ')}; expected a table with {EXPECTED}.")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not valid UTF-8 ({error.reason}); save it as CSV in UTF-8.") from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=lambda sign: len(next(csv.reader([first], delimiter=sign), [])))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        table = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise InputError(f"line {reader.line_num} of {file} cannot be read ({error}); correct it.") from None
    if len(table) < 2:
        raise InputError(
            f"{file} has no row for an image; expected a header with {EXPECTED}, and a row for each image."
        )
    (_, header), *rows = table
    header = [name.lower() if name.lower() in (FILE, LABELS, SPLIT) else name for name in header]
    _check_header(file, header)
    read = [_Row(line, dict(zip(header, _as_wide(file, line, row, header), strict=True))) for line, row in rows]
    return _with_split(file, header, read)


def _with_split(file: Path, header: list[str], rows: list[_Row]) -> tuple[list[str], list[_Row]]:
    """Return a table whose column is_valid, if it has one, is a column split.

    Raises:
        InputError: It has both, or a value is neither True nor False.
    """
    if IS_VALID not in header:
        return header, rows
    if SPLIT in header:
        raise InputError(f"{file} has a column {SPLIT} and a column {IS_VALID}; remove one of them.")
    values = _columns(file, rows, [IS_VALID])[:, 0]
    new = [
        _Row(row.line, row.cells | {SPLIT: "valid" if is_valid else "train"})
        for row, is_valid in zip(rows, values, strict=True)
    ]
    return [SPLIT if name == IS_VALID else name for name in header], new


def _check_header(file: Path, header: Sequence[str]) -> None:
    twice = [name for name, times in Counter(header).items() if times > 1]
    if twice or "" in header:
        what = f"a column without a name ({header.index('') + 1})" if "" in header else f"two columns {_several(twice)}"
        raise InputError(f"{file} has {what}; expected a name of its own for each column.")


def _as_wide(file: Path, line: int, row: list[str], header: Sequence[str]) -> list[str]:
    """Return a row as wide as the header; what is left out at its end is empty, as spreadsheets write it."""
    if len(row) > len(header):
        raise InputError(f"line {line} of {file} has {len(row)} cells, expected {len(header)}: {', '.join(header)}.")
    return row + [""] * (len(header) - len(row))


def _path(file: Path, row: _Row) -> str:
    path = PurePosixPath(row.cells[FILE].replace("\\", "/"))
    if not row.cells[FILE] or path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", str(path)):
        raise InputError(
            f"line {row.line} of {file} has the file '{row.cells[FILE]}', expected a path below {file.parent}."
        )
    return path.as_posix()


def _names(rows: Sequence[_Row]) -> tuple[tuple[str, ...], np.ndarray]:
    """Read names between semicolons or bars."""
    named = [{name.strip() for name in re.split("[;|]", row.cells[LABELS])} - {""} for row in rows]
    labels = tuple(sorted(set().union(*named)))
    return labels, np.array([[name in one for name in labels] for one in named], dtype=np.uint8).reshape(len(rows), -1)


def _require_names_apart(file: Path, rows: Sequence[_Row]) -> None:
    """Refuse a name that is several others joined by commas or spaces, as cat,dog is beside cat and dog."""
    labels = set(_names(rows)[0])
    for name in sorted(labels):
        for parts in (re.split(r"\s*,\s*", name), name.split(), re.split(r"[,\s]+", name)):
            if len(parts) > 1 and labels.issuperset(parts):
                raise InputError(
                    f"{file} has the label '{name}' besides {_several(parts)}; put a semicolon between names, as in "
                    f"{';'.join(parts)}."
                )


def _columns(file: Path, rows: Sequence[_Row], labels: Sequence[str]) -> np.ndarray:
    return np.array([list(_values(file, row, labels)) for row in rows], dtype=np.uint8)


def _values(file: Path, row: _Row, labels: Sequence[str]) -> Iterator[int]:
    for name in labels:
        value = row.cells[name]
        if value.lower() not in VALUES:
            raise InputError(f"line {row.line} of {file} has '{value}' for the label {name}, expected 0 or 1.")
        yield VALUES[value.lower()]


def _parts(file: Path, rows: Sequence[_Row]) -> tuple[Part, ...]:
    parts = [part_of(row.cells[SPLIT]) for row in rows]
    for row, part in zip(rows, parts, strict=True):
        if part is None:
            raise InputError(f"line {row.line} of {file} has the split '{row.cells[SPLIT]}', expected train or test.")
    return tuple(part for part in parts if part is not None)


def _several(names: Sequence[str], most: int = 5) -> str:
    """List some names, and say how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def check_files(folder: Path, table: LabelTable, images: Sequence[str]) -> None:
    """Refuse a table that names images which are not there, or leaves out some that are.

    Raises:
        InputError: It does.
    """
    absent = sorted(set(table.files) - set(images))
    if absent:
        raise InputError(
            f"{folder / NAME} names {_several(absent)}, of which {folder} has no image; correct the paths."
        )
    left = sorted(set(images) - set(table.files))
    if left:
        raise InputError(
            f"{folder / NAME} has no row for {_several(left)}; add a row for each image, or take the images away."
        )
