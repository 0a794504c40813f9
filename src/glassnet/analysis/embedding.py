"""A picture of one layer's features: points in two or three dimensions, clusters, and how far to trust it."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float32, Int64

from glassnet import figures
from glassnet.analysis.base import Context, Kind, Precision
from glassnet.analysis.features import FeaturesRequest, check_images_have_classes, drawn, features_of, unusual
from glassnet.display import Shown
from glassnet.embedding import Clustering, Embedding, Quality, cluster, embed
from glassnet.embedding.quality import feature_neighbours, quality_of
from glassnet.embedding.result import Rows
from glassnet.errors import InputError
from glassnet.measures import CLUSTERING_TITLES, EMBEDDING_TITLES
from glassnet.run.store import FigureWords, Plot
from glassnet.subject import Part, Subject

Method = Literal["pca", "tsne", "umap"]
Clusterer = Literal["kmeans", "agglomerative", "hdbscan"]
COMPONENTS = 50
PERPLEXITY, NEIGHBOURS, UMAP_NEIGHBOURS = 30.0, 10, 15
LEAST = 5
"""Images of which every method makes a picture."""
QUALITY_MEASURES = (
    "explained_variance", "ari", "nmi", "cluster_accuracy", "silhouette", "trustworthiness", "continuity",
    "neighbours_kept", "distance_correlation", "kl_divergence", "knn_accuracy",
)  # fmt: skip
"""Measures in the order of a table."""


@dataclass(frozen=True)
class EmbeddingRequest:
    """What is embedded.

    Attributes:
        layer: Name of the layer.
        method: How.
        dims: Dimensions of the points.
        images: So many images at most, drawn by seed.
        split: Part that they are drawn from.
        seed: Of the draw, of the embedding and of the clusters.
        engine: What computes t-SNE.
        perplexity: t-SNE's effective numbers of neighbours; None for 30, less for few images.
        clustering: How clusters are found among the points.
        clusters: Their number; None for the number of classes.
        precision: Of the forward pass.
    """

    layer: str
    method: Method = "tsne"
    dims: int = 2
    images: int = 5000
    split: Part = "test"
    seed: int = 0
    engine: Literal["glassnet", "opentsne"] = "glassnet"
    perplexity: tuple[float, ...] | None = None
    clustering: Clusterer = "kmeans"
    clusters: int | None = None
    precision: Precision = "fp32"


@dataclass(frozen=True, eq=False)
class EmbeddedLayer(Shown):
    """A picture of a layer's features.

    Attributes:
        layer: Its name.
        method: How it was made.
        points: A point an image.
        labels: Class of each image.
        numbers: Stable number of each image in its part.
        files: Its file; None where images are not files.
        clustering: How the clusters were found.
        assignment: Cluster of each point; -1 for none.
        matching: Class that each cluster is matched to.
        clusters: Number of clusters.
        fitted: Points that they were found from.
        features: Numbers in a row of the features.
        method_settings: What the method was told, and what it chose itself.
        measures: By the keys of MEASURES; None where one means nothing.
        neighbours: Size of a neighbourhood in these measures.
        sample: Points that they were measured on.
        noise_share: Share of the points in no cluster; of HDBSCAN only.
        components: Share of the variance along each of the first principal components; of PCA only.
    """

    layer: str
    method: str
    points: Float32[np.ndarray, "n dims"]
    labels: Int64[np.ndarray, " n"]
    numbers: Int64[np.ndarray, " n"]
    files: tuple[str, ...] | None
    clustering: str
    assignment: Int64[np.ndarray, " n"]
    matching: Int64[np.ndarray, " k"] | None
    clusters: int
    fitted: int
    features: int
    method_settings: Mapping[str, Any]
    measures: Mapping[str, float | None]
    neighbours: int
    sample: int
    noise_share: float | None
    components: Float[np.ndarray, " d"] | None

    @property
    def title(self) -> str:
        """As in "t-SNE of fc1, 2 dimensions"."""
        return f"{EMBEDDING_TITLES[self.method]} of {self.layer}, {self.points.shape[1]} dimensions"

    def __repr__(self) -> str:
        """Say in one line what it is."""
        return f"EmbeddedLayer({self.title}, {len(self.points):,} images)"


def compute(subject: Subject, request: EmbeddingRequest, context: Context) -> EmbeddedLayer:
    """Embed a layer's features, cluster the points, and measure how far they keep what they show.

    Raises:
        InputError: The layer, perplexity or number of clusters does not fit the images, or umap-learn is missing.
    """
    check(subject, request, context)
    source = features_of(subject, _of_features(request), context)
    rows, labels = source.features, source.labels if subject.labelled else None
    _check_dims(request, rows.shape)
    neighbours = max(1, min(NEIGHBOURS, (len(rows) - 1) // 2 - 1))  # fewer where there are hardly any images
    known = context.once(
        ("neighbours", id(subject), _of_features(request)),
        lambda: feature_neighbours(rows, neighbours=neighbours, seed=request.seed),
    )
    embedding = _placed(rows, request, context)
    clusters = cluster(
        embedding.points,
        method=request.clustering,
        k=None if request.clustering == "hdbscan" else _number(subject, request, len(rows)),
        seed=request.seed,
        labels=labels,
    )
    quality = quality_of(known, embedding.points, labels=labels)
    return EmbeddedLayer(
        layer=request.layer,
        method=request.method,
        points=embedding.points,
        labels=source.labels,
        numbers=source.numbers,
        files=source.files,
        clustering=request.clustering,
        assignment=clusters.assignment,
        matching=clusters.matching,
        clusters=clusters.k,
        fitted=clusters.fitted,
        features=rows.shape[1],
        method_settings=dict(embedding.settings),
        measures=_measures(embedding, clusters, quality),
        neighbours=quality.neighbours,
        sample=quality.sample,
        noise_share=clusters.noise_share if request.clustering == "hdbscan" else None,
        components=_components(request, rows) if request.method == "pca" else None,
    )


def _placed(rows: Rows, request: EmbeddingRequest, context: Context) -> Embedding:
    """Place the features' points by the method that is asked for."""
    given = request.perplexity or (min(PERPLEXITY, (len(rows) - 1) / 3),)
    return embed(
        rows,
        method=request.method,
        dims=request.dims,
        seed=request.seed,
        engine=request.engine,
        device=context.device.type if request.engine == "glassnet" else "cpu",
        perplexity=given[0] if len(given) == 1 else given,
        neighbours=min(UMAP_NEIGHBOURS, len(rows) - 1),
    )


def _measures(embedding: Embedding, clusters: Clustering, quality: Quality) -> dict[str, float | None]:
    """Return what is measured of a picture, by the keys of MEASURES."""
    variance = embedding.explained_variance
    return {
        "explained_variance": None if variance is None else float(variance.sum()),
        "kl_divergence": embedding.kl_divergence,
        "ari": clusters.ari,
        "nmi": clusters.nmi,
        "cluster_accuracy": clusters.accuracy,
        "silhouette": clusters.silhouette,
        **{key: getattr(quality, key) for key in ("trustworthiness", "continuity", "neighbours_kept")},
        "distance_correlation": quality.distance_correlation,
        "knn_accuracy": quality.knn_accuracy,
    }


def _number(subject: Subject, request: EmbeddingRequest, images: int) -> int:
    """Return how many clusters are looked for: as many as classes, where there are images enough."""
    return request.clusters or min(max(2, len(subject.classes)), images)


def _of_features(request: EmbeddingRequest) -> FeaturesRequest:
    return FeaturesRequest(request.layer, request.images, request.split, request.seed, request.precision)


def _components(request: EmbeddingRequest, rows: np.ndarray) -> np.ndarray | None:
    count = min(*rows.shape, COMPONENTS)
    return embed(rows, method="pca", dims=count, seed=request.seed).explained_variance


def check(subject: Subject, request: EmbeddingRequest, context: Context) -> None:
    """Refuse, before any work is done, what the work would refuse.

    Raises:
        InputError: As `compute` says.
    """
    check_images_have_classes(subject)
    if request.method == "umap" and importlib.util.find_spec("umap") is None:
        raise InputError("method 'umap' needs umap-learn; install it with `pip install 'glassnet[umap]'`.")
    images = len(drawn(subject, request, context))
    largest = (images - 1) / 3
    if images < LEAST:
        too_few = "1 image is" if images == 1 else f"{images} images are"
        raise InputError(f"{too_few} too few for a picture of {request.layer}, expected at least {LEAST}.")
    for perplexity in request.perplexity or ():
        if request.method == "tsne" and perplexity > largest:
            raise InputError(
                f"--perplexity is {perplexity:g}, expected at most {largest:g} for {images} images; lower it or use "
                "more images."
            )
    if request.clusters is not None and not 2 <= request.clusters <= images:
        raise InputError(f"--clusters is {request.clusters}, expected 2 to {images}, the number of images.")


def _check_dims(request: EmbeddingRequest, shape: tuple[int, ...]) -> None:
    if request.dims > min(shape):
        raise InputError(
            f"{request.layer} gives {shape[1]} numbers for {shape[0]} images; they have no {request.dims} dimensions."
        )


def plots(subject: Subject, request: EmbeddingRequest, result: EmbeddedLayer, _context: Context) -> Iterable[Plot]:
    """Draw the points by class and by cluster, and the variance by component."""
    found = CLUSTERING_TITLES[result.clustering]
    fitted = f" Clusters were found from {result.fitted:,} of them." if result.fitted < len(result.points) else ""
    figure = figures.embedding_figure(
        result.points,
        result.labels,
        result.assignment,
        label_names(subject, result),
        _numbers(result),
        result.title,
        method=request.method,
        matching=result.matching,
        centres=_centres(result),
        clustering=request.clustering,
    )
    words = FigureWords(
        name="points",
        title=result.title,
        alt=f"{result.title}: {len(result.points):,} images as points, left by class, right by {found} cluster.",
        caption=f"{len(result.points):,} images. A cluster has the colour of the class it is matched to.{fitted}",
        lead=f"Left, each image has the colour of its true class; right, that of its {found} cluster.",
    )
    yield Plot(figure, words)
    if result.components is not None and result.points.shape[1] == 2:
        yield _scree(result)


def _numbers(result: EmbeddedLayer) -> dict[str, float | None]:
    """Return what stands beside the points, by the names that the figure knows."""
    numbers = {**result.measures, "accuracy": result.measures["cluster_accuracy"], "noise_share": result.noise_share}
    del numbers["cluster_accuracy"]
    return numbers


def label_names(subject: Subject, result: EmbeddedLayer) -> tuple[str, ...]:
    """Return the classes' names, and one more for images without a label where there are such."""
    none = int(result.labels.max(initial=0)) >= len(subject.classes)
    return (*subject.classes, "no label") if none else subject.classes


def _scree(result: EmbeddedLayer) -> Plot:
    title = f"Variance of {result.layer} by component"
    assert result.components is not None
    words = FigureWords(
        name="scree",
        title=title,
        alt=f"{title}: a bar for each of the first components, and their running sum.",
        caption=f"Share of the variance of {len(result.points):,} images’ {result.features:,} features that each "
        "principal component explains, and that all up to it explain together.",
        lead="The faster the line rises, the fewer directions the features spread in.",
    )
    return Plot(figures.scree(result.components, title=title), words)


def _centres(result: EmbeddedLayer) -> np.ndarray | None:
    if result.clustering != "kmeans":
        return None  # its borders do not run halfway between means
    return np.stack([result.points[result.assignment == c].mean(axis=0) for c in range(result.clusters)])


def words(_subject: Subject, request: EmbeddingRequest) -> Iterable[str]:
    """Name an entry by method, dimensions and layer, and by what is not usual."""
    yield f"{request.method}{request.dims}"
    yield request.layer
    yield from unusual(request)
    if request.engine != "glassnet":
        yield request.engine
    if request.perplexity:
        yield "p" + "+".join(f"{one:g}" for one in request.perplexity)
    if request.clustering != "kmeans":
        yield request.clustering
    if request.clusters:
        yield f"k{request.clusters}"


def _resolve(_subject: Subject, request: EmbeddingRequest) -> EmbeddingRequest:
    """Put perplexities, whose neighbourhoods are averaged, in order."""
    return dataclasses.replace(
        request, perplexity=None if not request.perplexity else tuple(sorted(request.perplexity))
    )


def _about(_subject: Subject, request: EmbeddingRequest, result: EmbeddedLayer, _context: Context) -> dict[str, Any]:
    """Say what the settings that are left open came to; they stay open, so that the same question finds the entry."""
    perplexity = {"perplexity": result.method_settings["perplexity"]} if request.method == "tsne" else {}
    return {"used": {"images": len(result.points), "clusters": result.clusters, **perplexity}}


EMBEDDING = Kind(
    name="embedding",
    request=EmbeddingRequest,
    result=lambda _subject: EmbeddedLayer,
    compute=compute,
    words=words,
    plots=plots,
    made_of=lambda subject, request, _context: subject.made_of(request.split),
    about=_about,
    resolve=_resolve,
    packages=("torch", "numpy", "scikit-learn", "scipy", "numba", "faiss-cpu", "openTSNE", "matplotlib"),
    code=("analysis", "embedding", "models"),
)
