"""What of a cache is there, and what of it is on the disk: written down while the cache is made.

An entry is written when its pixels are: a process that is killed loses nothing that it wrote. A power failure may lose
pixels and keep their entry, so that entries are marked once more, by a thread, when their pixels are on the disk. Until
then they count for no more than their checksums, which are all compared when the cache is opened.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glassnet.console import say
from glassnet.data.shards.index import SYNCED
from glassnet.data.shards.rows import lose, runs, write_at

SYNCED_BYTES = 1 << 28
SYNCED_SECONDS = 10.0
"""After so many bytes, or seconds, what was written is synced."""


@dataclass(frozen=True)
class Shards:
    """The files of one kind of pixels.

    Attributes:
        files: In order; each is full but the last.
        in_file: Rows of a file.
    """

    files: Sequence[Path]
    in_file: int


class Journal:
    """Writes down entries at once, and from time to time syncs their pixels and marks them, in a thread.

    The thread goes on after the block: nobody waits for the disk but the end of the process. It holds one file of
    pixels open at a time. Where the disk refuses, the rows of that file are entered as missing, and who has the cache
    open learns of it with the next row that is read.
    """

    def __init__(self, path: Path, shards: Mapping[str, Shards], kind: np.dtype[np.void], each: int) -> None:
        """Open an index.

        Args:
            path: The index.
            shards: The files of pixels, by name.
            kind: Type of an entry.
            each: Bytes of the pixels of an entry.
        """
        self._folder, self._shards, self._each, self._kind = path.parent, shards, each, kind
        self._file = path.open("r+b", buffering=0)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="glassnet-journal")
        self._syncing: Future[None] | None = None
        self._since = time.monotonic()
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._count = 0
        self._failure: OSError | None = None
        self._writing = threading.Lock()

    def __enter__(self) -> Journal:
        return self

    def add(self, places: np.ndarray, entries: np.ndarray) -> None:
        """Write entries whose pixels are written.

        Raises:
            OSError: The disk refuses, or has refused what was written before.
        """
        with self._writing:
            if self._failure is not None:
                raise self._failure
            self._write(places, entries)
        self.sync(places, entries)

    def sync(self, places: np.ndarray, entries: np.ndarray) -> None:
        """Take entries that are written, to sync their pixels and mark them."""
        self._waiting.append((places, entries))
        self._count += len(places)
        is_due = self._count * self._each >= SYNCED_BYTES or time.monotonic() - self._since >= SYNCED_SECONDS
        if is_due and (self._syncing is None or self._syncing.done()):
            self._hand_over()

    def clear(self, places: np.ndarray, entries: np.ndarray) -> None:
        """Enter images as missing, whatever becomes of the work."""
        missing = entries.copy()
        missing["flags"] = 0
        self._write(places, missing)

    def discard(self) -> None:
        """Sync no more of what is thrown away, and wait for what is being synced."""
        self._waiting, self._count = [], 0
        if self._syncing is not None:
            self._syncing.result()

    def _write(self, places: np.ndarray, entries: np.ndarray) -> None:
        size = self._kind.itemsize
        for start, stop in runs(places):
            write_at(self._file.fileno(), memoryview(entries[start:stop].tobytes()), int(places[start]) * size)

    def _hand_over(self) -> None:
        waiting, self._waiting, self._count = self._waiting, [], 0
        self._since = time.monotonic()
        self._syncing = self._pool.submit(self._sync, waiting)

    def _sync(self, waiting: list[tuple[np.ndarray, np.ndarray]]) -> None:
        places = np.concatenate([np.empty(0, np.int64), *(at for at, _ in waiting)])
        if not len(places) or self._failure is not None:
            return
        for shards in self._shards.values():
            for number in np.unique(places // shards.in_file).tolist():
                try:
                    _flush(shards.files[number])
                except OSError as error:
                    self._fail(error, number * shards.in_file, (number + 1) * shards.in_file)
                    return
        try:
            flush(self._file.fileno())  # what is marked must be there
            for at, entries in waiting:
                marked = entries.copy()
                marked["flags"] |= SYNCED
                self._write(at, marked)
        except OSError as error:
            self._fail(error, 0, 0)

    def _fail(self, error: OSError, start: int, stop: int) -> None:
        """Enter the rows of a file as missing: the system may have dropped any of them, and calls them written."""
        reason = error.strerror or str(error)
        with self._writing:
            self._failure = error
            try:
                count = os.fstat(self._file.fileno()).st_size // self._kind.itemsize
                for place in range(start, min(stop, count)):
                    at = place * self._kind.itemsize + self._kind.fields["flags"][1]  # type: ignore[index]
                    write_at(self._file.fileno(), memoryview(b"\0"), at)
            except OSError:  # the whole disk is gone, and what was marked is verified by samples
                pass
        if stop:
            lose(self._folder, reason)
        say(f"the cache {self._folder} cannot be written to the disk ({reason}); what is lost is decoded again")

    def __exit__(self, *_error: object) -> None:
        """Hand over the rest, also after an error or Ctrl-C, and wait for none of it."""
        self._hand_over()
        self._pool.submit(self._file.close)
        self._pool.shutdown(wait=False)


def _flush(path: Path) -> None:
    file = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        flush(file)
    finally:
        os.close(file)


def flush(file: int) -> None:
    """Wait until a file is on the disk.

    Raises:
        OSError: The disk refuses.
    """
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(file, fcntl.F_FULLFSYNC)  # fsync leaves it in the drive's own memory there
    else:
        os.fsync(file)


def cut(path: Path, size: int) -> None:
    """Give a file its old length again; one that was not there goes."""
    if not size:
        path.unlink(missing_ok=True)
    elif path.exists():
        os.truncate(path, size)
