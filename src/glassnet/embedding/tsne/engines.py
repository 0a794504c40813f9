"""Who takes the steps of a t-SNE: our compiled loops, the same on a GPU by torch, or openTSNE."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Float64

from glassnet.embedding.result import Options
from glassnet.embedding.tsne.affinities import conditional, neighbour_count, symmetrise
from glassnet.embedding.tsne.attraction import attract_2d, attract_3d
from glassnet.embedding.tsne.compiled import say_if_compiling
from glassnet.embedding.tsne.neighbours import NeighbourIndex
from glassnet.embedding.tsne.opentsne import optimise_by_opentsne
from glassnet.embedding.tsne.optimizer import Optimised, Phase, optimise
from glassnet.embedding.tsne.threads import thread_count

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
        indices, squared = index().neighbours(count)
        affinities = symmetrise(indices, conditional(squared, perplexities, threads=threads))
        return optimise(affinities, start, phases, threads=threads)
    from glassnet.embedding.tsne.torch_engine import neighbours_on, optimise_on  # torch is loaded here, not above

    indices, squared = neighbours_on(rows, count, device=options.device)
    affinities = symmetrise(indices, conditional(squared, perplexities, threads=threads))
    return optimise_on(affinities, start, phases, device=options.device)
