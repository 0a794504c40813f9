"""What the rows of a cache were made from: a key of each image's file, checksums, and what its header says.

The place of an image is where its key stands. A file that has changed has another key, and so another place, behind
the others; who reads the old place at that time reads on undisturbed.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from glassnet.data.shards.workers import at_work
from glassnet.files import read_json

FILE, MADE_OF = "index.bin", "cache.json"
DONE, GRAY, WIDE, SYNCED = 1, 2, 4, 8
"""Flags of an entry: the pixels are there; the file has one channel; it has one of 32 bits; they are on the disk."""
KEYS_AT_ONCE = 10_000
"""Images that a process makes keys of at once; fewer are left to this one."""
WHOLE = [("key", "S16"), ("images", "<u4"), ("flags", "u1")]
OF_MASKS = [("masks", "<u4"), ("present", "u1", (32,)), ("left", "u1", (32,))]
"""CRC-32 of the mask, and a bit for each value that it holds at its full size, and at that of the cache."""


def entry_type(names: Sequence[str]) -> np.dtype[np.void]:
    """Return what the index holds of an image, by what is kept of it: images alone, or masks, too."""
    return np.dtype(WHOLE + OF_MASKS * ("masks" in names))


def keys_of(names: Sequence[str], files: Sequence[tuple[str, ...]]) -> tuple[np.ndarray, Bool[np.ndarray, " n"]]:
    """Return a key of each image, of its name and its files' sizes and times of change, and which files are regular.

    Args:
        names: Of the images, relative to the data set's folder; each is another.
        files: The files that each is made of.
    """
    starts = range(0, len(names), KEYS_AT_ONCE)
    work = functools.partial(_keys, names, files)
    with at_work(work, len(starts)) as answers:
        parts = [part for _, part in sorted(answers, key=lambda one: one[0])]
    keys = np.frombuffer(b"".join(part for part, _ in parts), "S16")
    return keys, np.concatenate([np.empty(0, dtype=bool), *(regular for _, regular in parts)])


def _keys(names: Sequence[str], files: Sequence[tuple[str, ...]], piece: int) -> tuple[bytes, np.ndarray]:
    """Return the keys of some images, one after another, and which of their files are regular."""
    some = slice(piece * KEYS_AT_ONCE, (piece + 1) * KEYS_AT_ONCE)
    keys = bytearray()
    regular = np.ones(len(names[some]), dtype=bool)
    for i, (name, of_image) in enumerate(zip(names[some], files[some], strict=True)):
        about = name
        for path in of_image:
            try:
                status = os.stat(path)  # noqa: PTH116, a Path for each file would take longer than the call
                about += f"\0{status.st_size} {status.st_mtime_ns}"
                regular[i] &= stat.S_ISREG(status.st_mode)
            except OSError:
                about += "\0missing"
                regular[i] = False
        keys += hashlib.blake2b(about.encode(), digest_size=16).digest()
    return bytes(keys), regular


def read_index(folder: Path, made_of: object, kind: np.dtype[np.void]) -> np.ndarray | None:
    """Return the entries of a cache, or None where there is none of this origin.

    Args:
        folder: The cache.
        made_of: All that decides the pixels but the files.
        kind: What an entry is.
    """
    try:
        if read_json(folder / MADE_OF) != made_of:
            return None
        content = (folder / FILE).read_bytes()
    except (OSError, ValueError):
        return None
    return np.frombuffer(content[: len(content) // kind.itemsize * kind.itemsize], kind).copy()


def find_places(index: np.ndarray, keys: np.ndarray) -> Int64[np.ndarray, " n"]:
    """Return where each key stands in the index; -1 where it does not."""
    order = np.argsort(index["key"], kind="stable")
    if not len(order):
        return np.full(len(keys), -1)
    at = np.searchsorted(index["key"], keys, sorter=order).clip(max=len(order) - 1)
    return np.where(index["key"][order[at]] == keys, order[at], -1).astype(np.int64)


def bits_of(values: Sequence[int] | frozenset[int]) -> np.ndarray:
    """Return values from 0 to 255 as 256 bits."""
    has = np.zeros(256, np.uint8)
    has[list(values)] = 1
    return np.packbits(has)


def values_of(bits: UInt8[np.ndarray, "n 32"]) -> list[frozenset[int]]:
    """Return the values of each row whose bits are set; rows that are alike share one set."""
    each, rows = np.unique(bits, axis=0, return_inverse=True)
    sets = [frozenset(np.flatnonzero(np.unpackbits(row)).tolist()) for row in each]
    return [sets[row] for row in rows.ravel().tolist()]
