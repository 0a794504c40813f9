"""The images nearest to one in a layer's feature space, and the labels that such neighbours contradict."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Float, Float64, Int64, Real
from torch import Tensor

from glassnet.analysis import KINDS, Context, get
from glassnet.analysis.evaluation import EvaluationRequest
from glassnet.analysis.features import Features, FeaturesRequest
from glassnet.analysis.label_errors import Doubts, doubted_labels
from glassnet.errors import InputError
from glassnet.models.features import extract_features
from glassnet.subject import Subject

ROWS_AT_ONCE = 1000
REMEMBERED_LAYERS = 3
"""Of a subject without a folder for its analyses, in memory."""
_REMEMBERED: WeakKeyDictionary[Subject, OrderedDict[Hashable, Features]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest images to one.

    Attributes:
        numbers: Their stable numbers in the part, the nearest first.
        distances: Euclidean, in the layer's feature space.
        among: How many images were looked at.
        labels: Their classes.
    """

    numbers: Int64[np.ndarray, " k"]
    distances: Float64[np.ndarray, " k"]
    among: int
    labels: Int64[np.ndarray, " k"]


def kept_features(subject: Subject, request: FeaturesRequest, context: Context) -> Features:
    """Return a layer's features from the store, or into it; without a store the last ones are remembered.

    Raises:
        InputError: There is no such layer, or it gives no row an image.
    """
    if subject.store is not None and subject.store.writable:
        found: Features = get(KINDS["features"], subject, request, context=context, figures=False).result
        return found
    model = subject.model(context.device)
    key = (request, tuple((id(one), one._version) for one in (*model.parameters(), *model.buffers())))
    remembered = _REMEMBERED.setdefault(subject, OrderedDict())
    if key not in remembered:
        remembered[key] = get(KINDS["features"], subject, request, context=context, figures=False).result
    remembered.move_to_end(key)
    while len(remembered) > REMEMBERED_LAYERS:
        remembered.popitem(last=False)
    return remembered[key]


def nearest_images(
    subject: Subject,
    request: FeaturesRequest,
    inputs: Tensor,
    context: Context,
    *,
    count: int,
    number: int | None = None,
) -> Neighbours:
    """Return the images of a part that lie nearest to one in a layer's feature space.

    Args:
        subject: Whose images.
        request: The layer, and among which images.
        inputs: The image (1, channel, height, width).
        context: Where to compute.
        count: How many, at most.
        number: The image's number, where it is of the part: it is no neighbour of itself; None for another image.

    Raises:
        InputError: There is no such layer, or it gives no row an image.
    """
    features = kept_features(subject, request, context)
    row = extract_features(subject.model(context.device), inputs, request.layer, precision=request.precision)
    squared = squared_distances(features.features, row[request.layer][0])
    if number is not None:
        squared[features.numbers == number] = np.inf
    order = np.argsort(squared, kind="stable")[: max(0, min(count, int(np.isfinite(squared).sum())))]
    return Neighbours(
        features.numbers[order], np.sqrt(squared[order]), int(np.isfinite(squared).sum()), features.labels[order]
    )


def squared_distances(rows: Real[np.ndarray, "n d"], row: Float[np.ndarray, " d"]) -> Float64[np.ndarray, " n"]:
    """Return the squared distance of each row to one, by differences, so that equal rows are at exactly 0."""
    parts = [
        np.square(rows[start : start + ROWS_AT_ONCE].astype(np.float64) - row).sum(axis=1)
        for start in range(0, len(rows), ROWS_AT_ONCE)
    ]
    return np.concatenate(parts)


def likely_label_errors(subject: Subject, request: FeaturesRequest, context: Context) -> tuple[Features, Doubts]:
    """Return the images, with a layer's features, and which of their labels are likely wrong.

    Raises:
        InputError: The images have no label each, or as `kept_features`.
    """
    if subject.task.target_dimensions != 1 or not subject.labelled:
        raise InputError(f"{subject.name} does not give one class per image, expected a classifier of labelled images.")
    features = kept_features(subject, request, context)
    measured = EvaluationRequest(split=request.split, precision=request.precision)
    result = get(KINDS["evaluation"], subject, measured, context=context, figures=False).result
    place = {number: row for row, number in enumerate(subject.part(request.split).numbers.tolist())}
    rows = np.array([place[number] for number in features.numbers.tolist()])
    return features, doubted_labels(result.probabilities[rows], features.labels, features.features)
