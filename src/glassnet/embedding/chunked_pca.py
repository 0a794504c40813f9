"""PCA of any number of rows, read once to fit and once to project, a chunk at a time."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Real

from glassnet.embedding.chunks import row_chunks
from glassnet.errors import InputError


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
        with np.errstate(over="ignore", invalid="ignore"):  # it is told below, in words
            for start, chunk in row_chunks(rows):
                points[start : start + len(chunk)] = (chunk.astype(np.float64, copy=False) - self.mean) @ self.axes.T
        bad = ~np.isfinite(points).all(axis=1)
        if bad.any():
            raise InputError(
                f"features lie too far from those fitted in {bad.sum()} of {len(rows)} rows, first in row "
                f"{bad.argmax()}, expected points that are numbers; rescale these rows or leave them out."
            )
        return points

    def inverse_transform(self, points: Real[np.ndarray, "m e"]) -> Float32[np.ndarray, "m d"]:
        """Give the rows that points stand for."""
        rows = np.empty((len(points), len(self.mean)), dtype=np.float32)
        for start, chunk in row_chunks(points):
            rows[start : start + len(chunk)] = chunk.astype(np.float64) @ self.axes + self.mean
        return rows


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
    axes = vectors[:, largest].T
    signs = np.sign(axes[np.arange(components), np.abs(axes).argmax(axis=1)])
    # Rounding may leave an eigenvalue of a direction without variance just below zero.
    ratio = np.maximum(values[largest], 0) / np.trace(scatter)
    return Principal(mean=mean, axes=np.ascontiguousarray(axes * signs[:, None]), ratio=ratio)


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
