"""Segmentation: a class for every pixel, measured by overlap, with "all is background" beside every number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from glassnet.images import VOID
from glassnet.measures import show, with_interval
from glassnet.settings import TrainSettings
from glassnet.settings.train import Names, Recipe
from glassnet.tasks.base import Measures, Objective, Recorder, Records, Task
from glassnet.tasks.segmentation import metrics
from glassnet.tasks.segmentation.losses import REGION_LOSSES, class_weights, cross_entropy
from glassnet.tasks.segmentation.result import ClassOverlap, Overlap, Segmentation

TOLERANCE_SHARE = 0.0075
"""Of the image's diagonal: how far a predicted outline may lie from the true one, as Csurka et al. 2013 take it."""
BOOTSTRAP_SEED = 0


def _objective(settings: TrainSettings, masks: Iterable[Tensor], classes: int) -> Objective:
    weights = class_weights(masks, classes) if settings.class_weights else None
    region = REGION_LOSSES.get(settings.loss)

    def of_batch(logits: Tensor, targets: Tensor, _progress: float) -> tuple[Tensor, Mapping[str, Tensor]]:
        nonlocal weights
        weights = None if weights is None else weights.to(logits)  # moved at the first step, and there from then on
        known = targets != VOID
        hits = ((logits.detach().argmax(dim=1) == targets) & known).sum() / known.sum().clamp(min=1)
        by_pixel = cross_entropy(logits, targets, weights, settings.label_smoothing)
        if region is None:
            return by_pixel, {"accuracy": hits}
        by_region = region(logits, targets)
        parts = {"accuracy": hits, "cross_entropy": by_pixel.detach(), settings.loss: by_region.detach()}
        return by_pixel + by_region, parts

    return of_batch


def _test_stats(_settings: TrainSettings, classes: int) -> Recorder:
    return lambda logits, masks, _normal: records(logits, masks, classes)


def _val_stats(_settings: TrainSettings, classes: int) -> Recorder:
    return lambda logits, masks, _normal: records(logits, masks, classes, outlined=False)


def records(logits: Tensor, masks: Tensor, classes: int, *, outlined: bool = True) -> Records:
    """Remember of a batch: its confusion matrix (1, c, c), and an image a row counts, sums of losses and outlines.

    Args:
        logits: Of the batch (n, c, h, w).
        masks: Its classes (n, h, w).
        classes: Their number c.
        outlined: Whether to count outlines too, which takes a distance transform an image on the CPU.
    """
    predicted = logits.argmax(dim=1).to(torch.uint8)
    losses = F.cross_entropy(logits, masks.long(), ignore_index=VOID, reduction="none")
    found = {
        "confusion": metrics.pixel_confusion(predicted, masks, classes)[None],
        "counts": metrics.pixel_counts(predicted, masks, classes),
        "losses": losses.double().sum(dim=(1, 2)),
        "pixels": (masks != VOID).sum(dim=(1, 2)),
    }
    if outlined:
        tolerance = max(1, round(TOLERANCE_SHARE * float(np.hypot(*masks.shape[1:]))))
        found["outlines"] = metrics.boundary_counts(predicted, masks, tolerance=tolerance)
    return found


def measure(found: Records) -> Measures:
    """Mean cross-entropy in nats per pixel, pixel accuracy and mean IoU, and the latter two of all background."""
    confusion = found["confusion"].sum(dim=0).numpy()
    scored, empty = metrics.scores(confusion), metrics.scores(metrics.background_confusion(confusion))
    return {
        "loss": float(found["losses"].sum() / found["pixels"].sum().clamp(min=1)),
        "accuracy": scored.pixel_accuracy or 0.0,
        "mean_iou": scored.mean_iou or 0.0,
        "background_accuracy": empty.pixel_accuracy or 0.0,
        "background_mean_iou": empty.mean_iou or 0.0,
    }


def _is_best(measures: Mapping[str, float], best: Mapping[str, float]) -> bool:
    return measures["mean_iou"] > best["mean_iou"]


def should_checkpoint(measures: Mapping[str, float], best: Mapping[str, float]) -> bool:
    """Keep the epoch of the highest mean IoU, the later one of two equals."""
    return measures["mean_iou"] >= best["mean_iou"]


def evaluate(records: Records, classes: Sequence[str]) -> Segmentation:
    """All that the report shows of a segmentation; each number with that of predicting background."""
    confusion, counts = records["confusion"].sum(dim=0).numpy(), records["counts"].numpy()
    lines = records["outlines"].numpy()
    intervals = metrics.bootstrap(counts, lines, seed=BOOTSTRAP_SEED)
    by_image = metrics.mean_iou_of(counts)
    empty = metrics.background_confusion(confusion)
    return Segmentation(
        **vars(_overlap(confusion, lines)),
        images=len(counts),
        loss=measure(records)["loss"],
        intervals=intervals.measures,
        background=_overlap(empty, lines * np.array([0, 0, 0, 1])),  # no outline predicted, none found
        per_class=_per_class(confusion, counts, intervals.by_class, classes),
        by_image=tuple(None if np.isnan(value) else float(value) for value in by_image),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        counts=counts,
    )


def _overlap(confusion: metrics.Confusion, lines: np.ndarray) -> Overlap:
    scored = metrics.scores(confusion)
    return Overlap(
        scored.pixel_accuracy,
        scored.mean_accuracy,
        scored.mean_iou,
        scored.weighted_iou,
        metrics.boundary_f(lines),
    )


def _per_class(
    confusion: metrics.Confusion, counts: np.ndarray, intervals: Sequence[Any], classes: Sequence[str]
) -> tuple[ClassOverlap, ...]:
    iou, empty = metrics.scores(confusion).iou, metrics.scores(metrics.background_confusion(confusion)).iou
    whole = max(int(confusion.sum()), 1)
    return tuple(
        ClassOverlap(
            name=name,
            images=int((counts[:, 1, c] > 0).sum()),
            share=int(confusion[c].sum()) / whole,
            iou=iou[c],
            interval=intervals[c],
            background=empty[c],
        )
        for c, name in enumerate(classes)
    )


def nothing_known(part: str) -> str:
    """Say that a part of a data set, "train" or "test", has no pixel to measure on."""
    return f"all pixels of the {part} masks are void, so that nothing could be measured"


def _summary_line(metrics: Mapping[str, Any]) -> str:
    if metrics["test_mean_iou"] is None:
        return nothing_known("test")
    empty = metrics["test_background"]
    overlap = with_interval("mean_iou", metrics["test_mean_iou"], metrics["test_mean_iou_interval"])
    return (
        f"test mean IoU {overlap}, all background {show('mean_iou', empty['mean_iou'])}; pixel accuracy "
        f"{show('pixel_accuracy', metrics['test_pixel_accuracy'])}, all background "
        f"{show('pixel_accuracy', empty['pixel_accuracy'])}"
    )


TASK = Task(
    name="segmentation",
    options=("label_smoothing", "loss", "class_weights", "low_res_epochs", "low_res_size", "copy_paste"),
    objective=_objective,
    test_stats=_test_stats,
    val_stats=_val_stats,
    measure=measure,
    is_best=_is_best,
    should_checkpoint=should_checkpoint,
    checkpoint_rule="the epoch of the highest mean IoU on the validation images",
    result=Segmentation,
    evaluate=evaluate,
    saved_metrics=(
        "loss",
        "pixel_accuracy",
        "pixel_accuracy_interval",
        "mean_iou",
        "mean_iou_interval",
        "mean_accuracy",
        "boundary_f",
        "background",
    ),
    required_metrics=("pixel_accuracy", "mean_iou", "mean_iou_interval", "background"),
    summary_line=_summary_line,
    defaults=Names(data="digit-scenes", model="fcn8_small"),
    recipe=Recipe(epochs=13, batch_size=16, learning_rate=0.003, weight_averaging=0.995),
    output="score maps",
    target_dimensions=3,
    batch_size=64,
    labels_images=False,
    default_classes=21,  # VOC's
)
