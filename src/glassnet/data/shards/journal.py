"""What of a cache is on the disk: written down from time to time, so that a stop costs little."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from glassnet.data.shards.rows import Rows, runs

FLUSHED_BYTES = 1 << 28
FLUSHED_SECONDS = 10.0
"""After so many bytes, or seconds, what is done is written down: so much is done again after a stop."""


class Journal:
    """Writes down what is done, from time to time, when its pixels are on the disk; a thread does so meanwhile."""

    def __init__(self, path: Path, rows: Mapping[str, Rows], kind: np.dtype[np.void], each: int) -> None:
        self._rows, self._each, self._size = rows, each, kind.itemsize
        self._file = path.open("r+b")
        self._pool = ThreadPoolExecutor(1)
        self._written: Future[None] | None = None
        self._since = time.monotonic()
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._count = 0

    def __enter__(self) -> Journal:
        return self

    def add(self, places: np.ndarray, entries: np.ndarray) -> None:
        """Take entries whose pixels are written."""
        self._waiting.append((places, entries))
        self._count += len(places)
        if self._count * self._each >= FLUSHED_BYTES or time.monotonic() - self._since >= FLUSHED_SECONDS:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._written is not None:
            self._written.result()
        waiting, self._waiting, self._count = self._waiting, [], 0
        self._since = time.monotonic()
        self._written = self._pool.submit(self._write, waiting)

    def _write(self, waiting: list[tuple[np.ndarray, np.ndarray]]) -> None:
        places = np.concatenate([np.empty(0, np.int64), *(at for at, _ in waiting)])
        for array in self._rows.values():
            array.flush(places)
        for at, entries in waiting:
            for start, stop in runs(at):
                self._file.seek(int(at[start]) * self._size)
                self._file.write(entries[start:stop].tobytes())
        self._file.flush()

    def __exit__(self, *_error: object) -> None:
        """Write down the rest, also after an error or Ctrl-C."""
        try:
            self._hand_over()
            assert self._written is not None
            self._written.result()
        finally:
            self._pool.shutdown()
            self._file.close()


def cut(path: Path, size: int) -> None:
    """Give a file its old length again; one that was not there goes."""
    if not size:
        path.unlink(missing_ok=True)
    elif path.exists():
        os.truncate(path, size)
