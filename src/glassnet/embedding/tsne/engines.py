"""Who takes the steps of a t-SNE: our compiled loops, the same on a GPU by torch, or openTSNE.

openTSNE is slower, widely used, and what our own is measured against.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from glassnet.embedding.distances import middle
from glassnet.embedding.result import Options
from glassnet.embedding.tsne.affinities import conditional, graph, neighbour_count, symmetrise
from glassnet.embedding.tsne.loops import say_if_compiling, thread_count
from glassnet.embedding.tsne.neighbours import NeighbourIndex
from glassnet.embedding.tsne.optimizer import Optimised, Phase, attract_2d, attract_3d, optimise

EXAGGERATION = 12.0
EARLY_STEPS = 250
STEPS = 500


def descend(
    rows: Float64[np.ndarray, "n d"],
    start: Float32[np.ndarray, "n dims"],
    index: Callable[[], NeighbourIndex],
    perplexities: tuple[float, ...],
    options: Options,
) -> Optimised:
    """Take all steps from `start` by the engine and on the device that the options name."""
    early = Phase(steps=EARLY_STEPS, exaggeration=EXAGGERATION)
    phases = (early, Phase(steps=STEPS, exaggeration=options.exaggeration))
    count = neighbour_count(perplexities, len(rows))
    threads = thread_count(len(rows))
    if options.engine == "opentsne":
        return optimise_by_opentsne(rows, start, perplexities, phases, threads=threads, seed=options.seed)
    if options.device == "cpu":
        say_if_compiling({2: attract_2d, 3: attract_3d}[options.dims])
        return optimise(graph(index(), count, perplexities, threads=threads), start, phases, threads=threads)
    from glassnet.embedding.tsne.torch_engine import neighbours_on, optimise_on  # torch is loaded here, not above

    indices, squared = neighbours_on(rows, count, device=options.device)
    affinities = symmetrise(indices, conditional(squared, perplexities, threads=threads))
    return optimise_on(affinities, start, phases, device=options.device)


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
    # Moved near zero, since scikit-learn's distances lose their digits far from it.
    index = ExactNeighbours(rows - middle(rows), count, metric="euclidean", n_jobs=threads)
    if len(perplexities) > 1:
        return Multiscale(knn_index=index, perplexities=list(perplexities), n_jobs=threads)
    return PerplexityBasedNN(knn_index=index, perplexity=perplexities[0], n_jobs=threads)
