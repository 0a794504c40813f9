"""What of the features an embedding keeps: neighbours, ranks and classes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Integer, Real

from glassnet.embedding.checks import check_seed, checked_labels, checked_rows
from glassnet.errors import InputError

Squared = Float64[np.ndarray, "m n"]
Neighbours = Int64[np.ndarray, "m k"]
MOST_POINTS = 5000
ROWS_AT_ONCE = 200


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How well points keep the neighbourhoods of features; 1 is best for all four."""

    trustworthiness: float
    """1 if no point has neighbours that its features do not have; lower the farther these intruders come from."""
    continuity: float
    """1 if all of the features' neighbours are neighbours of the point; lower the farther they have gone."""
    neighbours_kept: float
    """Share of the points' nearest neighbours that are among the features' nearest."""
    knn_accuracy: float | None
    """Share of points whose class their neighbours' majority names; None without labels."""
    neighbours: int
    """Size k of a neighbourhood."""
    sample: int
    """Points that all of this was measured on and among; all of them up to 5,000, else 5,000 drawn by seed."""


def quality(
    features: Real[np.ndarray, "n d"],
    points: Real[np.ndarray, "n dims"],
    *,
    labels: Integer[np.ndarray, " n"] | None = None,
    neighbours: int = 10,
    seed: int = 0,
) -> Quality:
    """Measure an embedding by its neighbourhoods of k points, in Euclidean distance.

    With r(i, j) the rank of j among the others by distance from i in the features (1 for the nearest; equal distances
    share the best rank) and U(i) the k nearest of i among the points:

    trustworthiness = 1 - 2 / (n k (2 n - 3 k - 1)) sum_i sum_{j in U(i)} max(r(i, j) - k, 0).

    Continuity is the same with the roles of features and points exchanged. The kNN accuracy leaves each point out and
    asks the k nearest others; a tied vote goes to the smallest label.

    Venna & Kaski 2001, https://doi.org/10.1007/3-540-44668-0_68.

    Args:
        features: What was embedded.
        points: The embedding, a row for each row of the features.
        labels: Class index of each point, from 0.
        neighbours: k.
        seed: Seed of the sample drawn above 5,000 points.

    Raises:
        InputError: Features or points are no finite (n, d), differ in length, or there are not more than 2 k of them;
            or the labels are not one class index a point.
    """
    inputs, outputs = checked_rows(features), checked_rows(points, noun="points")
    check_seed(seed)
    classes = None if labels is None else checked_labels(labels, points=len(outputs))
    if len(inputs) != len(outputs):
        raise InputError(f"got {len(inputs)} features and {len(outputs)} points, expected a point for each.")
    if len(inputs) > MOST_POINTS:
        chosen = np.sort(np.random.default_rng(seed).choice(len(inputs), MOST_POINTS, replace=False))
        inputs, outputs = inputs[chosen], outputs[chosen]
        classes = None if classes is None else classes[chosen]
    n = len(inputs)
    if not 1 <= neighbours < n / 2:
        raise InputError(
            f"neighbours is {neighbours}, expected 1 to {(n - 1) // 2} for {n} points (fewer than half of them)."
        )
    return _measure(inputs, outputs, classes, neighbours)


def _measure(
    features: Float64[np.ndarray, "n d"],
    points: Float64[np.ndarray, "n dims"],
    classes: Int64[np.ndarray, " n"] | None,
    k: int,
) -> Quality:
    n = len(points)
    features, points = features - features.mean(axis=0), points - points.mean(axis=0)
    intruded, missed, kept, right = 0, 0, 0, 0
    for rows in np.array_split(np.arange(n), n // ROWS_AT_ONCE + 1):
        far, near = _squared(features, rows), _squared(points, rows)
        nearest = _nearest(near, k)
        ranks = _ranks(far, nearest)
        intruded += int(np.maximum(ranks - k, 0).sum())
        missed += int(np.maximum(_ranks(near, _nearest(far, k)) - k, 0).sum())
        kept += int((ranks <= k).sum())
        if classes is not None:
            right += int((_majority(classes[nearest]) == classes[rows]).sum())
    scale = 2 / (n * k * (2 * n - 3 * k - 1))
    return Quality(
        trustworthiness=1 - scale * intruded,
        continuity=1 - scale * missed,
        neighbours_kept=kept / (n * k),
        knn_accuracy=None if classes is None else right / n,
        neighbours=k,
        sample=n,
    )


def _squared(vectors: Float64[np.ndarray, "n d"], rows: Int64[np.ndarray, " m"]) -> Squared:
    """Squared distances of some vectors to all, infinite to themselves."""
    norms = np.einsum("nd,nd->n", vectors, vectors)
    sums = norms[rows, None] + norms
    squared = sums - 2 * (vectors[rows] @ vectors.T)
    # What rounding alone can leave is no distance: equal rows must be at 0, or noise would rank them.
    squared[squared < 4 * np.finfo(np.float64).eps * vectors.shape[1] * sums] = 0
    squared[np.arange(len(rows)), rows] = np.inf
    return squared


def _nearest(distances: Squared, k: int) -> Neighbours:
    return np.argpartition(distances, k - 1, axis=1)[:, :k]


def _ranks(distances: Squared, neighbours: Neighbours) -> Neighbours:
    """Rank of each neighbour by distance: one more than the vectors that are strictly nearer."""
    columns = np.take_along_axis(distances, neighbours, axis=1).T
    return np.stack([1 + np.count_nonzero(distances < column[:, None], axis=1) for column in columns], axis=1)


def _majority(labels: Neighbours) -> Int64[np.ndarray, " m"]:
    votes = np.zeros((len(labels), labels.max() + 1), dtype=np.int64)
    np.add.at(votes, (np.arange(len(labels))[:, None], labels), 1)
    return votes.argmax(axis=1)
