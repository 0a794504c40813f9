"""Classification: one class per image, learned by cross-entropy, measured by accuracy and its kin."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from glassnet.measures import show, with_interval
from glassnet.settings import TrainSettings
from glassnet.settings.train import Names, Recipe
from glassnet.stats import wilson_interval
from glassnet.tasks.base import Measures, Objective, Recorder, Records, Task
from glassnet.tasks.classification import metrics
from glassnet.tasks.classification.result import Classification, ClassRow

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
    confusion = metrics.confusion_matrix(truth, predicted, classes=len(classes))
    scores = metrics.per_class(confusion)
    return Classification(
        images=len(truth),
        **measure(logits, targets),
        accuracy_interval=wilson_interval(int(confusion.trace()), len(truth)),
        calibration_error=metrics.expected_calibration_error(probabilities, truth),
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
    options=("label_smoothing",),
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
)
