"""Clusters of points, and how well they fit the classes. A method is one function and one line in METHODS."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64, Integer, Real
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from glassnet.display import Shown
from glassnet.embedding.checks import check_seed, checked_labels, checked_rows
from glassnet.embedding.clusters.methods import Assignment, Request, agglomerative, hdbscan, kmeans
from glassnet.embedding.distances import ruler
from glassnet.errors import InputError, checked_integer, unknown_name

__all__ = ["METHODS", "Clustering", "cluster"]

Method = Callable[[Float64[np.ndarray, "n d"], Request], tuple[Assignment, int]]

METHODS: dict[str, Method] = {"kmeans": kmeans, "agglomerative": agglomerative, "hdbscan": hdbscan}
FINDS_K = ("hdbscan",)
SILHOUETTE_POINTS = 5000


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Clustering(Shown):
    """Clusters of points; without labels, the measures that compare clusters with labels are None."""

    assignment: Assignment
    """Cluster of each point, 0 to k - 1; -1 for noise, which only HDBSCAN finds."""
    k: int
    """Number of clusters, without the noise."""
    method: str = "kmeans"
    """Name of the method, as in METHODS."""
    noise: int = 0
    """Points that belong to no cluster."""
    fitted: int
    """Number of points that the clusters were found from; each other point joined the nearest one's cluster."""
    silhouette: float | None
    """Silhouette: how much closer points are to their own cluster than to the next, -1 to 1; None below two clusters.

    Noise points are left out; `noise_share` gives their share.
    """
    sample: int
    """Number of points that the silhouettes are averaged over: all up to 5,000, otherwise 5,000 drawn at random."""
    ari: float | None = None
    """Adjusted Rand index: 1 if the clusters are the classes, 0 at chance level; noise counts as one cluster."""
    nmi: float | None = None
    """Normalised mutual information (arithmetic mean of the entropies), 0 to 1; noise counts as one cluster."""
    accuracy: float | None = None
    """Share of all points whose cluster is matched to their class, under the best one-to-one matching.

    Noise is matched to no class and counts as wrong.
    """
    matching: Int64[np.ndarray, " k"] | None = None
    """Class matched to each cluster; -1 for an unmatched cluster."""
    class_silhouette: float | None = None
    """Silhouette of the classes instead of the clusters; None without labels or for a single class."""

    @property
    def noise_share(self) -> float:
        """Share of the points that belong to no cluster."""
        return self.noise / len(self.assignment)


def cluster(
    points: Real[np.ndarray, "n d"],
    *,
    method: str = "kmeans",
    k: int | None = None,
    min_cluster_size: int | None = None,
    seed: int = 0,
    labels: Integer[np.ndarray, " n"] | None = None,
) -> Clustering:
    """Find clusters of points and measure them; with labels, also compare them with the classes.

    Hubert & Arabie 1985, https://doi.org/10.1007/BF01908075 (adjusted Rand index); Rousseeuw 1987,
    https://doi.org/10.1016/0377-0427(87)90125-7 (silhouette).

    Args:
        points: The points (n, d), often those of an embedding.
        method: "kmeans", "agglomerative" (Ward) or "hdbscan".
        k: Number of clusters; by default the number of classes. HDBSCAN finds it and takes no k.
        min_cluster_size: Size of HDBSCAN's smallest cluster; by default a hundredth of all points, at least 5.
        seed: Seed of k-means' starts and of the samples: 5,000 points for the silhouette, 10,000 for clustering.
        labels: Class index of each point, from 0.

    Raises:
        InputError: There is no such method; the points are not finite numbers of shape (n, d); `k` or
            `min_cluster_size` does not fit the points or the method; or there is not one class index per point.
    """
    if method not in METHODS:
        raise unknown_name("clustering method", method, METHODS, noun="methods")
    rows = checked_rows(points, noun="points")
    check_seed(seed)
    classes = None if labels is None else checked_labels(labels, points=len(rows))
    k = None if k is None else checked_integer("k", k)
    if min_cluster_size is not None:
        min_cluster_size = checked_integer("min_cluster_size", min_cluster_size)
    if method in FINDS_K:
        _check_size(k, min_cluster_size, method, len(rows))
    else:
        k = _checked_k(k, min_cluster_size, method, rows, classes)
    request = Request(k=k, seed=seed, min_cluster_size=min_cluster_size)
    assignment, fitted = METHODS[method](rows, request)
    return _measure(rows, assignment, classes, method=method, fitted=fitted, seed=seed)


def _checked_k(
    k: int | None,
    min_cluster_size: int | None,
    method: str,
    rows: Float64[np.ndarray, "n d"],
    classes: Assignment | None,
) -> int:
    if min_cluster_size is not None:
        raise InputError(f"min_cluster_size applies to hdbscan only, not to {method}; leave it out.")
    k = _counted_k(method, classes) if k is None else k
    distinct = len(np.unique(rows, axis=0))
    if distinct < 2:
        raise InputError(f"all {len(rows)} points are the same, expected at least two different points to cluster.")
    if not 2 <= k <= distinct:
        raise InputError(f"k is {k}, expected 2 to {distinct}, the number of distinct points among {len(rows)}.")
    return k


def _counted_k(method: str, classes: Assignment | None) -> int:
    if classes is None:
        raise InputError(f"k is missing, expected a number of clusters for {method}, or labels to count.")
    count = len(np.unique(classes))
    if count < 2:
        raise InputError("all labels are the same class, expected at least two classes; give k, or other points.")
    return count


def _check_size(k: int | None, min_cluster_size: int | None, method: str, points: int) -> None:
    if k is not None:
        raise InputError(
            f"k is {k}, but {method} finds the number of clusters itself; leave k out, or set min_cluster_size."
        )
    if points < 2:
        raise InputError(f"got {points} point, expected at least 2 for {method}.")
    if min_cluster_size is not None and not 2 <= min_cluster_size <= points:
        raise InputError(f"min_cluster_size is {min_cluster_size}, expected 2 to {points}, the number of points.")


def _measure(
    rows: Float64[np.ndarray, "n d"],
    assignment: Assignment,
    classes: Assignment | None,
    *,
    method: str,
    fitted: int,
    seed: int,
) -> Clustering:
    k, noise = int(assignment.max()) + 1, int((assignment < 0).sum())
    silhouette, sample = mean_silhouette(rows, assignment, most=SILHOUETTE_POINTS, seed=seed)
    clustering = Clustering(
        assignment=assignment,
        k=k,
        method=method,
        noise=noise,
        fitted=fitted,
        silhouette=silhouette,
        sample=sample,
    )
    if classes is None:
        return clustering
    accuracy, matching = match(assignment, classes, k=k)
    return replace(
        clustering,
        ari=float(adjusted_rand_score(classes, assignment)),
        nmi=float(normalized_mutual_info_score(classes, assignment)),
        accuracy=accuracy,
        matching=matching,
        class_silhouette=mean_silhouette(rows, classes, most=SILHOUETTE_POINTS, seed=seed)[0],
    )


ROWS_AT_ONCE = 500


def match(assignment: Assignment, labels: Assignment, *, k: int) -> tuple[float, Int64[np.ndarray, " k"]]:
    """Match each cluster to at most one class, and each class to at most one cluster, so that most points agree.

    Noise, at -1, agrees with no class.

    Kuhn 1955, https://doi.org/10.1002/nav.3800020109.

    Returns:
        The share of points that agree, and each cluster's class (-1 where it has none).
    """
    present, indices = np.unique(labels, return_inverse=True)
    counts = np.zeros((k, len(present)), dtype=np.int64)
    inside = assignment >= 0
    np.add.at(counts, (assignment[inside], indices[inside]), 1)
    clusters, classes = linear_sum_assignment(counts, maximize=True)
    matching = np.full(k, -1, dtype=np.int64)
    matching[clusters] = present[classes]
    return float(counts[clusters, classes].sum() / len(labels)), matching


def mean_silhouette(
    points: Float64[np.ndarray, "n d"], assignment: Assignment, *, most: int, seed: int
) -> tuple[float | None, int]:
    """Average the silhouettes of at most `most` points in clusters, drawn by seed if there are more.

    Returns:
        The mean, None for fewer than two clusters, and the number of points that it is taken over.
    """
    inside = np.flatnonzero(assignment >= 0)
    # Names without gaps: a class index may be missing from the points.
    present, members = np.unique(assignment[inside], return_inverse=True)
    if len(present) < 2:
        return None, 0
    chosen = np.arange(len(inside))
    if len(inside) > most:
        chosen = np.sort(np.random.default_rng(seed).choice(len(inside), most, replace=False))
    return float(silhouettes(points[inside], members, chosen).mean()), len(chosen)


def silhouettes(
    points: Float64[np.ndarray, "n d"], assignment: Assignment, chosen: Int64[np.ndarray, " m"]
) -> Float64[np.ndarray, " m"]:
    """Silhouettes of the chosen points among all points.

    s = (b - a) / max(a, b), with a the mean distance to the rest of the point's own cluster and b the least mean
    distance to another cluster; 0 for a point that is a cluster of its own.

    Rousseeuw 1987, https://doi.org/10.1016/0377-0427(87)90125-7.
    """
    sizes = np.bincount(assignment)
    member = np.eye(len(sizes))[assignment]
    measured, values = ruler(points), []
    for rows in np.array_split(chosen, len(chosen) // ROWS_AT_ONCE + 1):
        sums = np.sqrt(measured.squared(points[rows])) @ member
        own = (np.arange(len(rows)), assignment[rows])
        rest = sizes[assignment[rows]] - 1
        inside = sums[own] / np.maximum(rest, 1)
        means = sums / sizes
        means[own] = np.inf
        outside = means.min(axis=1)
        largest = np.maximum(inside, outside)
        values.append(np.where(rest > 0, (outside - inside) / np.where(largest > 0, largest, 1), 0))
    return np.concatenate(values)
