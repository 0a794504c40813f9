"""k-means clusters of points, and how well they fit the classes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Integer, Real
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, pairwise_distances

from glassnet.embedding.checks import check_seed, checked_labels, checked_rows
from glassnet.errors import InputError

Assignment = Int64[np.ndarray, " n"]
SILHOUETTE_POINTS = 5000
ROWS_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True, eq=False)
class Clustering:
    """Clusters of points; what compares them with labels is None where none were given."""

    assignment: Assignment
    """Cluster of each point, 0 to k - 1."""
    k: int
    """Number of clusters."""
    silhouette: float
    """How much nearer points are to their own cluster than to the next, -1 to 1."""
    sample: int
    """Points that the silhouette is averaged over; all of them up to 5,000, else 5,000 drawn by seed."""
    ari: float | None = None
    """Adjusted Rand index: 1 for the classes themselves, 0 on average for a random partition."""
    nmi: float | None = None
    """Normalised mutual information (arithmetic mean of the entropies), 0 to 1."""
    accuracy: float | None = None
    """Share of points whose cluster is matched to their class, under the best matching of one class to one cluster."""
    matching: Int64[np.ndarray, " k"] | None = None
    """Class matched to each cluster; -1 for a cluster that is left over."""


def cluster(
    points: Real[np.ndarray, "n d"],
    *,
    k: int,
    seed: int = 0,
    labels: Integer[np.ndarray, " n"] | None = None,
) -> Clustering:
    """Find k clusters of least within-cluster variance (the best of ten k-means++ starts) and measure them.

    Lloyd 1982, https://doi.org/10.1109/TIT.1982.1056489; Hubert & Arabie 1985, https://doi.org/10.1007/BF01908075
    (adjusted Rand index); Rousseeuw 1987, https://doi.org/10.1016/0377-0427(87)90125-7 (silhouette).

    Args:
        points: The points, often an embedding's.
        k: Number of clusters; it may differ from the number of classes.
        seed: Seed of the starts and, above 5,000 points, of the points whose silhouette is taken.
        labels: Class index of each point, from 0.

    Raises:
        InputError: The points are no finite (n, d), `k` is not in 2 … the number of different points, or the labels
            are not one class index a point.
    """
    rows = checked_rows(points, noun="points")
    check_seed(seed)
    distinct = len(np.unique(rows, axis=0))
    if not 2 <= k <= distinct:
        raise InputError(f"k is {k}, expected 2 to {distinct}: that many of the {len(rows)} points differ.")
    classes = None if labels is None else checked_labels(labels, points=len(rows))
    assignment = KMeans(k, n_init=10, random_state=seed).fit_predict(rows).astype(np.int64)
    chosen = np.arange(len(rows))
    if len(rows) > SILHOUETTE_POINTS:
        chosen = np.sort(np.random.default_rng(seed).choice(len(rows), SILHOUETTE_POINTS, replace=False))
    silhouette = float(silhouettes(rows, assignment, chosen).mean())
    if classes is None:
        return Clustering(assignment=assignment, k=k, silhouette=silhouette, sample=len(chosen))
    accuracy, matching = match(assignment, classes, k=k)
    return Clustering(
        assignment=assignment,
        k=k,
        silhouette=silhouette,
        sample=len(chosen),
        ari=float(adjusted_rand_score(classes, assignment)),
        nmi=float(normalized_mutual_info_score(classes, assignment)),
        accuracy=accuracy,
        matching=matching,
    )


def match(assignment: Assignment, labels: Assignment, *, k: int) -> tuple[float, Int64[np.ndarray, " k"]]:
    """Match each cluster to at most one class, and each class to at most one cluster, so that most points agree.

    Kuhn 1955, https://doi.org/10.1002/nav.3800020109.

    Returns:
        The share of points that agree, and each cluster's class (-1 where it has none).
    """
    present, indices = np.unique(labels, return_inverse=True)
    counts = np.zeros((k, len(present)), dtype=np.int64)
    np.add.at(counts, (assignment, indices), 1)
    clusters, classes = linear_sum_assignment(counts, maximize=True)
    matching = np.full(k, -1, dtype=np.int64)
    matching[clusters] = present[classes]
    return float(counts[clusters, classes].sum() / len(labels)), matching


def silhouettes(
    points: Float64[np.ndarray, "n d"], assignment: Assignment, chosen: Int64[np.ndarray, " m"]
) -> Float64[np.ndarray, " m"]:
    """Silhouettes of the chosen points among all points.

    s = (b - a) / max(a, b), with a the mean distance to the rest of the point's own cluster and b the least mean
    distance to another cluster; 0 for a point that is a cluster of its own.
    """
    sizes = np.bincount(assignment)
    member = np.eye(len(sizes))[assignment]
    values = []
    for rows in np.array_split(chosen, len(chosen) // ROWS_AT_ONCE + 1):
        sums = pairwise_distances(points[rows], points) @ member
        own = (np.arange(len(rows)), assignment[rows])
        rest = sizes[assignment[rows]] - 1
        inside = sums[own] / np.maximum(rest, 1)
        means = sums / sizes
        means[own] = np.inf
        outside = means.min(axis=1)
        largest = np.maximum(inside, outside)
        values.append(np.where(rest > 0, (outside - inside) / np.where(largest > 0, largest, 1), 0))
    return np.concatenate(values)
