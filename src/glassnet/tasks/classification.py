"""Classification: one class per image, learned by cross-entropy, measured by accuracy and its kin."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from glassnet.tasks import metrics
from glassnet.tasks.task import Task

Logits = Float[Tensor, "n classes"]
Targets = Int64[Tensor, " n"]


def loss(logits: Logits, targets: Targets, label_smoothing: float = 0.0) -> Float[Tensor, ""]:
    """Cross-entropy in nats, averaged over the images: -log softmax(logits)[target]."""
    return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)


def measure(logits: Logits, targets: Targets) -> dict[str, float]:
    """Mean cross-entropy in nats and the share of images whose largest logit is the target's."""
    accuracy = (logits.argmax(dim=1) == targets).double().mean()
    return {"loss": loss(logits.double(), targets).item(), "accuracy": accuracy.item()}


def rank(measures: Mapping[str, float]) -> tuple[float, ...]:
    """The higher accuracy wins; between equals, the lower loss."""
    return measures["accuracy"], -measures["loss"]


def evaluate(logits: Logits, targets: Targets, classes: Sequence[str]) -> dict[str, Any]:
    """All that the report shows of a classifier, as JSON values: rows of the confusion matrix are true classes."""
    probabilities = logits.double().softmax(dim=1).numpy()
    truth, predicted = targets.numpy(), logits.argmax(dim=1).numpy()
    confusion = metrics.confusion_matrix(truth, predicted, classes=len(classes))
    rows = metrics.per_class(confusion)
    return {
        "images": len(truth),
        **measure(logits, targets),
        "accuracy_interval": list(metrics.wilson_interval(int(confusion.trace()), len(truth))),
        "calibration_error": metrics.expected_calibration_error(probabilities, truth),
        "per_class": [
            {"class": name, "images": int(count), "precision": row.precision, "recall": row.recall, "f1": row.f1}
            for name, count, row in zip(classes, confusion.sum(axis=1), rows, strict=True)
        ],
        "confusion": confusion.tolist(),
    }


CLASSIFICATION = Task("classification", loss, measure, rank, evaluate)
