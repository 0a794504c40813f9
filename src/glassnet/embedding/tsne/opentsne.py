"""openTSNE, the second engine: slower, widely used, and what our own is measured against."""

from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from glassnet.embedding.tsne.optimizer import Optimised, Phase

FFT_FROM_POINTS = 10_000


def optimise_by_opentsne(
    rows: Float64[np.ndarray, "n d"],
    start: Float32[np.ndarray, "n dims"],
    perplexities: tuple[float, ...],
    phases: tuple[Phase, ...],
    *,
    threads: int,
    seed: int,
) -> Optimised:
    """Descend from `start` by openTSNE, over exact neighbours; Barnes-Hut's gradient, or FIt-SNE's for many in 2-D.

    Poličar, Stražar & Zupan 2024, https://doi.org/10.18637/jss.v109.i03.
    """
    from openTSNE import TSNEEmbedding

    embedding = TSNEEmbedding(
        start.astype(np.float64),
        _affinities(rows, perplexities, threads),
        negative_gradient_method="fft" if start.shape[1] == 2 and len(rows) >= FFT_FROM_POINTS else "bh",
        n_jobs=threads,
        max_step_norm=5,  # as in openTSNE.TSNE: no point shoots off
        random_state=seed,
    )
    for phase in phases:
        embedding = embedding.optimize(phase.steps, exaggeration=phase.exaggeration, momentum=phase.momentum)
    # The points do not depend on the number of threads, the last digits of the divergence's sum do.
    divergence = float(embedding.optimize(0, n_jobs=1).kl_divergence)
    points = np.asarray(embedding)
    centred = points - (points.max(axis=0) + points.min(axis=0)) / 2
    return Optimised(points=centred.astype(np.float32), kl_divergence=divergence)


def _affinities(rows: Float64[np.ndarray, "n d"], perplexities: tuple[float, ...], threads: int) -> Any:
    from openTSNE.affinity import Multiscale, PerplexityBasedNN
    from openTSNE.nearest_neighbors import Sklearn as ExactNeighbours

    # Exact search beat Annoy at 20,000 points of 50 columns: 3 s to 11 s, and Annoy missed a tenth of the neighbours.
    # The index is built here since openTSNE's own choice imports pynndescent to no use.
    count = min(len(rows) - 1, int(3 * max(perplexities)))
    index = ExactNeighbours(rows, count, metric="euclidean", n_jobs=threads)
    if len(perplexities) > 1:
        return Multiscale(knn_index=index, perplexities=list(perplexities), n_jobs=threads)
    return PerplexityBasedNN(knn_index=index, perplexity=perplexities[0], n_jobs=threads)
