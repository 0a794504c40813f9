"""Layers compared by what they tell, and two subjects by what they say of the same images."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from glassnet.analysis import KINDS, get
from glassnet.analysis.alignment import AlignmentRequest, aligned
from glassnet.errors import InputError
from glassnet.explorer.atlas import digest_of
from glassnet.explorer.described import PartName
from glassnet.explorer.embedding import measure_of
from glassnet.explorer.predicting import columns_of, labels_of, name_of
from glassnet.explorer.schemas import Cka, Comparison, Disagreement, LayerScore, LayerScores
from glassnet.explorer.shown import ImagePart, OpenSubject

_SCORES = ("probe_accuracy", "knn_accuracy", "nearest_mean_accuracy", "scatter_ratio", "effective_rank")


def scores_of(opened: OpenSubject, images: int) -> LayerScores:
    """Return what each layer's features tell, from the analysis "layers".

    Raises:
        InputError: There are no labels, or too few images.
    """
    result = opened.analysis("layers", images=images).result
    classes = len(opened.subject.classes)
    intervals = {"probe_accuracy": "probe_interval", "knn_accuracy": "knn_interval"}

    def of(row: Any) -> LayerScore:
        measures = [
            measure_of(key, getattr(row, key), classes, getattr(row, intervals[key]) if key in intervals else None)
            for key in _SCORES
        ]
        return LayerScore(layer=row.layer, measures=measures)

    return LayerScores(images=result.scored, layers=[of(row) for row in result.rows])


def compare(first: OpenSubject, second: OpenSubject, name: PartName) -> Comparison:
    """Compare what two classifiers say of the same images.

    Raises:
        InputError: They tell no classes apart, or other ones, or have other images.
    """
    part = _same_images(first, second, name)
    if tuple(first.subject.classes) != tuple(second.subject.classes):
        raise InputError(f"{first.name} and {second.name} have different classes and cannot be compared.")
    one, other = columns_of(first, part), columns_of(second, second.part(name))
    if (one.predicted < 0).all() or (other.predicted < 0).all():
        raise InputError(f"{first.name} or {second.name} does not give one class per image; compare two classifiers.")
    labels = labels_of(first, part)
    differ = np.flatnonzero(one.predicted != other.predicted)
    order = differ[np.argsort(-(one.confidence[differ] + other.confidence[differ]), kind="stable")]
    disagreements = [
        Disagreement(
            number=int(part.numbers[row]),
            name=name_of(part, row),
            label=int(labels[row]) if labels[row] >= 0 else None,
            first=int(one.predicted[row]),
            second=int(other.predicted[row]),
            first_confidence=float(one.confidence[row]),
            second_confidence=float(other.confidence[row]),
        )
        for row in order.tolist()
    ]
    counts = _counts(labels, one.predicted, other.predicted)
    return Comparison(
        images=len(labels),
        agree=len(labels) - len(differ),
        counts=counts,
        p_value=_mcnemar(counts),
        disagreements=disagreements,
        note="",
    )


def _same_images(first: OpenSubject, second: OpenSubject, name: PartName) -> ImagePart:
    part, other = first.part(name), second.part(name)
    if digest_of(part) != digest_of(other):
        raise InputError(
            f"{first.name} and {second.name} have different {name} images; compare runs on the same data at the same "
            "image size."
        )
    return part


def _counts(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[int]:
    """Count images that both have right, only the first, only the second, and neither; nothing without labels."""
    known = labels >= 0
    if not known.any():
        return []
    one, other = first[known] == labels[known], second[known] == labels[known]
    return [int(some.sum()) for some in (one & other, one & ~other, ~one & other, ~one & ~other)]


def _mcnemar(counts: list[int]) -> float | None:
    """Return the p-value of McNemar's exact test: whether either is right more often where they differ.

    McNemar 1947, https://doi.org/10.1007/BF02295996.
    """
    if not counts:
        return None
    from scipy.stats import binomtest

    only = counts[1] + counts[2]
    return 1.0 if only == 0 else float(binomtest(counts[1], only).pvalue)


def alike(first: OpenSubject, second: OpenSubject, name: PartName, images: int) -> Cka:
    """Return how alike the layers of two subjects see the same images, by linear CKA, debiased; of two runs it is kept.

    Raises:
        InputError: They have other images.
    """
    _same_images(first, second, name)
    one, other, context = first.subject, second.subject, first.context()
    request = AlignmentRequest(split=name, images=images)
    if first is second or second.path is not None:
        if first is not second:
            request = dataclasses.replace(request, against=str(second.path))
            context.memory["against", request.against] = other  # which is open already
        found = get(KINDS["alignment"], one, request, context=context, figures=False).result
    else:
        found = aligned(one, other, request, context)
    values = [[float(value) for value in row] for row in found.matrix]
    return Cka(first=list(found.first), second=list(found.second), values=values, images=found.images)
