"""Likely label errors: labels that the model's probabilities and the image's neighbours both contradict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int, Int64, Real

from glassnet.console import progress
from glassnet.embedding.distances import nearest, ruler
from glassnet.errors import InputError

NEIGHBOURS = 10
ROWS_AT_ONCE = 500
METHOD = (
    "Confident learning (Northcutt et al. 2021) picks images for which the model gives another class a probability "
    "above that class's mean over the images labelled so. Of these, only images whose nearest neighbours in the "
    "layer's feature space carry that class more often than the label are kept. Score: the probability times the "
    "fraction of neighbours with that class. On training images, errors that the model has memorised are missed."
)


@dataclass(frozen=True, eq=False)
class Doubts:
    """Images whose labels are doubted, the likeliest errors first.

    Attributes:
        rows: Their rows.
        suggested: The class that model and neighbours say.
        confidence: The model's probability of that class.
        agreement: Share of the neighbours that have it.
        neighbours: How many neighbours were asked.
    """

    rows: Int64[np.ndarray, " m"]
    suggested: Int64[np.ndarray, " m"]
    confidence: Float64[np.ndarray, " m"]
    agreement: Float64[np.ndarray, " m"]
    neighbours: int

    @property
    def scores(self) -> Float64[np.ndarray, " m"]:
        """Confidence times agreement, in [0, 1], by which they are sorted."""
        return self.confidence * self.agreement


def confident_classes(
    probabilities: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"]
) -> Int64[np.ndarray, " n"]:
    """Return the class that each image is confidently counted to, -1 for none.

    That is the most probable class j among those with p_j(x) >= t_j, where t_j is the mean of p_j over the images
    with label j. A class that no image has as its label has no threshold and is never counted to.

    Northcutt, Jiang and Chuang 2021, https://arxiv.org/abs/1911.00068, equations 1 and 2.
    """
    table = np.asarray(probabilities, dtype=np.float64)
    classes = table.shape[1]
    counts = np.bincount(labels, minlength=classes)
    own = np.bincount(labels, weights=table[np.arange(len(table)), labels], minlength=classes)
    thresholds = np.where(counts > 0, own / np.maximum(counts, 1), np.inf)
    confident = np.where(table >= thresholds, table, -1.0)
    return np.where(confident.max(axis=1) >= 0, confident.argmax(axis=1), -1)


def neighbour_shares(
    features: Real[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], classes: int, k: int
) -> Float64[np.ndarray, "n classes"]:
    """Return what share of each image's k nearest others in feature space (Euclidean) has each class as its label."""
    measured = ruler(np.asarray(features, dtype=np.float64))
    shares = np.empty((len(labels), classes))
    with progress("neighbours", len(labels), announce=False) as advance:
        for start in range(0, len(labels), ROWS_AT_ONCE):
            rows = np.arange(start, min(start + ROWS_AT_ONCE, len(labels)))
            near = nearest(measured.among(rows), k)
            for place, row in enumerate(rows):
                shares[row] = np.bincount(labels[near[place]], minlength=classes) / k
            advance(len(rows))
    return shares


def doubted_labels(
    probabilities: Float[np.ndarray, "n classes"],
    labels: Int[np.ndarray, " n"],
    features: Real[np.ndarray, "n d"],
    *,
    neighbours: int = NEIGHBOURS,
) -> Doubts:
    """Name the images whose label is likely wrong: the model and the nearest images agree on another class.

    An image with label i is doubted where confident learning counts it to a class j other than i
    (`confident_classes`) and more of its k nearest others in feature space have the label j than i. Its score is
    p_j(x) a_j(x), with a_j the share of these neighbours that have the label j.

    Northcutt, Jiang and Chuang 2021, https://arxiv.org/abs/1911.00068; neighbours as in Bahri, Jiang and Gupta 2020,
    https://arxiv.org/abs/2004.12289.

    Args:
        probabilities: Of the model, for each image and class.
        labels: Class that each image is labelled with.
        features: A row an image.
        neighbours: k; fewer where there are not so many others.

    Raises:
        InputError: There are not as many of each, or fewer than two images.
    """
    if not len(probabilities) == len(labels) == len(features) or len(labels) < 2:
        raise InputError(
            f"there are {len(probabilities)} rows of probabilities, {len(labels)} labels and {len(features)} rows of "
            "features, expected equally many, at least 2."
        )
    labels, k = np.asarray(labels, dtype=np.int64), min(neighbours, len(labels) - 1)
    suggested = confident_classes(probabilities, labels)
    shares, rows = neighbour_shares(features, labels, probabilities.shape[1], k), np.arange(len(labels))
    agreement = shares[rows, suggested]
    doubted = np.flatnonzero((suggested >= 0) & (suggested != labels) & (agreement > shares[rows, labels]))
    confidence = np.asarray(probabilities, dtype=np.float64)[doubted, suggested[doubted]]
    order = np.argsort(-confidence * agreement[doubted], kind="stable")
    chosen = doubted[order]
    return Doubts(chosen, suggested[chosen], confidence[order], agreement[chosen], k)
