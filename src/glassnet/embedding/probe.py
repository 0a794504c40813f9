"""The linear probe: how well a linear classifier reads the classes from a layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64, Int64, Integer, Real
from scipy.linalg import cholesky, solve_triangular

from glassnet.embedding.checks import check_seed, checked_labels, checked_rows
from glassnet.embedding.gram import gram, standardised
from glassnet.embedding.logistic import logistic_regression
from glassnet.embedding.split import held_out
from glassnet.errors import InputError
from glassnet.stats import wilson_interval

REGULARISATIONS = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
# Up to so many columns, turning them to their principal directions saves more steps of the fit than it costs.
FEW_COLUMNS = 512
# Of the gradient, in the fit that is scored; those that choose l stop sooner.
FINAL_TOLERANCE = 1e-5
# Added to a Gram matrix, relative to its mean diagonal: rank is lost by centring, and Cholesky wants full rank.
JITTER = 1e-10


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """What a linear classifier reads from features, on rows that it has not seen."""

    accuracy: float
    """Share of the test rows whose class is read rightly."""
    interval: tuple[float, float]
    """95 % Wilson interval of the accuracy."""
    regularisation: float
    """The l that was chosen: the best accuracy on the validation rows, the largest of equals."""
    validation: Mapping[float, float]
    """Accuracy on the validation rows under each l."""
    probabilities: Float64[np.ndarray, "n classes"] = field(repr=False)
    """Of each class for each test row."""
    classes: Int64[np.ndarray, " classes"]
    """Class index that each column of the probabilities stands for: those seen in training."""


def linear_probe(
    features: Real[np.ndarray, "n d"],
    labels: Integer[np.ndarray, " n"],
    *,
    train: Integer[np.ndarray, " train"],
    test: Integer[np.ndarray, " test"],
    regularisations: Sequence[float] = REGULARISATIONS,
    validation_share: float = 0.2,
    seed: int = 0,
) -> Probe:
    """Fit multinomial logistic regression to standardised features, and score it once on the test rows.

    Minimises mean_i -log softmax(W x_i + b)[y_i] + l/2 ||W||² over W and b. The l is chosen on a part of the training
    rows, then all of them are fitted with it. Columns are scaled by the training rows' mean and standard deviation.

    Alain & Bengio 2016, https://arxiv.org/abs/1610.01644.

    Args:
        features: A row for each image.
        labels: Class index of each row, from 0.
        train: Rows to fit, among them those that choose l.
        test: Rows to score, none of them in `train`.
        regularisations: The values of l to choose from.
        validation_share: Share of each class's training rows that choose l.
        seed: Seed of the draw of these.

    Raises:
        InputError: The features are no finite (n, d), the labels no class index a row, the training rows have one
            class only, `train` and `test` share a row or leave (0, n), or an option is out of range.
    """
    rows = checked_rows(features)
    classes = checked_labels(labels, points=len(rows))
    check_seed(seed)
    _check_parts(train, test, len(rows))
    _check_grid(regularisations)
    if len(np.unique(classes[train])) < 2:
        raise InputError("the training rows are all of one class, expected at least two classes to tell apart.")
    fitted, seen = coordinates(rows, train=train, test=test)
    known, truth = classes[train], classes[test]
    kept, out = held_out(known, share=validation_share, seed=seed)
    validation, models, model = {}, {}, None
    for strength in sorted(regularisations, reverse=True):  # each starts where the stronger one ended
        model = logistic_regression(fitted[kept], known[kept], regularisation=strength, start=model)
        models[strength] = model
        validation[strength] = float((model.predict(fitted[out]) == known[out]).mean())
    best = max(validation, key=lambda strength: (validation[strength], strength))
    final = logistic_regression(fitted, known, regularisation=best, start=models[best], tolerance=FINAL_TOLERANCE)
    right = int((final.predict(seen) == truth).sum())
    return Probe(
        accuracy=right / len(truth),
        interval=wilson_interval(right, len(truth)),
        regularisation=best,
        validation=MappingProxyType(validation),
        probabilities=np.exp(final.log_probabilities(seen)),
        classes=final.classes,
    )


def coordinates(
    rows: Float64[np.ndarray, "n d"], *, train: Integer[np.ndarray, " train"], test: Integer[np.ndarray, " test"]
) -> tuple[Float64[np.ndarray, "train e"], Float64[np.ndarray, "test e"]]:
    """Give standardised rows in at most as many columns as there are training rows.

    With more columns than training rows, ||W||² is least where W lies in the training rows' span, and so does the
    minimiser. In the orthonormal basis Q = X^T L^-T of that span, where K = X X^T = L L^T, the training rows are L and
    test rows X_t Q = K_t L^-T: the same inner products, so the same predictions.
    """
    used = np.concatenate([train, test])
    split = len(train)
    blocks = standardised(rows[used], np.arange(split))
    if rows.shape[1] <= split:
        whole = np.concatenate(list(blocks), axis=1)
        if whole.shape[1] <= FEW_COLUMNS:
            whole = whole @ np.linalg.eigh(whole[:split].T @ whole[:split])[1]
        return whole[:split], whole[split:]
    products = gram(blocks, len(used), split)
    inner = products[:split]
    inner[np.diag_indices(split)] += JITTER * max(inner.trace() / split, 1)
    lower = cholesky(inner, lower=True)
    return lower, solve_triangular(lower, products[split:].T, lower=True).T


def _check_parts(train: Integer[np.ndarray, " train"], test: Integer[np.ndarray, " test"], n: int) -> None:
    for name, part in (("train", train), ("test", test)):
        if np.ndim(part) != 1 or not np.size(part) or np.asarray(part).dtype.kind not in "iu":
            raise InputError(f"{name} has shape {np.shape(part)}, expected row indices, at least one.")
        if np.min(part) < 0 or np.max(part) >= n:
            raise InputError(f"{name} has rows {np.min(part)} to {np.max(part)}, expected 0 to {n - 1}.")
    shared = np.intersect1d(train, test)
    if len(shared):
        raise InputError(f"row {shared[0]} is in train and in test, expected no row in both.")


def _check_grid(regularisations: Sequence[float]) -> None:
    if not regularisations or not all(np.isfinite(value) and value > 0 for value in regularisations):
        raise InputError(f"regularisations are {tuple(regularisations)}, expected at least one, all above 0.")
