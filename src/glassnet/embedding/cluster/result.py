"""What every clustering method takes and gives."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Clustering:
    """Clusters of points; what compares them with labels is None where none were given."""

    assignment: Assignment
    """Cluster of each point, 0 to k - 1; -1 for noise, which only HDBSCAN finds."""
    k: int
    """Number of clusters, noise not among them."""
    method: str = "kmeans"
    """Name of the method, as in METHODS."""
    noise: int = 0
    """Points that belong to no cluster."""
    fitted: int
    """Points that the clusters were found from; the others went to the cluster of the nearest of these."""
    silhouette: float | None
    """How much nearer points are to their own cluster than to the next, -1 to 1; None for fewer than two clusters.

    Taken of and among the points in clusters: noise, of which `noise_share` tells how much there is, is left out.
    """
    sample: int
    """Points that the silhouettes are averaged over; all up to 5,000, else 5,000 drawn by seed."""
    ari: float | None = None
    """Adjusted Rand index: 1 for the classes themselves, 0 on average for a random partition; noise is one cluster."""
    nmi: float | None = None
    """Normalised mutual information (arithmetic mean of the entropies), 0 to 1; noise is one cluster."""
    accuracy: float | None = None
    """Share of all points whose cluster is matched to their class, under the best matching of one class to one cluster.

    Noise is matched to none, and so counts as wrong.
    """
    matching: Int64[np.ndarray, " k"] | None = None
    """Class matched to each cluster; -1 for a cluster that is left over."""
    class_silhouette: float | None = None
    """Silhouette of the classes themselves, whatever the clusters; None without labels or for a single class."""

    @property
    def noise_share(self) -> float:
        """Share of the points that belong to no cluster."""
        return self.noise / len(self.assignment)
