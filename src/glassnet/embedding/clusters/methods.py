"""How clusters are found: k-means, agglomerative clustering and HDBSCAN.

Methods whose cost grows with the square of the number of points find the clusters of a sample of them.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy.spatial.distance import cdist
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestNeighbors

from glassnet.embedding.distances import ruler, unit_rows

Assignment = Int64[np.ndarray, " n"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a clustering method is asked for; each reads what concerns it."""

    k: int | None
    """Number of clusters; None for a method that finds it."""
    seed: int
    """Seed of all that the method draws."""
    min_cluster_size: int | None
    """Points that HDBSCAN's smallest cluster has; None for its default."""


STARTS = 10
MOST_ROUNDS = 300
COMPACT = 1e-3
"""Share of the total scatter within clusters below which scikit-learn's rounding, and its tolerance, may decide."""


def kmeans(points: Float64[np.ndarray, "n d"], request: Request) -> tuple[Assignment, int]:
    """Find k clusters of least within-cluster variance, the best of ten k-means++ starts.

    Clusters that are small beside their distances from each other are found anew by differences of coordinates, to
    which no point far off matters.

    Lloyd 1982, https://doi.org/10.1109/TIT.1982.1056489; Arthur & Vassilvitskii 2007,
    https://dl.acm.org/doi/10.5555/1283383.1283494 (the starts).

    Returns:
        Each point's cluster, and how many points the clusters were found from: all.
    """
    rows = unit_rows(points.copy())
    model = KMeans(request.k, n_init=STARTS, random_state=request.seed)
    with warnings.catch_warnings():
        # Of fewer clusters than k, as far as it can see: then they are found anew.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows)
    if model.inertia_ > COMPACT * ((rows - rows.mean(axis=0)) ** 2).sum():
        return model.labels_.astype(np.int64), len(points)
    rng = np.random.default_rng(request.seed)
    runs = [_lloyd(rows, _spread_out(rows, model.n_clusters, rng)) for _ in range(STARTS)]
    return min(runs, key=lambda run: run[1])[0], len(points)


def _spread_out(rows: Float64[np.ndarray, "n d"], k: int, rng: np.random.Generator) -> Float64[np.ndarray, "k d"]:
    """Draw k rows as first centres, each with a chance proportional to its squared distance from those drawn before."""
    chosen = [int(rng.integers(len(rows)))]
    squared = cdist(rows, rows[chosen], "sqeuclidean")[:, 0]
    while len(chosen) < k:
        # Of some draws the best is taken, as scikit-learn does: one alone may miss a cluster.
        drawn = rng.choice(len(rows), 2 + int(np.log(k)), p=squared / squared.sum())
        left = np.minimum(squared, cdist(rows[drawn], rows, "sqeuclidean"))
        best = int(left.sum(axis=1).argmin())
        chosen.append(int(drawn[best]))
        squared = left[best]
    return rows[chosen]


def _lloyd(rows: Float64[np.ndarray, "n d"], centres: Float64[np.ndarray, "k d"]) -> tuple[Assignment, float]:
    """Move centres to the means of the rows nearest to them until no row changes; return these, and their scatter."""
    assignment = np.full(len(rows), -1)
    for _ in range(MOST_ROUNDS):
        squared = cdist(rows, centres, "sqeuclidean")
        before, assignment = assignment, squared.argmin(axis=1)
        if (assignment == before).all():
            break
        kept = np.unique(assignment)
        centres = centres.copy()
        centres[kept] = [rows[assignment == cluster].mean(axis=0) for cluster in kept]
    return assignment.astype(np.int64), float(squared.min(axis=1).sum())


# All pairs of so many points take 400 MB.
MOST_POINTS = 10_000


def agglomerative(points: Float64[np.ndarray, "n d"], request: Request) -> tuple[Assignment, int]:
    """Merge clusters, from single points, by Ward's criterion until k are left.

    Each step merges the two clusters A and B of least |A| |B| / (|A| + |B|) ||mean A - mean B||², by which the sum of
    squares within clusters grows. Above 10,000 points, 10,000 drawn by seed are merged, and each other point joins
    the nearest of them.

    Ward 1963, https://doi.org/10.1080/01621459.1963.10500845.

    Returns:
        Each point's cluster, and how many points the clusters were found from.
    """
    model = AgglomerativeClustering(request.k, linkage="ward")
    return from_sample(model.fit_predict, points, most=MOST_POINTS, seed=request.seed)


MOST_POINTS = 10_000
LEAST_SIZE = 5
LARGEST_SHARE = 100


def hdbscan(points: Float64[np.ndarray, "n d"], request: Request) -> tuple[Assignment, int]:
    """Find clusters of any shape by density, as many as there are.

    A cluster has at least `min_cluster_size` points: by default a hundredth of all, at least 5, or all if there
    are fewer. Above 10,000 points, 10,000 drawn by seed are clustered, the size is reduced in proportion, and each
    other point joins the nearest of them, in a cluster or in the noise.

    Campello, Moulavi & Sander 2013, https://doi.org/10.1007/978-3-642-37456-2_14.

    Returns:
        Each point's cluster, -1 for noise, and how many points the clusters were found from.
    """
    size = request.min_cluster_size or min(len(points), max(LEAST_SIZE, len(points) // LARGEST_SHARE))
    used = min(1.0, MOST_POINTS / len(points))
    model = HDBSCAN(min_cluster_size=max(2, round(size * used)), copy=True)
    return from_sample(model.fit_predict, points, most=MOST_POINTS, seed=request.seed)


def from_sample(
    fit: Callable[[Float64[np.ndarray, "m d"]], Any],
    points: Float64[np.ndarray, "n d"],
    *,
    most: int,
    seed: int,
) -> tuple[Assignment, int]:
    """Cluster at most `most` points, drawn by seed if there are more, and give each other point its nearest's cluster.

    Returns:
        Each point's cluster, and how many points the clusters were found from.
    """
    if len(points) <= most:
        return fit(points).astype(np.int64), len(points)
    chosen = np.sort(np.random.default_rng(seed).choice(len(points), most, replace=False))
    clusters = fit(points[chosen]).astype(np.int64)
    nearest = _nearest(points[chosen], points)
    nearest[chosen] = np.arange(most)
    return clusters[nearest], most


TREE_COLUMNS = 15


def _nearest(rows: Float64[np.ndarray, "n d"], points: Float64[np.ndarray, "m d"]) -> Int64[np.ndarray, " m"]:
    if rows.shape[1] > TREE_COLUMNS:
        return ruler(rows).nearest(points, 1)[:, 0]
    # A tree measures by differences.
    tree = NearestNeighbors(n_neighbors=1, algorithm="kd_tree").fit(rows)
    nearest: Int64[np.ndarray, " m"] = tree.kneighbors(points, return_distance=False)[:, 0]
    return nearest
