"""Total Sobol indices: how much of a function's variance is lost with each of its inputs, interactions included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64


@dataclass(frozen=True, eq=False)
class Design:
    """Points of the unit cube at which a function of k inputs is asked for.

    Attributes:
        first: A (n, k).
        second: B (n, k), of as many other points.
    """

    first: Float64[np.ndarray, "n k"]
    second: Float64[np.ndarray, "n k"]

    @property
    def points(self) -> Float64[np.ndarray, "m k"]:
        """All n (k + 2) points: A, B, and for each input A with B's column of that input."""
        mixed = np.repeat(self.first[None], self.first.shape[1], axis=0)
        for number in range(len(mixed)):
            mixed[number, :, number] = self.second[:, number]
        return np.concatenate([self.first, self.second, mixed.reshape(-1, self.first.shape[1])])

    def total_indices(self, values: Float64[np.ndarray, "m ..."]) -> Float64[np.ndarray, "k ..."]:
        """Return the total index of each input from the function's values at `points`.

        S_i = 1/(2n) sum_j (f(A)_j - f(A_B^i)_j)² / Var f, with the variance over A and B. NaN where that is 0.

        Jansen 1999, https://doi.org/10.1016/S0010-4655(98)00154-4; Saltelli et al. 2010,
        https://doi.org/10.1016/j.cpc.2009.09.018, table 2 (f).
        """
        n, k = self.first.shape
        base = values[: 2 * n]
        mixed = values[2 * n :].reshape(k, n, *values.shape[1:])
        variance = base.var(axis=0)
        # Rounding of a constant is no variance.
        constant = variance <= (1e-6 * np.abs(base).max(axis=0)) ** 2
        halves = np.square(base[:n] - mixed).mean(axis=1) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(constant, np.nan, halves / variance)


def make_design(inputs: int, points: int, seed: int | Sequence[int]) -> Design:
    """Draw a design: a scrambled Sobol sequence of 2k dimensions, whose every point is uniform in the unit cube.

    Designs of different seeds are independent, so that the spread of what they give shows how far off each is.

    Sobol 1967, https://doi.org/10.1016/0041-5553(67)90144-9; the scrambling is of Matoušek 1998,
    https://doi.org/10.1006/jcom.1998.0489.

    Args:
        inputs: k.
        points: n, a power of two.
        seed: Of the scrambling.
    """
    from scipy.stats.qmc import Sobol  # half a second to import

    drawn = Sobol(2 * inputs, scramble=True, seed=np.random.default_rng(seed)).random_base2(points.bit_length() - 1)
    return Design(drawn[:, :inputs], drawn[:, inputs:])
