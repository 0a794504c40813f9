"""Compare what a cache holds with its checksums: some of it each time, and all that may never have reached the disk."""

from __future__ import annotations

import contextlib
import math
import time
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Int64

from glassnet.console import progress
from glassnet.data.shards.index import DONE, SYNCED
from glassnet.data.shards.rows import Rows
from glassnet.data.shards.workers import cores

VERIFIED_BYTES = 1 << 30
"""Of larger caches every second image is verified when they are opened, or every third, and so on, others each time.
Images that may not have reached the disk before a power failure are all verified."""
PIECE_IMAGES = 64


def find_wrong(
    rows: Mapping[str, Rows], index: np.ndarray, places: Int64[np.ndarray, " n"], title: str
) -> Int64[np.ndarray, " m"]:
    """Return which of the images are there, but with other pixels than their checksums say.

    Args:
        rows: Pixels by name.
        index: The entries.
        places: Where the images stand.
        title: Of the progress bar that is shown where much is read, with `{count}`.
    """
    each = sum(array.row_bytes for array in rows.values())
    step = max(1, math.ceil(len(places) * each / VERIFIED_BYTES))
    flags = index["flags"][places]
    is_there = flags & DONE == DONE
    is_due = is_there & (flags & SYNCED == 0)
    is_due[np.flatnonzero(is_there)[int(time.time()) % step :: step]] = True
    due = np.flatnonzero(is_due)
    parts = [due[start : start + PIECE_IMAGES] for start in range(0, len(due), PIECE_IMAGES)]

    def differing(items: np.ndarray) -> np.ndarray:
        at = places[items]
        wrong = np.zeros(len(items), dtype=bool)
        for name, array in rows.items():
            sums = [zlib.crc32(row.data) for row in array[torch.from_numpy(at)].numpy()]
            wrong |= index[name][at] != np.array(sums, np.uint32)
        return items[wrong]

    is_long = len(due) * each > 2 * VERIFIED_BYTES
    bar = progress(title.format(count=len(due)), len(due)) if is_long else contextlib.nullcontext(lambda _count: None)
    found = [np.empty(0, np.int64)]
    with ThreadPoolExecutor(cores()) as pool, bar as advance:
        for part, wrong in zip(parts, pool.map(differing, parts), strict=True):
            found.append(wrong)
            advance(len(part))
    return np.concatenate(found)
