"""Who is nearest: candidates by faiss, whose distances are then measured exactly."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float64, Int64, Real

from glassnet.embedding.checks import row_chunks
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
ROWS_AT_ONCE = 25_000
"""Candidates of so many rows are at work at once: about 80 MB at perplexity 30."""


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

    def in_parts(self, k: int) -> Iterator[tuple[slice, Neighbours]]:
        """Yield the same for some rows after the others: what is found of many takes more memory than they do."""
        for first in range(0, len(self.rows), ROWS_AT_ONCE):
            part = slice(first, min(first + ROWS_AT_ONCE, len(self.rows)))
            yield part, self._nearest(self.rows[part], k, np.arange(part.start, part.stop))

    def _refuse_far(self, apart: Float64[np.ndarray, "m d"]) -> None:
        farthest = float(np.abs(apart).max())
        if farthest > FARTHEST * self.scale:
            raise InputError(
                f"features lie up to {farthest:.3g} from the middle of the embedded rows, expected at most "
                f"{FARTHEST * self.scale:.3g}; leave out the rows that lie so far away."
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
    n, d = numbers.shape
    centre = middle(numbers)
    scale = max(float(np.abs(chunk - centre).max()) for _, chunk in row_chunks(numbers)) or 1.0
    moved = np.empty((n, d), np.float32)
    for start, chunk in row_chunks(numbers):
        moved[start : start + len(chunk)] = (chunk - centre) / scale
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
