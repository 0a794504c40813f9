"""Clusters of points, and how well they fit the classes. A method is one file and one line in METHODS."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float64, Integer, Real
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from glassnet.embedding.checks import check_seed, checked_integer, checked_labels, checked_rows
from glassnet.embedding.cluster.agglomerative import agglomerative
from glassnet.embedding.cluster.hdbscan import hdbscan
from glassnet.embedding.cluster.kmeans import kmeans
from glassnet.embedding.cluster.measures import match, mean_silhouette
from glassnet.embedding.cluster.result import Assignment, Clustering, Request
from glassnet.errors import InputError, unknown_name

__all__ = ["METHODS", "Clustering", "cluster"]

Method = Callable[[Float64[np.ndarray, "n d"], Request], tuple[Assignment, int]]

METHODS: dict[str, Method] = {"kmeans": kmeans, "agglomerative": agglomerative, "hdbscan": hdbscan}
FINDS_K = ("hdbscan",)
SILHOUETTE_POINTS = 5000


def cluster(
    points: Real[np.ndarray, "n d"],
    *,
    method: str = "kmeans",
    k: int | None = None,
    min_cluster_size: int | None = None,
    seed: int = 0,
    labels: Integer[np.ndarray, " n"] | None = None,
) -> Clustering:
    """Find clusters of points and measure them, against classes too if these are known.

    Hubert & Arabie 1985, https://doi.org/10.1007/BF01908075 (adjusted Rand index); Rousseeuw 1987,
    https://doi.org/10.1016/0377-0427(87)90125-7 (silhouette).

    Args:
        points: The points, often an embedding's.
        method: "kmeans", "agglomerative" (Ward) or "hdbscan".
        k: Number of clusters, as many as classes if it is left out; HDBSCAN finds it, and takes none.
        min_cluster_size: Points that HDBSCAN's smallest cluster has; by default a hundredth of all, at least 5.
        seed: Seed of k-means' starts and of the samples: 5,000 points of the silhouette, 10,000 to be clustered.
        labels: Class index of each point, from 0.

    Raises:
        InputError: No such method, the points are no finite (n, d), `k` or `min_cluster_size` does not fit them or the
            method, or the labels are not one class index a point.
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
    return _measured(rows, assignment, classes, method=method, fitted=fitted, seed=seed)


def _checked_k(
    k: int | None,
    min_cluster_size: int | None,
    method: str,
    rows: Float64[np.ndarray, "n d"],
    classes: Assignment | None,
) -> int:
    if min_cluster_size is not None:
        raise InputError(f"min_cluster_size is of no use to {method}, expected it for hdbscan only; leave it out.")
    k = _counted_k(method, classes) if k is None else k
    distinct = len(np.unique(rows, axis=0))
    if distinct < 2:
        raise InputError(f"all of the {len(rows)} points are the same, expected at least two that differ to cluster.")
    if not 2 <= k <= distinct:
        raise InputError(f"k is {k}, expected 2 to {distinct}: that many of the {len(rows)} points differ.")
    return k


def _counted_k(method: str, classes: Assignment | None) -> int:
    if classes is None:
        raise InputError(f"k is missing, expected a number of clusters for {method}, or labels to count.")
    found = len(np.unique(classes))
    if found < 2:
        raise InputError("the labels are all of one class, expected at least two to count; give k, or other points.")
    return found


def _check_size(k: int | None, min_cluster_size: int | None, method: str, points: int) -> None:
    if k is not None:
        raise InputError(f"k is {k}, expected none for {method}, which finds it; set min_cluster_size instead.")
    if points < 2:
        raise InputError(f"got {points} point, expected at least 2 for {method}.")
    if min_cluster_size is not None and not 2 <= min_cluster_size <= points:
        raise InputError(f"min_cluster_size is {min_cluster_size}, expected 2 to {points}, the number of points.")


def _measured(
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
    found = Clustering(
        assignment=assignment,
        k=k,
        method=method,
        noise=noise,
        fitted=fitted,
        silhouette=silhouette,
        sample=sample,
    )
    if classes is None:
        return found
    accuracy, matching = match(assignment, classes, k=k)
    return replace(
        found,
        ari=float(adjusted_rand_score(classes, assignment)),
        nmi=float(normalized_mutual_info_score(classes, assignment)),
        accuracy=accuracy,
        matching=matching,
        class_silhouette=mean_silhouette(rows, classes, most=SILHOUETTE_POINTS, seed=seed)[0],
    )
