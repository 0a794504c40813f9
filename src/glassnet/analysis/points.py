"""What an embedding of a layer is asked and gives, and its figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float32, Int64

from glassnet import figures
from glassnet.analysis.base import Context, Precision
from glassnet.display import Shown
from glassnet.embedding import LandmarkAccuracy
from glassnet.method_titles import CLUSTERING_TITLES, EMBEDDING_TITLES
from glassnet.run.store import FigureWords, Plot
from glassnet.subject import Part, Subject

Method = Literal["pca", "tsne", "umap", "pacmap"]
Clusterer = Literal["kmeans", "agglomerative", "hdbscan"]


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
        landmarks: Images that t-SNE embeds, drawn by seed; all others are placed among them. None embeds all.
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
    landmarks: int | None = None
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
        method_settings: The method's settings, given or chosen by the method itself.
        measures: By the keys of MEASURES; None where one means nothing.
        neighbours: Size of a neighbourhood in these measures.
        sample: Points that they were measured on.
        noise_share: Share of the points in no cluster; of HDBSCAN only.
        components: Share of the variance along each of the first principal components; of PCA only.
        landmark_accuracy: What placing cost; of landmarks and labels only.
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
    landmark_accuracy: LandmarkAccuracy | None = None

    @property
    def title(self) -> str:
        """As in "t-SNE of fc1, 2 dimensions"."""
        return f"{EMBEDDING_TITLES[self.method]} of {self.layer}, {self.points.shape[1]} dimensions"

    def __repr__(self) -> str:
        """Say in one line what it is."""
        return f"EmbeddedLayer({self.title}, {len(self.points):,} images)"


def plots(subject: Subject, request: EmbeddingRequest, result: EmbeddedLayer, _context: Context) -> Iterable[Plot]:
    """Draw the points by class and by cluster, and the variance by component."""
    found = CLUSTERING_TITLES[result.clustering]
    placed = f" What placing costs: {result.landmark_accuracy.words}." if result.landmark_accuracy else ""
    fitted = f" Clusters were found from {result.fitted:,} of them." if result.fitted < len(result.points) else ""
    figure = figures.embedding_figure(
        result.points,
        result.labels,
        result.assignment,
        label_names(subject, result),
        _numbers(result),
        f"{result.title}, {len(result.points):,} images",
        method=request.method,
        matching=result.matching,
        centres=_centres(result),
        clustering=request.clustering,
    )
    words = FigureWords(
        name="points",
        title=result.title,
        alt=f"{result.title}: {len(result.points):,} images as points, coloured by class (left) and by {found} "
        "cluster (right).",
        caption=f"{len(result.points):,} images. A cluster has the colour of the class it is matched to.{fitted}"
        f"{placed}",
        lead=f"Left: each image in the colour of its true class. Right: in the colour of its {found} cluster.",
    )
    yield Plot(figure, words)
    if result.components is not None and result.points.shape[1] == 2:
        yield _scree(result)


def _numbers(result: EmbeddedLayer) -> dict[str, float | None]:
    """Return what stands beside the points, by the names that the figure knows."""
    numbers = {**result.measures, "accuracy": result.measures["cluster_accuracy"], "noise_share": result.noise_share}
    del numbers["cluster_accuracy"]
    if result.landmark_accuracy:
        numbers["landmark_accuracy"] = result.landmark_accuracy.landmarks
        numbers["placed_accuracy"] = result.landmark_accuracy.placed
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
        alt=f"{title}: one bar per component, and their running sum.",
        caption=f"Fraction of the variance of {len(result.points):,} images’ {result.features:,} features that each "
        "principal component explains, and the sum up to it.",
        lead="The faster the line rises, the fewer directions the features vary in.",
    )
    return Plot(figures.scree(result.components, title=f"Variance of {result.layer}"), words)


def _centres(result: EmbeddedLayer) -> np.ndarray | None:
    if result.clustering != "kmeans":
        return None  # its borders do not run halfway between means
    return np.stack([result.points[result.assignment == c].mean(axis=0) for c in range(result.clusters)])
