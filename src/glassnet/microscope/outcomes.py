"""What a network's outputs are worth, by task: sums that grow batch by batch, and figures from them at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional as F

from glassnet.console import say_once
from glassnet.errors import InputError
from glassnet.images import VOID, ImageRows, Images, to_float
from glassnet.models.parts import Part, describe, entries_of, pick
from glassnet.tasks.reconstruction.image_quality import mean_squared_error, psnr
from glassnet.tasks.segmentation.metrics import iou_of, mean_iou_of, pixel_counts

Labels = Sequence[Any] | np.ndarray | Tensor | None
Metric = Callable[[Tensor, Tensor], Tensor]
"""From a batch's outputs and labels (or images, where there are no labels) to a number for each image."""
Kind = str
"""A key of what is judged: a task, or "metric" for the user's own."""
HIGHER_IS_WORSE = ("loss", "hamming_loss", "mse")


@dataclass(frozen=True, eq=False)
class Scores:
    """What one batch came to.

    Attributes:
        each: By measure, a number for each image, of which the mean is taken.
        sums: By name, what adds up over images.
    """

    each: Mapping[str, Float[Tensor, " n"]]
    sums: Mapping[str, Tensor]


@dataclass(frozen=True)
class Outcomes:
    """How outputs are judged.

    Attributes:
        kind: The task.
        targets: Of all images: classes (n,), yes or no for each label (n, labels), masks (n, h, w), images.
        classes: Number of classes; 0 where there are none.
        metric: The user's own.
        to_logits: From class scores to logits, where they are none.
    """

    kind: Kind
    targets: Images | ImageRows
    classes: int
    metric: Metric | None = None
    to_logits: Callable[[Tensor], Tensor] | None = None

    def of_batch(self, start: int, count: int, device: torch.device) -> Tensor:
        """Return the targets of a batch."""
        part = self.targets[start : start + count]
        targets = (torch.from_numpy(np.array(part)) if isinstance(part, np.ndarray) else part).to(device)
        return to_float(targets) if self.kind == "reconstruction" else targets

    def scores(self, output: Tensor, targets: Tensor) -> Scores:
        """Judge the outputs of a batch.

        Raises:
            InputError: They do not fit the targets.
        """
        return _SCORES[self.kind](output if self.to_logits is None else self.to_logits(output), targets, self)

    def groups(self, targets: Tensor) -> Tensor | None:
        """Return the class of each image, where it has one."""
        return targets if self.kind == "classification" else None


def _of_classes(output: Tensor, targets: Tensor, _: Outcomes) -> Scores:
    logits = class_table(output, len(targets)).float()
    right = (logits.argmax(dim=1) == targets) & logits.isfinite().all(dim=1)
    return Scores({"accuracy": right.double(), "loss": F.cross_entropy(logits, targets, reduction="none").double()}, {})


def _of_labels(output: Tensor, targets: Tensor, _: Outcomes) -> Scores:
    logits, truth = output.float().flatten(1), targets.float()
    _require_shape(logits, truth)
    right = (logits > 0) == (truth > 0)
    losses = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    each = {
        "exact_match": right.all(dim=1).double(),
        "hamming_loss": 1 - right.double().mean(dim=1),
        "loss": losses.double().mean(dim=1),
    }
    return Scores(each, {"right": right.double().sum(dim=0), "images": torch.ones_like(right[0]).double() * len(right)})


def _of_masks(output: Tensor, targets: Tensor, outcomes: Outcomes) -> Scores:
    logits = _pixel_table(output).float()
    _require_shape(logits[:, 0], targets)
    counts = pixel_counts(logits.argmax(dim=1).to(torch.uint8), targets, outcomes.classes).double().sum(dim=0)
    losses = F.cross_entropy(logits, targets.long(), ignore_index=VOID, reduction="sum").double()
    return Scores({}, {"counts": counts, "losses": losses, "pixels": (targets != VOID).sum().double()})


def _of_images(output: Tensor, targets: Tensor, _: Outcomes) -> Scores:
    images = output.float()
    _require_shape(images, targets)
    return Scores({"psnr": psnr(images, targets).double(), "mse": mean_squared_error(images, targets).double()}, {})


def _of_metric(output: Tensor, targets: Tensor, outcomes: Outcomes) -> Scores:
    assert outcomes.metric is not None
    values = outcomes.metric(output, targets)
    if not isinstance(values, Tensor) or values.shape != (len(targets),):
        raise InputError(f"metric gives {describe(values)} for {len(targets)} images, expected one number per image.")
    return Scores({"metric": values.double()}, {})


_SCORES: dict[str, Callable[[Tensor, Tensor, Outcomes], Scores]] = {
    "classification": _of_classes,
    "multilabel": _of_labels,
    "segmentation": _of_masks,
    "reconstruction": _of_images,
    "metric": _of_metric,
}


def of_sums(
    kind: Kind, sums: Mapping[str, Float64[np.ndarray, ...]]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return figures and figures by class of the sums over all images, whose first axis runs over ablations."""
    if kind == "segmentation":
        counts = sums["counts"].astype(np.int64)
        with np.errstate(invalid="ignore", divide="ignore"):
            accuracy = counts[:, 0].sum(axis=1) / sums["pixels"]
            loss = sums["losses"] / sums["pixels"]
        return {"mean_iou": mean_iou_of(counts), "pixel_accuracy": accuracy, "loss": loss}, {"iou": iou_of(counts)}
    if kind == "multilabel":
        return {}, {"accuracy": sums["right"] / sums["images"]}
    return {}, {}


def output_reader(part: Part | None, *, of_images: bool = False) -> Callable[[Any], Tensor]:
    """Return what takes the one tensor that is judged out of a model's output.

    Of several it is the part that is named, else the one called logits, or images, or the only one; where images are to
    be given back, the one called images goes before logits, which an autoencoder has before its sigmoid.
    """
    known = ("images", "logits") if of_images else ("logits", "images")

    def read(output: Any) -> Tensor:
        value = pick(output, part) if part is not None else output
        if isinstance(value, Tensor):
            return value
        entries = {name: one for name, one in entries_of(value).items() if isinstance(one, Tensor) and one.ndim}
        properties = [name for name in known if isinstance(getattr(value, name, None), Tensor)]
        named = [name for name in known if name in entries]
        if properties and (not named or of_images):
            return getattr(value, properties[0])
        if named or len(entries) == 1:
            return entries[named[0] if named else next(iter(entries))]
        raise InputError(f"the model gives {describe(value)}, and it is not clear which tensor to use; pass output=….")

    return read


def class_table(output: Tensor, size: int) -> Float[Tensor, "n classes"]:
    """Return class scores (n, classes); of a single logit y, a binary classifier's, 0 and y."""
    table = output.flatten(1) if output.ndim != 1 and output.shape[2:].numel() == 1 else output
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) != size:
        raise InputError(
            f"the model's output is {describe(output)}, expected class scores ({size}, classes) for labels ({size},); "
            "pass output=…, or your own metric."
        )
    return torch.cat([torch.zeros_like(table), table], dim=1) if table.shape[1] == 1 else table


def _pixel_table(output: Tensor) -> Float[Tensor, "n classes h w"]:
    """Return class scores of pixels; of a single logit y a pixel, (n, 1, h, w) or (n, h, w), 0 and y."""
    table = output[:, None] if output.ndim == 3 else output
    if table.ndim != 4:
        raise InputError(
            f"the model's output is {describe(output)}, expected class scores of pixels (n, classes, height, width) "
            "for labels (n, height, width); pass output=…, or your own metric."
        )
    return torch.cat([torch.zeros_like(table), table], dim=1) if table.shape[1] == 1 else table


def _require_shape(output: Tensor, targets: Tensor) -> None:
    if output.shape != targets.shape:
        raise InputError(
            f"the model's output has shape {tuple(output.shape)} for targets of shape {tuple(targets.shape)}, expected "
            "the same shape; pass other labels, output=…, or your own metric."
        )


def make_outcomes(
    images: Images | ImageRows,
    labels: Labels,
    metric: Metric | None,
    first: Tensor,
    to_logits: Callable[[Tensor], Tensor] | None = None,
) -> Outcomes:
    """Say by the labels how outputs are judged.

    Args:
        images: All of them.
        labels: Of all images, or None for images that are to be given back.
        metric: The user's own, or None.
        first: What the network gives for the first images.
        to_logits: From class scores to logits, where they are none.

    Raises:
        InputError: The labels are of no task, or do not fit the outputs.
    """
    targets = _as_array(labels, len(images))
    if metric is not None:
        if not callable(metric):
            raise InputError(
                f"metric is {metric!r}, expected a function from outputs and labels to one number per image."
            )
        return Outcomes("metric", images if targets is None else targets, 0, metric)
    if targets is None:
        if first.shape[1:] != images.shape[1:]:
            raise InputError(
                f"there are no labels, and the model does not return images: it gives shape {tuple(first.shape[1:])} "
                f"for images of shape {tuple(images.shape[1:])}; pass labels, or your own metric."
            )
        return Outcomes("reconstruction", images, 0)
    if targets.ndim == 4:
        return Outcomes("reconstruction", targets, 0)
    if to_logits is None and _like_probabilities(first, one_sum=targets.ndim != 2):
        say_once(
            "the network's outputs look like probabilities but are read as logits; pass to_logits=torch.log if it ends "
            "in a softmax, to_logits=torch.logit if it ends in a sigmoid."
        )
    if targets.ndim == 2:
        return Outcomes("multilabel", _whole(targets, 2), targets.shape[1], to_logits=to_logits)
    kind: Kind = "segmentation" if targets.ndim == 3 else "classification"
    table = _pixel_table(first) if kind == "segmentation" else class_table(first, len(first))
    classes = table.shape[1]
    whole = _whole(targets, classes, void=kind == "segmentation")
    targets = whole.to(torch.uint8) if kind == "segmentation" else whole
    return Outcomes(kind, targets, classes, to_logits=to_logits)


def _like_probabilities(scores: Tensor, *, one_sum: bool) -> bool:
    """Tell whether class scores all lie in 0 to 1, and add up to one where classes exclude each other."""
    if not scores.numel() or not bool(((scores >= 0) & (scores <= 1)).all()):
        return False
    if not one_sum or scores.ndim < 2 or scores.shape[1] == 1:
        return True
    return bool(((scores.double().sum(dim=1) - 1).abs() < (1e-2 if scores.element_size() < 4 else 1e-4)).all())


def _as_array(labels: Labels, count: int) -> Tensor | None:
    if labels is None:
        return None
    targets = labels.detach().cpu() if isinstance(labels, Tensor) else torch.from_numpy(label_numbers(labels))
    if targets.ndim not in (1, 2, 3, 4) or len(targets) != count:
        raise InputError(
            f"labels has shape {tuple(targets.shape)} for {count} images, expected one class per image ({count},), yes "
            f"or no for each label ({count}, labels), one class per pixel ({count}, height, width), or images."
        )
    return targets


def label_numbers(labels: Any) -> np.ndarray:
    """Return labels as an array.

    Raises:
        InputError: They are no numbers, or rows of unlike lengths.
    """
    try:
        array = np.array(labels)
    except ValueError:  # rows of unlike lengths
        array = np.array(None)
    if array.dtype.kind not in "iufb":
        raise InputError("labels is not an array of numbers, expected a class index for each image, such as [0, 2, 1].")
    return array.astype(np.int64) if array.dtype.kind == "u" and array.dtype.itemsize > 1 else array


def _whole(targets: Tensor, classes: int, *, void: bool = False) -> Tensor:
    """Return labels as whole numbers, all of them classes.

    Raises:
        InputError: One is not.
    """
    whole = targets.long()
    fine = (whole >= 0) & (whole < classes) & (whole.double() == targets.double())
    if void:
        fine |= targets == VOID
    if not fine.all():
        wrong = float(targets[~fine][0])
        raise InputError(f"labels holds {wrong:g}, expected the model's classes, 0 to {classes - 1}.")
    return whole
