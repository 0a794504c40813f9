"""Squared Euclidean distances between all rows, their ranks and the ranks of all pairs; inner products of wide rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, Real, UInt64
from scipy.spatial.distance import cdist

Squared = Float64[np.ndarray, "m n"]
Neighbours = Int64[np.ndarray, "m k"]
PairRanks = Int32[np.ndarray, " pairs"]
ROWS_AT_ONCE = 200
PAIRS_AT_ONCE = 2**25
"""Distances that are at work at once, where rows are very many: 268 MB."""
# Up to so many columns, differences are taken one by one: as fast as a matrix product, and without its cancellation.
NARROW = 8
DOUBTFUL = 1e-6
"""Share of the sum of two squared norms below which their squared distance has lost half of its digits."""
MOSTLY = 0.25
"""Share of pairs from which on it is faster to measure all anew."""
SAFE_EXPONENT = 300
"""Squares of numbers within 2^±300 are far from the ends of float64."""
CENTRE_ROWS = 500


@dataclass(frozen=True, kw_only=True, eq=False)
class Ruler:
    """Rows to measure squared distances to, right to eight digits wherever the rows lie and however far one lies off.

    A matrix product gives |x|² + |y|² - 2 xy, which cancels where the distance is small beside both norms. So the norms
    are taken from a centre that a few far rows do not move, and a distance so small that it may have cancelled even
    then is measured anew, by differences.
    """

    rows: Float64[np.ndarray, "n d"]
    """The rows, divided by 2^exponent."""
    exponent: int
    """0 wherever squares of the rows themselves are numbers."""
    centre: Float64[np.ndarray, " d"]
    """Median of some of the rows."""
    moved: Float64[np.ndarray, "n d"]
    """The rows less the centre."""
    norms: Float64[np.ndarray, " n"]
    """Squared norms of these."""

    def squared(self, vectors: Float64[np.ndarray, "m d"]) -> Squared:
        """Squared distances of vectors to all rows, in units of 4^exponent."""
        queries = np.ldexp(vectors, -self.exponent) if self.exponent else vectors
        if queries.shape[1] <= NARROW:
            return cdist(queries, self.rows, "sqeuclidean")
        moved = queries - self.centre
        sums = np.einsum("nd,nd->n", moved, moved)[:, None] + self.norms
        squared = moved @ self.moved.T
        squared *= -2
        squared += sums
        sums *= DOUBTFUL
        doubtful = squared < sums
        if doubtful.mean() > MOSTLY:
            return cdist(queries, self.rows, "sqeuclidean")
        for i in np.flatnonzero(doubtful.any(axis=1)):
            near = np.flatnonzero(doubtful[i])
            squared[i, near] = cdist(queries[i : i + 1], self.rows[near], "sqeuclidean")[0]
        return squared

    def among(self, chosen: Int64[np.ndarray, " m"]) -> Squared:
        """The same of some of the rows, infinite to themselves."""
        squared = self.squared(np.ldexp(self.rows[chosen], self.exponent))
        squared[np.arange(len(chosen)), chosen] = np.inf
        return squared

    def nearest(self, vectors: Float64[np.ndarray, "m d"], k: int) -> Neighbours:
        """The k rows nearest to each vector, in no order."""
        at_once = max(1, min(ROWS_AT_ONCE, PAIRS_AT_ONCE // len(self.rows)))
        parts = np.array_split(vectors, len(vectors) // at_once + 1)
        return np.concatenate([nearest(self.squared(part), k) for part in parts])


def ruler(rows: Float64[np.ndarray, "n d"]) -> Ruler:
    """Prepare to measure distances to rows."""
    scaled, exponent = rows, magnitude(rows)
    if abs(exponent) > SAFE_EXPONENT:
        scaled = np.ldexp(rows, -exponent)
    else:
        exponent = 0
    centre = middle(scaled)
    moved = scaled - centre if rows.shape[1] > NARROW else scaled
    norms = np.einsum("nd,nd->n", moved, moved)
    return Ruler(rows=scaled, exponent=exponent, centre=centre, moved=moved, norms=norms)


def middle(rows: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, " d"]:
    """Median in each column of at most 500 rows spread over all: near most rows, whatever a few others are."""
    centre: Float64[np.ndarray, " d"] = np.median(rows[:: -(-len(rows) // CENTRE_ROWS)], axis=0)
    return centre


def magnitude(rows: Float64[np.ndarray, "n d"]) -> int:
    """The least exponent e with all numbers within ±2^e; 0 for rows of zeros."""
    return int(np.frexp(max(rows.max(), -rows.min()))[1])


def unit_rows(rows: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "n d"]:
    """Move the rows near zero and scale them, in place, so that none of their numbers exceeds 1; return them.

    The factor is a power of two, which leaves all digits as they are.
    """
    np.ldexp(rows, -magnitude(rows) - 1, out=rows)  # first, so that no difference overflows
    rows -= middle(rows)
    return np.ldexp(rows, -magnitude(rows), out=rows)


def all_squared_distances(vectors: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "n n"]:
    """Squared distances of all vectors to all, of numbers scaled to at most 1, infinite to themselves."""
    n = len(vectors)
    measured = ruler(np.ldexp(vectors, -magnitude(vectors)))
    squared = np.empty((n, n))
    for rows in np.array_split(np.arange(n), n // ROWS_AT_ONCE + 1):
        squared[rows[0] : rows[-1] + 1] = measured.among(rows)
    return squared


def nearest(distances: Squared, k: int) -> Neighbours:
    """Columns of the k least distances of each row, in no order."""
    return np.argpartition(distances, k - 1, axis=1)[:, :k]


def majority(labels: Int64[np.ndarray, "m k"]) -> Int64[np.ndarray, " m"]:
    """The label that most of each row's name, the smallest of those in a tie."""
    # Counted by position among the labels that there are: a label itself may be huge.
    present, members = np.unique(labels, return_inverse=True)
    votes = np.zeros((len(labels), len(present)), dtype=np.int64)
    np.add.at(votes, (np.arange(len(labels))[:, None], members.reshape(labels.shape)), 1)
    return present[votes.argmax(axis=1)]


def ranks(distances: Squared, neighbours: Neighbours) -> Neighbours:
    """Rank of each neighbour by distance: one more than the vectors that are strictly nearer."""
    columns = np.take_along_axis(distances, neighbours, axis=1).T
    return np.stack([1 + np.count_nonzero(distances < column[:, None], axis=1) for column in columns], axis=1)


def above_diagonal(square: Float64[np.ndarray, "n n"]) -> Float32[np.ndarray, " pairs"]:
    """Distance of each pair of rows once, as float32, in which those of all pairs fit and sort in half the time.

    Their roots, since squares of what is 1e-19 of the largest would vanish.
    """
    return np.concatenate([np.sqrt(row[i + 1 :]).astype(np.float32) for i, row in enumerate(square)])


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
