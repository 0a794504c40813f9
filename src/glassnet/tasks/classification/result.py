"""What the evaluation of a classifier finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from glassnet.display import Shown

Bounds = tuple[float, float]


@dataclass(frozen=True)
class ClassRow:
    """How well one class is recognised; None where the ratio is 0/0 and so says nothing."""

    name: str
    """The class."""
    images: int
    """Images of the class."""
    precision: float | None
    """TP / (TP + FP); None if the class was never predicted."""
    recall: float | None
    """TP / (TP + FN); None if no image is of the class."""
    f1: float | None
    """2 TP / (2 TP + FP + FN); None if the class was neither present nor predicted."""


@dataclass(frozen=True, eq=False)
class Classification(Shown):
    """How good a classifier is on some images.

    Attributes:
        images: Number of images.
        loss: Mean cross-entropy in nats.
        loss_error: Its standard error.
        accuracy: Share of the images with the right label.
        accuracy_interval: 95% Wilson interval of the accuracy.
        calibration_error: Mean gap between confidence and accuracy.
        per_class: One row per class.
        confusion: Number of images by true class (row) and predicted class (column).
        probabilities: Probability of each class (n, classes).
        targets: True class of each image (n,).
    """

    images: int
    loss: float
    loss_error: float
    accuracy: float
    accuracy_interval: Bounds | None
    calibration_error: float
    per_class: tuple[ClassRow, ...]
    confusion: tuple[tuple[int, ...], ...]
    probabilities: Float[np.ndarray, "n classes"]
    targets: Int64[np.ndarray, " n"]

    @property
    def predicted(self) -> Int64[np.ndarray, " n"]:
        """The class of the highest probability, for each image."""
        return self.probabilities.argmax(axis=1)

    @property
    def wrong(self) -> Int64[np.ndarray, " m"]:
        """The images that are classified wrongly, the most confident mistake first."""
        order = np.argsort(-self.probabilities.max(axis=1), kind="stable")
        return order[self.predicted[order] != self.targets[order]]

    def confusions(self) -> list[tuple[int, int, int]]:
        """List (true class, predicted class, images) of the wrong predictions, the most frequent first."""
        cells = [
            (true, predicted, times)
            for true, row in enumerate(self.confusion)
            for predicted, times in enumerate(row)
            if true != predicted and times
        ]
        return sorted(cells, key=lambda cell: -cell[2])

    def __repr__(self) -> str:
        """Say in one line how good it is."""
        return f"Classification({self.images:,} images, accuracy {self.accuracy:.4f}, loss {self.loss:.4f})"
