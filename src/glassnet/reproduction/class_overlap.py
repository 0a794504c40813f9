"""Overlaps and accuracies over several seeds: mean, deviation, and an interval over the test images."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from glassnet.tasks.segmentation_metrics import DRAWS, iou_of

SEED = 0
"""Of the bootstrap."""
Counts = Int64[np.ndarray, "seeds n 3 classes"]


@dataclass(frozen=True)
class Overlap:
    """A class's IoU over all test images.

    Attributes:
        mean: Over seeds; None for a class that is in no mask, true or predicted.
        deviation: Standard deviation over seeds, n - 1 in the denominator; None for one seed.
        interval: Of the mean at 95%, over images drawn with replacement, the same ones for every seed; None likewise.
    """

    mean: float | None
    deviation: float | None
    interval: tuple[float, float] | None


def class_overlaps(counts: Counts) -> tuple[Overlap, ...]:
    """Measure each class: its IoU by seed, and the percentile bootstrap (Efron 1979) of the mean over seeds.

    Args:
        counts: Hits, true and predicted pixels of each test image by class, for each seed.
    """
    bounds = interval_over_images(counts, iou_of)
    return tuple(_overlap(*parts) for parts in zip(iou_of(counts.sum(axis=1)).T, *bounds, strict=True))


def interval_over_images(
    counts: Counts, measure: Callable[[Int64[np.ndarray, "draws 3 classes"]], Float64[np.ndarray, "draws ..."]]
) -> Float64[np.ndarray, "2 ..."]:
    """Bound a measure's mean over seeds at 95%, over images drawn with replacement, the same ones for every seed.

    Args:
        counts: Hits, true and predicted pixels of each test image by class, for each seed.
        measure: From sums of such counts over images to what is measured, NaN where there is nothing to measure.
    """
    images = counts.shape[1]
    times = np.random.default_rng(SEED).multinomial(images, np.full(images, 1 / images), size=DRAWS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is NaN, as it should be
        drawn = np.nanmean([measure(np.tensordot(times, one, axes=1)) for one in counts], axis=0)
        bounds: np.ndarray = np.nanpercentile(drawn, (2.5, 97.5), axis=0)
    return bounds


def pixel_accuracy_of(counts: Int64[np.ndarray, "draws 3 classes"]) -> Float64[np.ndarray, " draws"]:
    """Share of the known pixels that are named rightly."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: np.ndarray = counts[:, 0].sum(axis=1) / counts[:, 1].sum(axis=1)
    return shares


def _overlap(values: np.ndarray, low: float, high: float) -> Overlap:
    values = values[~np.isnan(values)]
    if not len(values):
        return Overlap(None, None, None)
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    return Overlap(float(values.mean()), deviation, (float(low), float(high)))
