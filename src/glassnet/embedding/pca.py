"""PCA: the directions in which features vary most."""

from typing import Literal

import numpy as np
from jaxtyping import Float64
from sklearn.decomposition import PCA

from glassnet.embedding.checks import check_range, check_seed, check_varied, finite_rows
from glassnet.embedding.chunked_pca import Principal, fit_chunked
from glassnet.embedding.distances import unit_rows
from glassnet.embedding.result import Embedding, Options, Rows
from glassnet.errors import InputError

CHUNKED_FROM_NUMBERS = 2**24
"""Larger features are read in chunks; these are 128 MB as float64."""
CHUNKED_COLUMNS = 4096
"""So wide a covariance takes 128 MB and less than a minute; wider features have to fit in memory."""

LEAST_RANGE, MOST_RANGE = 1e-30, 1e30
"""Points are float32, which hold 1e-38 to 3e38."""


def pca(features: Rows, options: Options) -> Embedding:
    """Project centred features on their first principal components.

    Y = (X - mean) W, with W the right singular vectors of X - mean of the largest singular values; the entry of
    largest magnitude in each is positive, which settles the sign. Features of more than 2²⁴ numbers and at most 4,096
    columns are read in chunks, also from a memory map, and never copied whole.

    Pearson 1901, https://doi.org/10.1080/14786440109462720.

    Raises:
        InputError: The features are no finite (n, d), all the same, or too large or too small for float32
            points, or `dims` is not in 1 … min(n, d).
    """
    rows = finite_rows(features)
    check_varied(rows)
    check_range(rows, least=LEAST_RANGE, most=MOST_RANGE)
    check_seed(options.seed)
    limit = min(rows.shape)
    if not 1 <= options.dims <= limit:
        raise InputError(
            f"dims is {options.dims}, expected 1 to {limit}: "
            f"PCA of {rows.shape[0]} rows with {rows.shape[1]} columns has no more components."
        )
    if rows.size > CHUNKED_FROM_NUMBERS and rows.shape[1] <= CHUNKED_COLUMNS:
        model, solver = fit_chunked(rows, components=options.dims), "chunked_covariance"
    else:
        solver = _solver(*rows.shape, components=options.dims)
        model = fit_pca(rows.astype(np.float64), components=options.dims, seed=options.seed)
    return Embedding(
        points=model.transform(rows),
        method="pca",
        settings={"dims": options.dims, "solver": solver},
        columns=rows.shape[1],
        explained_variance=model.ratio,
        place=model.transform,
        restore=model.inverse_transform,
    )


def fit_pca(rows: Float64[np.ndarray, "n d"], *, components: int, seed: int) -> Principal:
    """Fit with the fastest of the solvers that are exact: the covariance's eigenvectors, or one of scikit-learn's."""
    solver = _solver(*rows.shape, components=components)
    if solver == "covariance_eigh":
        # scikit-learn's own of that name takes X'X - n mean mean', which far from zero loses all digits.
        return fit_chunked(rows, components=components)
    # The seed draws only where arpack starts, so it moves no more than the last digits.
    # Scaled, since arpack stops at absolute bounds; neither axes nor ratios change with the unit.
    model = PCA(components, svd_solver=solver, random_state=seed).fit(unit_rows(rows.copy()))
    return Principal(mean=rows.mean(axis=0), axes=model.components_, ratio=model.explained_variance_ratio_)


def _solver(n: int, d: int, *, components: int) -> Literal["covariance_eigh", "arpack", "full"]:
    # "auto" would take the randomized solver for wide features, which only comes near the principal components.
    if d <= 1000 and n >= d:
        return "covariance_eigh"
    return "arpack" if 10 * components <= min(n, d) else "full"
