"""What of a cache is there, and what of it is on the disk: written down while the cache is made.

An entry is written when its pixels are: a process that is killed loses nothing that it wrote. A power failure may lose
pixels and keep their entry, so that entries are marked once more, by a thread, when their pixels are on the disk. Until
then they count for no more than their checksums, which are all compared when the cache is opened.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from glassnet.console import say
from glassnet.data.shards.index import SYNCED
from glassnet.data.shards.rows import Rows, runs, write_at

SYNCED_BYTES = 1 << 28
SYNCED_SECONDS = 10.0
"""After so many bytes, or seconds, what was written is synced."""


class Journal:
    """Writes down entries at once, and from time to time syncs their pixels and marks them, in a thread.

    The thread goes on after the block: nobody waits for the disk but the end of the process.
    """

    def __init__(self, path: Path, rows: Mapping[str, Rows], kind: np.dtype[np.void], each: int) -> None:
        """Open an index.

        Args:
            path: The index.
            rows: The pixels, by name.
            kind: Type of an entry.
            each: Bytes of the pixels of an entry.
        """
        self._folder, self._rows, self._each, self._size = path.parent, rows, each, kind.itemsize
        self._file = path.open("r+b", buffering=0)
        self._pool = ThreadPoolExecutor(1)
        self._syncing: Future[None] | None = None
        self._since = time.monotonic()
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._count = 0

    def __enter__(self) -> Journal:
        return self

    def add(self, places: np.ndarray, entries: np.ndarray) -> None:
        """Write entries whose pixels are written.

        Raises:
            OSError: The disk refuses.
        """
        self._write(places, entries)
        self.sync(places, entries)

    def sync(self, places: np.ndarray, entries: np.ndarray) -> None:
        """Take entries that are written, to sync their pixels and mark them."""
        self._waiting.append((places, entries))
        self._count += len(places)
        is_due = self._count * self._each >= SYNCED_BYTES or time.monotonic() - self._since >= SYNCED_SECONDS
        if is_due and (self._syncing is None or self._syncing.done()):
            self._hand_over()

    def _write(self, places: np.ndarray, entries: np.ndarray) -> None:
        for start, stop in runs(places):
            write_at(self._file.fileno(), memoryview(entries[start:stop].tobytes()), int(places[start]) * self._size)

    def _hand_over(self) -> None:
        waiting, self._waiting, self._count = self._waiting, [], 0
        self._since = time.monotonic()
        self._syncing = self._pool.submit(self._sync, waiting)

    def _sync(self, waiting: list[tuple[np.ndarray, np.ndarray]]) -> None:
        try:
            places = np.concatenate([np.empty(0, np.int64), *(at for at, _ in waiting)])
            for array in self._rows.values():
                array.flush(places)
            for at, entries in waiting:
                marked = entries.copy()
                marked["flags"] |= SYNCED
                self._write(at, marked)
        except OSError as error:
            say(f"the cache {self._folder} is not safe on the disk ({error.strerror}); it is checked when it is opened")

    def __exit__(self, *_error: object) -> None:
        """Hand over the rest, also after an error or Ctrl-C, and wait for none of it."""
        self._hand_over()
        self._pool.submit(self._file.close)
        self._pool.shutdown(wait=False)


def cut(path: Path, size: int) -> None:
    """Give a file its old length again; one that was not there goes."""
    if not size:
        path.unlink(missing_ok=True)
    elif path.exists():
        os.truncate(path, size)
