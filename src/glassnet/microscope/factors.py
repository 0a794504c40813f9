"""Non-negative factors of a layer's activations: A ≈ U W, with a bank of concepts W and coefficients U."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float, Float64

from glassnet.errors import InputError

FIT_STEPS = 500
COEFFICIENT_STEPS = 2000
CHUNK_ROWS = 20_000


def fit_bank(
    rows: Float[np.ndarray, "n channel"], concepts: int, *, seed: int, most_rows: int
) -> Float64[np.ndarray, "concept channel"]:
    """Factor activations into non-negative U and W, least squares; return W, each concept of length 1.

    By scikit-learn's coordinate descent (Cichocki & Phan 2009, https://doi.org/10.1587/transfun.E92.A.708) from an
    NNDSVD start. Rows of zeros say nothing and are left out; of the others `most_rows` are drawn.

    Args:
        rows: Activations, a position a row, none negative.
        concepts: Their number k.
        seed: Of the rows drawn, and of the start.
        most_rows: Rows that the bank is fitted to.

    Raises:
        InputError: There are fewer rows or channels than concepts.
    """
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    alive = np.flatnonzero(rows.any(axis=1))
    most = min(len(alive), rows.shape[1])
    if not 1 <= concepts <= most:
        raise InputError(
            f"k is {concepts}, expected 1 to {most} concepts: the layer has {rows.shape[1]} channels and "
            f"{len(alive)} active positions in these images."
        )
    if len(alive) > most_rows:
        alive = np.sort(np.random.default_rng(seed).choice(alive, most_rows, replace=False))
    factors = NMF(concepts, init="nndsvda", solver="cd", tol=1e-5, max_iter=FIT_STEPS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the error is measured afterwards
        factors.fit(rows[alive].astype(np.float64))
    bank = factors.components_
    length = np.linalg.norm(bank, axis=1, keepdims=True)
    return bank / np.where(length > 0, length, 1)


def coefficients(
    rows: Float[np.ndarray, "n channel"], bank: Float64[np.ndarray, "concept channel"]
) -> Float64[np.ndarray, "n concept"]:
    """Return the U >= 0 for which U W is nearest to the rows, by coordinate descent on the normal equations.

    u_k <- max(0, u_k - (u G - b)_k / G_kk), with G = W Wᵀ and b = x Wᵀ, until no coefficient moves by more than 1e-7 of
    the largest.
    """
    gram, found = bank @ bank.T, np.zeros((len(rows), len(bank)))
    live = np.flatnonzero(np.diag(gram) > 0)
    for start in range(0, len(rows), CHUNK_ROWS):
        target = rows[start : start + CHUNK_ROWS].astype(np.float64) @ bank.T
        values = np.zeros_like(target)
        for _ in range(COEFFICIENT_STEPS):
            moved = 0.0
            for k in live:
                new = np.maximum(0, values[:, k] - (values @ gram[:, k] - target[:, k]) / gram[k, k])
                moved = max(moved, float(np.abs(new - values[:, k]).max(initial=0)))
                values[:, k] = new
            if moved <= 1e-7 * values.max(initial=0):
                break
        found[start : start + CHUNK_ROWS] = values
    return found
