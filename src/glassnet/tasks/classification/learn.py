"""Classification: one class per image, learned by cross-entropy, measured by accuracy and its kin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from glassnet.errors import InputError
from glassnet.measures import show, with_interval
from glassnet.settings import TrainSettings
from glassnet.settings.train import Names, Recipe
from glassnet.stats import wilson_interval
from glassnet.tasks.base import Measures, Objective, Recorder, Records, Task
from glassnet.tasks.classification.result import Classification, ClassRow

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
            f"got {targets.size} targets and {predicted.size} predictions, expected the same number of both."
        )
    for kind, indices in (("target", targets), ("predicted", predicted)):
        outside = indices[(indices < 0) | (indices >= classes)]
        if outside.size:
            raise InputError(f"{kind} class {outside[0]} is out of range, expected 0 to {classes - 1}.")
    cells = targets.astype(np.int64) * classes + predicted
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


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
            f"row {row} of the probabilities is not a distribution (sum {sums[row]:.4g}, minimum "
            f"{probabilities[row].min():.4g}), expected values of at least 0 that sum to 1; apply softmax to logits "
            "first."
        )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


Logits = Float[Tensor, "n classes"]
Targets = Int64[Tensor, " n"]


def loss(logits: Logits, targets: Targets, label_smoothing: float = 0.0) -> Float[Tensor, ""]:
    """Cross-entropy in nats, averaged over the images: -log softmax(logits)[target]."""
    return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)


def measure(logits: Logits, targets: Targets) -> dict[str, float]:
    """Mean cross-entropy in nats, its standard error, and the share of images whose largest logit is the target's."""
    losses = F.cross_entropy(logits.double(), targets, reduction="none")
    accuracy = (logits.argmax(dim=1) == targets).double().mean()
    error = losses.std(correction=0) / len(losses) ** 0.5
    return {"loss": losses.mean().item(), "loss_error": error.item(), "accuracy": accuracy.item()}


def should_checkpoint(measures: Mapping[str, float], lowest: Mapping[str, float]) -> bool:
    """Keep the later epoch unless its loss is above the lowest so far by more than one standard error.

    The learning rate falls to nothing at the end, so that among epochs which a held-out part of this size cannot tell
    apart the last is the best bet. It is the loss that is compared, since every image moves it, while accuracy moves by
    the few that change sides.

    The rule of one standard error is that of Breiman et al. 1984, Classification and Regression Trees, section 3.4.3.
    """
    return measures["loss"] <= lowest["loss"] + lowest["loss_error"]


def evaluate(logits: Logits, targets: Targets, classes: Sequence[str]) -> Classification:
    """All that the report shows of a classifier: rows of the confusion matrix are true classes."""
    probabilities = logits.double().softmax(dim=1).numpy()
    truth, predicted = targets.numpy(), logits.argmax(dim=1).numpy()
    confusion = confusion_matrix(truth, predicted, classes=len(classes))
    scores = per_class(confusion)
    return Classification(
        images=len(truth),
        **measure(logits, targets),
        accuracy_interval=wilson_interval(int(confusion.trace()), len(truth)),
        calibration_error=expected_calibration_error(probabilities, truth),
        per_class=tuple(
            ClassRow(name, int(images), score.precision, score.recall, score.f1)
            for name, images, score in zip(classes, confusion.sum(axis=1), scores, strict=True)
        ),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        probabilities=logits.softmax(dim=1).numpy(),
        targets=truth,
    )


def _objective(settings: TrainSettings, _targets: Iterable[Tensor], _classes: int) -> Objective:
    def of_batch(logits: Logits, targets: Targets, _progress: float) -> tuple[Tensor, Mapping[str, Tensor]]:
        accuracy = (logits.detach().argmax(dim=1) == targets).double().mean()
        return loss(logits, targets, settings.label_smoothing), {"accuracy": accuracy}

    return of_batch


def _test_stats(_settings: TrainSettings, _classes: int) -> Recorder:
    return lambda logits, targets, _normal: {"logits": logits, "targets": targets}


def _measure(records: Records) -> Measures:
    return measure(records["logits"], records["targets"])


def _is_best(measures: Mapping[str, float], lowest: Mapping[str, float]) -> bool:
    return measures["loss"] < lowest["loss"]


def _evaluate(records: Records, classes: Sequence[str]) -> Classification:
    return evaluate(records["logits"], records["targets"], classes)


def _summary_line(metrics: Mapping[str, Any]) -> str:
    accuracy = with_interval("accuracy", metrics["test_accuracy"], metrics["test_accuracy_interval"])
    return f"test accuracy {accuracy}, test loss {show('loss', metrics['test_loss'])}"


TASK = Task(
    name="classification",
    options=("label_smoothing", "teachers", "teacher_weight", "temperature"),
    objective=_objective,
    test_stats=_test_stats,
    val_stats=_test_stats,
    measure=_measure,
    is_best=_is_best,
    should_checkpoint=should_checkpoint,
    checkpoint_rule="the last epoch whose validation loss is within one standard error of the lowest",
    result=Classification,
    evaluate=_evaluate,
    saved_metrics=("loss", "accuracy", "accuracy_interval"),
    required_metrics=("accuracy", "accuracy_interval"),
    summary_line=_summary_line,
    defaults=Names(data="mnist-sample", model="convnet"),
    recipe=Recipe(epochs=8, batch_size=128, learning_rate=0.01, weight_averaging=0.995),
    judged_by_accuracy=True,
)
