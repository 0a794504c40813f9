"""Features on disk that are made shard by shard: LAYER.npy, a file a layer, and a manifest of the shards in them.

    <folder>/
      LAYER.npy        float32 (images, columns), memory-mapped; .partial behind its name until all rows are there
      features.jsonl   what the rows are of; then a line a shard that is written, with a digest of its rows
      LAYER.parquet/00000.parquet   the same rows for other programs, a file a shard, where asked for

A shard is a range of rows. Its rows are on the disk before its line is, so what the manifest names is whole, however
the process ended, and is not computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jaxtyping import Float32

from glassnet.console import say
from glassnet.errors import InputError, WorkError
from glassnet.files import atomic, cannot_write, parse_json

MANIFEST = "features.jsonl"
Rows = Mapping[str, Float32[np.ndarray, "n d"]]
"""By layer."""


@dataclass(frozen=True)
class Shard:
    """A range of the images.

    Attributes:
        number: Its place among the shards.
        start: Its first image.
        stop: One behind its last image.
    """

    number: int
    start: int
    stop: int


def split(images: int, size: int) -> list[Shard]:
    """Cut a number of images into shards of one size, the last one smaller."""
    starts = range(0, images, size)
    return [Shard(number, start, min(start + size, images)) for number, start in enumerate(starts)]


class ShardFiles:
    """The files of one extraction, those of an earlier one in the same folder if it was of the same.

    Args:
        folder: Where; made if it is not there.
        about: What the rows are of, as JSON values: any difference makes another extraction.
        images: How many rows there will be.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], images: int) -> None:
        self.folder, self._about, self._images = folder, dict(about), images
        self._digests: dict[int, str] = {}
        self._columns: dict[str, int] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._take_up()
        except OSError as error:
            raise cannot_write(folder, error) from None

    def missing(self, shards: Sequence[Shard]) -> list[Shard]:
        """Return the shards that are not there, or whose rows are not those that were written."""
        if not self._columns:
            return list(shards)
        return [one for one in shards if self._digests.get(one.number) != self._digest_of(one)]

    def write(self, shard: Shard, rows: Rows) -> None:
        """Write a shard's rows of all layers, and then its line.

        Raises:
            WorkError: A layer is missing, or its rows have another length than those before.
            WriteError: The disk refuses.
        """
        columns = {name: array.shape[1] for name, array in rows.items()}
        try:
            if not self._columns:
                self._begin(columns)
            if columns != self._columns:
                raise WorkError(
                    f"the layers gave {columns} numbers per image, then {self._columns}, because which layers run "
                    "depends on the batch; extract in one process, with all images in one batch."
                )
            for name, array in rows.items():
                self._put(name, shard, np.ascontiguousarray(array, dtype=np.float32))
            self._append({"shard": shard.number, "digest": _digest(rows[name] for name in self._columns)})
        except OSError as error:
            raise cannot_write(self.folder, error) from None

    def finish(self) -> dict[str, np.ndarray]:
        """Give the files their names, and open them as read-only memory maps."""
        try:
            for name in self._columns:
                if (partial := self._file(name)) != (whole := self.folder / file_name(name)):
                    partial.replace(whole)
        except OSError as error:
            raise cannot_write(self.folder, error) from None
        return {name: np.load(self._file(name), mmap_mode="r") for name in self._columns}

    def _take_up(self) -> None:
        """Read the manifest that is there, if it is of the same extraction; else begin another one."""
        lines = _lines(self.folder / MANIFEST)
        if lines and lines[0].get("of") == self._about:
            self._columns = lines[0]["columns"]
            self._digests = {line["shard"]: line["digest"] for line in lines[1:]}
            if all(self._file(name).exists() for name in self._columns):
                _cut_half_a_line(self.folder / MANIFEST)
                return
        elif lines:
            say(f"{self.folder} holds features of another extraction, which are replaced")
        self._columns, self._digests = {}, {}

    def _begin(self, columns: Mapping[str, int]) -> None:
        """Make the files, at their full size, and the manifest's first line."""
        header = json.dumps({"schema_version": 1, "of": self._about, "columns": dict(columns)}) + "\n"
        for name in columns:
            (self.folder / file_name(name)).unlink(missing_ok=True)
            with (self.folder / f"{file_name(name)}.partial").open("wb") as file:
                shape = (self._images, columns[name])
                head = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, head)
                file.truncate(file.tell() + 4 * self._images * columns[name])
        with atomic(self.folder / MANIFEST) as temporary:
            temporary.write_text(header, encoding="utf-8")
        self._columns = dict(columns)

    def _put(self, name: str, shard: Shard, rows: Float32[np.ndarray, "n d"]) -> None:
        """Write rows at their place; not through a memory map, whose pages would count as this process's memory."""
        if rows.shape[0] != shard.stop - shard.start:
            raise WorkError(f"{name} gave {len(rows):,} rows for {shard.stop - shard.start:,} images.")
        with self._file(name).open("r+b") as file:
            file.seek(self._offset(name, shard))
            file.write(rows.data)
            file.flush()
            os.fsync(file.fileno())

    def _append(self, line: Mapping[str, Any]) -> None:
        with (self.folder / MANIFEST).open("ab") as file:
            file.write((json.dumps(line) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())

    def _digest_of(self, shard: Shard) -> str:
        """Read a shard's rows of all layers, and return their digest."""
        digest = hashlib.blake2b(digest_size=16)
        for name, columns in self._columns.items():
            with self._file(name).open("rb") as file:
                file.seek(self._offset(name, shard))
                digest.update(file.read(4 * columns * (shard.stop - shard.start)))
        return digest.hexdigest()

    def _offset(self, name: str, shard: Shard) -> int:
        """Return where a shard's rows begin, counted from the end, as the header has no fixed length."""
        columns = self._columns[name]
        return self._file(name).stat().st_size - 4 * columns * (self._images - shard.start)

    def _file(self, name: str) -> Path:
        whole = self.folder / file_name(name)
        return whole if whole.exists() else whole.with_name(f"{whole.name}.partial")


def file_name(layer: str) -> str:
    """Return the name of a layer's file, as `extract_features(..., out=)` gives it."""
    return f"{quote(layer, safe=' :')}.npy"


def _digest(arrays: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype=np.float32).data)
    return digest.hexdigest()


def _cut_half_a_line(file: Path) -> None:
    """Remove what a killed process has left behind the last whole line, to which the next one would be joined."""
    content = file.read_bytes()
    if not content.endswith(b"\n"):
        os.truncate(file, content.rfind(b"\n") + 1)


def _lines(file: Path) -> list[dict[str, Any]]:
    """Read a manifest; a last line that is not whole is left out."""
    if not file.exists():
        return []
    try:
        lines = [parse_json(line) for line in file.read_bytes().split(b"\n")[:-1]]
        if not all(isinstance(line, dict) and {"of", "columns"} <= {*line} for line in lines[:1]):
            raise ValueError("its first line does not say what it describes")
        if not all(isinstance(line, dict) and {"shard", "digest"} <= {*line} for line in lines[1:]):
            raise ValueError("one of its lines names no shard")
        return lines
    except ValueError as error:
        raise InputError(f"{file} is damaged ({error}); remove it to extract the features again.") from None
