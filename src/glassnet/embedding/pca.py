"""PCA: the directions in which features vary most.

Any number of rows is read once to fit and once to project, a chunk at a time.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Float64, Real
from sklearn.decomposition import PCA

from glassnet.embedding.checks import check_range, check_seed, check_varied, finite_rows, row_chunks
from glassnet.embedding.distances import unit_rows
from glassnet.embedding.result import Embedding, Options, Rows
from glassnet.errors import InputError

CHUNKED_FROM_NUMBERS = 2**24
"""Larger features are read in chunks; these are 128 MB as float64."""
CHUNKED_COLUMNS = 4096
"""So wide a covariance takes 128 MB and less than a minute; wider features have to fit in memory."""

DOUBTFUL = 1e-8
"""Of the largest variance: below this, one found from a covariance may be rounding."""

LEAST_RANGE, MOST_RANGE = 1e-30, 1e30
"""Points are float32, which hold 1e-38 to 3e38."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Principal:
    """The principal components of rows."""

    mean: Float64[np.ndarray, " d"]
    """Mean of the rows."""
    axes: Float64[np.ndarray, "e d"]
    """Unit vectors along which the rows vary most, the first one most; the entry of largest magnitude is positive."""
    ratio: Float64[np.ndarray, " e"]
    """Share of the rows' variance along each axis, 0 to 1."""

    def transform(self, rows: Real[np.ndarray, "m d"]) -> Float32[np.ndarray, "m e"]:
        """Project rows on the axes.

        Raises:
            InputError: The rows lie so far from those fitted that their points are no numbers.
        """
        return self._fill(np.empty((len(rows), len(self.axes)), dtype=np.float32), rows)

    def project(self, rows: Real[np.ndarray, "m d"]) -> Float64[np.ndarray, "m e"]:
        """Do the same in double precision, for what comes after to compute with."""
        return self._fill(np.empty((len(rows), len(self.axes))), rows)

    def _fill(self, points: Float[np.ndarray, "m e"], rows: Real[np.ndarray, "m d"]) -> Float[np.ndarray, "m e"]:
        with np.errstate(over="ignore", invalid="ignore"):  # reported below, in words
            for start, chunk in row_chunks(rows):
                points[start : start + len(chunk)] = (chunk.astype(np.float64, copy=False) - self.mean) @ self.axes.T
        bad = ~np.isfinite(points).all(axis=1)
        if bad.any():
            raise InputError(
                f"{bad.sum()} of {len(rows)} rows, the first of them row {bad.argmax()}, are too far from the fitted "
                "features to be projected; rescale these rows or leave them out."
            )
        return points

    def inverse_transform(self, points: Real[np.ndarray, "m e"]) -> Float32[np.ndarray, "m d"]:
        """Give the rows that points stand for."""
        rows = np.empty((len(points), len(self.mean)), dtype=np.float32)
        for start, chunk in row_chunks(points):
            rows[start : start + len(chunk)] = chunk.astype(np.float64) @ self.axes + self.mean
        return rows


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
            f"dims is {options.dims}, expected 1 to {limit}, because PCA of {rows.shape[0]} rows with "
            f"{rows.shape[1]} columns has no more components."
        )
    solver = "chunked_covariance" if in_chunks(*rows.shape) else _solver(*rows.shape, components=options.dims)
    model = fit_rows(rows, components=options.dims, seed=options.seed)
    return Embedding(
        points=model.transform(rows),
        method="pca",
        settings={"dims": options.dims, "solver": solver},
        columns=rows.shape[1],
        explained_variance=model.ratio,
        place=model.transform,
        restore=model.inverse_transform,
    )


def in_chunks(n: int, d: int) -> bool:
    """Whether so many rows are read in chunks, and never copied whole."""
    return n * d > CHUNKED_FROM_NUMBERS and d <= CHUNKED_COLUMNS


def fit_rows(rows: Real[np.ndarray, "n d"], *, components: int, seed: int) -> Principal:
    """Fit rows of any type and number, also a memory map: in chunks where they are many, else a copy in float64."""
    if in_chunks(*rows.shape):
        return fit_chunked(rows, components=components)
    return fit_pca(rows.astype(np.float64), components=components, seed=seed)


def fit_pca(rows: Float64[np.ndarray, "n d"], *, components: int, seed: int) -> Principal:
    """Fit with the fastest of the solvers that are exact: the covariance's eigenvectors, or one of scikit-learn's."""
    solver = _solver(*rows.shape, components=components)
    if solver == "covariance_eigh":
        # scikit-learn's own of that name takes X'X - n mean mean', which far from zero loses all digits.
        return fit_chunked(rows, components=components)
    # The seed draws only where arpack starts, so it moves no more than the last digits.
    # Scaled, since arpack stops at absolute bounds; neither axes nor ratios change with the unit.
    moved = unit_rows(rows.copy())
    model = PCA(components, svd_solver=solver, random_state=seed).fit(moved)
    if solver == "arpack" and model.explained_variance_[-1] < DOUBTFUL * model.explained_variance_[0]:
        model = PCA(components, svd_solver="full").fit(moved)
    return Principal(mean=rows.mean(axis=0), axes=model.components_, ratio=model.explained_variance_ratio_)


def _solver(n: int, d: int, *, components: int) -> Literal["covariance_eigh", "arpack", "full"]:
    # "auto" would take the randomized solver for wide features, which only comes near the principal components.
    if d <= 1000 and n >= d:
        return "covariance_eigh"
    return "arpack" if 10 * components <= min(n, d) else "full"


def fit_chunked(rows: Real[np.ndarray, "n d"], *, components: int) -> Principal:
    """Find principal components as the eigenvectors of the covariance, exact but for the rounding of float64.

    A chunk of m rows with mean b and scatter B = sum (x - b)(x - b)' joins the n rows before it, of mean a and
    scatter A, as A + B + (b - a)(b - a)' n m / (n + m): every sum is of centred numbers, so nothing cancels.

    Chan, Golub & LeVeque 1983, https://doi.org/10.1080/00031305.1983.10483115, equations 1.5.

    Args:
        rows: Finite numbers, also as a memory map; at work are one chunk of them and two matrices (d, d).
        components: How many axes to keep.
    """
    mean, scatter = _mean_and_scatter(rows)
    values, vectors = np.linalg.eigh(scatter)  # ascending
    largest = slice(None, -components - 1, -1)
    if values[largest][-1] < DOUBTFUL * values[-1]:
        # Squares of so small a deviation drown in the rounding of those of the largest: it is found without squares.
        singular, right = _singular(rows, mean)
        values, vectors = singular[::-1] ** 2, right[::-1].T
    axes = vectors[:, largest].T
    signs = np.sign(axes[np.arange(components), np.abs(axes).argmax(axis=1)])
    # Rounding may leave an eigenvalue of a direction without variance just below zero.
    ratio = np.maximum(values[largest], 0) / np.trace(scatter)
    return Principal(mean=mean, axes=np.ascontiguousarray(axes * signs[:, None]), ratio=ratio)


def _singular(
    rows: Real[np.ndarray, "n d"], mean: Float64[np.ndarray, " d"]
) -> tuple[Float64[np.ndarray, " d"], Float64[np.ndarray, "d d"]]:
    """Singular values and right vectors of the rows less their mean: those of R, where Q R are these rows.

    R of some rows and then of R with further rows is R of them all (Golub & Van Loan 2013, Matrix Computations,
    section 5.2).
    """
    triangle = np.zeros((0, rows.shape[1]))
    for _, chunk in row_chunks(rows):
        triangle = np.asarray(np.linalg.qr(np.vstack([triangle, chunk - mean]), mode="r"))
    # So many rows at least as columns, that there are as many right vectors.
    padding = np.zeros((rows.shape[1] - len(triangle), rows.shape[1]))
    _, singular, right = np.linalg.svd(np.vstack([triangle, padding]))
    return singular, right


def _mean_and_scatter(rows: Real[np.ndarray, "n d"]) -> tuple[Float64[np.ndarray, " d"], Float64[np.ndarray, "d d"]]:
    columns = rows.shape[1]
    mean, scatter = np.zeros(columns), np.zeros((columns, columns))
    for before, chunk in row_chunks(rows):
        numbers = chunk.astype(np.float64, copy=False)
        own = numbers.mean(axis=0)
        part = numbers - own
        apart = own - mean
        scatter += part.T @ part
        total = before + len(part)
        scatter += np.outer(apart, apart * (before * len(part) / total))
        mean += apart * (len(part) / total)
    return mean, scatter
