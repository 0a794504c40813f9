"""t-SNE: points whose neighbours are the features' neighbours."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from glassnet.console import say
from glassnet.devices import choose_device
from glassnet.embedding.checks import check_range, check_seed, check_varied, finite_rows
from glassnet.embedding.landmarks import draw_landmarks, place_others
from glassnet.embedding.pca import CHUNKED_COLUMNS, fit_pca, fit_rows
from glassnet.embedding.result import Embedding, Move, Options, Rows
from glassnet.errors import InputError, checked_number, unknown_name

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

    Features are read in chunks, also from a memory map; what a t-SNE takes beyond them is `memory.needed_bytes`, and
    what the machine has not free is refused. With `landmarks`, so many rows, drawn uniformly by seed, are embedded, and
    all others are placed among them as `transform` does, in memory that does not grow with their number.

    van der Maaten & Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html;
    Linderman et al. 2019, https://doi.org/10.1038/s41592-018-0308-4;
    Kobak & Berens 2019, https://doi.org/10.1038/s41467-019-13056-x;
    Belkina et al. 2019, https://doi.org/10.1038/s41467-019-13055-y.

    Raises:
        InputError: The features are no finite (n, d) or all the same, `dims` is not 2 or 3, `engine` is unknown,
            `device` is "cuda" where there is none, a `perplexity` is not in 1 … (n - 1) / 3, or `exaggeration` is
            below 1.
    """
    rows = finite_rows(features)
    check_varied(rows)
    check_seed(options.seed)
    perplexities = _perplexities(options)
    chosen = None if options.landmarks is None else draw_landmarks(len(rows), options.landmarks, seed=options.seed)
    fitted = rows if chosen is None else np.asarray(rows[chosen])
    _check(options, perplexities, len(fitted))
    check_range(rows, least=1e-100, most=1e100)
    if chosen is not None:
        check_varied(fitted, noun="landmarks")
        check_range(fitted, least=1e-100, most=1e100)
    _check_memory(rows, len(fitted), perplexities, options)
    reduce = _reduction(fitted, options)
    return _embed(rows, chosen, reduce(fitted), reduce, options, perplexities)


def _embed(
    rows: Rows,
    chosen: Int64[np.ndarray, " m"] | None,
    reduced: Float64[np.ndarray, "m e"],
    reduce: Move,
    options: Options,
    perplexities: tuple[float, ...],
) -> Embedding:
    # Here, since numba and faiss take a second to import, which other methods need not wait for.
    from glassnet.embedding.tsne.engines import descend
    from glassnet.embedding.tsne.loops import thread_count
    from glassnet.embedding.tsne.neighbours import NeighbourIndex, build_index

    @cache
    def index() -> NeighbourIndex:
        return build_index(reduced, threads=thread_count(len(reduced)))

    optimised = descend(reduced, _start(reduced, options), index, perplexities, options)
    _warn_of_collapse(optimised.points, options)
    place = _placing(optimised.points, index, reduce)
    return Embedding(
        points=optimised.points if chosen is None else place_others(rows, chosen, optimised.points, place),
        method="tsne",
        settings={
            "dims": options.dims,
            "perplexity": perplexities if len(perplexities) > 1 else perplexities[0],
            "pca_components": reduced.shape[1] if reduced.shape[1] != rows.shape[1] else None,
            "exaggeration": options.exaggeration,
            "engine": options.engine,
            "device": options.device,
            "seed": options.seed,
            **({} if chosen is None else {"landmarks": len(chosen)}),
        },
        columns=rows.shape[1],
        kl_divergence=optimised.kl_divergence,
        landmarks=chosen,
        place=place,
    )


def _placing(
    points: Float32[np.ndarray, "n dims"], index: Callable[[], Any], reduce: Move
) -> Callable[[Rows], Float64[np.ndarray, "m dims"]]:
    from glassnet.embedding.tsne.loops import thread_count
    from glassnet.embedding.tsne.placing import Placer

    @cache
    def placer() -> Placer:
        return Placer(points, index(), threads=thread_count(len(points)))

    return lambda new: placer()(new, reduce, threads=thread_count(len(new)))


@dataclass(frozen=True)
class Placing:
    """A finished embedding that more rows can be placed in.

    Attributes:
        place: Features to points, as `Embedding.transform` of the t-SNE that made the points.
        nearest: Features to the nearest of the rows embedded: their places (m, k), for k asked for.
    """

    place: Move
    nearest: Callable[[Rows, int], Int64[np.ndarray, "m k"]]


def placing_in(features: Rows, points: Float32[np.ndarray, "n dims"], options: Options) -> Placing:
    """Find again what a t-SNE that was kept on disk places new rows by: its points and the features are enough.

    Args:
        features: What was embedded.
        points: Where it was placed.
        options: With which options; of landmarks, they alone place new rows, and are the nearest.

    Raises:
        InputError: As `tsne` and `place_new` say.
    """
    from glassnet.embedding.tsne.loops import thread_count
    from glassnet.embedding.tsne.neighbours import build_index

    rows = finite_rows(features)
    chosen = np.arange(len(rows))
    if options.landmarks is not None:
        chosen = draw_landmarks(len(rows), options.landmarks, seed=options.seed)
        rows, points = np.asarray(rows[chosen]), points[chosen]
    reduce = _reduction(rows, options)
    index = build_index(reduced := reduce(rows), threads=thread_count(len(reduced)))
    return Placing(
        _placing(points, lambda: index, reduce),
        lambda new, k: chosen[index.search(reduce(new), min(k, len(chosen)))[0]],
    )


def _check_memory(rows: Rows, fitted: int, perplexities: tuple[float, ...], options: Options) -> None:
    from glassnet.embedding.tsne.memory import Size, check_memory

    width = rows.shape[1]
    sampled = fitted < len(rows)
    check_memory(
        Size(
            points=fitted,
            columns=width if options.pca_components is None else min(width, options.pca_components),
            neighbours=min(fitted - 1, int(3 * max(perplexities))),
            dims=options.dims,
            features=width if sampled or width > CHUNKED_COLUMNS else 0,
            placed=len(rows) - fitted,
        )
    )


def _perplexities(options: Options) -> tuple[float, ...]:
    given: Any = options.perplexity
    several = given if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    return tuple(checked_number("perplexity", perplexity) for perplexity in several)


def _check(options: Options, perplexities: tuple[float, ...], n: int) -> None:
    if options.engine not in ENGINES:
        raise unknown_name("t-SNE engine", options.engine, ENGINES, noun="engines")
    if options.device not in DEVICES or (options.device != "cpu" and options.engine != "glassnet"):
        raise InputError(
            f"t-SNE with engine {options.engine} got device {options.device!r}, expected 'cpu', or 'cuda' with engine "
            "'glassnet'."
        )
    if options.device != "cpu":  # torch need not be loaded for that one
        choose_device(options.device)
    if options.dims not in (2, 3):
        raise InputError(f"dims is {options.dims}, expected 2 or 3, because t-SNE is too slow in more dimensions.")
    if n < 4:
        raise InputError(f"t-SNE got {n} rows, expected at least 4; use more images, or PCA.")
    if not perplexities:
        raise InputError("perplexity is empty, expected one or more numbers.")
    largest, noun = (n - 1) / 3, "landmarks" if options.landmarks else "points"
    for perplexity in perplexities:
        if not 1 <= perplexity <= largest:
            raise InputError(
                f"perplexity is {perplexity:g}, expected 1 to {largest:.4g}, a third of the other points, for {n} "
                f"{noun}; lower it or use more images."
            )
    if not 1 <= options.exaggeration < np.inf:
        raise InputError(f"exaggeration is {options.exaggeration:g}, expected at least 1, which means no exaggeration.")
    if options.pca_components is not None and options.pca_components < 1:
        raise InputError(f"pca_components is {options.pca_components}, expected at least 1, or None.")


def _reduction(rows: Rows, options: Options) -> Move:
    components = options.pca_components
    if components is None or rows.shape[1] <= components:
        return lambda new: np.asarray(new, dtype=np.float64)
    return fit_rows(rows, components=min(components, len(rows)), seed=options.seed).project


def _start(rows: Float64[np.ndarray, "n d"], options: Options) -> Float32[np.ndarray, "n dims"]:
    start = np.zeros((len(rows), options.dims))
    components = min(options.dims, *rows.shape)
    start[:, :components] = fit_pca(rows, components=components, seed=options.seed).project(rows)
    start *= START_DEVIATION / start[:, 0].std()
    # The jitter parts equal rows, which would else move as one for ever.
    jitter = np.random.default_rng(options.seed).normal(scale=START_DEVIATION / 100, size=start.shape)
    return (start + jitter).astype(np.float32)


def _warn_of_collapse(points: Float32[np.ndarray, "n dims"], options: Options) -> None:
    # Exaggerated attraction can outweigh all repulsion where points are few: they end nearer than they started.
    deviation = float(points.std(axis=0).max())
    if deviation < START_DEVIATION:
        say(
            f"t-SNE collapsed all {len(points)} points to one (standard deviation {deviation:.1g}); lower the "
            f"exaggeration, now {options.exaggeration:g}, or the perplexity, or use more images."
        )
