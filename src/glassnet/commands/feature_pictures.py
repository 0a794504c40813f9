"""The pictures of `glassnet features`: every layer embedded every way, clustered, measured, drawn and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from glassnet import figures
from glassnet.console import progress
from glassnet.devices import choose_device
from glassnet.embedding import Clustering, Embedding, cluster, embed
from glassnet.embedding.quality import FeatureNeighbours, feature_neighbours, quality_of
from glassnet.experiment import Run
from glassnet.settings import FeaturesSettings

Method = Literal["pca", "tsne", "umap"]
Clusterer = Literal["kmeans", "agglomerative", "hdbscan"]
TITLES: dict[Method, str] = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
CLUSTERINGS: dict[Clusterer, str] = {"kmeans": "k-means", "agglomerative": "agglomerative", "hdbscan": "HDBSCAN"}
SCREE_COMPONENTS = 50
PERPLEXITY, NEIGHBOURS = 30.0, 10
_CLUSTERED = ("ari", "nmi", "accuracy", "silhouette", "class_silhouette")
_DRAWN = (
    *("explained_variance", "kl_divergence", "knn_accuracy", "trustworthiness", "continuity", "neighbours_kept"),
    *("distance_correlation",),
    *("ari", "nmi", "accuracy", "silhouette", "noise_share"),
)
_KEPT = ("trustworthiness", "continuity", "neighbours_kept", "distance_correlation", "knn_accuracy")


@dataclass(frozen=True)
class Picture:
    """One embedding of one layer, its clusters, and the numbers that go with it."""

    method: Method
    embedding: Embedding
    clustering: Clusterer
    clusters: Clustering
    numbers: Mapping[str, float | None]

    @property
    def name(self) -> str:
        """As in pca2."""
        return f"{self.method}{self.embedding.dims}"


@dataclass(frozen=True)
class Embedded:
    """A layer's features and all pictures of them."""

    layer: str
    features: np.ndarray
    pictures: tuple[Picture, ...]
    variance: Float64[np.ndarray, " d"] | None
    """Share of the variance along each of the first principal components; None where PCA was not asked for."""


def embed_all(
    extracted: Mapping[str, np.ndarray], targets: np.ndarray, settings: FeaturesSettings, classes: int
) -> list[Embedded]:
    """Embed, cluster and measure every layer every way."""
    wanted = [(method, dims) for method in dict.fromkeys(settings.methods) for dims in _dimensions(method, settings)]
    found = []
    with progress("embedding features", len(extracted) * len(wanted)) as advance:
        for layer, values in extracted.items():
            neighbours = max(1, min(NEIGHBOURS, (len(values) - 1) // 2 - 1))  # fewer where there are hardly any images
            known = feature_neighbours(values, neighbours=neighbours, seed=settings.seed)
            pictures = []
            for method, dims in wanted:
                if dims <= min(values.shape):  # a layer of two units has no third component
                    pictures.append(_picture(values, known, targets, settings, classes, method, dims))
                advance(note=f"{layer}: {TITLES[method]} {dims}-D")
            found.append(Embedded(layer, values, tuple(pictures), _variance(values, settings)))
    return found


def _dimensions(method: Method, settings: FeaturesSettings) -> tuple[int, ...]:
    return tuple(dict.fromkeys(settings.dims or ((2, 3) if method == "pca" else (2,))))


def _variance(values: np.ndarray, settings: FeaturesSettings) -> np.ndarray | None:
    if "pca" not in settings.methods:
        return None
    count = min(*values.shape, SCREE_COMPONENTS)
    return embed(values, method="pca", dims=count, seed=settings.seed).explained_variance


def _picture(
    values: np.ndarray,
    known: FeatureNeighbours,
    targets: np.ndarray,
    settings: FeaturesSettings,
    classes: int,
    method: Method,
    dims: int,
) -> Picture:
    given = settings.perplexity or (min(PERPLEXITY, (len(values) - 1) / 3),)
    embedding = embed(
        values,
        method=method,
        dims=dims,
        seed=settings.seed,
        engine=settings.engine,
        device=choose_device(settings.device).type if settings.engine == "glassnet" else "cpu",
        perplexity=given[0] if len(given) == 1 else given,
    )
    clusters = cluster(
        embedding.points,
        method=settings.clustering,
        k=None if settings.clustering == "hdbscan" else settings.clusters or classes,
        seed=settings.seed,
        labels=targets,
    )
    kept = quality_of(known, embedding.points, labels=targets)
    variance = embedding.explained_variance
    numbers = {
        "explained_variance": None if variance is None else float(variance.sum()),
        "kl_divergence": embedding.kl_divergence,
        **{key: getattr(clusters, key) for key in _CLUSTERED},
        "noise_share": clusters.noise_share if settings.clustering == "hdbscan" else None,
        **{key: getattr(kept, key) for key in _KEPT},
        "neighbours": kept.neighbours,
        "sample": kept.sample,
        "cluster_sample": clusters.sample,
        "clusters_fitted": clusters.fitted,
    }
    return Picture(method, embedding, settings.clustering, clusters, numbers)


def keep_picture(run: Run, layer: str, picture: Picture, targets: np.ndarray) -> dict[str, Any]:
    """Write one picture's points and figure, and return what the report says of it."""
    points, clusters = picture.embedding.points, picture.clusters
    title = f"{TITLES[picture.method]} of {layer}, {picture.embedding.dims} dimensions"
    found = CLUSTERINGS[picture.clustering]
    drawn = f" Clusters were found from {clusters.fitted:,} of them." if clusters.fitted < len(points) else ""
    run.save_arrays(f"embeddings/{layer}-{picture.name}.npz", {"points": points, "assignment": clusters.assignment})
    run.save_figure(
        f"embedding-{layer}-{picture.name}",
        figures.embedding_figure(
            points,
            targets,
            clusters.assignment,
            run.classes,
            {key: picture.numbers[key] for key in _DRAWN},
            title,
            method=picture.method,
            matching=clusters.matching,
            centres=_centres(points, clusters),
            clustering=picture.clustering,
        ),
        title=title,
        alt=f"{title}: {len(points):,} images as points, left coloured by class, right by {found} cluster.",
        caption=f"{len(points):,} images. Left by true class, right by {found} cluster; "
        f"a cluster has the colour of the class it is matched to.{drawn}",
    )
    return {
        "name": picture.name,
        "figure": f"embedding-{layer}-{picture.name}",
        "method": picture.method,
        "dims": picture.embedding.dims,
        "clustering": picture.clustering,
        "clusters": clusters.k,
        "settings": dict(picture.embedding.settings),
        **picture.numbers,
    }


def _centres(points: np.ndarray, clusters: Clustering) -> np.ndarray | None:
    if clusters.method != "kmeans":
        return None  # its borders do not run halfway between means
    return np.stack([points[clusters.assignment == c].mean(axis=0) for c in range(clusters.k)])
