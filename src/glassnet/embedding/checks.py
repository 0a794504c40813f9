"""What an embedding, a clustering or its measures may be asked about: finite rows that are not all the same.

Rows are read a chunk at a time, so that features larger than the memory can come from a file.
"""

import mmap
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Float, Float64, Int64, Real

from glassnet.errors import InputError, checked_integer


def checked_rows(rows: Any, *, noun: str = "features", columns: int | None = None) -> Float64[np.ndarray, "n d"]:
    """Return `rows` as float64, in which their distances are exact to the last digits of a float32.

    Args:
        rows: Numbers of shape (n, d), n and d at least 1.
        noun: What the sentence calls them.
        columns: The d that they must have, if any.

    Raises:
        InputError: They are no numbers, have another shape, or hold a NaN or an infinity.
    """
    return finite_rows(rows, noun=noun, columns=columns).astype(np.float64)


def finite_rows(rows: Any, *, noun: str = "features", columns: int | None = None) -> Real[np.ndarray, "n d"]:
    """Check `rows` as `checked_rows` does, a chunk at a time, and return them as they are: for sets too large to copy.

    Raises:
        InputError: They are no numbers, have another shape, or hold a NaN or an infinity.
    """
    array = as_array(rows, noun=noun)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{noun} are of type {array.dtype}, expected real numbers.")
    if array.ndim != 2 or not array.size:
        raise InputError(f"{noun} have shape {array.shape}, expected (n, d): one row per image, none of them empty.")
    if columns is not None and array.shape[1] != columns:
        raise InputError(f"{noun} have {array.shape[1]} columns, expected {columns}, like the rows that were fitted.")
    if array.dtype.kind == "f":
        _refuse_bad_rows(array, noun)
    return array


def as_array(values: Any, *, noun: str = "features") -> np.ndarray:
    """Return numbers as an array, of whatever kind they are: lists, tensors of any type, sparse matrices, tables.

    A tensor's gradient is left behind, and bfloat16, which NumPy lacks, becomes float32. A memory map stays one.

    Raises:
        InputError: Rows have different lengths, values are masked out, or a tensor holds no numbers.
    """
    if scipy.sparse.issparse(values):
        return values.toarray()
    torch = sys.modules.get("torch")  # nobody has a tensor without it
    if torch is not None and isinstance(values, torch.Tensor):
        return _of_tensor(values, noun)
    masked = int(np.sum(values.mask)) if isinstance(values, np.ma.MaskedArray) else 0
    if masked:
        raise InputError(f"{noun} have {masked} masked values, expected numbers; fill these values first.")
    try:
        array = np.asanyarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{noun} are not an array ({error}), expected (n, d): rows of equal length.") from None
    return array if isinstance(array, np.memmap) else np.asarray(array)


def _of_tensor(values: Any, noun: str) -> np.ndarray:
    try:
        dense = values.detach().to_dense().cpu()
        # To list the types that NumPy has would take longer than to ask.
        return (dense.float() if "bfloat16" in str(dense.dtype) or "float8" in str(dense.dtype) else dense).numpy()
    except (NotImplementedError, RuntimeError, TypeError) as error:
        raise InputError(f"{noun} are a tensor without numbers ({error}), expected real numbers.") from None


def _refuse_bad_rows(array: Float[np.ndarray, "n d"], noun: str) -> None:
    count, first = 0, 0
    for start, chunk in row_chunks(array):
        bad = ~np.isfinite(chunk).all(axis=1)
        if bad.any():
            first = first if count else start + int(bad.argmax())
            count += int(bad.sum())
    if count:
        raise InputError(
            f"{noun} have a NaN or an infinity in {count} of {len(array)} rows, first in row {first}, "
            "expected finite numbers; leave these rows out."
        )


def check_varied(rows: Real[np.ndarray, "n d"], *, noun: str = "features") -> None:
    """Refuse rows that are all the same.

    Args:
        rows: Finite numbers of shape (n, d).
        noun: What the sentence calls them.

    Raises:
        InputError: There is one row, or all rows are equal.
    """
    if all((chunk == rows[0]).all() for _, chunk in row_chunks(rows)):
        raise InputError(
            f"all {len(rows)} rows of the {noun} are the same, expected at least two that differ; "
            "choose another layer or more images."
        )


def check_range(rows: Real[np.ndarray, "n d"], *, least: float, most: float) -> None:
    """Refuse rows too small or too large for the arithmetic to come.

    Raises:
        InputError: A number's magnitude is above `most`, or no row differs from the first by `least` in any column.
    """
    largest = max(max(float(chunk.max()), -float(chunk.min())) for _, chunk in row_chunks(rows))
    if largest > most:
        raise InputError(f"features reach {largest:.3g}, expected at most {most:g}; rescale them.")
    first = np.array(rows[0], dtype=np.float64)
    # Most often the first chunk will do.
    if not any((np.abs(chunk - first) >= least).any() for _, chunk in row_chunks(rows)):
        raise InputError(f"features differ by less than {least:g}, expected larger differences; rescale them.")


def checked_labels(labels: Any, *, points: int) -> Int64[np.ndarray, " n"]:
    """Return a class index for each point.

    Raises:
        InputError: They are no integers from 0, or not one a point.
    """
    array = as_array(labels, noun="labels")
    if array.dtype.kind not in "iu" or array.shape != (points,):
        raise InputError(
            f"labels are of type {array.dtype} and shape {array.shape}, expected integers of shape ({points},)."
        )
    if array.min() < 0:
        raise InputError(f"label {array.min()} is negative, expected class indices from 0.")
    return array.astype(np.int64)


def check_seed(seed: int) -> None:
    """Refuse a seed that scikit-learn's generators do not take.

    Raises:
        InputError: It is not in 0 … 2³² - 1.
    """
    checked_integer("seed", seed, least=0, most=2**32 - 1)


CHUNK_NUMBERS = 2**21
"""As many are at work at once: 16 MB as float64."""


def row_chunks(
    rows: Real[np.ndarray, "n d"], *, most: int | None = None
) -> Iterator[tuple[int, Real[np.ndarray, "m d"]]]:
    """Yield (first row, view of some rows), in order, each at most 2²¹ numbers, and at most so many rows.

    What is read of a memory map is handed back after each chunk: the pages stay with the system, which may drop them,
    and no longer count as this process's memory.
    """
    size = max(1, min(CHUNK_NUMBERS // rows.shape[1], most or len(rows)))
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]
        _hand_back(rows)


def _hand_back(rows: Real[np.ndarray, "n d"]) -> None:
    mapped = getattr(rows, "_mmap", None) if isinstance(rows, np.memmap) else None
    # Pages of a private map that were written to would be lost; those of a read-only one can always be read again.
    if isinstance(mapped, mmap.mmap) and getattr(rows, "mode", "") == "r" and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
