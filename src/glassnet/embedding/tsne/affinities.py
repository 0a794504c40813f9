"""The graph of neighbours: who is nearest, by faiss, and how likely each row is to choose another as its neighbour.

Distances are exact whatever found the neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, Real
from scipy.sparse import csr_array

from glassnet.embedding.distances import middle, ruler
from glassnet.embedding.tsne.loops import PIECES, Team, compiled
from glassnet.errors import InputError

Neighbours = tuple[Int64[np.ndarray, "m k"], Float64[np.ndarray, "m k"]]
EXACT_UP_TO = 25_000
SPARE = 4
CELLS_SHARE = 1.0
PROBES = 16
LOST_DIGITS = 3e-5
"""Of a squared norm: the float32 of a distance below this is off by a hundredth."""
FAR_SHARE = 1e-6
FARTHEST = 1e15
"""Beyond so many times the reach of the rows, squares of a float32 overflow."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NeighbourIndex:
    """Rows in which neighbours can be searched."""

    rows: Float64[np.ndarray, "n d"]
    """The rows, by whose differences neighbours are measured."""
    centre: Float64[np.ndarray, " d"]
    """What is taken off each row before faiss sees it: near most rows, whatever a few far ones are."""
    scale: float
    """What each row is then divided by."""
    reach: float
    """Within so far of the centre, after scaling, lie nine of ten rows; squared."""
    exact: bool
    """Whether all rows are searched, or only the cells around the row that is asked for."""
    faiss_index: Any
    """The index that finds candidates."""
    threads: int
    """Threads that share a search."""

    def search(self, new: Real[np.ndarray, "m d"], k: int) -> Neighbours:
        """The k rows nearest to each new row, nearest first, and the squared distances to them.

        Raises:
            InputError: A new row lies too far off for its distances to be numbers.
        """
        numbers = np.asarray(new, dtype=np.float64)
        self._refuse_far(numbers - self.centre)
        return self._nearest(numbers, k, np.full(len(numbers), -1))

    def neighbours(self, k: int) -> Neighbours:
        """The same of each row among the others; a row's equals count as others."""
        return self._nearest(self.rows, k, np.arange(len(self.rows)))

    def _refuse_far(self, apart: Float64[np.ndarray, "m d"]) -> None:
        farthest = float(np.abs(apart).max())
        if farthest > FARTHEST * self.scale:
            raise InputError(
                f"features lie up to {farthest:.3g} from the middle of the rows embedded, expected at most "
                f"{FARTHEST * self.scale:.3g}; leave out the rows that lie so far off."
            )

    def _nearest(self, rows: Float64[np.ndarray, "m d"], k: int, own: Int64[np.ndarray, " m"]) -> Neighbours:
        # faiss subtracts rounded squares, so near the k-th it may err: some spare candidates, measured anew, mend it.
        wanted = min(k + 1 + SPARE, len(self.rows))
        moved = np.ascontiguousarray((rows - self.centre) / self.scale, dtype=np.float32)
        with _FaissThreads(self.threads):
            candidates = self.faiss_index.search(moved, wanted)[1]
            few = np.flatnonzero(candidates[:, -1] < 0)
            if len(few) and not self.exact:
                # The cells around these rows hold fewer rows than that, so all cells are searched.
                candidates[few] = self.faiss_index.search(moved[few], wanted, params=_all_cells(self.faiss_index))[1]
        indices, squared = measured(self.rows, rows, candidates, own, k, threads=self.threads)
        norms = np.einsum("md,md->m", moved, moved, dtype=np.float64)
        doubtful = doubts(squared[:, -1] / self.scale**2, norms, self.reach)
        if len(doubtful):
            some = rows[doubtful]
            anew = ruler(self.rows).nearest(some, wanted)
            indices[doubtful], squared[doubtful] = measured(
                self.rows, some, anew, own[doubtful], k, threads=self.threads
            )
        return indices, squared


def doubts(
    farthest: Float64[np.ndarray, " m"], norms: Float64[np.ndarray, " m"], reach: float
) -> Int64[np.ndarray, " doubtful"]:
    """Rows whose neighbours a float32 may not tell.

    They lie so near to their k-th neighbour, beside their distance from the centre, or so far from nearly all, that
    |x|² + |y|² - 2 xy has lost the digits that decide. Rows with k equals, at distance 0, have their neighbours.

    Args:
        farthest: Squared distance of each row to its k-th neighbour.
        norms: Squared distance of each row from the centre.
        reach: Squared distance from the centre within which nine of ten rows lie.
    """
    near = (farthest > 0) & (farthest < LOST_DIGITS * norms)
    return np.flatnonzero(near | (norms > reach / FAR_SHARE))


def build_index(rows: Real[np.ndarray, "n d"], *, threads: int) -> NeighbourIndex:
    """Prepare the search among rows: all of them up to 25,000, above that the nearest 16 of about sqrt(n) cells.

    Johnson, Douze & Jégou 2021, https://doi.org/10.1109/TBDATA.2019.2921572 (faiss).
    """
    import faiss

    numbers = np.asarray(rows, dtype=np.float64)
    centre = middle(numbers)
    moved = numbers - centre
    scale = float(np.abs(moved).max()) or 1.0
    moved = np.ascontiguousarray(moved / scale, dtype=np.float32)
    n, d = moved.shape
    with _FaissThreads(threads):
        index: Any = faiss.IndexFlatL2(d)
        if n > EXACT_UP_TO:
            index = faiss.IndexIVFFlat(index, d, int(CELLS_SHARE * np.sqrt(n)))
            index.nprobe = PROBES
            index.train(moved)
        index.add(moved)
    reach = float(np.quantile(np.einsum("nd,nd->n", moved, moved, dtype=np.float64), 0.9))
    return NeighbourIndex(
        rows=numbers,
        centre=centre,
        scale=scale,
        reach=reach,
        exact=n <= EXACT_UP_TO,
        faiss_index=index,
        threads=threads,
    )


def measured(
    rows: Float64[np.ndarray, "n d"],
    new: Float64[np.ndarray, "m d"],
    candidates: Int64[np.ndarray, "m c"],
    own: Int64[np.ndarray, " m"],
    k: int,
    *,
    threads: int,
) -> Neighbours:
    """The k nearest of each new row's candidates other than itself, nearest first, and their squared distances."""
    indices, squared = np.empty((len(new), k), np.int64), np.empty((len(new), k))
    with Team(threads) as team:
        team.each(lambda a, b: measure(rows, new, candidates, own, indices, squared, PIECES, a, b))
    return indices, squared


class _FaissThreads:
    """faiss's number of threads, which belongs to the process, for as long as a block lasts."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def __enter__(self) -> None:
        import faiss

        self._before = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(self._threads)

    def __exit__(self, *_: object) -> None:
        import faiss

        faiss.omp_set_num_threads(self._before)


def _all_cells(index: Any) -> Any:
    import faiss

    return faiss.SearchParametersIVF(nprobe=index.nlist)  # type: ignore[call-arg]


@compiled
@no_type_check
def measure(rows, new, candidates, own, indices, squared, pieces, first, last):
    """Measure the candidates in float64, leave out each row itself, and keep the k nearest, ties by index."""
    n, wanted = candidates.shape
    k = indices.shape[1]
    distance, order = np.empty(wanted), np.empty(wanted, np.int64)
    for i in range(n * first // pieces, n * last // pieces):
        count = 0
        for c in range(wanted):
            j = candidates[i, c]
            if j < 0 or j == own[i]:
                continue
            total = 0.0
            for column in range(rows.shape[1]):
                total += (rows[j, column] - new[i, column]) ** 2
            place = count
            while place > 0 and (
                distance[place - 1] > total or (distance[place - 1] == total and order[place - 1] > j)
            ):
                distance[place], order[place] = distance[place - 1], order[place - 1]
                place -= 1
            distance[place], order[place] = total, j
            count += 1
        indices[i], squared[i] = order[:k], distance[:k]


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


def symmetrise(indices: Int64[np.ndarray, "n k"], chances: Float64[np.ndarray, "n k"]) -> Affinities:
    """p_ij = (p_j|i + p_i|j) / 2n (van der Maaten & Hinton 2008, section 3.1)."""
    n, k = indices.shape
    starts = np.arange(0, n * k + 1, k, dtype=np.int64 if n * k >= 2**31 else np.int32)
    directed = csr_array((chances.ravel() / (2 * n), indices.ravel().astype(starts.dtype), starts), shape=(n, n))
    directed.sort_indices()
    both = directed + directed.T.tocsr()
    return Affinities(
        indptr=both.indptr.astype(np.int64),
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
    source = np.arange(indptr[-1]) + np.repeat(affinities.indptr[order] - indptr[:-1], counts)
    return Affinities(
        indptr=indptr, indices=place[affinities.indices[source]], values=np.ascontiguousarray(affinities.values[source])
    )
