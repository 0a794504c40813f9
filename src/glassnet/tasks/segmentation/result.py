"""What the evaluation of a segmentation finds, each number with that of calling every pixel background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from glassnet.display import Shown

Bounds = tuple[float, float] | None


@dataclass(frozen=True)
class Overlap:
    """The measures of one prediction; None where there is nothing to measure.

    Attributes:
        pixel_accuracy: Share of the pixels that get the right class.
        mean_accuracy: The same within each class, averaged over the classes that occur.
        mean_iou: Pixels in both masks over pixels in either, averaged over the classes in one of them.
        weighted_iou: The same, each class weighted by its share of the pixels.
        boundary_f: Harmonic mean of precision and recall of outlines that lie near each other.
    """

    pixel_accuracy: float | None
    mean_accuracy: float | None
    mean_iou: float | None
    weighted_iou: float | None
    boundary_f: float | None


@dataclass(frozen=True)
class ClassOverlap:
    """Overlap of one class.

    Attributes:
        name: The class.
        images: Number of images with a pixel of the class.
        share: Its share of the pixels.
        iou: Its intersection over union; None if it is in neither mask.
        interval: 95% interval of the IoU, over images.
        background: IoU of calling every pixel background.
    """

    name: str
    images: int
    share: float
    iou: float | None
    interval: Bounds
    background: float | None


@dataclass(frozen=True)
class Chosen:
    """Images chosen by rule: some at equal steps, and those of highest, middle and lowest mean IoU."""

    unpicked: tuple[int, ...]
    best: tuple[int, ...]
    median: tuple[int, ...]
    worst: tuple[int, ...]


UNPICKED, OF_EACH = 12, 4


@dataclass(frozen=True, eq=False)
class Segmentation(Overlap, Shown):
    """How good a segmentation is on some images.

    Attributes:
        images: Number of images.
        loss: Mean cross-entropy in nats per pixel.
        intervals: 95% bootstrap interval of each measure, over images.
        background: The same measures if every pixel is called background.
        per_class: One row per class.
        by_image: Mean IoU of each image over the classes in it; None if no pixel has a label.
        confusion: Number of pixels by true class (row) and predicted class (column).
        counts: Right, true and predicted pixels of each image by class.
        flipped: The measures of the prediction averaged over each image and its mirror image, if requested.
        flipped_intervals: Their 95% intervals.
    """

    images: int
    loss: float
    intervals: Mapping[str, Bounds]
    background: Overlap
    per_class: tuple[ClassOverlap, ...]
    by_image: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]
    counts: Int64[np.ndarray, "n 3 classes"]
    flipped: Overlap | None = None
    flipped_intervals: Mapping[str, Bounds] | None = None

    @property
    def pixel_accuracy_interval(self) -> Bounds:
        """Bounds of the pixel accuracy at 95%."""
        return self.intervals.get("pixel_accuracy")

    @property
    def mean_iou_interval(self) -> Bounds:
        """Bounds of the mean IoU at 95%."""
        return self.intervals.get("mean_iou")

    @property
    def chosen(self) -> Chosen:
        """Images to show: by rule, never picked by eye."""
        count = len(self.by_image)
        judged = [i for i, value in enumerate(self.by_image) if value is not None]
        ranked = sorted(judged, key=lambda i: -(self.by_image[i] or 0))
        each = max(1, min(OF_EACH, len(ranked) // 3))  # of few images fewer, or the worst would be among the best
        middle = max(0, len(ranked) // 2 - each // 2)
        steps = np.linspace(0, count - 1, min(UNPICKED, count)).round().astype(int)
        return Chosen(
            tuple(dict.fromkeys(steps.tolist())),
            tuple(ranked[:each]),
            tuple(ranked[middle : middle + each]),
            tuple(ranked[::-1][:each]),
        )

    def __repr__(self) -> str:
        """Say in one line how good it is."""
        overlap = "nothing to measure" if self.mean_iou is None else f"mean IoU {self.mean_iou:.4f}"
        return f"Segmentation({self.images:,} images, {overlap})"
