"""How good a t-SNE is, measured the same way whoever made it."""

from pathlib import Path

import faiss
import numba
import numpy as np
from scipy.sparse import csr_array
from sklearn.neighbors import NearestNeighbors

ALL_PAIRS_UP_TO = 100_000
SAMPLE = 5_000


def affinities(rows_file: Path, perplexity: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact 3 * perplexity neighbours of each row and p_{j|i} over them, computed once a file.

    p_{j|i} is proportional to exp(-|x_i - x_j|² / 2 s_i²) with s_i such that its entropy is log(perplexity) (van der
    Maaten & Hinton 2008, equation 1).
    """
    kept = rows_file.with_name(f"{rows_file.stem}-p{perplexity:g}.npz")
    if kept.exists():
        with np.load(kept) as file:
            return file["neighbours"], file["chances"]
    rows = np.load(rows_file)
    k = int(3 * perplexity)
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    _, found = index.search(rows, k + 1)
    # Of equal rows, faiss may find another first: leave out oneself, or else the farthest.
    itself = found == np.arange(len(rows))[:, None]
    itself[~itself.any(axis=1), -1] = True
    neighbours = found[~itself].reshape(len(rows), k)
    chances = _calibrated(rows, neighbours, perplexity)
    np.savez(kept, neighbours=neighbours, chances=chances)
    return neighbours, chances


def divergence(neighbours: np.ndarray, chances: np.ndarray, points: np.ndarray) -> float:
    """Return KL(P || Q) in nats, with p_ij = (p_{j|i} + p_{i|j}) / 2n and q_ij over all pairs of points.

    Above 100,000 points, q's normaliser is the mean over 5,000 points drawn by a fixed seed, each against all.
    """
    n, k = neighbours.shape
    points = np.ascontiguousarray(points, dtype=np.float64)
    sources = np.arange(n)
    if n > ALL_PAIRS_UP_TO:
        sources = np.random.default_rng(0).choice(n, SAMPLE, replace=False)
    normaliser = _kernel_sums(points, sources).mean() * n
    conditional = csr_array((chances.ravel(), neighbours.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    joint = ((conditional + conditional.T) / (2 * n)).tocoo()
    p, (i, j) = joint.data, joint.coords
    some = p > 0
    kernel = 1 / (1 + ((points[i[some]] - points[j[some]]) ** 2).sum(axis=1))
    return float((p[some] * (np.log(p[some]) - np.log(kernel) + np.log(normaliser))).sum())


def neighbours_vote(points: np.ndarray, labels: np.ndarray, *, k: int = 10) -> float:
    """Return the share of all points whose class is that of most of the k nearest others."""
    found = NearestNeighbors(n_neighbors=k, algorithm="kd_tree").fit(points).kneighbors(return_distance=False)
    votes = np.zeros((len(points), labels.max() + 1), dtype=np.int64)
    np.add.at(votes, (np.arange(len(points))[:, None], labels[found]), 1)
    return float((votes.argmax(axis=1) == labels).mean())


def _calibrated(rows: np.ndarray, neighbours: np.ndarray, perplexity: float) -> np.ndarray:
    chances = np.empty(neighbours.shape)
    for part in np.array_split(np.arange(len(rows)), len(rows) // 5_000 + 1):
        ours = rows[part].astype(np.float64)
        squared = ((rows[neighbours[part]] - ours[:, None]) ** 2).sum(axis=2)
        squared -= squared.min(axis=1, keepdims=True)
        low, high = np.full(len(part), 1e-12), np.full(len(part), 1e12)
        for _ in range(80):
            precision = np.sqrt(low * high)
            p = np.exp(-precision[:, None] * squared)
            p /= p.sum(axis=1, keepdims=True)
            wide = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1) > np.log(perplexity)
            low, high = np.where(wide, precision, low), np.where(wide, high, precision)
        chances[part] = p
    return chances


# Sums may be reordered: the CPU then adds four terms at once.
@numba.njit(parallel=True, fastmath={"reassoc", "contract", "nsz"})
def _kernel_sums(points, sources):
    n, dims = points.shape
    sums = np.empty(len(sources))
    for s in numba.prange(len(sources)):
        i, total = sources[s], 0.0
        for j in range(n):
            squared = 0.0
            for axis in range(dims):
                squared += (points[i, axis] - points[j, axis]) ** 2
            total += 1 / (1 + squared)
        sums[s] = total - 1
    return sums
