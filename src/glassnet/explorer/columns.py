"""One value an image: label, prediction, confidence, loss and quality, from the evaluation or a forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from glassnet.console import step
from glassnet.errors import InputError, WorkError
from glassnet.explorer.arrays import Arrays
from glassnet.explorer.schemas import ColumnsMeta, ImageFacts
from glassnet.explorer.shown import ImagePart, OpenSubject
from glassnet.measures import MEASURES
from glassnet.models.inference import outputs, predict
from glassnet.subject import Subject

Column = np.ndarray
_BATCH = 256


@dataclass(frozen=True, eq=False)
class Columns:
    """An entry an image, in the part's order; -1 and NaN where there is none."""

    predicted: Column
    confidence: Column
    loss: Column
    quality: Column
    named: str = ""
    wrong: int | None = None


def labels_of(opened: OpenSubject, part: ImagePart) -> Column:
    """Return the class of each image, the first label of several; -1 where there is none."""
    from glassnet.analysis.features import image_labels

    subject, targets = opened.subject, part.split.targets
    if not subject.labelled or targets.ndim > 2:
        return np.full(len(part.split), -1, np.int32)
    labels = image_labels(targets).astype(np.int32)
    return np.where(labels < len(subject.classes), labels, -1).astype(np.int32)


def columns(opened: OpenSubject, part: ImagePart) -> Arrays:
    """Return the columns of a part."""
    subject = opened.subject
    if subject.labelled or not subject.task.compares_classes:
        result = opened.analysis("evaluation", split=part.name).result
        found = _OF_TASKS[subject.task.name](result)
    else:
        found = _of_scores(opened, part)
    arrays = {
        "numbers": part.numbers,
        "label": labels_of(opened, part),
        "predicted": found.predicted,
        "confidence": found.confidence,
        "loss": found.loss,
        "quality": found.quality,
    }
    higher = found.named == "" or MEASURES[found.named].better == "higher"
    title = MEASURES[found.named].title if found.named else ""
    meta = ColumnsMeta(
        images=len(part.split), wrong=found.wrong, quality=title, quality_higher_is_better=higher, precision="fp32"
    )
    return Arrays(arrays, meta)


def _nothing(count: int) -> dict[str, Column]:
    empty = np.full(count, np.nan, np.float32)
    return {"predicted": np.full(count, -1, np.int32), "confidence": empty, "loss": empty, "quality": empty}


def _of_classification(result: Any) -> Columns:
    likely = result.probabilities[np.arange(result.images), result.targets]
    own: dict[str, Column] = {
        "predicted": result.predicted.astype(np.int32),
        "confidence": result.probabilities.max(axis=1),
        "loss": -np.log(np.maximum(likely, 1e-12)),
    }
    return Columns(**{**_nothing(result.images), **own}, wrong=len(result.wrong))


def _of_labels(result: Any) -> Columns:
    chances = np.clip(result.probabilities, 1e-12, 1 - 1e-7)
    loss = -np.where(result.targets == 1, np.log(chances), np.log1p(-chances)).mean(axis=1)
    likeliest = chances.argmax(axis=1)
    own: dict[str, Column] = {
        "predicted": np.where(chances.max(axis=1) >= 0.5, likeliest, -1).astype(np.int32),
        "confidence": chances.max(axis=1),
        "loss": loss,
    }
    return Columns(**{**_nothing(result.images), **own}, wrong=result.wrong)


def _of_masks(result: Any) -> Columns:
    quality = np.array([np.nan if one is None else one for one in result.by_image], np.float32)
    return Columns(**{**_nothing(result.images), "quality": quality}, named="mean_iou")


def _of_reconstruction(result: Any) -> Columns:
    values = result.values
    own: dict[str, Column] = {}
    if "psnr" in values:
        own["quality"] = np.asarray(values["psnr"], np.float32)
    if "reconstruction" in values and "kl" in values:
        own["loss"] = np.asarray(values["reconstruction"] + values["kl"], np.float32)
    return Columns(**{**_nothing(result.images), **own}, named="psnr" if "quality" in own else "")


_OF_TASKS = {
    "classification": _of_classification,
    "multilabel": _of_labels,
    "segmentation": _of_masks,
    "reconstruction": _of_reconstruction,
}


def _of_scores(opened: OpenSubject, part: ImagePart) -> Columns:
    """Predict images without labels."""
    own = _nothing(len(part.split))
    if opened.subject.task.target_dimensions > 2:  # a class for each pixel is none for the image
        return Columns(**own)
    subject, model = opened.subject, opened.model()
    predicted, confidence = own["predicted"], own["confidence"]
    starts = range(0, len(part.split), _BATCH)
    batches = (part.split.take(slice(start, start + _BATCH))[0] for start in starts)
    for start, output in zip(starts, outputs(model, batches), strict=True):
        step("images", start, len(part.split))
        chances = probabilities_of(subject, output).cpu().numpy()
        predicted[start : start + len(chances)] = chances.argmax(axis=1)
        confidence[start : start + len(chances)] = chances.max(axis=1)
    return Columns(**own)


def probabilities_of(subject: Subject, output: Any) -> torch.Tensor:
    """Turn scores into probabilities (n, classes): of classes that exclude each other, or of each label by itself."""
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        return torch.empty((0, 0))
    independent = subject.task.views().explain.scores == "sigmoid"
    return output.float().sigmoid() if independent else output.float().softmax(dim=1)


def predict_image(subject: Subject, model: Any, image: torch.Tensor, *, what: str) -> np.ndarray:
    """Return the probabilities of one image (classes,); empty where the model gives no scores of classes.

    Raises:
        WorkError: The model gives NaN for it.
    """
    if not subject.task.compares_classes or subject.task.target_dimensions > 2:
        return np.empty(0, np.float32)
    chances = probabilities_of(subject, predict(model, image))
    if not bool(chances.isfinite().all()):
        raise WorkError(f"the model gives NaN for {what}; look for NaN in its weights, or too large inputs.")
    return chances[0].numpy() if len(chances) else np.empty(0, np.float32)


def image_facts(opened: OpenSubject, part: ImagePart, number: int) -> Arrays:
    """Return what is known of one image, and the model's answer to it."""
    place, subject = part.place(number), opened.subject
    chances = predict_image(subject, opened.model(), part.images([place]), what=f"{part.name} image {number}")
    label, labels = _labels(opened, part, place)
    one_class = len(chances) > 0 and subject.task.target_dimensions == 1
    predicted = int(chances.argmax()) if len(chances) else None
    loss = -float(np.log(max(chances[label], 1e-12))) if label is not None and one_class else None
    meta = ImageFacts(
        number=number,
        name=name_of(part, place),
        part=part.name,
        label=label,
        labels=labels,
        predicted=predicted,
        confidence=None if predicted is None else float(chances[predicted]),
        loss=loss,
        correct=predicted == label if label is not None and one_class else None,
        facts=[("size", "×".join(map(str, part.split.image_shape[1:])) + " pixels")],
    )
    return Arrays({"probabilities": chances.astype(np.float32)}, meta)


def _labels(opened: OpenSubject, part: ImagePart, place: int) -> tuple[int | None, list[int]]:
    subject = opened.subject
    target = part.split.take(slice(place, place + 1))[1][0]
    if not subject.labelled or target.ndim > 1:
        return None, []
    if target.ndim == 1:
        return None, target.nonzero().flatten().tolist()
    label = int(target)
    return (label, [label]) if label < len(subject.classes) else (None, [])


def name_of(part: ImagePart, place: int) -> str:
    """Name an image by its file, or as in "test image 23"."""
    from glassnet.analysis.views import image_name

    return image_name(part.split, place, part.name)


def require_task(opened: OpenSubject, *, has_classes: bool) -> None:
    """Refuse a subject whose images have no class of their own.

    Raises:
        InputError: They have not.
    """
    if has_classes and not opened.subject.task.labels_images:
        raise InputError(f"{opened.name} learned {opened.subject.task.name}, whose images have no class of their own.")
