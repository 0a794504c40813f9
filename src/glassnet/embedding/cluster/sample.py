"""Clusters found from some of the points, for methods whose cost grows with the square of their number."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64
from sklearn.neighbors import NearestNeighbors

from glassnet.embedding.cluster.result import Assignment


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
    found = fit(points[chosen]).astype(np.int64)
    nearest = NearestNeighbors(n_neighbors=1).fit(points[chosen]).kneighbors(points, return_distance=False)[:, 0]
    nearest[chosen] = np.arange(most)
    return found[nearest], most
