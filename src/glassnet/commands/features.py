"""`glassnet features`: what a layer knows, as pictures with numbers beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from glassnet import figures
from glassnet.commands.answer import Answer, table
from glassnet.console import progress
from glassnet.data.draw import balanced_draw
from glassnet.devices import choose_device, choose_precision
from glassnet.embedding import Clustering, Embedding, cluster, embed, quality
from glassnet.experiment import Run
from glassnet.models.features import extract_features
from glassnet.settings import FeaturesSettings
from glassnet.versions import versions

Method = Literal["pca", "tsne"]
_PICTURES: tuple[tuple[Method, int], ...] = (("pca", 2), ("pca", 3), ("tsne", 2))
_TITLES: dict[Method, str] = {"pca": "PCA", "tsne": "t-SNE"}
_SHOWN = ("explained_variance", "ari", "nmi", "accuracy", "silhouette", "trustworthiness", "knn_accuracy")


@dataclass(frozen=True)
class _Picture:
    """One embedding of one layer, its clusters, and the numbers that go with it."""

    layer: str
    method: Method
    embedding: Embedding
    clusters: Clustering
    numbers: Mapping[str, float | None]

    @property
    def name(self) -> str:
        """As in pca2."""
        return f"{self.method}{self.embedding.dims}"


def features(settings: FeaturesSettings) -> Answer:
    """Extract the features of test images, embed and cluster them, and keep all of it in the run."""
    run = Run.open(settings.run)
    test = run.dataset(settings.data_root).test
    chosen = balanced_draw(test.targets, settings.images, seed=settings.seed)
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    extracted = extract_features(run.model(device), test.images[chosen], list(settings.layers), precision=precision)
    targets = test.targets[chosen].numpy()
    pictures = _embed(extracted, targets, settings, len(run.classes))
    documents = []
    for layer, values in extracted.items():  # all is computed before anything is written
        kept = {"features": values, "targets": targets, "indices": chosen.numpy()}
        run.save_arrays(f"features/{layer}.npz", kept)
        document = {
            "layer": layer,
            "images": len(values),
            "features": values.shape[1],
            "seed": settings.seed,
            "precision": precision,
            "versions": versions("torch", "scikit-learn", "openTSNE", "matplotlib"),
            "pictures": [_keep(run, picture, targets) for picture in pictures if picture.layer == layer],
        }
        run.save_json(f"embeddings/{layer}.json", document)
        documents.append(document)
    return Answer(_text(documents, run), {"run": str(run.path), "layers": documents})


def _embed(
    extracted: Mapping[str, np.ndarray], targets: np.ndarray, settings: FeaturesSettings, classes: int
) -> list[_Picture]:
    """Embed, cluster and measure every layer every way."""
    pictures = []
    perplexity = settings.perplexity or min(30.0, (len(targets) - 1) / 3)
    with progress("embedding features", len(extracted) * len(_PICTURES)) as advance:
        for layer, values in extracted.items():
            for method, dims in _PICTURES:
                if dims > min(values.shape):
                    continue  # a layer of two units has no third component
                embedding = embed(values, method=method, dims=dims, seed=settings.seed, perplexity=perplexity)
                clusters = cluster(embedding.points, k=settings.clusters or classes, seed=settings.seed, labels=targets)
                numbers = _measure(values, targets, embedding, clusters, settings.seed)
                pictures.append(_Picture(layer, method, embedding, clusters, numbers))
                advance(note=f"{layer}: {_TITLES[method]} {dims}-D")
    return pictures


def _measure(
    values: np.ndarray, targets: np.ndarray, embedding: Embedding, clusters: Clustering, seed: int
) -> dict[str, float | None]:
    neighbours = max(1, min(10, (len(values) - 1) // 2 - 1))  # fewer where there are hardly any images
    kept = quality(values, embedding.points, labels=targets, neighbours=neighbours, seed=seed)
    variance = embedding.explained_variance
    return {
        "explained_variance": None if variance is None else float(variance.sum()),
        "kl_divergence": embedding.kl_divergence,
        **{key: getattr(clusters, key) for key in ("ari", "nmi", "accuracy", "silhouette")},
        **{key: getattr(kept, key) for key in ("trustworthiness", "continuity", "neighbours_kept", "knn_accuracy")},
        "neighbours": kept.neighbours,
    }


def _keep(run: Run, picture: _Picture, targets: np.ndarray) -> dict[str, Any]:
    """Write one picture's points and figure, and return what the report says of it."""
    layer, points, clusters = picture.layer, picture.embedding.points, picture.clusters
    title = f"{_TITLES[picture.method]} of {layer}, {picture.embedding.dims} dimensions"
    shown = {key: value for key, value in picture.numbers.items() if key in _SHOWN and value is not None}
    run.save_arrays(f"embeddings/{layer}-{picture.name}.npz", {"points": points, "assignment": clusters.assignment})
    run.save_figure(
        f"embedding-{layer}-{picture.name}",
        figures.embedding_figure(
            points,
            targets,
            clusters.assignment,
            run.classes,
            shown,
            title,
            method=picture.method,
            matching=clusters.matching,
            centres=np.stack([points[clusters.assignment == c].mean(axis=0) for c in range(clusters.k)]),
        ),
        title=title,
        alt=f"{title}: {len(points):,} test images as points, left coloured by class, right by k-means cluster.",
        caption="Left by true class, right by k-means cluster; a cluster has the colour of the class it is matched to.",
    )
    return {
        "name": picture.name,
        "figure": f"embedding-{layer}-{picture.name}",
        "method": picture.method,
        "dims": picture.embedding.dims,
        "clusters": clusters.k,
        "settings": dict(picture.embedding.settings),
        **picture.numbers,
    }


def _text(documents: list[dict[str, Any]], run: Run) -> str:
    rows = [
        (
            document["layer"],
            f"{_TITLES[picture['method']]} {picture['dims']}-D",
            *("–" if picture[key] is None else f"{picture[key]:.3f}" for key in _SHOWN),
        )
        for document in documents
        for picture in document["pictures"]
    ]
    header = ("layer", "picture", "variance", "ARI", "NMI", "matched", "silhouette", "trust", "kNN")
    return f"{table(header, rows)}\nfigures: {run.path / 'figures'}"
