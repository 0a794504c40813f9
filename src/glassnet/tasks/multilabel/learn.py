"""Several labels an image: a yes or no for each, learned by binary cross-entropy, measured by average precision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Integer, UInt8
from torch import Tensor

from glassnet.measures import show, with_interval
from glassnet.settings import TrainSettings
from glassnet.settings.train import Names, Recipe
from glassnet.stats import Interval, percentile_interval, wilson_interval
from glassnet.tasks.base import Measures, Objective, Recorder, Task
from glassnet.tasks.multilabel.result import LabelRow, MultiLabel

Logits = Float[Tensor, "n labels"]
Targets = UInt8[Tensor, "n labels"]
BOOTSTRAP_SEED, DRAWS = 0, 1000
_CHUNK = 1 << 21
"""Counts that a part of the bootstrap holds in memory."""


def loss(logits: Logits, targets: Targets, label_smoothing: float = 0.0) -> Float[Tensor, ""]:
    """Binary cross-entropy in nats, averaged over labels and images: -y log σ(x) - (1 - y) log(1 - σ(x)).

    Smoothing by s moves each yes and no, y, to (1 - s) y + s/2.
    """
    wanted = (1 - label_smoothing) * targets.to(logits.dtype) + label_smoothing / 2
    return F.binary_cross_entropy_with_logits(logits, wanted)


def said(logits: Logits) -> Bool[Tensor, "n labels"]:
    """Tell of each label whether its probability is at least a half."""
    return logits.double().sigmoid().float() >= 0.5


def average_precision(
    scores: Float[np.ndarray, " n"],
    targets: Integer[np.ndarray, " n"],
    times: Integer[np.ndarray, "draws n"] | None = None,
) -> Float64[np.ndarray, " draws"]:
    """Average precision of one label, the area below its steps of precision over recall.

    AP = sum_k (R_k - R_{k-1}) P_k, where P_k and R_k are precision and recall of the images that score at least the
    k-th of the distinct scores, from the highest down. Nothing is interpolated.

    Manning, Raghavan and Schütze 2008, Introduction to Information Retrieval, section 8.4.

    Args:
        scores: The higher, the more probable is the label.
        targets: 1 where an image has the label, else 0.
        times: How often each image counts, in each of several draws; once if not given.

    Returns:
        A value a draw; NaN where no image has the label.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # equal scores come all at once
    weights = np.ones((1, len(order)), dtype=np.int64) if times is None else times[:, order]
    right = (weights * targets[order]).cumsum(axis=1)[:, ends]
    taken = weights.cumsum(axis=1)[:, ends]
    gained = np.diff(right, axis=1, prepend=0)
    area = (gained * (right / np.maximum(taken, 1))).sum(axis=1)
    whole = right[:, -1]
    return np.where(whole > 0, area / np.maximum(whole, 1), np.nan)


def average_precisions(
    scores: Float[np.ndarray, "n labels"],
    targets: Integer[np.ndarray, "n labels"],
    times: Integer[np.ndarray, "draws n"] | None = None,
) -> Float64[np.ndarray, "draws labels"]:
    """Average precision of every label; NaN where no image has it."""
    columns = (average_precision(scores[:, label], targets[:, label], times) for label in range(scores.shape[1]))
    return np.stack(list(columns), axis=1)


def mean_over_labels(values: Float64[np.ndarray, "draws labels"]) -> Float64[np.ndarray, " draws"]:
    """Mean over the labels that have a value; NaN where none has."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def bootstrap(
    scores: Float[np.ndarray, "n labels"], targets: Integer[np.ndarray, "n labels"], *, seed: int
) -> tuple[Interval | None, list[Interval | None]]:
    """Bound the mean average precision, and that of each label, at 95% over images drawn with replacement."""
    n, random = len(scores), np.random.default_rng(seed)
    step = max(1, _CHUNK // n)
    parts = [
        average_precisions(scores, targets, random.multinomial(n, np.full(n, 1 / n), size=min(step, DRAWS - start)))
        for start in range(0, DRAWS, step)
    ]
    drawn = np.concatenate(parts)
    return percentile_interval(mean_over_labels(drawn)), [percentile_interval(column) for column in drawn.T]


def measure(logits: Logits, targets: Targets) -> Measures:
    """Loss in nats a label with its standard error over images, mean average precision, and the share of wrong labels.

    Where no image has any label the mean average precision is 0, for there must be one after each epoch.
    """
    losses = F.binary_cross_entropy_with_logits(logits.double(), targets.double(), reduction="none").mean(dim=1)
    precision = float(mean_over_labels(average_precisions(logits.double().numpy(), targets.numpy()))[0])
    return {
        "loss": losses.mean().item(),
        "loss_error": (losses.std(correction=0) / len(losses) ** 0.5).item(),
        "mean_average_precision": 0.0 if np.isnan(precision) else precision,
        "hamming_loss": (said(logits) != (targets == 1)).double().mean().item(),
    }


def should_checkpoint(measures: Mapping[str, float], lowest: Mapping[str, float]) -> bool:
    """Keep the later epoch unless its loss is above the lowest so far by more than one standard error.

    As in a classification: every image moves the loss, the average precision only where two change places.
    """
    return measures["loss"] <= lowest["loss"] + lowest["loss_error"]


def evaluate(logits: Logits, targets: Targets, classes: Sequence[str]) -> MultiLabel:
    """All that the report shows of a classifier with several labels an image."""
    scores, truth = logits.double().numpy(), targets.numpy()
    precision = average_precisions(scores, truth)
    mean_bounds, bounds = bootstrap(scores, truth, seed=BOOTSTRAP_SEED)
    answers = said(logits).numpy()
    exact = int((answers == (truth == 1)).all(axis=1).sum())
    mean = float(mean_over_labels(precision)[0])
    measured = measure(logits, targets)
    return MultiLabel(
        images=len(truth),
        loss=measured["loss"],
        loss_error=measured["loss_error"],
        mean_average_precision=None if np.isnan(mean) else mean,
        mean_average_precision_interval=mean_bounds,
        exact_match=exact / len(truth),
        exact_match_interval=wilson_interval(exact, len(truth)),
        hamming_loss=measured["hamming_loss"],
        per_label=tuple(
            _row(name, truth[:, i], answers[:, i], float(precision[0, i]), bounds[i]) for i, name in enumerate(classes)
        ),
        probabilities=logits.double().sigmoid().float().numpy(),
        targets=truth,
    )


def _row(name: str, truth: np.ndarray, answers: np.ndarray, precision: float, bounds: Interval | None) -> LabelRow:
    there, called, right = int(truth.sum()), int(answers.sum()), int(truth[answers].sum())
    return LabelRow(
        name=name,
        images=there,
        average_precision=None if np.isnan(precision) else precision,
        interval=bounds,
        by_chance=there / len(truth),
        precision=right / called if called else None,
        recall=right / there if there else None,
        f1=2 * right / (there + called) if there + called else None,
    )


def _objective(settings: TrainSettings, _targets: Iterable[Tensor], _classes: int) -> Objective:
    def of_batch(logits: Logits, targets: Targets, _progress: float) -> tuple[Tensor, Mapping[str, Tensor]]:
        wrong = (said(logits.detach()) != (targets == 1)).double().mean()
        return loss(logits, targets, settings.label_smoothing), {"hamming_loss": wrong}

    return of_batch


def _test_stats(_settings: TrainSettings, _classes: int) -> Recorder:
    return lambda logits, targets, _normal: {"logits": logits, "targets": targets}


def _summary_line(metrics: Mapping[str, Any]) -> str:
    key = "mean_average_precision"
    precision = with_interval(key, metrics[f"test_{key}"], metrics[f"test_{key}_interval"])
    exact = with_interval("exact_match", metrics["test_exact_match"], metrics["test_exact_match_interval"])
    return f"test mAP {precision}, exact match {exact}, test loss {show('loss', metrics['test_loss'])}"


TASK = Task(
    name="multilabel",
    options=("label_smoothing",),
    objective=_objective,
    test_stats=_test_stats,
    val_stats=_test_stats,
    measure=lambda records: measure(records["logits"], records["targets"]),
    is_best=lambda measures, lowest: measures["loss"] < lowest["loss"],
    should_checkpoint=should_checkpoint,
    checkpoint_rule="the last epoch whose validation loss is within one standard error of the lowest",
    result=MultiLabel,
    evaluate=lambda records, classes: evaluate(records["logits"], records["targets"], classes),
    saved_metrics=(
        "loss",
        "mean_average_precision",
        "mean_average_precision_interval",
        "exact_match",
        "exact_match_interval",
        "hamming_loss",
    ),
    required_metrics=("mean_average_precision", "mean_average_precision_interval", "exact_match", "hamming_loss"),
    summary_line=_summary_line,
    defaults=Names(data="digit-pairs", model="convnet"),
    recipe=Recipe(epochs=8, batch_size=128, learning_rate=0.01, weight_averaging=0.995),
    target_dimensions=2,
)
