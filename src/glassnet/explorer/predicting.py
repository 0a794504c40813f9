"""What the model says of images: of all of a part, and of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from glassnet.analysis.features import image_labels
from glassnet.analysis.scores import as_probabilities
from glassnet.analysis.views import image_name
from glassnet.console import step
from glassnet.errors import InputError, WorkError
from glassnet.explorer.arrays import Arrays
from glassnet.explorer.columns import as_sent
from glassnet.explorer.schemas import ImageFacts
from glassnet.explorer.shown import ImagePart, OpenSubject
from glassnet.models.inference import outputs, predict
from glassnet.run.codec import encode
from glassnet.subject import Subject
from glassnet.tasks.explored import Column, Columns, explored, no_columns

_BATCH = 256


def labels_of(opened: OpenSubject, part: ImagePart) -> Column:
    """Return the class of each image, the first label of several; -1 where there is none."""
    subject, targets = opened.subject, part.split.targets
    if not subject.labelled or targets.ndim > 2:
        return np.full(len(part.split), -1, np.int32)
    labels = image_labels(targets)
    return np.where(labels < len(subject.classes), labels, -1).astype(np.int32)


def columns_of(opened: OpenSubject, part: ImagePart) -> Columns:
    """Return the columns of a part, from its evaluation where there are labels."""
    subject = opened.subject
    if subject.labelled or not subject.task.compares_classes:
        result = opened.analysis("evaluation", split=part.name).result
        return explored(subject.task.name).columns(*encode(result))
    return _of_scores(opened, part)


def columns(opened: OpenSubject, part: ImagePart) -> Arrays:
    """Return the columns of a part as they are sent."""
    return as_sent(columns_of(opened, part), part.numbers, labels_of(opened, part))


def _of_scores(opened: OpenSubject, part: ImagePart) -> Columns:
    """Predict images without labels."""
    own = no_columns(len(part.split))
    if opened.subject.task.target_dimensions > 2:  # a class for each pixel is none for the image
        return own
    subject, model = opened.subject, opened.model()
    starts = range(0, len(part.split), _BATCH)
    batches = (part.split.take(slice(start, start + _BATCH))[0] for start in starts)
    for start, output in zip(starts, outputs(model, batches), strict=True):
        step("images", start, len(part.split))
        chances = probabilities_of(subject, output).cpu().numpy()
        known = np.isfinite(chances).all(axis=1)  # of the others nothing is said
        own.predicted[start : start + len(chances)] = np.where(known, chances.argmax(axis=1), -1)
        own.confidence[start : start + len(chances)] = chances.max(axis=1)
    return own


def probabilities_of(subject: Subject, output: Any) -> torch.Tensor:
    """Turn scores into probabilities (n, classes); empty where there are no scores of classes."""
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        return torch.empty((0, 0))
    return as_probabilities(subject, output)


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
    return image_name(part.split, place, part.name)


def require_image_classes(opened: OpenSubject) -> None:
    """Refuse a subject whose images have no class of their own.

    Raises:
        InputError: They have not.
    """
    if not opened.subject.task.labels_images:
        raise InputError(f"{opened.name} learned {opened.subject.task.name}, whose images do not have one class each.")
