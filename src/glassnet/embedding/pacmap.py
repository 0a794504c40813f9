"""PaCMAP: points whose near, mid-near and further pairs are the features'; needs the extra `pacmap`."""

import contextlib
import logging
from collections.abc import Iterator
from types import ModuleType

import numpy as np
from jaxtyping import Float

from glassnet.embedding.checks import check_seed, check_varied, checked_rows
from glassnet.embedding.result import Embedding, Options, Rows
from glassnet.embedding.single_precision import mover, say_lost_digits
from glassnet.embedding.umap import same_threads
from glassnet.errors import InputError

LEAST = 10
"""Rows of which the library can draw six others for each and leave out those that it has."""
WIDEST = 100
"""Wider rows the library first reduces to so many principal components."""
PAIRS = 3.5
"""Pairs of each point for a neighbour: itself, half a mid-near one, two further ones."""
SEEDS = 2**31
"""The library takes seeds up to an int32's largest."""


def pacmap(features: Rows, options: Options) -> Embedding:
    """Place points by pacmap, from their principal components.

    Minimises sum d / (10 + d) over pairs of near neighbours, with d = 1 + |y_i - y_j|², a weight that falls to 0 times
    sum d / (10,000 + d) over mid-near pairs, and sum 1 / (1 + d) over further pairs. It takes 10 neighbours of each
    point, 15 more for each factor of ten above 10,000 points, and fewer of few points. Equal seeds give equal points on
    one machine.

    Wang, Huang, Rudin & Shaposhnik 2021, https://jmlr.org/papers/v22/20-1061.html.

    Raises:
        InputError: pacmap is not installed; the features are no finite (n, d) or all the same, or fewer than 10 rows;
            or `dims` is not in 1 … min(n, d, 100).
    """
    library = _library()
    rows = checked_rows(features)
    check_varied(rows)
    check_seed(options.seed)
    _check(options, *rows.shape)
    near_zero = mover(rows, "PaCMAP")
    rows = near_zero(rows)
    say_lost_digits(rows, "PaCMAP")
    neighbours = neighbour_count(len(rows))
    with _as_before():
        model = library.PaCMAP(
            n_components=options.dims,
            n_neighbors=neighbours,
            random_state=options.seed % SEEDS,
            save_tree=True,
        )
        points = model.fit_transform(rows.astype(np.float32), init="pca")

    def place(new: Rows) -> Float[np.ndarray, "m dims"]:
        with _as_before():
            return model.transform(near_zero(new.astype(np.float64)).astype(np.float32))

    return Embedding(
        points=np.ascontiguousarray(points, dtype=np.float32),
        method="pacmap",
        settings={"dims": options.dims, "neighbours": neighbours, "seed": options.seed},
        columns=rows.shape[1],
        place=place,
    )


def neighbour_count(n: int) -> int:
    """Near neighbours of each point: the library's rule, and so few of few points that all pairs are there."""
    usual = 10 if n <= 10_000 else round(10 + 15 * (np.log10(n) - 4))
    return max(1, min(usual, int((n - 1) / PAIRS)))


def _check(options: Options, n: int, d: int) -> None:
    if n < LEAST:
        raise InputError(f"PaCMAP got {n} rows, expected at least {LEAST}; use more images, or PCA.")
    limit = min(n, d, WIDEST)
    if not 1 <= options.dims <= limit:
        raise InputError(f"dims is {options.dims}, expected 1 to {limit} for {n} rows of {d} columns.")


@contextlib.contextmanager
def _as_before() -> Iterator[None]:
    """Leave torch and faiss as many threads as they had, and say nothing of a seed that was asked for."""
    import faiss

    logger, threads = logging.getLogger("pacmap.pacmap"), faiss.omp_get_max_threads()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with same_threads():
            yield
    finally:
        logger.setLevel(level)
        faiss.omp_set_num_threads(threads)


def _library() -> ModuleType:
    try:
        with same_threads():  # numba loads its threads as the compiled loops are read
            import pacmap as library
    except ModuleNotFoundError:
        raise InputError("method 'pacmap' needs pacmap; install it with `pip install 'glassnet[pacmap]'`.") from None
    return library
