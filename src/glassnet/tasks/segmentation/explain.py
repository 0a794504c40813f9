"""What is explained of a segmentation: the score of a region, layer by layer (Seg-Grad-CAM)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from glassnet.analysis.attribution import AttributionRequest
from glassnet.analysis.base import Context
from glassnet.analysis.evaluation import EvaluationRequest, evaluated
from glassnet.analysis.views import Described, ExplainViews, Facts, Group, class_of
from glassnet.attribution import METHODS, Explanation
from glassnet.attribution.engine.targets import largest_classes, segmented_region
from glassnet.attribution.methods import ingredients
from glassnet.errors import InputError
from glassnet.formats import percent
from glassnet.measures import show
from glassnet.subject import Part, Subject
from glassnet.tasks.segmentation.metrics import mean_iou_of, pixel_counts


def _check(subject: Subject, request: AttributionRequest) -> None:
    """Refuse what means nothing for a region, and methods whose changed images would have other regions."""
    if request.mask == "stroke":
        raise InputError(
            f"--mask stroke measures maps of classifiers, but {subject.name} learned segmentation; leave it out."
        )
    if _clicked(request.target, subject) is None:
        _label(request.target, subject)
    changing = [name for name in METHODS if "rerun" in ingredients(name)]
    refused = [name for name in request.methods if name in changing]
    if refused:
        fitting = ", ".join(name for name in METHODS if name not in changing)
        raise InputError(
            f"{' and '.join(refused)} compare{('s' if len(refused) == 1 else '')} changed images, whose segmented "
            f"regions differ; use one of {fitting}."
        )


def _label(word: str, subject: Subject) -> int | None:
    """Turn --target into a class; None for the largest predicted one of each image."""
    if word == "predicted":
        return None
    if word == "label":
        raise InputError("--target is label, but in segmentation every pixel has a label; give predicted or a class.")
    return class_of(word, subject, ("predicted", "region:ROW,COLUMN"))


def _clicked(word: str, subject: Subject) -> tuple[int, int] | None:
    """Read the pixel of --target region:ROW,COLUMN; None for another target.

    Raises:
        InputError: There is no such pixel.
    """
    kind, _, place = word.partition(":")
    if kind != "region" or word in subject.classes:
        return None
    _, height, width = subject.image_shape
    row, _, column = place.partition(",")
    if row.isdecimal() and column.isdecimal() and int(row) < height and int(column) < width:
        return int(row), int(column)
    raise InputError(
        f"--target is '{word}', expected region:ROW,COLUMN with a row from 0 to {height - 1} and a column from 0 to "
        f"{width - 1}: the pixel whose region is explained."
    )


def region_at(
    predicted: Integer[np.ndarray, "height width"], row: int, column: int
) -> Bool[np.ndarray, "height width"]:
    """Mark the pixels of one class that hang together, edge to edge, with the pixel at (row, column)."""
    from scipy.ndimage import label as label_components

    components: np.ndarray = label_components(predicted == predicted[row, column])[0]
    return components == components[row, column]


def clicked_region(row: int, column: int) -> Any:
    """Return the target of Seg-Grad-CAM for one region: y = sum of its class's logits over the pixels of the region.

    The region is that of the prediction at hand which holds the pixel (row, column), as `region_at` finds it.

    Vinogradova, Dibrov and Myers 2020, https://arxiv.org/abs/2002.11434, equation 2, its set of pixels M being one
    region.
    """

    def score(output: Tensor) -> Float[Tensor, " batch"]:
        predicted = output.detach().argmax(dim=1)
        regions = torch.from_numpy(_regions_at(predicted, row, column)).to(output.device)
        classes = predicted[:, row, column].view(-1, 1, 1, 1).expand(-1, 1, *output.shape[2:])
        return (output.gather(1, classes)[:, 0] * regions).sum(dim=(1, 2))

    return score


def _regions_at(predicted: Tensor, row: int, column: int) -> Bool[np.ndarray, "n height width"]:
    return np.stack([region_at(one, row, column) for one in predicted.cpu().numpy()])


def _layers(_subject: Subject, _model: nn.Module, request: AttributionRequest) -> list[str]:
    return list(request.layers)


def _select(subject: Subject, rule: str, wanted: int, part: Part, context: Context, precision: str) -> list[Group]:
    """Take the images of highest mean IoU, or of lowest, or half of each."""
    request = EvaluationRequest(split=part, precision="bf16" if precision == "bf16" else "fp32")
    counts = evaluated(subject, request, context).records["counts"]
    iou = mean_iou_of(counts.numpy())
    order = torch.from_numpy(np.argsort(np.where(np.isnan(iou), np.inf, -iou), kind="stable"))
    order = order[: int((~np.isnan(iou)).sum())]
    groups = {"correct": ("Best", "highest", order), "wrong": ("Worst", "lowest", order.flip(0))}
    chosen = groups if rule == "mixed" else {rule: groups[rule]}
    # Of few images fewer, or the worst would be among the best.
    share = min(math.ceil(wanted / len(chosen)), max(1, len(order) // len(chosen)))
    return [
        Group(
            name,
            f"{word} segmented images",
            f"The {share} {part} images with the {end} mean IoU.",
            subject.part(part).subset(rows[:share]),
        )
        for name, (word, end, rows) in chosen.items()
    ]


def _inputs(_subject: Subject, group: Group, _request: AttributionRequest) -> Tensor:
    return group.images


def _target(subject: Subject, _model: nn.Module, _group: Group, request: AttributionRequest) -> Any:
    pixel = _clicked(request.target, subject)
    return segmented_region(_label(request.target, subject)) if pixel is None else clicked_region(*pixel)


def _describe(
    subject: Subject, _model: nn.Module, group: Group, request: AttributionRequest, explanation: Explanation
) -> Described:
    assert explanation.output is not None  # what was explained is its regions
    predicted, classes = torch.from_numpy(explanation.output).argmax(dim=1), len(subject.classes)
    targets, regions = _explained(subject, predicted, request.target)
    overlaps = _overlaps(predicted, group, classes)
    facts = [
        {
            "target": subject.classes[int(targets[row])],
            "share": float(regions[row].mean()),
            "iou": overlaps[row],
        }
        for row in range(len(predicted))
    ]
    where = "predicted as this class" if not request.target.startswith("region:") else "of one of its regions"
    note = f"Explained: the score of a class, summed over the pixels {where}."
    missing = [one["target"] for one in facts if not one["share"]]
    if missing:
        note += f" {missing[0]} is predicted nowhere in {len(missing)} of {len(facts)} images: their maps are all zero."
    return Described(tuple(facts), regions, note)


def _explained(subject: Subject, predicted: Tensor, target: str) -> tuple[Tensor, Bool[np.ndarray, "n height width"]]:
    """Return the class that is explained in each image, and the pixels whose scores of it are."""
    pixel = _clicked(target, subject)
    if pixel is not None:
        return predicted[:, pixel[0], pixel[1]], _regions_at(predicted, *pixel)
    label = _label(target, subject)
    if label is None:
        targets = largest_classes(predicted, len(subject.classes))
    else:
        targets = predicted.new_full((len(predicted),), label)
    return targets, (predicted == targets[:, None, None]).numpy()


def _overlaps(predicted: Tensor, group: Group, classes: int) -> list[float | None]:
    """Mean IoU of each image; None where no pixel has a label."""
    if not group.labelled:
        return [None] * len(predicted)
    counts = pixel_counts(predicted.to(torch.uint8), group.split.targets, classes)
    return [None if np.isnan(value) else float(value) for value in mean_iou_of(np.asarray(counts))]


def _caption(facts: Facts) -> str:
    overlap = "" if facts["iou"] is None else f": IoU {show('iou', facts['iou'])}"
    return f"{overlap}\nregion of {facts['target']}: {percent(facts['share'], 0)} of the image"


EXPLAIN = ExplainViews(
    images="mixed:8",
    check=_check,
    layers=_layers,
    select=_select,
    rules=("correct", "wrong", "mixed"),
    inputs=_inputs,
    target=_target,
    describe=_describe,
    columns=(("target", "region of"), ("share", "share of image"), ("iou", "IoU of image")),
    caption=_caption,
    classes=False,
)
