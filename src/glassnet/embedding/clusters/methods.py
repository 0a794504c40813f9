"""How clusters are found: k-means, agglomerative clustering and HDBSCAN.

Methods whose cost grows with the square of the number of points find the clusters of a sample of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, KMeans
from sklearn.neighbors import NearestNeighbors

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


def kmeans(points: Float64[np.ndarray, "n d"], request: Request) -> tuple[Assignment, int]:
    """Find k clusters of least within-cluster variance, the best of ten k-means++ starts.

    Lloyd 1982, https://doi.org/10.1109/TIT.1982.1056489; Arthur & Vassilvitskii 2007,
    https://dl.acm.org/doi/10.5555/1283383.1283494 (the starts).

    Returns:
        Each point's cluster, and how many points the clusters were found from: all.
    """
    model = KMeans(request.k, n_init=STARTS, random_state=request.seed)
    return model.fit_predict(points).astype(np.int64), len(points)


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
    nearest = NearestNeighbors(n_neighbors=1).fit(points[chosen]).kneighbors(points, return_distance=False)[:, 0]
    nearest[chosen] = np.arange(most)
    return clusters[nearest], most
