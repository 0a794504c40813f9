"""k-means: clusters of least variance."""

import numpy as np
from jaxtyping import Float64
from sklearn.cluster import KMeans

from glassnet.embedding.cluster.result import Assignment, Request

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
