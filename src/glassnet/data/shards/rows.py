"""Rows of one shape in files of at most 1 GiB, read by their place: what a split holds where memory would not do.

A row is read by its offset (`preadv`), not through a mapping: pages that are mapped count as the memory of the process
that looked at them, so that a shuffled epoch over a mapped file ends with all of it resident. What is read so stays in
the system's page cache, which other processes share, and which the system takes back when it needs it.
"""

from __future__ import annotations

import copy
import itertools
import math
import os
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from glassnet.errors import InputError

SHARD_BYTES = 1 << 30
"""What a file of rows holds, at most; a row is never divided."""
_seeking = threading.Lock()
_lost: dict[Path, str] = {}


class Held(dict[int, UInt8[np.ndarray, "..."]]):
    """Rows in memory by their places, where files cannot be written."""

    def write(self, places: np.ndarray, pixels: UInt8[np.ndarray, "m ..."]) -> None:
        """Hold rows."""
        self.update(zip(places.tolist(), pixels, strict=True))


class Rows:
    """Rows of bytes in files, of which any may be taken as a tensor.

    It has what `Split` asks a tensor of images, or of masks, for.

    Attributes:
        shape: (rows, *shape of one).
        sums: CRC-32 of each row; None where they are not known. Rows of other sums are not the same.
    """

    dtype = torch.uint8
    device = torch.device("cpu")
    is_read_by_rows = True

    def __init__(
        self,
        files: Sequence[Path],
        shape: tuple[int, ...],
        *,
        sums: np.ndarray | None = None,
        writable: bool = False,
        held: Held | None = None,
    ) -> None:
        """Open files, which stay readable when others take their names.

        Args:
            files: In order; each is full but the last.
            shape: (rows, *shape of one).
            sums: CRC-32 of each row.
            writable: Whether `write` will be asked for.
            held: Rows that stand in place of those in the files.

        Raises:
            OSError: A file cannot be opened.
        """
        self.shape, self.sums = torch.Size(shape), sums
        self._held = Held() if held is None else held
        self.row_bytes = math.prod(shape[1:])
        self._in_file = rows_in_file(shape[1:])
        flags = (os.O_RDWR if writable else os.O_RDONLY) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        self._open: list[int] = []
        weakref.finalize(self, _close, self._open)
        for path in files:
            self._open.append(os.open(path, flags))
        self._where = files[0].parent if files else Path()
        self._chosen: np.ndarray | None = None
        self._of: Rows | None = None

    def __len__(self) -> int:
        """Count the rows."""
        return int(self.shape[0])

    def __repr__(self) -> str:
        """Say how much lies where."""
        return f"Rows({len(self):,} of {'×'.join(map(str, self.shape[1:]))} in {self._where})"

    @property
    def ndim(self) -> int:
        """Dimensions, with that of the rows."""
        return len(self.shape)

    def is_floating_point(self) -> bool:
        """Tell that rows are whole numbers."""
        return False

    def __getitem__(self, rows: Int64[Tensor, " m"] | slice) -> UInt8[Tensor, "m ..."]:
        """Read rows into memory, in the order that they are asked for.

        Raises:
            InputError: A file was cut, or cannot be read.
        """
        places = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else _checked(rows, len(self))
        places = places if self._chosen is None else self._chosen[places]
        out = np.empty((len(places), self.row_bytes), np.uint8)
        for start, stop in runs(places, self._in_file):
            file, row = divmod(int(places[start]), self._in_file)
            self._read(file, row * self.row_bytes, out[start:stop].reshape(-1).data)
        for i, place in enumerate(places.tolist() if self._held else ()):
            if place in self._held:
                out[i] = self._held[place].reshape(-1)
        return torch.from_numpy(out).view(len(places), *self.shape[1:])

    def choose(self, rows: Int64[Tensor, " m"]) -> Rows:
        """Return some of the rows, in this order, without reading them."""
        some = copy.copy(self)  # the files are closed with the one that opened them
        places = _checked(rows, len(self))
        some._chosen = places if self._chosen is None else self._chosen[places]
        some.shape = torch.Size((len(rows), *self.shape[1:]))
        some.sums = None if self.sums is None else self.sums[places]
        some._of = self
        return some

    def write(self, places: np.ndarray, pixels: UInt8[np.ndarray, "m ..."]) -> None:
        """Write rows to their places; rows that follow each other at once.

        Raises:
            OSError: The disk refuses.
        """
        flat = np.ascontiguousarray(pixels).reshape(len(places), self.row_bytes)
        for start, stop in runs(places, self._in_file):
            file, row = divmod(int(places[start]), self._in_file)
            write_at(self._open[file], flat[start:stop].reshape(-1).data, row * self.row_bytes)

    def _read(self, file: int, offset: int, into: memoryview) -> None:
        if self._where in _lost:
            raise InputError(
                f"the cache {self._where} could not be written to the disk ({_lost[self._where]}); start again, or "
                "choose another place with --data-root or GLASSNET_DATA."
            )
        try:
            count = _read_at(self._open[file], into, offset)
        except OSError as error:
            raise InputError(f"the cache {self._where} cannot be read ({error.strerror}); check the disk.") from None
        if count != len(into):
            raise InputError(f"the cache {self._where} was truncated while in use; delete it, and start again.")


def lose(folder: Path, reason: str | None) -> None:
    """Let nothing be read from a folder any more, since its disk has refused what was written; None: again."""
    if reason is None:
        _lost.pop(folder, None)
    else:
        _lost[folder] = reason


def rows_in_file(shape: tuple[int, ...]) -> int:
    """Return how many rows of a shape a file holds."""
    return max(1, SHARD_BYTES // max(1, math.prod(shape)))


def _checked(rows: Tensor, count: int) -> np.ndarray:
    places = rows.numpy().astype(np.int64)
    if len(places) and not -count <= places.min() <= places.max() < count:
        raise IndexError(f"rows run from {places.min()} to {places.max()}, expected 0 to {count - 1}.")
    return np.where(places < 0, places + count, places)


def runs(places: np.ndarray, in_file: int | None = None) -> list[tuple[int, int]]:
    """Cut places into runs that follow each other, in one file where so many are in each."""
    if not len(places):
        return []
    ends = np.flatnonzero((np.diff(places) != 1) | (in_file is not None and places[1:] % in_file == 0)) + 1
    bounds = [0, *ends.tolist(), len(places)]
    return list(itertools.pairwise(bounds))


def _read_at(file: int, into: memoryview, offset: int) -> int:
    """Fill a buffer from an offset, and return how much there was."""
    done = 0
    while done < len(into):
        if hasattr(os, "preadv"):
            count = os.preadv(file, [into[done:]], offset + done)
        else:
            with _seeking:
                os.lseek(file, offset + done, os.SEEK_SET)
                part = os.read(file, len(into) - done)
            count = len(part)
            into[done : done + count] = part
        if not count:
            break
        done += count
    return done


def write_at(file: int, content: memoryview, offset: int) -> None:
    """Write a buffer at an offset, whatever other threads do with the file."""
    done = 0
    while done < len(content):
        if hasattr(os, "pwrite"):
            done += os.pwrite(file, content[done:], offset + done)
        else:
            with _seeking:
                os.lseek(file, offset + done, os.SEEK_SET)
                done += os.write(file, content[done:])


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)
