"""UMAP: points whose fuzzy neighbour graph is the features'; needs the extra `umap`."""

import contextlib
import warnings
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import torch
from jaxtyping import Float

from glassnet.embedding.checks import check_seed, check_varied, checked_rows
from glassnet.embedding.result import Embedding, Options, Rows
from glassnet.embedding.single_precision import mover, say_lost_digits
from glassnet.errors import InputError


@contextlib.contextmanager
def same_threads() -> Iterator[None]:
    """Leave torch as many threads as it had: numba's parallel loops make them one a core for all that runs later."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def umap(features: Rows, options: Options) -> Embedding:
    """Place points by umap-learn, on one thread, since only so equal seeds give equal points.

    Minimises the cross-entropy between two fuzzy graphs, of the features' nearest neighbours and of the points.

    McInnes, Healy & Melville 2018, https://arxiv.org/abs/1802.03426.

    Raises:
        InputError: umap-learn is not installed; the features are no finite (n, d) or all the same; `neighbours` is not
            in 2 … n - 1, `dims` not in 1 … n - 3, or `min_distance` not in 0 … 1.
    """
    library = _library()
    rows = checked_rows(features)
    check_varied(rows)
    check_seed(options.seed)
    near_zero = mover(rows, "UMAP")
    rows = near_zero(rows)
    say_lost_digits(rows, "UMAP")
    _check(options, len(rows))
    model = library.UMAP(
        n_components=options.dims,
        n_neighbors=options.neighbours,
        min_dist=options.min_distance,
        random_state=options.seed,
        transform_seed=options.seed,
        n_jobs=1,
    )
    with same_threads(), warnings.catch_warnings():
        # Both concern only where UMAP starts: at random, by the same seed, where equal rows leave the eigenvectors
        # undetermined, and apart from each other where groups of rows have no neighbours in common.
        warnings.filterwarnings("ignore", message="Spectral initialisation failed", category=UserWarning)
        warnings.filterwarnings("ignore", message="Graph is not fully connected", category=UserWarning)
        points = model.fit_transform(rows)

    def place(new: Rows) -> Float[np.ndarray, "m dims"]:
        with same_threads():
            return model.transform(near_zero(new.astype(np.float64)))

    return Embedding(
        points=np.ascontiguousarray(points, dtype=np.float32),
        method="umap",
        settings={
            "dims": options.dims,
            "neighbours": options.neighbours,
            "min_distance": options.min_distance,
            "seed": options.seed,
        },
        columns=rows.shape[1],
        place=place,
    )


def _library() -> ModuleType:
    try:
        with warnings.catch_warnings():
            # umap warns on import that its network variant, unused here, lacks TensorFlow.
            warnings.filterwarnings("ignore", message="Tensorflow not installed", category=ImportWarning)
            import umap as library
    except ModuleNotFoundError:
        raise InputError("method 'umap' needs umap-learn; install it with `pip install 'glassnet[umap]'`.") from None
    return library


def _check(options: Options, n: int) -> None:
    if not 2 <= options.neighbours < n:
        raise InputError(
            f"neighbours is {options.neighbours}, expected 2 to {n - 1} for {n} points; lower it or use more images."
        )
    if not 1 <= options.dims <= n - 3:
        raise InputError(f"dims is {options.dims}, expected 1 to {n - 3} for {n} points.")
    if not 0 <= options.min_distance <= 1:
        raise InputError(f"min_distance is {options.min_distance:g}, expected 0 to 1.")
