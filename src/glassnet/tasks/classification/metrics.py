"""How good a classifier is: pure functions of counts and probabilities."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, Integer

from glassnet.errors import InputError

Indices = Integer[np.ndarray, " n"]
Confusion = Int64[np.ndarray, "classes classes"]


@dataclass(frozen=True)
class ClassScore:
    """How well one class is found; None where the ratio is 0/0 and so says nothing."""

    precision: float | None
    """TP / (TP + FP); None if the class was never predicted."""
    recall: float | None
    """TP / (TP + FN); None if no image is of the class."""
    f1: float | None
    """2 TP / (2 TP + FP + FN); None if the class was neither present nor predicted."""


def confusion_matrix(targets: Indices, predicted: Indices, *, classes: int) -> Confusion:
    """Count the images of each true class (row) by the class predicted (column).

    Raises:
        InputError: The two differ in length, or a class index is not in 0 … classes - 1.
    """
    if targets.shape != predicted.shape:
        raise InputError(
            f"got {targets.size} targets and {predicted.size} predictions, expected as many of one as of the other."
        )
    for kind, indices in (("target", targets), ("predicted", predicted)):
        outside = indices[(indices < 0) | (indices >= classes)]
        if outside.size:
            raise InputError(f"{kind} class {outside[0]} is out of range, expected 0 to {classes - 1}.")
    cells = targets.astype(np.int64) * classes + predicted
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def accuracy(confusion: Confusion) -> float:
    """Share of the images on the diagonal of a confusion matrix.

    Raises:
        InputError: The matrix counts no image.
    """
    total = int(confusion.sum())
    if total == 0:
        raise InputError("the confusion matrix is empty, expected at least one image.")
    return int(confusion.trace()) / total


def per_class(confusion: Confusion) -> tuple[ClassScore, ...]:
    """Precision, recall and F1 of each class, in the order of the confusion matrix's rows."""
    hits, present, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    return tuple(
        ClassScore(_ratio(hit, of), _ratio(hit, there), _ratio(2 * hit, there + of))
        for hit, there, of in zip(hits.tolist(), present.tolist(), predicted.tolist(), strict=True)
    )


def expected_calibration_error(
    probabilities: Float[np.ndarray, "n classes"], targets: Indices, *, bins: int = 15
) -> float:
    """Mean gap between a classifier's confidence and its accuracy, 0 to 1.

    ECE = sum_b |B_b|/n |acc(B_b) - conf(B_b)|, over `bins` intervals ((b - 1)/bins, b/bins] of the largest probability;
    where two classes share it, the first counts as the prediction.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3.

    Raises:
        InputError: The shapes do not fit, there is no image, `bins` is below 1, or a row is no distribution.
    """
    _check_probabilities(probabilities, targets, bins)
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == targets
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    # |B| |acc - conf| is the absolute sum of (correct - confidence) over the bin.
    gaps = np.bincount(bin_of, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(targets))


def _check_probabilities(probabilities: Float[np.ndarray, "n classes"], targets: Indices, bins: int) -> None:
    if bins < 1:
        raise InputError(f"bins is {bins}, expected at least 1.")
    if probabilities.ndim != 2 or targets.shape != probabilities.shape[:1] or not targets.size:
        raise InputError(
            f"got probabilities of shape {probabilities.shape} and targets of shape {targets.shape}, "
            "expected (n, classes) and (n,) with n at least 1."
        )
    sums = probabilities.sum(axis=1, dtype=np.float64)
    # 1e-3 leaves room for a half-precision softmax and none for logits or percentages.
    wrong = ~(np.abs(sums - 1) <= 1e-3) | (probabilities < 0).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"probabilities of row {row} are no distribution (they sum to {sums[row]:.4g}, the least is "
            f"{probabilities[row].min():.4g}), expected values from 0 that sum to 1; apply softmax to logits first."
        )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
