"""t-SNE: points whose neighbours are the features' neighbours."""

from functools import cache

import numpy as np
from jaxtyping import Float32, Float64

from glassnet.embedding.checks import check_seed, check_varied, checked_rows
from glassnet.embedding.pca import fit_pca
from glassnet.embedding.result import Embedding, Move, Options, Rows
from glassnet.errors import InputError, unknown_name

START_DEVIATION = 1e-4
ENGINES = ("glassnet", "opentsne")
DEVICES = ("cpu", "cuda")


def tsne(features: Rows, options: Options) -> Embedding:
    """Place points so that the chance of being neighbours is as among the features.

    Minimises KL(P || Q), p_ij from Gaussians of the given perplexity over the nearest neighbours (exact up to 25,000
    points), q_ij proportional to 1 / (1 + |y_i - y_j|²). Features of more than `pca_components` columns are first
    reduced to their principal components; the first of these, shrunk, are where the points start (Kobak & Berens
    2019). Steps: 250 with p exaggerated 12-fold, 500 without; learning rate n / exaggeration (Belkina et al. 2019).

    Engine "glassnet" is ours: compiled loops over the neighbour graph, and repulsion by fast Fourier transforms over a
    grid (the idea of Linderman et al. 2019), in two and three dimensions; equal seeds give equal points on one
    machine, whatever the number of threads. Engine "opentsne" is openTSNE.

    van der Maaten & Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html;
    Linderman et al. 2019, https://doi.org/10.1038/s41592-018-0308-4;
    Kobak & Berens 2019, https://doi.org/10.1038/s41467-019-13056-x;
    Belkina et al. 2019, https://doi.org/10.1038/s41467-019-13055-y.

    Raises:
        InputError: The features are no finite (n, d) or all the same, `dims` is not 2 or 3, `engine` is unknown, a
            `perplexity` is not in 1 … (n - 1) / 3, or `exaggeration` is below 1.
    """
    rows = checked_rows(features)
    check_varied(rows)
    check_seed(options.seed)
    perplexities = _perplexities(options)
    _check(options, perplexities, len(rows))
    _check_range(rows)
    reduce = _reduction(rows, options)
    reduced = reduce(rows)
    return _embed(rows, reduced, reduce, options, perplexities)


def _embed(
    rows: Float64[np.ndarray, "n d"],
    reduced: Float64[np.ndarray, "n e"],
    reduce: Move,
    options: Options,
    perplexities: tuple[float, ...],
) -> Embedding:
    # Here, since numba and faiss take a second to import, which other methods need not wait for.
    from glassnet.embedding.tsne.engines import descend
    from glassnet.embedding.tsne.neighbours import NeighbourIndex, build_index
    from glassnet.embedding.tsne.threads import thread_count

    @cache
    def index() -> NeighbourIndex:
        return build_index(reduced, threads=thread_count(len(reduced)))

    found = descend(reduced, _start(reduced, options), index, perplexities, options)

    def place(new: Float64[np.ndarray, "m d"]) -> Float64[np.ndarray, "m dims"]:
        from glassnet.embedding.tsne.placing import place_new

        return place_new(found.points, index(), reduce(new), threads=thread_count(len(new)))

    return Embedding(
        points=found.points,
        method="tsne",
        settings={
            "dims": options.dims,
            "perplexity": ", ".join(f"{p:g}" for p in perplexities) if len(perplexities) > 1 else perplexities[0],
            "pca_components": reduced.shape[1] if reduced.shape != rows.shape else None,
            "exaggeration": options.exaggeration,
            "engine": options.engine,
            "seed": options.seed,
        },
        columns=rows.shape[1],
        kl_divergence=found.kl_divergence,
        place=place,
    )


def _perplexities(options: Options) -> tuple[float, ...]:
    given = options.perplexity
    return tuple(float(p) for p in given) if isinstance(given, tuple) else (float(given),)


def _check(options: Options, perplexities: tuple[float, ...], n: int) -> None:
    if options.engine not in ENGINES:
        raise unknown_name("t-SNE engine", options.engine, ENGINES, noun="engines")
    if options.device not in DEVICES or (options.device != "cpu" and options.engine != "glassnet"):
        raise InputError(
            f"t-SNE by {options.engine} got device {options.device!r}, expected 'cpu', or 'cuda' for engine 'glassnet'."
        )
    if options.dims not in (2, 3):
        raise InputError(f"dims is {options.dims}, expected 2 or 3: t-SNE's gradient is too slow for more.")
    if n < 4:
        raise InputError(f"t-SNE got {n} rows, expected at least 4; use more images, or PCA.")
    if not perplexities:
        raise InputError("perplexity is empty, expected a number, or several.")
    largest = (n - 1) / 3
    for perplexity in perplexities:
        if not 1 <= perplexity <= largest:
            raise InputError(
                f"perplexity is {perplexity:g}, expected 1 to {largest:.4g} for {n} points "
                "(a third of each point's others); lower it or use more images."
            )
    if not 1 <= options.exaggeration < np.inf:
        raise InputError(f"exaggeration is {options.exaggeration:g}, expected at least 1, which is none.")
    if options.pca_components is not None and options.pca_components < 1:
        raise InputError(f"pca_components is {options.pca_components}, expected at least 1, or None.")


def _check_range(rows: Float64[np.ndarray, "n d"]) -> None:
    widest = float(np.ptp(rows / 2, axis=0).max()) * 2
    if not 1e-100 <= widest <= 1e100:
        raise InputError(
            f"features range over {widest:.3g}, expected 1e-100 to 1e100, whose squares are numbers too; rescale them."
        )


def _reduction(rows: Float64[np.ndarray, "n d"], options: Options) -> Move:
    components = options.pca_components
    if components is None or rows.shape[1] <= components:
        return lambda new: new
    model = fit_pca(rows, components=min(components, len(rows)), seed=options.seed)
    return model.transform


def _start(rows: Float64[np.ndarray, "n d"], options: Options) -> Float32[np.ndarray, "n dims"]:
    start = np.zeros((len(rows), options.dims))
    components = min(options.dims, *rows.shape)
    start[:, :components] = fit_pca(rows, components=components, seed=options.seed).transform(rows)
    start *= START_DEVIATION / start[:, 0].std()
    # The jitter parts equal rows, which would else move as one for ever.
    jitter = np.random.default_rng(options.seed).normal(scale=START_DEVIATION / 100, size=start.shape)
    return (start + jitter).astype(np.float32)
