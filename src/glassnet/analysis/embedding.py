"""A picture of one layer's features: points in two or three dimensions, clusters, and how far to trust it."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Int64

from glassnet.analysis.base import Context, Kind
from glassnet.analysis.features import FeaturesRequest, check_images_have_classes, drawn, features_of, unusual
from glassnet.analysis.points import EmbeddedLayer, EmbeddingRequest, plots
from glassnet.embedding import Clustering, Embedding, LandmarkAccuracy, Quality, cluster, embed
from glassnet.embedding.pacmap import LEAST as LEAST_OF_PACMAP
from glassnet.embedding.quality import feature_neighbours, quality_of
from glassnet.embedding.result import Rows
from glassnet.errors import InputError
from glassnet.subject import Subject

COMPONENTS = 50
PERPLEXITY, NEIGHBOURS, UMAP_NEIGHBOURS = 30.0, 10, 15
LEAST = 5
"""Images of which every method but PaCMAP makes a picture."""
NEEDS = {"umap": "umap-learn", "pacmap": "pacmap"}
"""Methods that are extras, and what they install."""
QUALITY_MEASURES = (
    "explained_variance", "ari", "nmi", "cluster_accuracy", "silhouette", "trustworthiness", "continuity",
    "neighbours_kept", "distance_correlation", "kl_divergence", "knn_accuracy",
)  # fmt: skip
"""Measures in the order of a table."""


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
        landmark_accuracy=_landmark_accuracy(embedding, labels, request),
    )


def _placed(rows: Rows, request: EmbeddingRequest, context: Context) -> Embedding:
    """Place the features' points by the method that is asked for."""
    given = request.perplexity or (min(PERPLEXITY, ((request.landmarks or len(rows)) - 1) / 3),)
    return embed(
        rows,
        method=request.method,
        dims=request.dims,
        seed=request.seed,
        engine=request.engine,
        device=context.device.type if request.engine == "glassnet" else "cpu",
        perplexity=given[0] if len(given) == 1 else given,
        neighbours=min(UMAP_NEIGHBOURS, len(rows) - 1),
        landmarks=request.landmarks,
    )


def _landmark_accuracy(
    embedding: Embedding, labels: Int64[np.ndarray, " n"] | None, request: EmbeddingRequest
) -> LandmarkAccuracy | None:
    if embedding.landmarks is None or labels is None:
        return None
    neighbours = min(NEIGHBOURS, len(embedding.landmarks) - 1)
    return embedding.landmark_accuracy(labels, neighbours=neighbours, seed=request.seed)


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
    if request.method in NEEDS and importlib.util.find_spec(request.method) is None:
        raise InputError(
            f"method '{request.method}' needs {NEEDS[request.method]}; install it with "
            f"`pip install 'glassnet[{request.method}]'`."
        )
    images = len(drawn(subject, request, context))
    landmarks = request.landmarks if request.method == "tsne" else None
    if landmarks is not None and not LEAST <= landmarks < images:
        raise InputError(
            f"--landmarks is {landmarks}, expected {LEAST} to {images - 1} for {images} images; leave it out "
            "to embed them all."
        )
    fitted = landmarks or images
    largest = (fitted - 1) / 3
    least = LEAST_OF_PACMAP if request.method == "pacmap" else LEAST
    if images < least:
        too_few = "1 image is" if images == 1 else f"{images} images are"
        raise InputError(f"{too_few} too few for a plot of {request.layer}, expected at least {least}.")
    for perplexity in request.perplexity or ():
        if request.method == "tsne" and perplexity > largest:
            raise InputError(
                f"--perplexity is {perplexity:g}, expected at most {largest:g} for {fitted} "
                f"{('landmarks' if landmarks else 'images')}; lower it or use more images."
            )
    if request.clusters is not None and not 2 <= request.clusters <= images:
        raise InputError(f"--clusters is {request.clusters}, expected 2 to {images}, the number of images.")


def _check_dims(request: EmbeddingRequest, shape: tuple[int, ...]) -> None:
    if request.dims > min(shape):
        raise InputError(
            f"{request.layer} gives {shape[1]} numbers for {shape[0]} images, too few for {request.dims} dimensions."
        )


def words(_subject: Subject, request: EmbeddingRequest) -> Iterable[str]:
    """Name an entry by method, dimensions and layer, and by what is not usual."""
    yield f"{request.method}{request.dims}"
    yield request.layer
    yield from unusual(request)
    if request.engine != "glassnet":
        yield request.engine
    if request.perplexity:
        yield "p" + "+".join(f"{one:g}" for one in request.perplexity)
    if request.landmarks:
        yield f"l{request.landmarks}"
    if request.clustering != "kmeans":
        yield request.clustering
    if request.clusters:
        yield f"k{request.clusters}"


def _resolve(_subject: Subject, request: EmbeddingRequest) -> EmbeddingRequest:
    """Put perplexities, whose neighbourhoods are averaged, in order; only t-SNE has landmarks."""
    return dataclasses.replace(
        request,
        perplexity=None if not request.perplexity else tuple(sorted(request.perplexity)),
        landmarks=request.landmarks if request.method == "tsne" else None,
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
