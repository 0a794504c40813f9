"""Nearest neighbours among rows, by faiss, with distances that are exact whatever found them."""

from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, Float64, Int64, Real

from glassnet.embedding.tsne.loops import PIECES, Team, compiled
from glassnet.errors import InputError

Neighbours = tuple[Int64[np.ndarray, "m k"], Float64[np.ndarray, "m k"]]
EXACT_UP_TO = 25_000
SPARE = 4
CELLS_SHARE = 1.0
PROBES = 16
FARTHEST = 1e15
"""Beyond so many times the reach of the rows, squares of a float32 overflow."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NeighbourIndex:
    """Rows in which neighbours can be searched."""

    rows: Float32[np.ndarray, "n d"]
    """The rows, moved and shrunk so that a float32 holds their differences."""
    centre: Float64[np.ndarray, " d"]
    """What was taken off each row."""
    scale: float
    """What each row was then divided by."""
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
        apart = new - self.centre
        self._refuse_far(apart)
        moved = (apart / self.scale).astype(np.float32)
        indices, squared = self._candidates(moved, k, np.full(len(moved), -1))
        return indices, squared * self.scale**2

    def neighbours(self, k: int) -> Neighbours:
        """The same of each row among the others; a row's equals count as others."""
        indices, squared = self._candidates(self.rows, k, np.arange(len(self.rows)))
        return indices, squared * self.scale**2

    def _refuse_far(self, apart: Float64[np.ndarray, "m d"]) -> None:
        farthest = float(np.abs(apart).max())
        if farthest > FARTHEST * self.scale:
            raise InputError(
                f"features lie up to {farthest:.3g} from the mean of the rows embedded, expected at most "
                f"{FARTHEST * self.scale:.3g}; leave out the rows that lie so far off."
            )

    def _candidates(self, rows: Float32[np.ndarray, "m d"], k: int, own: Int64[np.ndarray, " m"]) -> Neighbours:
        # faiss subtracts rounded squares, so near the k-th it may err: some spare candidates, measured anew, mend it.
        wanted = min(k + 1 + SPARE, len(self.rows))
        with _FaissThreads(self.threads):
            candidates = self.faiss_index.search(np.ascontiguousarray(rows), wanted)[1]
            few = np.flatnonzero(candidates[:, -1] < 0)
            if len(few) and not self.exact:
                # The cells around these rows hold fewer rows than that, so all cells are searched.
                candidates[few] = self.faiss_index.search(rows[few], wanted, params=_all_cells(self.faiss_index))[1]
        indices, squared = np.empty((len(rows), k), np.int64), np.empty((len(rows), k))
        with Team(self.threads) as team:
            team.each(lambda a, b: measure(self.rows, rows, candidates, own, indices, squared, PIECES, a, b))
        return indices, squared


def build_index(rows: Real[np.ndarray, "n d"], *, threads: int) -> NeighbourIndex:
    """Prepare the search among rows: all of them up to 25,000, above that the nearest 16 of about sqrt(n) cells.

    Johnson, Douze & Jégou 2021, https://doi.org/10.1109/TBDATA.2019.2921572 (faiss).
    """
    import faiss

    centre = rows.mean(axis=0, dtype=np.float64)
    moved = rows - centre
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
    return NeighbourIndex(
        rows=moved, centre=centre, scale=scale, exact=n <= EXACT_UP_TO, faiss_index=index, threads=threads
    )


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
                total += (np.float64(rows[j, column]) - np.float64(new[i, column])) ** 2
            place = count
            while place > 0 and (
                distance[place - 1] > total or (distance[place - 1] == total and order[place - 1] > j)
            ):
                distance[place], order[place] = distance[place - 1], order[place - 1]
                place -= 1
            distance[place], order[place] = total, j
            count += 1
        indices[i], squared[i] = order[:k], distance[:k]
