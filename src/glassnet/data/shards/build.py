"""Decode image files into rows on the disk, on all cores, and each file once: gone on with after a stop.

A cache is a folder: cache.json says what decides its pixels, index.bin has an entry for each image (`index`), and
images-00000.u8 and so on, and masks-00000.u8, hold the pixels (`rows`). An entry says that an image is there when its
pixels are written, and once more when they are on the disk (`journal`). Rows that are there are never written again,
but for damaged ones.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from glassnet.console import progress, say
from glassnet.data import room
from glassnet.data.cache import MOST_IN_MEMORY, READ_ONLY, CacheError
from glassnet.data.decoding import DamagedError
from glassnet.data.shards.decode import Wanted, decode
from glassnet.data.shards.index import (
    DONE,
    FILE,
    MADE_OF,
    SYNCED,
    entry_type,
    find_places,
    keys_of,
    read_index,
)
from glassnet.data.shards.journal import Journal, Shards, cut
from glassnet.data.shards.rows import Held, Rows, lose, rows_in_file
from glassnet.data.shards.verify import find_wrong
from glassnet.data.shards.workers import at_work, cores
from glassnet.download import one_process_at_a_time
from glassnet.files import allocate, write_json

PIECE_IMAGES = 64
PIECE_BYTES = 1 << 24
"""What a worker decodes at once, at most: so much of it is in memory for each of them."""


@dataclass(frozen=True, eq=False)
class Stored:
    """Images in a cache.

    Attributes:
        arrays: Pixels by name, images and masks: of more images than are asked for, in an order of their own.
        places: Where the image of each item stands in them.
        there: Which of the items could be read.
        entries: What the index holds of each item.
    """

    arrays: Mapping[str, Rows]
    places: Int64[Tensor, " n"]
    there: Bool[np.ndarray, " n"]
    entries: np.ndarray


class StoppedError(Exception):
    """An image was met for which the work was to end."""


def store(folder: Path, wanted: Wanted) -> tuple[Stored, list[DamagedError]]:
    """Decode what a cache lacks, and open it; return with it what is wrong with the files that cannot be read.

    One that is complete is only read, and may lie where nothing can be written. A second process waits for the first.

    Args:
        folder: The cache; one of another origin is made anew.
        wanted: What is to be in it.

    Raises:
        InputError: An image is not as it should be.
        CacheError: The cache cannot be written.
        WorkError: A process that decodes was killed.
        StoppedError: As `Wanted.stop` says.
    """
    keys, regular = keys_of(wanted.names, wanted.files)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lose(folder, None)
        with one_process_at_a_time(folder):  # another one would write what this one writes
            cache = _Cache(folder, wanted)
            places = cache.lay_out(keys)
            damaged = cache.complete(places, regular)
            return cache.opened(places), damaged
    except OSError as error:
        size = len(keys) * sum(map(math.prod, wanted.shapes.values()))
        raise CacheError(
            f"the cache {folder} cannot be written ({error.strerror or error}); it takes {size / 1e9:.1f} GB: make "
            "room, or choose another place with --data-root or GLASSNET_DATA."
        ) from None


class _Cache:
    """A cache while it is completed."""

    def __init__(self, folder: Path, wanted: Wanted) -> None:
        self._folder, self._wanted = folder, wanted
        self._kind = entry_type(list(wanted.shapes))
        self._held: dict[str, Held] = {}
        index = read_index(folder, dict(wanted.made_of), self._kind)
        self._is_new = index is None or not self._has_rows(len(index))
        self._index = np.empty(0, self._kind) if self._is_new or index is None else index

    def _files(self, name: str, count: int) -> list[Path]:
        return [
            self._folder / f"{name}-{file:05d}.u8"
            for file in range(math.ceil(count / rows_in_file(self._wanted.shapes[name])))
        ]

    def _sizes(self, name: str, count: int) -> dict[Path, int]:
        shape = self._wanted.shapes[name]
        each, rows = math.prod(shape), rows_in_file(shape)
        return {path: min(rows, count - i * rows) * each for i, path in enumerate(self._files(name, count))}

    def _has_rows(self, count: int) -> bool:
        """Tell whether files are as long as the index says."""
        sizes = {path: size for name in self._wanted.shapes for path, size in self._sizes(name, count).items()}
        return all(path.is_file() and path.stat().st_size >= size for path, size in sizes.items())

    def _rows(self, *, writable: bool = False, sums: bool = False) -> dict[str, Rows]:
        count = len(self._index)
        return {
            name: Rows(
                self._files(name, count),
                (count, *shape),
                sums=self._index[name].copy() if sums else None,
                writable=writable,
                held=self._held.get(name),
            )
            for name, shape in self._wanted.shapes.items()
        }

    def lay_out(self, keys: np.ndarray) -> Int64[np.ndarray, " n"]:
        """Give each image its place, and reserve space for new ones."""
        places = find_places(self._index, keys)
        added = int((places < 0).sum())
        if len(self._index) and len(np.unique(places[places >= 0])) < (len(self._index) + added) / 2:
            self._is_new = True  # more of it is of no use than is
        if self._is_new:
            self._index, places, added = self._index[:0], np.full(len(keys), -1), len(keys)
            self._begin()
        if added:
            entries = np.zeros(added, self._kind)
            entries["key"] = keys[places < 0]
            places[places < 0] = len(self._index) + np.arange(added)
            self._extend(entries)
        return places

    def _begin(self) -> None:
        for path in (self._folder / MADE_OF, *self._folder.glob("*.u8"), self._folder / FILE):
            path.unlink(missing_ok=True)
        (self._folder / FILE).touch()
        write_json(self._folder / MADE_OF, dict(self._wanted.made_of))

    def _extend(self, entries: np.ndarray) -> None:
        """Reserve the blocks of more images, and then enter them; where there is no room, all is as before."""
        before, after = len(self._index), len(self._index) + len(entries)
        try:
            for name in self._wanted.shapes:
                for path, size in self._sizes(name, after).items():
                    allocate(path, size)
        except OSError:
            for name in self._wanted.shapes:
                old = self._sizes(name, before)
                for path in self._files(name, after):
                    cut(path, old.get(path, 0))
            raise
        with (self._folder / FILE).open("r+b") as file:
            file.truncate(before * self._kind.itemsize)
            file.seek(0, os.SEEK_END)
            file.write(entries.tobytes())
        self._index = np.concatenate([self._index, entries])

    def complete(self, places: Int64[np.ndarray, " n"], regular: Bool[np.ndarray, " n"]) -> list[DamagedError]:
        """Decode the images that are not there, or are damaged, and return which files cannot be read."""
        wrong = self._is_wrong(places)
        waiting = np.flatnonzero((self._index["flags"][places] & DONE == 0) | wrong)
        flags = self._index["flags"][places]
        unsafe = places[(flags & DONE == DONE) & (flags & SYNCED == 0)]
        if not len(waiting):
            self._sync(unsafe)
            return []
        if len(waiting) < len(places):
            say(f"{len(places) - len(waiting):,} of {len(places):,} images are in the cache {self._folder}")
        each = sum(map(math.prod, self._wanted.shapes.values()))
        try:
            rows = self._rows(writable=True)
        except OSError as error:
            if error.errno not in READ_ONLY or len(waiting) * each > MOST_IN_MEMORY:
                raise
            say(
                f"the cache {self._folder} cannot be written ({error.strerror}); {len(waiting):,} of its "
                f"{len(places):,} images are missing or damaged, and are decoded into memory instead"
            )
            return self._hold(waiting, places, regular)
        if wrong.any():
            say(f"{wrong.sum():,} images of the cache {self._folder} are damaged and are decoded again")
        size = max(1, min(PIECE_IMAGES, PIECE_BYTES // each, math.ceil(len(waiting) / (4 * cores()))))
        pieces = [waiting[start : start + size] for start in range(0, len(waiting), size)]
        work = functools.partial(decode, self._wanted, rows, self._kind, pieces, places, regular)
        damaged: list[tuple[int, DamagedError]] = []
        with (
            at_work(work, len(pieces), begin=room.share) as answers,
            self._journal(each) as journal,
            progress(f"Decoding {len(waiting):,} {self._wanted.noun} into {self._folder}", len(waiting)) as advance,
        ):
            journal.clear(places[wrong], self._index[places[wrong]])  # or a stop would leave them as they are
            journal.sync(unsafe, self._index[unsafe])
            for piece, (entries, refused) in answers:
                items = pieces[piece]
                done = entries["flags"] & DONE == DONE
                entries["key"] = self._index["key"][places[items]]
                self._index[places[items[done]]] = entries[done]
                journal.add(places[items[done]], entries[done])
                damaged += [(int(item), DamagedError(path, reason)) for item, path, reason in refused]
                advance(len(items))
                if self._wanted.stop(entries[done]):
                    journal.discard()
                    raise StoppedError
        return [error for _, error in sorted(damaged, key=lambda one: one[0])]

    def _hold(
        self, waiting: Int64[np.ndarray, " m"], places: Int64[np.ndarray, " n"], regular: Bool[np.ndarray, " n"]
    ) -> list[DamagedError]:
        """Decode images into memory, where they stand in place of what the files hold."""
        self._held = {name: Held() for name in self._wanted.shapes}
        entries, refused = decode(self._wanted, self._held, self._kind, [waiting], places, regular, 0)
        done = entries["flags"] & DONE == DONE
        entries["key"] = self._index["key"][places[waiting]]
        self._index[places[waiting[done]]] = entries[done]
        if self._wanted.stop(entries[done]):
            raise StoppedError
        return [DamagedError(path, reason) for _, path, reason in refused]

    def _is_wrong(self, places: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Tell which of the images are there, but with another checksum; of many only some are looked at."""
        wrong = np.zeros(len(places), dtype=bool)
        title = f"Checking {{count:,}} {self._wanted.noun} in {self._folder}"
        wrong[find_wrong(self._rows(), self._index, places, title)] = True
        self._index["flags"][places[wrong]] = 0
        return wrong

    def _sync(self, unsafe: Int64[np.ndarray, " m"]) -> None:
        """Mark what was verified as on the disk, once it is, so that it is not verified the next time."""
        if not len(unsafe):
            return
        with (
            contextlib.suppress(OSError),  # of what can only be read: it is verified each time
            self._journal(0) as journal,
        ):
            journal.sync(unsafe, self._index[unsafe])

    def _journal(self, each: int) -> Journal:
        shards = {
            name: Shards(self._files(name, len(self._index)), rows_in_file(shape))
            for name, shape in self._wanted.shapes.items()
        }
        return Journal(self._folder / FILE, shards, self._kind, each)

    def opened(self, places: Int64[np.ndarray, " n"]) -> Stored:
        """Open what is there to be read."""
        entries = self._index[places]
        return Stored(self._rows(sums=True), torch.from_numpy(places), entries["flags"] & DONE == DONE, entries)
