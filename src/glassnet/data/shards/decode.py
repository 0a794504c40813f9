"""What decodes the images of a cache, a piece at a time, and where the pixels go."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from glassnet.data.decoding import DamagedError
from glassnet.data.shards.index import DONE, GRAY, WIDE, bits_of
from glassnet.data.shards.rows import Held, Rows


class Picture(NamedTuple):
    """An image as it is kept.

    Attributes:
        pixels: The image, and its mask where it has one.
        gray: Whether its file has one channel.
        wide: Whether it has whole numbers of 32 bits.
        present: Values of the mask at its full size.
    """

    pixels: tuple[np.ndarray, ...]
    gray: bool = False
    wide: bool = False
    present: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Wanted:
    """What is to be in a cache.

    Attributes:
        made_of: All that decides the pixels but the files, as JSON values.
        shapes: Shape of what is kept of each image, by name: images, and masks.
        names: Of the images, relative to the data set's folder.
        files: The files that each is made of.
        read: Reads one by its number, given whether its files are known to be regular; called in other processes.
        noun: What they are, as in images, for the progress bar.
        stop: Ends the work when it is true of an entry, which is kept.
    """

    made_of: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    names: Sequence[str]
    files: Sequence[tuple[str, ...]]
    read: Callable[[int, bool], Picture]
    noun: str
    stop: Callable[[np.ndarray], bool] = lambda _entries: False


def decode(
    wanted: Wanted,
    rows: Mapping[str, Rows | Held],
    kind: np.dtype[np.void],
    pieces: Sequence[np.ndarray],
    places: np.ndarray,
    regular: np.ndarray,
    piece: int,
) -> tuple[np.ndarray, list[tuple[int, str, str]]]:
    """Decode a piece, write its rows, and return their entries and what is wrong with files that cannot be read."""
    items = pieces[piece]
    pixels = {name: np.empty((len(items), *shape), np.uint8) for name, shape in wanted.shapes.items()}
    flags, present = [0] * len(items), [frozenset[int]()] * len(items)
    sums = {name: [0] * len(items) for name in pixels}
    refused = []
    for i, (item, is_regular) in enumerate(zip(items.tolist(), regular[items].tolist(), strict=True)):
        try:
            planes, gray, wide, present[i] = wanted.read(item, is_regular)
        except DamagedError as error:
            refused.append((item, str(error.path), str(error.reason)))
            continue
        for (name, rows_of), values in zip(pixels.items(), planes, strict=True):
            rows_of[i] = values
            sums[name][i] = zlib.crc32(rows_of[i].data)
        flags[i] = DONE | GRAY * gray | WIDE * wide
    entries = np.zeros(len(items), kind)
    entries["flags"] = flags
    for name, each in sums.items():
        entries[name] = each
    if "masks" in pixels:
        entries["present"] = [bits_of(values) for values in present]
        entries["left"] = [bits_of(np.unique(mask).tolist()) for mask in pixels["masks"]]
    done = entries["flags"] & DONE == DONE
    for name, array in rows.items():
        array.write(places[items[done]], pixels[name] if done.all() else pixels[name][done])
    return entries, refused
