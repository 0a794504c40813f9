"""Features as points that one can look at, their clusters, and figures that say how far to trust the picture."""

from collections.abc import Callable

from glassnet.embedding.cluster import Clustering, cluster
from glassnet.embedding.pca import pca
from glassnet.embedding.quality import Quality, quality
from glassnet.embedding.result import Embedding, Options, Rows
from glassnet.embedding.tsne import tsne
from glassnet.embedding.umap import umap
from glassnet.errors import unknown_name

__all__ = ["METHODS", "Clustering", "Embedding", "Options", "Quality", "cluster", "embed", "quality"]

METHODS: dict[str, Callable[[Rows, Options], Embedding]] = {"pca": pca, "tsne": tsne, "umap": umap}


def embed(
    features: Rows,
    *,
    method: str = "tsne",
    dims: int = 2,
    seed: int = 0,
    perplexity: float = 30.0,
    pca_components: int | None = 50,
    neighbours: int = 15,
    min_distance: float = 0.1,
) -> Embedding:
    """Embed features in few dimensions.

    Args:
        features: A row for each image, shape (n, d).
        method: "pca", "tsne" or "umap" (needs `pip install 'glassnet[umap]'`).
        dims: Dimensions of the points; t-SNE makes 2 or 3.
        seed: Seed of all that the method draws; equal seeds give equal points.
        perplexity: t-SNE's effective number of neighbours, at most (n - 1) / 3.
        pca_components: t-SNE first reduces features of more columns to so many principal components; None does not.
        neighbours: UMAP's number of neighbours.
        min_distance: UMAP's least distance between points.

    Raises:
        InputError: No such method, the features are no finite (n, d) or all the same, or an option does not fit them.
    """
    if method not in METHODS:
        raise unknown_name("embedding method", method, METHODS, noun="methods")
    options = Options(
        dims=dims,
        seed=seed,
        perplexity=perplexity,
        pca_components=pca_components,
        neighbours=neighbours,
        min_distance=min_distance,
    )
    return METHODS[method](features, options)
