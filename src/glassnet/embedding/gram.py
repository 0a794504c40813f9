"""Inner products of rows that may be many times wider than they are many, a few columns at a time."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, Integer, Real

COLUMNS_AT_ONCE = 2048

Rows = Real[np.ndarray, "n d"]
Products = Float64[np.ndarray, "n first"]


def standardised(rows: Rows, fitted: Integer[np.ndarray, " m"] | None = None) -> Iterator[Float64[np.ndarray, "n e"]]:
    """Give the columns, a block at a time, less their mean and divided by their standard deviation.

    Both are taken over the fitted rows, all by default; a column that is constant there is left out, since what it says
    of the other rows was never learned.
    """
    for start in range(0, rows.shape[1], COLUMNS_AT_ONCE):
        block = np.array(rows[:, start : start + COLUMNS_AT_ONCE], dtype=np.float64)
        seen = block if fitted is None else block[fitted]
        varied = (seen != seen[0]).any(axis=0)
        yield (block[:, varied] - seen[:, varied].mean(axis=0)) / seen[:, varied].std(axis=0)


def centred(rows: Rows) -> Iterator[Float64[np.ndarray, "n e"]]:
    """Give the columns, a block at a time, less their mean."""
    for start in range(0, rows.shape[1], COLUMNS_AT_ONCE):
        block = np.array(rows[:, start : start + COLUMNS_AT_ONCE], dtype=np.float64)
        block -= block.mean(axis=0)
        yield block


def gram(blocks: Iterator[Float64[np.ndarray, "n e"]], n: int, first: int | None = None) -> Products:
    """Inner products of all n rows with the first ones, all by default, of the columns that come in blocks."""
    split = n if first is None else first
    products = np.zeros((n, split))
    for block in blocks:
        # A product of a matrix with itself costs half.
        products[:split] += block[:split] @ block[:split].T
        products[split:] += block[split:] @ block[:split].T
    return products
