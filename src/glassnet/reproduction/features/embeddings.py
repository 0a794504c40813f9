"""The embeddings of Figures 12 to 14: of a layer's features, clustered into the classes, and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int64
from sklearn.neighbors import NearestNeighbors

from glassnet.embedding import Clustering, cluster, embed, quality
from glassnet.reproduction.part import Stage

NEIGHBOURS = 10
PERPLEXITY = 30.0
COMPONENTS = 50
PACKAGES = ("scikit-learn", "numpy", "scipy", "numba", "faiss-cpu")
"""What makes the pictures, beside glassnet itself."""


@dataclass(frozen=True)
class PictureSpec:
    """A picture of the report's.

    Attributes:
        name: Of its stage.
        figure: Of the report.
        title: In words.
        method: That places the points.
        dims: Of the points; None takes the features as they are.
        reduced: Whether the method sees the features' principal components instead of the features.
    """

    name: str
    figure: str
    title: str
    method: Literal["pca", "tsne"] | None
    dims: int | None
    reduced: bool = False


PICTURES = (
    PictureSpec("features", "–", "the features themselves", None, None),
    PictureSpec("pca2", "12", "PCA, two components", "pca", 2),
    PictureSpec("pca3", "13", "PCA, three components", "pca", 3),
    PictureSpec("tsne", "14, left", "t-SNE of the features", "tsne", 2),
    PictureSpec("tsne-pca", "14, right", "t-SNE of their principal components", "tsne", 2, reduced=True),
)


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture with its clusters and numbers.

    Attributes:
        spec: What it is.
        points: A point an image.
        assignment: Cluster of each image.
        matching: Class of each cluster.
        matched: Whether each image is in the cluster of its class.
        near_own: Whether most of each image's nearest neighbours are of its class.
        numbers: By the names that figures know.
    """

    spec: PictureSpec
    points: Float[np.ndarray, "n dims"]
    assignment: Int64[np.ndarray, " n"]
    matching: Int64[np.ndarray, " k"]
    matched: Bool[np.ndarray, " n"]
    near_own: Bool[np.ndarray, " n"]
    numbers: Mapping[str, Any]

    @classmethod
    def of(cls, spec: PictureSpec, stage: Stage) -> Picture:
        """Take a picture from its stage."""
        return cls(spec=spec, numbers=stage.numbers, **stage.arrays)


def yardsticks() -> dict[str, float]:
    """Return what a picture depends on beside its features, as part of what decides whether it is still the same."""
    return {"neighbours": NEIGHBOURS, "perplexity": PERPLEXITY, "components": COMPONENTS}


def component_count(columns: int, images: int) -> int:
    """Number m of principal components that t-SNE sees: 50, or half the features where there are fewer than 100."""
    return max(1, min(COMPONENTS, columns // 2, images))


def make(
    spec: PictureSpec,
    features: Float[np.ndarray, "n d"],
    labels: Int64[np.ndarray, " n"],
    *,
    classes: int,
    seed: int,
    device: str = "cpu",
) -> Stage:
    """Embed features, cluster the points into as many clusters as classes by k-means, and measure both.

    The neighbours of an image are its ten nearest others, among all images, unlike those of trustworthiness and the
    other measures of `quality`, which are taken on a sample above 5,000 images.

    Raises:
        InputError: The features are too few or no finite numbers.
    """
    points, numbers = _points(spec, features, seed, device)
    clusters = cluster(points, k=classes, seed=seed, labels=labels)
    assert clusters.matching is not None  # there are labels
    own = near_own_class(points, labels, neighbours=min(NEIGHBOURS, len(labels) - 1))
    arrays = {
        "points": points,
        "assignment": clusters.assignment,
        "matching": clusters.matching,
        "matched": clusters.matching[clusters.assignment] == labels,
        "near_own": own,
    }
    return Stage(arrays, numbers | _measure(features, points, labels, clusters, own, seed))


def _points(spec: PictureSpec, features: np.ndarray, seed: int, device: str) -> tuple[np.ndarray, dict[str, Any]]:
    if spec.method is None or spec.dims is None:
        return np.asarray(features, dtype=np.float32), {"dims": features.shape[1]}
    components = component_count(features.shape[1], len(features)) if spec.reduced else None
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    embedding = embed(
        features,
        method=spec.method,
        dims=spec.dims,
        seed=seed,
        perplexity=perplexity,
        pca_components=components,
        device=device,
    )
    variance = embedding.explained_variance
    numbers = {
        "dims": embedding.dims,
        "settings": dict(embedding.settings),
        "explained_variance": None if variance is None else float(variance.sum()),
        "kl_divergence": embedding.kl_divergence,
    }
    if components is not None:
        explained = embed(features, method="pca", dims=components, seed=seed).explained_variance
        assert explained is not None  # it is PCA
        numbers |= {"components": components, "components_variance": float(explained.sum())}
    return embedding.points, numbers


def _measure(
    features: np.ndarray, points: np.ndarray, labels: np.ndarray, clusters: Clustering, own: np.ndarray, seed: int
) -> dict[str, Any]:
    measures = quality(features, points, neighbours=min(NEIGHBOURS, (len(labels) - 1) // 2), seed=seed)
    of_clusters = ("ari", "nmi", "accuracy", "silhouette", "class_silhouette")
    of_neighbours = (
        *("trustworthiness", "continuity", "neighbours_kept", "distance_correlation"),
        *("neighbours", "sample"),
    )
    return {
        **{name: getattr(clusters, name) for name in of_clusters},
        **{name: getattr(measures, name) for name in of_neighbours},
        "knn_accuracy": float(own.mean()),
    }


def near_own_class(
    points: Float[np.ndarray, "n d"], labels: Int64[np.ndarray, " n"], *, neighbours: int
) -> Bool[np.ndarray, " n"]:
    """Tell for each point whether its nearest others vote for its class; a tied vote goes to the smallest label."""
    nearest = NearestNeighbors(n_neighbors=neighbours).fit(points).kneighbors(return_distance=False)
    votes = labels[nearest]
    counts = np.stack([(votes == label).sum(axis=1) for label in range(int(labels.max()) + 1)], axis=1)
    return counts.argmax(axis=1) == labels
