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
        images: Images that have it.
        average_precision: Area below precision over recall; None where no image has it.
        interval: Its bounds at 95%, over images.
        by_chance: Average precision of images in random order: the share of them that has the label.
        precision: Share of the images called so that have it.
        recall: Share of the images that have it that are called so.
        f1: Harmonic mean of both.
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
    """How good a classifier with several labels an image is; a label is said where its probability is at least 0.5.

    Attributes:
        images: Their number.
        loss: Mean binary cross-entropy in nats a label.
        loss_error: Its standard error over images.
        mean_average_precision: Over the labels that occur; None where none does.
        mean_average_precision_interval: Its bounds at 95%, over images.
        exact_match: Share of the images of which every label is right.
        exact_match_interval: Wilson's bounds at 95%.
        hamming_loss: Share of the yes-or-no labels that are wrong.
        per_label: A row a label.
        probabilities: Of each label, an image a row.
        targets: 1 where an image has a label.
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
        """Whether each label is said of each image."""
        return self.probabilities >= 0.5

    @property
    def absent(self) -> tuple[str, ...]:
        """Labels that no image has, which have no average precision."""
        return tuple(row.name for row in self.per_label if not row.images)

    @property
    def wrong(self) -> int:
        """Images with a label that is wrong."""
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
