"""t-SNE: points whose neighbours are the features' neighbours."""

import os

import numpy as np
from jaxtyping import Float64
from openTSNE import TSNEEmbedding, initialization
from openTSNE.affinity import PerplexityBasedNN
from openTSNE.nearest_neighbors import Sklearn as ExactNeighbours

from glassnet.embedding.checks import check_seed, check_varied, checked_rows
from glassnet.embedding.pca import fit_pca
from glassnet.embedding.result import Embedding, Move, Options, Rows
from glassnet.errors import InputError

EXAGGERATION = 12
EARLY_STEPS = 250
STEPS = 500
FFT_FROM_POINTS = 10_000
THREADS_FROM_POINTS = 5_000


def tsne(features: Rows, options: Options) -> Embedding:
    """Place points so that the chance of being neighbours is as among the features, by openTSNE.

    Minimises KL(P || Q), p_ij from Gaussians of the given perplexity over the exact nearest neighbours, q_ij
    proportional to 1 / (1 + |y_i - y_j|²). Features of more than `pca_components` columns are first reduced to their
    principal components; the first of these, shrunk, are where the points start (Kobak & Berens 2019). Steps: 250 with
    p exaggerated 12-fold, 500 without; learning rate n / exaggeration (Belkina et al. 2019); the gradient is
    Barnes-Hut's, or from 10,000 points in two dimensions FIt-SNE's. Equal seed, machine and number of threads give
    equal points.

    van der Maaten & Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html;
    Kobak & Berens 2019, https://doi.org/10.1038/s41467-019-13056-x;
    Belkina et al. 2019, https://doi.org/10.1038/s41467-019-13055-y.

    Raises:
        InputError: The features are no finite (n, d) or all the same, `dims` is not 2 or 3, or `perplexity` is not
            in 1 … (n - 1) / 3.
    """
    rows = checked_rows(features)
    check_varied(rows)
    check_seed(options.seed)
    _check(options, len(rows))
    reduce = _reduction(rows, options)
    reduced = reduce(rows)
    started = _start(reduced, options)
    early = started.optimize(EARLY_STEPS, exaggeration=EXAGGERATION, momentum=0.8)
    final = early.optimize(STEPS, momentum=0.8)
    # The points do not depend on the number of threads, the last digits of the divergence's sum do.
    divergence = float(final.optimize(0, n_jobs=1).kl_divergence)
    centred = np.asarray(final) - (np.max(final, axis=0) + np.min(final, axis=0)) / 2

    def place(new: Float64[np.ndarray, "m d"]) -> Float64[np.ndarray, "m dims"]:
        # openTSNE centres the embedding in place when it transforms, so each call gets a copy of its own.
        reference = TSNEEmbedding(centred, started.affinities, **started.gradient_descent_params)
        return np.asarray(reference.transform(reduce(new), perplexity=min(5, len(centred) / 3)))

    return Embedding(
        points=np.ascontiguousarray(centred, dtype=np.float32),
        method="tsne",
        settings={
            "dims": options.dims,
            "perplexity": options.perplexity,
            "pca_components": reduced.shape[1] if reduced.shape != rows.shape else None,
            "seed": options.seed,
        },
        columns=rows.shape[1],
        kl_divergence=divergence,
        place=place,
    )


def _check(options: Options, n: int) -> None:
    if options.dims not in (2, 3):
        raise InputError(f"dims is {options.dims}, expected 2 or 3: t-SNE's gradient is too slow for more.")
    if n < 4:
        raise InputError(f"t-SNE got {n} rows, expected at least 4; use more images, or PCA.")
    largest = (n - 1) / 3
    if not 1 <= options.perplexity <= largest:
        raise InputError(
            f"perplexity is {options.perplexity:g}, expected 1 to {largest:.4g} for {n} points "
            "(a third of each point's others); lower it or use more images."
        )
    if options.pca_components is not None and options.pca_components < 1:
        raise InputError(f"pca_components is {options.pca_components}, expected at least 1, or None.")


def _reduction(rows: Float64[np.ndarray, "n d"], options: Options) -> Move:
    components = options.pca_components
    if components is None or rows.shape[1] <= components:
        return lambda new: new
    model = fit_pca(rows, components=min(components, len(rows)), seed=options.seed)
    return model.transform


def _affinities(rows: Float64[np.ndarray, "n d"], perplexity: float) -> PerplexityBasedNN:
    # Exact search beat Annoy at 20,000 points of 50 columns: 3 s to 11 s, and Annoy missed a tenth of the neighbours.
    # The index is built here since openTSNE's own choice imports pynndescent, and with it numba, to no use.
    index = ExactNeighbours(rows, int(3 * perplexity), metric="euclidean", n_jobs=_threads(len(rows)))
    return PerplexityBasedNN(knn_index=index, perplexity=perplexity, n_jobs=_threads(len(rows)))


def _start(rows: Float64[np.ndarray, "n d"], options: Options) -> TSNEEmbedding:
    return TSNEEmbedding(
        _positions(rows, options),
        _affinities(rows, options.perplexity),
        negative_gradient_method="fft" if options.dims == 2 and len(rows) >= FFT_FROM_POINTS else "bh",
        n_jobs=_threads(len(rows)),
        max_step_norm=5,  # as in openTSNE.TSNE: no point shoots off
        random_state=options.seed,
    )


def _positions(rows: Float64[np.ndarray, "n d"], options: Options) -> Float64[np.ndarray, "n dims"]:
    start = np.zeros((len(rows), options.dims))
    components = min(options.dims, *rows.shape)
    start[:, :components] = fit_pca(rows, components=components, seed=options.seed).transform(rows)
    # The jitter parts equal rows, which would else move as one for ever.
    return initialization.jitter(initialization.rescale(start), random_state=options.seed)


def _threads(points: int) -> int:
    # A step of few points is so short that on a busy machine threads spend it waiting: at 1,000 points on two cores,
    # two threads saved a quarter of the time while both were free, and took five times as long while one was not.
    if points < THREADS_FROM_POINTS:
        return 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
