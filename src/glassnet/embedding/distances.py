"""Squared Euclidean distances between all rows, their ranks and the ranks of all pairs; inner products of wide rows."""

from collections.abc import Iterator
from math import sqrt

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, Real, UInt64
from scipy.spatial.distance import cdist

Squared = Float64[np.ndarray, "m n"]
Neighbours = Int64[np.ndarray, "m k"]
PairRanks = Int32[np.ndarray, " pairs"]
ROWS_AT_ONCE = 200
# Up to so many columns, differences are taken one by one: as fast as a matrix product, and without its cancellation.
NARROW = 8


def unit_rows(rows: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "n d"]:
    """Take the mean off the rows and scale them, in place, so that none of their numbers exceeds 1; return them.

    So their squared distances, ranked as float32, neither overflow nor vanish, whatever the rows' unit. The factor is a
    power of two, which leaves all digits as they are.
    """
    rows -= rows.mean(axis=0)
    exponent = np.frexp(max(rows.max(), -rows.min()))[1]
    return np.ldexp(rows, -exponent, out=rows)


def squared_distances(vectors: Float64[np.ndarray, "n d"], rows: Int64[np.ndarray, " m"]) -> Squared:
    """Squared distances of some vectors to all, infinite to themselves."""
    if vectors.shape[1] <= NARROW:
        squared = cdist(vectors[rows], vectors, "sqeuclidean")
    else:
        norms = np.einsum("nd,nd->n", vectors, vectors)
        sums = norms[rows, None] + norms
        squared = vectors[rows] @ vectors.T
        squared *= -2
        squared += sums
        # What rounding alone can leave is no distance: equal rows must be at 0, or noise would rank them.
        sums *= 4 * np.finfo(np.float64).eps * vectors.shape[1]
        squared[squared < sums] = 0
    squared[np.arange(len(rows)), rows] = np.inf
    return squared


def all_squared_distances(vectors: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "n n"]:
    """Squared distances of all vectors to all, infinite to themselves."""
    n = len(vectors)
    squared = np.empty((n, n))
    for rows in np.array_split(np.arange(n), n // ROWS_AT_ONCE + 1):
        squared[rows[0] : rows[-1] + 1] = squared_distances(vectors, rows)
    return squared


def nearest(distances: Squared, k: int) -> Neighbours:
    """Columns of the k least distances of each row, in no order."""
    return np.argpartition(distances, k - 1, axis=1)[:, :k]


def ranks(distances: Squared, neighbours: Neighbours) -> Neighbours:
    """Rank of each neighbour by distance: one more than the vectors that are strictly nearer."""
    columns = np.take_along_axis(distances, neighbours, axis=1).T
    return np.stack([1 + np.count_nonzero(distances < column[:, None], axis=1) for column in columns], axis=1)


def above_diagonal(square: Float64[np.ndarray, "n n"]) -> Float32[np.ndarray, " pairs"]:
    """Each pair of rows once, as float32, in which distances of all pairs fit and sort in half the time."""
    return np.concatenate([row[i + 1 :].astype(np.float32) for i, row in enumerate(square)])


def pair_ranks(values: Float32[np.ndarray, " pairs"]) -> PairRanks:
    """Twice the rank of each value among all, less the mean (so that whole numbers say it all); equal values share it.

    The values must not be negative.
    """
    carried = _sorted_with(values, np.arange(len(values), dtype=np.int32))
    result = np.empty(len(values), dtype=np.int32)
    result[_payload(carried)] = _shared_ranks(carried)
    return result


def spearman(known: PairRanks, values: Float32[np.ndarray, " pairs"]) -> float | None:
    """Spearman's rank correlation of values, none negative, with those whose ranks `pair_ranks` gave.

    None where all of either are equal, and so correlate with nothing.
    """
    # With the known ranks carried through the sort, the new ones are mere positions: nothing is gathered.
    carried = _sorted_with(values, known)
    ours, theirs = _shared_ranks(carried), _payload(carried)
    norms = _product(ours, ours) * _product(theirs, theirs)
    return _product(ours, theirs) / sqrt(norms) if norms > 0 else None


def _product(first: PairRanks, second: PairRanks) -> float:
    return float(np.einsum("p,p->", first, second, dtype=np.float64))


def _sorted_with(values: Float32[np.ndarray, " pairs"], payload: PairRanks) -> UInt64[np.ndarray, " pairs"]:
    """Sort 64-bit numbers of a value's bits, which order as non-negative floats do, above a payload's bits."""
    carried = values.view(np.uint32).astype(np.uint64)
    carried <<= np.uint64(32)
    carried |= payload.view(np.uint32)
    carried.sort()
    return carried


def _payload(carried: UInt64[np.ndarray, " pairs"]) -> PairRanks:
    return carried.astype(np.uint32).view(np.int32)


def _shared_ranks(carried: UInt64[np.ndarray, " pairs"]) -> PairRanks:
    """First plus last position of each value's group of equals, less the mean of that."""
    n = len(carried)
    position = np.arange(n, dtype=np.int32)
    differs = (carried[1:] ^ carried[:-1]) >= np.uint64(2**32)
    first, last = position.copy(), position
    first[1:] *= differs
    np.maximum.accumulate(first, out=first)
    last[:-1][~differs] = n
    np.minimum.accumulate(last[::-1], out=last[::-1])
    first += last
    first -= n - 1
    return first


COLUMNS_AT_ONCE = 2048

Rows = Real[np.ndarray, "n d"]


def centred(rows: Rows) -> Iterator[Float64[np.ndarray, "n e"]]:
    """Give the columns, a block at a time, less their mean."""
    for start in range(0, rows.shape[1], COLUMNS_AT_ONCE):
        block = np.array(rows[:, start : start + COLUMNS_AT_ONCE], dtype=np.float64)
        block -= block.mean(axis=0)
        yield block


def gram(blocks: Iterator[Float64[np.ndarray, "n e"]], n: int) -> Float64[np.ndarray, "n n"]:
    """Inner products of all n rows, of the columns that come in blocks."""
    products = np.zeros((n, n))
    for block in blocks:
        # A product of a matrix with itself costs half.
        products += block @ block.T
    return products
