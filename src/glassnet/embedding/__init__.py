"""Features as points that one can look at, their clusters, and figures that say how far to trust the picture."""

from collections.abc import Callable, Iterable

from glassnet.embedding.clusters import METHODS as CLUSTERINGS
from glassnet.embedding.clusters import Clustering, cluster
from glassnet.embedding.landmarks import LandmarkAccuracy, landmark_accuracy
from glassnet.embedding.layers import Alignment, LayerScore, cka, layer_scores
from glassnet.embedding.pacmap import pacmap
from glassnet.embedding.pca import pca
from glassnet.embedding.quality import FeatureNeighbours, Quality, feature_neighbours, quality, quality_of
from glassnet.embedding.result import Embedding, Options, Rows
from glassnet.embedding.separability import Probe, Separability, Spread, linear_probe, separability, spread
from glassnet.embedding.tsne import tsne
from glassnet.embedding.umap import umap
from glassnet.errors import checked_integer, checked_number, unknown_name

__all__ = [
    "CLUSTERINGS",
    "METHODS",
    "Alignment",
    "Clustering",
    "Embedding",
    "FeatureNeighbours",
    "LandmarkAccuracy",
    "LayerScore",
    "Options",
    "Probe",
    "Quality",
    "Separability",
    "Spread",
    "cka",
    "cluster",
    "embed",
    "feature_neighbours",
    "landmark_accuracy",
    "layer_scores",
    "linear_probe",
    "quality",
    "quality_of",
    "separability",
    "spread",
]

METHODS: dict[str, Callable[[Rows, Options], Embedding]] = {"pca": pca, "tsne": tsne, "umap": umap, "pacmap": pacmap}


def embed(
    features: Rows,
    *,
    method: str = "tsne",
    dims: int = 2,
    seed: int = 0,
    perplexity: float | Iterable[float] = 30.0,
    pca_components: int | None = 50,
    exaggeration: float = 1.0,
    engine: str = "glassnet",
    device: str = "cpu",
    neighbours: int = 15,
    min_distance: float = 0.1,
    landmarks: int | None = None,
) -> Embedding:
    """Embed features in few dimensions.

    Args:
        features: One row per image, shape (n, d).
        method: "pca", "tsne", "umap" (needs `pip install 'glassnet[umap]'`) or "pacmap" (needs `glassnet[pacmap]`).
        dims: Dimensions of the points; t-SNE supports 2 or 3.
        seed: Seed of everything random in the method; equal seeds give equal points.
        perplexity: t-SNE's effective number of neighbours, at most (n - 1) / 3. For several values, such as (30, 300),
            the affinities are averaged, so that both near and far neighbours count.
        pca_components: t-SNE first reduces features with more columns to this many principal components; None does not.
        exaggeration: Factor on t-SNE's attraction after the early steps, at least 1; 4 looks much like UMAP
            (Böhm et al. 2022, https://jmlr.org/papers/v23/21-0055.html).
        engine: Implementation of t-SNE: "glassnet", or "opentsne", which is slower, for comparison.
        device: Where "glassnet" computes: "cpu" or "cuda".
        neighbours: UMAP's number of neighbours.
        min_distance: UMAP's minimum distance between points.
        landmarks: Number of rows that t-SNE embeds, drawn uniformly; all others are placed among them, as `transform`
            does, in memory that does not grow with their number. `Embedding.landmark_accuracy` says what this costs.

    Raises:
        InputError: There is no such method; the features are not finite, not (n, d) or all the same; an option does
            not fit them; or t-SNE needs more memory than is free.
    """
    if method not in METHODS:
        raise unknown_name("embedding method", method, METHODS, noun="methods")
    options = Options(
        dims=checked_integer("dims", dims),
        seed=checked_integer("seed", seed),
        perplexity=perplexity,
        pca_components=None if pca_components is None else checked_integer("pca_components", pca_components),
        exaggeration=checked_number("exaggeration", exaggeration),
        engine=engine,
        device=device,
        neighbours=checked_integer("neighbours", neighbours),
        min_distance=checked_number("min_distance", min_distance),
        landmarks=None if landmarks is None else checked_integer("landmarks", landmarks),
    )
    return METHODS[method](features, options)
