"""HDBSCAN: clusters are what stays together as the density that is asked for rises; the rest is noise."""

import numpy as np
from jaxtyping import Float64
from sklearn.cluster import HDBSCAN

from glassnet.embedding.cluster.result import Assignment, Request
from glassnet.embedding.cluster.sample import from_sample

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
