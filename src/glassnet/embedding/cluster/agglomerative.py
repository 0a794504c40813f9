"""Agglomerative clustering: merge what grows the variance least."""

import numpy as np
from jaxtyping import Float64
from sklearn.cluster import AgglomerativeClustering

from glassnet.embedding.cluster.result import Assignment, Request
from glassnet.embedding.cluster.sample import from_sample

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
