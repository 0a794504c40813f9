"""How well clusters fit the classes, and how far apart they lie."""

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import pairwise_distances

from glassnet.embedding.clusters.methods import Assignment

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
