"""How good a segmentation is: functions of one confusion matrix and of counts per image, with their intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float64, Int64, UInt8
from torch import Tensor

from glassnet.images import VOID
from glassnet.stats import Interval, percentile_interval, resampled_sums

Masks = UInt8[Tensor, "n h w"]


def outlines(masks: Masks) -> Bool[Tensor, "n h w"]:
    """Mark the pixels that have a pixel of another class above, below, left or right; void borders nothing."""
    padded = F.pad(masks.float()[:, None], (1, 1, 1, 1), mode="replicate")[:, 0].to(torch.uint8)
    height, width = masks.shape[1:]
    differs = torch.zeros_like(masks, dtype=torch.bool)
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        neighbour = padded[:, down : down + height, right : right + width]
        differs |= (neighbour != masks) & (neighbour != VOID)
    return differs & (masks != VOID)


def without_void(masks: Masks) -> Masks:
    """Give each void pixel the class of the nearest pixel that has one; a mask that is void all over stays so.

    VOC rings every object with a void band: without this, an object and its background would never meet.
    """
    from scipy.ndimage import distance_transform_edt  # takes as long to load as the package's own files together

    completed = masks.clone()
    for row in (masks == VOID).flatten(1).any(dim=1).nonzero().flatten().tolist():
        mask = masks[row].cpu().numpy()
        if (mask != VOID).any():
            nearest = distance_transform_edt(mask == VOID, return_distances=False, return_indices=True)
            completed[row] = torch.from_numpy(mask[tuple(nearest)]).to(masks.device)
    return completed


def boundary_counts(predicted: Masks, masks: Masks, *, tolerance: int) -> Int64[Tensor, "n 4"]:
    """Count in each image: outline pixels predicted that are near a true one, all predicted, true ones found, all true.

    Near is within `tolerance` pixels along both axes. The outline is that between any two classes, whichever they are:
    one in the right place counts also where the class is wrong. A void band of the truth has its outline in the middle.

    After Csurka et al. 2013, https://doi.org/10.5244/C.27.32, section 2.2, with a square for a disc; their measure is
    taken by class and image and then averaged, this one over all outlines of all images.
    """
    filled = without_void(masks)
    guess, truth = outlines(predicted.where(filled != VOID, masks)), outlines(filled)
    near_truth, near_guess = (_widened(one, tolerance) for one in (truth, guess))
    parts = (guess & near_truth, guess, truth & near_guess, truth)
    return torch.stack([part.flatten(1).sum(dim=1) for part in parts], dim=1)


def boundary_f(counts: Int64[np.ndarray, "n 4"]) -> float | None:
    """Return the harmonic mean of the outlines' precision and recall over all images; None without an outline."""
    matched, predicted, recalled, true = counts.sum(axis=0).tolist()
    if not predicted or not true:
        return None if not predicted and not true else 0.0
    precision, recall = matched / predicted, recalled / true
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _widened(marked: Bool[Tensor, "n h w"], by: int) -> Bool[Tensor, "n h w"]:
    return F.max_pool2d(marked[:, None].float(), 2 * by + 1, stride=1, padding=by)[:, 0] > 0


Confusion = Int64[np.ndarray, "classes classes"]
DRAWS = 1000


@dataclass(frozen=True)
class Scores:
    """What follows from a confusion matrix of pixels, rows being true classes; None where it would be 0/0."""

    pixel_accuracy: float | None
    """sum_i n_ii / sum_ij n_ij"""
    mean_accuracy: float | None
    """Mean over the classes that are there of n_ii / sum_j n_ij."""
    mean_iou: float | None
    """Mean of the IoU over the classes that are in truth or prediction; the others are left out, not scored 0."""
    weighted_iou: float | None
    """Sum over the classes of their share of the pixels times their IoU."""
    iou: tuple[float | None, ...]
    """n_ii / (sum_j n_ij + sum_j n_ji - n_ii) of each class; None where it is in neither."""


@dataclass(frozen=True)
class Intervals:
    """Lower and upper bounds at 95%; None where there is no value, or no spread to bound it by.

    Attributes:
        measures: By the name of a measure of `Scores`, and of "boundary_f".
        by_class: Of each class's IoU.
    """

    measures: dict[str, Interval | None]
    by_class: list[Interval | None]


def scores(confusion: Confusion) -> Scores:
    """Compute the four measures of Long, Shelhamer and Darrell 2015, https://arxiv.org/abs/1411.4038, section 5."""
    hits, truth, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    either = truth + predicted - hits
    total = int(truth.sum())
    iou = tuple(_ratio(h, e) for h, e in zip(hits.tolist(), either.tolist(), strict=True))
    recall = [h / t for h, t in zip(hits.tolist(), truth.tolist(), strict=True) if t]
    known = [value for value in iou if value is not None]
    weighted = sum(t * (value or 0.0) for t, value in zip(truth.tolist(), iou, strict=True))
    return Scores(
        pixel_accuracy=_ratio(int(hits.sum()), total),
        mean_accuracy=sum(recall) / len(recall) if recall else None,
        mean_iou=sum(known) / len(known) if known else None,
        weighted_iou=weighted / total if total else None,
        iou=iou,
    )


def background_confusion(confusion: Confusion) -> Confusion:
    """Return the confusion matrix of predicting class 0 everywhere on the same pixels."""
    baseline = np.zeros_like(confusion)
    baseline[:, 0] = confusion.sum(axis=1)
    return baseline


def pixel_counts(predicted: Masks, masks: Masks, classes: int) -> Int64[Tensor, "n 3 classes"]:
    """Count in each image, by class, the pixels that are right, those that are of the class, and those predicted so.

    Void pixels are not counted, whatever is predicted there.
    """
    n = len(masks)
    image = torch.arange(n, device=masks.device)[:, None, None].expand_as(masks)
    known = masks != VOID
    rows, truth, guess = image[known], masks[known].long(), predicted[known].long()

    def counted(rows: Tensor, values: Tensor) -> Tensor:
        return torch.bincount(rows * classes + values, minlength=n * classes).view(n, classes)

    right = truth == guess
    return torch.stack([counted(rows[right], truth[right]), counted(rows, truth), counted(rows, guess)], dim=1)


def pixel_confusion(predicted: Masks, masks: Masks, classes: int) -> Int64[Tensor, "classes classes"]:
    """Count the pixels of each true class (row) by the class predicted (column), void ones left out."""
    known = masks != VOID
    cells = masks[known].long() * classes + predicted[known].long()
    return torch.bincount(cells, minlength=classes**2).view(classes, classes)


def mean_iou_of(counts: Int64[np.ndarray, "... 3 classes"]) -> Float64[np.ndarray, ...]:
    """Return the mean IoU of counts of hits, truth and prediction, over the classes that are in one of the last two."""
    iou = iou_of(counts)
    there = (~np.isnan(iou)).sum(axis=-1)
    return np.where(there > 0, np.nansum(iou, axis=-1) / np.maximum(there, 1), np.nan)


def iou_of(counts: Int64[np.ndarray, "... 3 classes"]) -> Float64[np.ndarray, "... classes"]:
    """Return each class's IoU of counts of hits, truth and prediction; NaN where the class is in neither."""
    hits, truth, predicted = (counts[..., k, :] for k in range(3))
    either = truth + predicted - hits
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(either > 0, hits / either, np.nan)


def bootstrap(
    counts: Int64[np.ndarray, "n 3 classes"], outlines: Int64[np.ndarray, "n 4"], *, seed: int, draws: int = DRAWS
) -> Intervals:
    """Bound all measures at 95%, over images drawn with replacement; None for one that has no spread over the draws.

    The percentile bootstrap of Efron 1979, https://doi.org/10.1214/aos/1176344552; each draw's counts are summed first,
    since a mean over images is another measure.

    Args:
        counts: Of `pixel_counts`, an image a row.
        outlines: Of `boundary_counts`, likewise.
        seed: Of the draws.
        draws: How many.
    """
    drawn = resampled_sums(counts, seed=seed, draws=draws)
    hits, truth, iou = drawn[:, 0], drawn[:, 1], iou_of(drawn)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = truth.sum(axis=1)
        recall = np.where(truth > 0, hits / truth, np.nan)
        measures = {
            "pixel_accuracy": hits.sum(axis=1) / total,
            "mean_accuracy": np.nansum(recall, axis=1) / (truth > 0).sum(axis=1),
            "mean_iou": mean_iou_of(drawn),
            "weighted_iou": np.nansum(truth * iou, axis=1) / total,
        }
    boundary = [boundary_f(row[None]) for row in resampled_sums(outlines, seed=seed, draws=draws)]
    measures["boundary_f"] = np.array([np.nan if value is None else value for value in boundary])
    return Intervals(
        {name: percentile_interval(values) for name, values in measures.items()},
        [percentile_interval(one) for one in iou.T],
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
