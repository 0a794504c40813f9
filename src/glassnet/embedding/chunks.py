"""Rows a chunk at a time, so that features larger than the memory can be read from a file."""

import mmap
from collections.abc import Iterator

import numpy as np
from jaxtyping import Real

CHUNK_NUMBERS = 2**21
"""As many are at work at once: 16 MB as float64."""


def row_chunks(rows: Real[np.ndarray, "n d"]) -> Iterator[tuple[int, Real[np.ndarray, "m d"]]]:
    """Yield (first row, view of some rows), in order, each at most 2²¹ numbers.

    What is read of a memory map is handed back after each chunk: the pages stay with the system, which may drop them,
    and no longer count as this process's memory.
    """
    size = max(1, CHUNK_NUMBERS // rows.shape[1])
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]
        _hand_back(rows)


def _hand_back(rows: Real[np.ndarray, "n d"]) -> None:
    mapped = getattr(rows, "_mmap", None) if isinstance(rows, np.memmap) else None
    # Pages of a private map that were written to would be lost; those of a read-only one can always be read again.
    if isinstance(mapped, mmap.mmap) and getattr(rows, "mode", "") == "r" and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
