"""How likely each row is to choose another as its neighbour, and the graph of it that both forces follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32, Int64, Integer
from scipy.sparse import csr_array

from glassnet.embedding.tsne.loops import PIECES, Team, compiled
from glassnet.embedding.tsne.neighbours import ROWS_AT_ONCE, NeighbourIndex

MOST_STEPS = 100
TOLERANCE = 1e-8


@dataclass(frozen=True, kw_only=True, eq=False)
class Affinities:
    """The symmetric p_ij as compressed sparse rows; they sum to 1, and no row is its own neighbour."""

    indptr: Int64[np.ndarray, " rows"]
    """Row i holds the entries indptr[i] … indptr[i + 1] - 1."""
    indices: Int32[np.ndarray, " entries"]
    """Column j of each entry, ascending in each row."""
    values: Float32[np.ndarray, " entries"]
    """p_ij of each entry."""


def neighbour_count(perplexities: Sequence[float], n: int) -> int:
    """Neighbours that affinities are spread over: three times the largest perplexity, as in van der Maaten 2014."""
    return min(n - 1, int(3 * max(perplexities)))


def conditional(
    squared: Float64[np.ndarray, "m k"], perplexities: Sequence[float], *, threads: int = 1
) -> Float64[np.ndarray, "m k"]:
    """Chances p_j|i of choosing each of k neighbours, at the bandwidth that gives each row the perplexity.

    p_j|i = exp(-b_i |x_i - x_j|²) / sum over the neighbours, with b_i such that the entropy -sum p log p is
    log(perplexity); where no b_i does it (equal distances, many equal rows), the nearest that can be had. Of several
    perplexities the chances are averaged (Kobak & Berens 2019), so that near and far neighbours both count.

    Args:
        squared: Squared distances to the k neighbours of each row.
        perplexities: Effective numbers of neighbours.
        threads: Threads that share the rows.

    van der Maaten & Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html, equation 1;
    Kobak & Berens 2019, https://doi.org/10.1038/s41467-019-13056-x.
    """
    chances = np.zeros_like(squared)
    goals = np.log(np.array(perplexities, dtype=np.float64))
    with Team(threads) as team:
        team.each(lambda first, last: calibrate(squared, goals, chances, PIECES, first, last))
    return chances


def symmetrise(indices: Integer[np.ndarray, "n k"], chances: Float[np.ndarray, "n k"]) -> Affinities:
    """p_ij = (p_j|i + p_i|j) / 2n (van der Maaten & Hinton 2008, section 3.1)."""
    return _both_ways(indices.copy(), chances / (2 * len(indices)))


def graph(index: NeighbourIndex, count: int, perplexities: Sequence[float], *, threads: int) -> Affinities:
    """Return the affinities of the rows in an index, over `count` neighbours of each.

    Neighbours and chances of some rows are found after the others. Of more than 25,000 rows, chances are float32 from
    here on, as the affinities are in the end: 8 bytes a neighbour, and four times that while both ways are summed.
    """
    n = len(index.rows)
    indices = np.empty((n, count), np.int32)
    halves = np.empty((n, count), np.float32 if n > ROWS_AT_ONCE else np.float64)
    for part, (nearest, squared) in index.in_parts(count):
        indices[part] = nearest
        halves[part] = conditional(squared, perplexities, threads=threads) / (2 * n)
    return _both_ways(indices, halves)


def _both_ways(indices: Integer[np.ndarray, "n k"], halves: Float[np.ndarray, "n k"]) -> Affinities:
    """Add p_ij to p_ji; the arrays given are sorted in place, so that there is no third copy of them."""
    n, k = indices.shape
    starts = np.arange(0, n * k + 1, k, dtype=np.int64 if n * k >= 2**31 else np.int32)
    directed = csr_array((halves.ravel(), indices.ravel().astype(starts.dtype, copy=False), starts), shape=(n, n))
    directed.sort_indices()
    both = directed + directed.T.tocsr()
    del directed
    return Affinities(
        indptr=both.indptr.astype(np.int64),
        # Copies, since the sum lies in an array with room for twice as many.
        indices=both.indices.astype(np.int32),
        values=both.data.astype(np.float32),
    )


@compiled
@no_type_check
def calibrate(squared, goals, chances, pieces, first, last):
    """Add to each row of `chances` the mean over the goals (entropies, in nats) of its calibrated chances."""
    n, k = squared.shape
    for i in range(n * first // pieces, n * last // pieces):
        row = squared[i] - squared[i].min()
        weight = np.empty(k)
        for goal in goals:
            bandwidth(row, goal, weight)
            for j in range(k):
                chances[i, j] += weight[j] / len(goals)


@compiled
@no_type_check
def bandwidth(row, goal, weight):
    """Find log b by Newton's method, kept within a bracket, and leave the chances in `weight`.

    The entropy is H = log S + b <d>, S = sum exp(-b d), and falls with log b by b² Var(d).
    """
    mean = row.mean()
    log_b = -np.log(mean) if mean > 0 else 0.0
    low, high = log_b - 60.0, log_b + 60.0
    for _ in range(MOST_STEPS):
        b = np.exp(log_b)
        total = first = second = 0.0
        for j in range(len(row)):
            weight[j] = np.exp(-b * row[j])
            total += weight[j]
            first += weight[j] * row[j]
            second += weight[j] * row[j] * row[j]
        expected = first / total
        excess = np.log(total) + b * expected - goal
        if abs(excess) < TOLERANCE or high - low < 1e-9:
            break
        if excess > 0:
            low = log_b
        else:
            high = log_b
        slope = b * b * (second / total - expected * expected)
        step = excess / slope if slope > 0 else np.inf
        log_b = log_b + step if low < log_b + step < high else (low + high) / 2
    weight /= total


BITS = 16


def curve_order(points: Float32[np.ndarray, "n dims"]) -> Int64[np.ndarray, " n"]:
    """Order points along the Z-curve: by the number whose bits are those of the coordinates, in turns.

    Morton 1966, A computer oriented geodetic data base and a new technique in file sequencing, IBM.
    """
    lowest = points.min(axis=0)
    extent = max(float((points - lowest).max()), np.finfo(np.float32).tiny)
    cells = ((points - lowest) / extent * (2**BITS - 1)).astype(np.uint64)
    places = np.zeros(len(points), np.uint64)
    dims = np.uint64(points.shape[1])
    for bit in range(BITS):
        for axis in range(points.shape[1]):
            digit = (cells[:, axis] >> np.uint64(bit)) & np.uint64(1)
            places |= digit << (np.uint64(bit) * dims + np.uint64(axis))
    return np.argsort(places, kind="stable").astype(np.int64)


def reorder(affinities: Affinities, order: Int64[np.ndarray, " n"]) -> Affinities:
    """Make row `order[i]` row i, and rename the columns alike."""
    n = len(order)
    place = np.empty(n, np.int32)
    place[order] = np.arange(n, dtype=np.int32)
    counts = np.diff(affinities.indptr)[order]
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    indices, values = np.empty_like(affinities.indices), np.empty_like(affinities.values)
    for first in range(0, n, ROWS_AT_ONCE):
        stop = min(first + ROWS_AT_ONCE, n)
        moved = np.repeat(affinities.indptr[order[first:stop]] - indptr[first:stop], counts[first:stop])
        entries = slice(indptr[first], indptr[stop])
        source = np.arange(entries.start, entries.stop) + moved
        indices[entries], values[entries] = place[affinities.indices[source]], affinities.values[source]
    return Affinities(indptr=indptr, indices=indices, values=values)
