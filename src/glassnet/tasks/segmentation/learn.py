"""Segmentation: a class for every pixel, measured by overlap, with "all is background" beside every number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from glassnet.images import VOID
from glassnet.measures import show, with_interval
from glassnet.settings import TrainSettings
from glassnet.settings.train import Names, Recipe
from glassnet.tasks.base import Measures, Objective, Recorder, Records, Task
from glassnet.tasks.segmentation import metrics
from glassnet.tasks.segmentation.result import ClassOverlap, Overlap, Segmentation

Logits = Float[Tensor, "n classes h w"]
Masks = UInt8[Tensor, "n h w"]


def cross_entropy(
    logits: Logits, masks: Masks, weights: Float[Tensor, " classes"] | None = None, label_smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Mean of -w_c log softmax(logits)_c over the pixels of a class c, divided by the sum of their weights; in nats."""
    # A row a pixel, which logits in channels-last memory are already: over maps, softmax takes twice the time.
    rows, target = logits.permute(0, 2, 3, 1).flatten(0, 2), masks.long().flatten()
    known = target != VOID
    total = F.cross_entropy(
        rows, target, weight=weights, ignore_index=VOID, label_smoothing=label_smoothing, reduction="sum"
    )
    whole = known.sum() if weights is None else (weights[target * known] * known).sum()
    return total / whole.clamp(min=1e-12)  # 0 without a known pixel; to ask for one would make a GPU wait


def dice(logits: Logits, masks: Masks) -> Float[Tensor, ""]:
    """One minus the mean over the classes that are there of 2 sum p g / (sum p² + sum g²).

    p are the probabilities of the class and g is 1 on its pixels, over all pixels of the batch.

    Milletari, Navab and Ahmadi 2016, https://arxiv.org/abs/1606.04797, section 3.
    """
    # Sums by class of what each pixel has of its own one, without a matrix of truths as large as the logits.
    rows, target = logits.permute(0, 2, 3, 1).flatten(0, 2).softmax(dim=1), masks.long().flatten()
    known = (target != VOID).to(rows.dtype)
    target = target * (target != VOID)
    nothing = rows.new_zeros(logits.shape[1])
    overlap = nothing.index_add(0, target, rows.gather(1, target[:, None])[:, 0] * known)
    pixels = nothing.index_add(0, target, known)
    total = (rows.square() * known[:, None]).sum(dim=0) + pixels
    return _mean_there(1 - 2 * overlap / total.clamp(min=1e-12), pixels > 0)


def lovasz(logits: Logits, masks: Masks) -> Float[Tensor, ""]:
    """Mean over the classes that are there of the Lovász extension of the Jaccard loss of the errors |g - p|.

    Berman, Triki and Blaschko 2018, https://arxiv.org/abs/1705.08790, equations 8 to 11, algorithm 1.
    """
    probabilities, truth = _known(logits, masks)
    there = truth.sum(dim=0) > 0
    if logits.device.type == "cpu":  # where a class costs a long sort, and asking which are there costs nothing
        probabilities, truth, there = probabilities[:, there], truth[:, there], there[there]
    # Contiguous, since a sort of a column with others between its numbers takes ten times as long.
    columns = zip(probabilities.T.contiguous(), truth.T.contiguous(), strict=True)
    losses = [_lovasz_of_class(p, g) for p, g in columns]
    return _mean_there(torch.stack(losses), there) if losses else logits.sum() * 0


def _lovasz_of_class(probabilities: Float[Tensor, " pixels"], truth: Float[Tensor, " pixels"]) -> Float[Tensor, ""]:
    errors = (truth - probabilities).abs()
    order = _descending(errors.detach())
    # A sum, since autocast would do `@` in half precision, with 1e5 terms.
    return (errors[order] * jaccard_steps(truth[order])).sum()


def _descending(errors: Float[Tensor, " pixels"]) -> Int64[Tensor, " pixels"]:
    """Return the places of the greatest to the least; on a CPU by NumPy, whose vectorised sort is far faster."""
    if errors.device.type == "cpu":
        return torch.from_numpy(np.argsort(-errors.numpy()))
    return errors.argsort(descending=True)


def jaccard_steps(truth: Float[Tensor, " pixels"]) -> Float[Tensor, " pixels"]:
    """Return by how much the Jaccard loss grows with each further pixel that is wrong, in the order given."""
    missed, added = truth.sum() - truth.cumsum(0), (1 - truth).cumsum(0)
    loss = 1 - missed / (truth.sum() + added)
    return torch.cat([loss[:1], loss.diff()])


def class_weights(masks: Iterable[UInt8[Tensor, "_ h w"]], classes: int) -> Float[Tensor, " classes"]:
    """Weigh classes by the root of the inverse of their share of the pixels, the mean over all pixels being 1.

    A class that is nowhere gets the weight 1. The root lies between no weights and those that make all classes equal,
    under which a class of few pixels rules.

    Args:
        masks: In parts, so that those mapped from a file need never all be in memory.
        classes: Number of classes.
    """
    counts = torch.zeros(classes, dtype=torch.float64)
    for part in masks:
        counts += torch.bincount(part[part != VOID].long(), minlength=classes).double().cpu()
    share = counts / counts.sum()
    weights = torch.where(share > 0, share.clamp(min=1e-12).rsqrt(), 0.0)
    return torch.where(share > 0, weights / (weights * share).sum(), 1.0).float()


def _known(logits: Logits, masks: Masks) -> tuple[Float[Tensor, "p c"], Float[Tensor, "p c"]]:
    """Return probabilities and one-hot truth of all pixels, 0 in both for void ones, which are then right in any sum.

    To leave void pixels out instead, a GPU would have to tell how many there are, and be waited for.
    """
    known = (masks != VOID).flatten()[:, None]
    probabilities = logits.softmax(dim=1).permute(0, 2, 3, 1).flatten(0, 2) * known
    target = masks.long().flatten() * known[:, 0]
    return probabilities, F.one_hot(target, logits.shape[1]).to(probabilities) * known


def _mean_there(losses: Float[Tensor, " classes"], there: Bool[Tensor, " classes"]) -> Float[Tensor, ""]:
    """Average the losses of the classes that have a pixel; 0 where none has."""
    return (losses * there).sum() / there.sum().clamp(min=1)


REGION_LOSSES: dict[str, Callable[[Logits, Masks], Tensor]] = {"dice": dice, "lovasz": lovasz}
"""What is added to cross-entropy, by name."""


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
    remembered = {
        "confusion": metrics.pixel_confusion(predicted, masks, classes)[None],
        "counts": metrics.pixel_counts(predicted, masks, classes),
        "losses": losses.double().sum(dim=(1, 2)),
        "pixels": (masks != VOID).sum(dim=(1, 2)),
    }
    if outlined:
        tolerance = max(1, round(TOLERANCE_SHARE * float(np.hypot(*masks.shape[1:]))))
        remembered["outlines"] = metrics.boundary_counts(predicted, masks, tolerance=tolerance)
    return remembered


def measure(remembered: Records) -> Measures:
    """Mean cross-entropy in nats per pixel, pixel accuracy and mean IoU, and the latter two of all background."""
    confusion = remembered["confusion"].sum(dim=0).numpy()
    scored, empty = metrics.scores(confusion), metrics.scores(metrics.background_confusion(confusion))
    return {
        "loss": float(remembered["losses"].sum() / remembered["pixels"].sum().clamp(min=1)),
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
    return f"all pixels of the {part} masks are void, so nothing could be measured"


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
