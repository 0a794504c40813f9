"""What the evaluation of a classifier with several labels an image finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from glassnet.display import Shown

Bounds = tuple[float, float]


@dataclass(frozen=True)
class LabelRow:
    """How well one label is recognised; None where the ratio is 0/0 and so says nothing.

    Attributes:
        name: The label.
        images: Number of images that have it.
        average_precision: Area under the precision-recall curve; None if no image has the label.
        interval: Its 95% interval, over images.
        by_chance: Chance level: the average precision of a random order, which is the share of images with the label.
        precision: Share of the images predicted to have the label that have it.
        recall: Share of the images with the label that are predicted to have it.
        f1: Harmonic mean of precision and recall.
    """

    name: str
    images: int
    average_precision: float | None
    interval: Bounds | None
    by_chance: float
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, eq=False)
class MultiLabel(Shown):
    """How good a multi-label classifier is; a label is predicted if its probability is at least 0.5.

    Attributes:
        images: Number of images.
        loss: Mean binary cross-entropy in nats per label.
        loss_error: Its standard error over images.
        mean_average_precision: Mean over the labels that occur; None if none occurs.
        mean_average_precision_interval: Its 95% interval, over images.
        exact_match: Share of the images with every label right.
        exact_match_interval: Its 95% Wilson interval.
        hamming_loss: Share of the yes-or-no labels that are wrong.
        per_label: One row per label.
        probabilities: Probability of each label (n, labels).
        targets: 1 where an image has a label (n, labels).
    """

    images: int
    loss: float
    loss_error: float
    mean_average_precision: float | None
    mean_average_precision_interval: Bounds | None
    exact_match: float
    exact_match_interval: Bounds | None
    hamming_loss: float
    per_label: tuple[LabelRow, ...]
    probabilities: Float[np.ndarray, "n labels"]
    targets: UInt8[np.ndarray, "n labels"]

    @property
    def answers(self) -> Bool[np.ndarray, "n labels"]:
        """Whether each label is predicted for each image."""
        return self.probabilities >= 0.5

    @property
    def absent(self) -> tuple[str, ...]:
        """Labels that no image has, so they have no average precision."""
        return tuple(row.name for row in self.per_label if not row.images)

    @property
    def wrong(self) -> int:
        """Number of images with a wrong label."""
        return int((self.answers != (self.targets == 1)).any(axis=1).sum())

    def mistakes(self) -> list[tuple[int, int]]:
        """List (image, label) of the wrong answers, the most confident first."""
        error = np.abs(self.probabilities - self.targets)
        rows, labels = np.nonzero(self.answers != (self.targets == 1))
        order = np.argsort(-error[rows, labels], kind="stable")
        return [(int(rows[i]), int(labels[i])) for i in order]

    def typical(self, label: int) -> list[int]:
        """List the images with a label that is said, those of median confidence first, all right before others."""
        right = np.flatnonzero((self.targets[:, label] == 1) & self.answers[:, label])
        ranked = right[np.argsort(self.probabilities[right, label], kind="stable")]
        distance = np.abs(np.arange(len(ranked)) - len(ranked) // 2)
        exact = (self.answers[ranked] == (self.targets[ranked] == 1)).all(axis=1)
        return [int(row) for row in ranked[np.lexsort((distance, ~exact))]]

    def __repr__(self) -> str:
        """Say in one line how good it is."""
        known = self.mean_average_precision
        precision = "no label occurs" if known is None else f"mAP {known:.4f}"
        return f"MultiLabel({self.images:,} images, {precision}, exact match {self.exact_match:.4f})"
