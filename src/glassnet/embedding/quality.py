"""What of the features an embedding keeps: neighbours, ranks, distances and classes."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int32, Int64, Integer, Real

from glassnet.display import Shown
from glassnet.embedding.checks import as_array, check_seed, checked_labels, checked_rows
from glassnet.embedding.distances import (
    above_diagonal,
    all_squared_distances,
    majority,
    nearest,
    pair_ranks,
    ranks,
    spearman,
)
from glassnet.errors import InputError, checked_integer

MOST_POINTS = 5000
ROWS_AT_ONCE = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureNeighbours:
    """What quality has to know of features alone: measured once, it serves every embedding of them."""

    chosen: Int64[np.ndarray, " n"]
    """Rows of the features that are measured, ascending; all of them up to 5,000, else 5,000 drawn by seed."""
    rows: int
    """Rows of the features, measured or not."""
    neighbours: int
    """Size k of a neighbourhood."""
    nearest: Int64[np.ndarray, "n k"] = field(repr=False)
    """The k nearest of each measured row, in no order."""
    distances: Float64[np.ndarray, "n n"] = field(repr=False)
    """Squared distances between the measured rows, scaled by a power of two, infinite on the diagonal.

    They take 200 MB for 5,000 rows.
    """
    pair_ranks: Int32[np.ndarray, " pairs"] = field(repr=False)
    """Rank of each pair of rows by distance among all pairs, as `distances.pair_ranks` gives it."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Quality(Shown):
    """How well points preserve the neighbourhoods and distances of features; 1 is best for all five measures."""

    trustworthiness: float
    """Trustworthiness: 1 if all neighbours of each point are neighbours among the features too; lower for intruders."""
    continuity: float
    """Continuity: 1 if all neighbours among the features are neighbours of the point too; lower for lost neighbours."""
    neighbours_kept: float
    """Share of the points' nearest neighbours that are among the features' nearest."""
    knn_accuracy: float | None
    """Share of points whose class is the most common among their neighbours; None without labels."""
    distance_correlation: float | None
    """Spearman's rank correlation, -1 to 1, of the distances of all pairs among the features and among the points.

    None if all distances are equal. Distances are compared as float32.
    """
    neighbours: int
    """Size k of a neighbourhood."""
    sample: int
    """Number of points measured: all up to 5,000, otherwise 5,000 drawn at random."""


def quality(
    features: Real[np.ndarray, "n d"],
    points: Real[np.ndarray, "n dims"],
    *,
    labels: Integer[np.ndarray, " n"] | None = None,
    neighbours: int = 10,
    seed: int = 0,
) -> Quality:
    """Measure how well an embedding preserves neighbourhoods of k points and Euclidean distances.

    Let r(i, j) be the rank of j by distance from i among the features (1 for the nearest; equal distances share the
    best rank), and U(i) the k nearest points to i in the embedding:

    trustworthiness = 1 - 2 / (n k (2 n - 3 k - 1)) sum_i sum_{j in U(i)} max(r(i, j) - k, 0).

    Continuity is the same with the roles of features and points exchanged. The kNN accuracy is a vote of the k nearest
    other points; a tied vote goes to the smallest label. For several embeddings of the same features,
    `feature_neighbours` and `quality_of` give the same result faster.

    Venna & Kaski 2001, https://doi.org/10.1007/3-540-44668-0_68; Spearman 1904, https://doi.org/10.2307/1412159.

    Args:
        features: The embedded features (n, d).
        points: The embedding, one row for each row of the features.
        labels: Class index of each point, from 0.
        neighbours: Size k of a neighbourhood.
        seed: Seed of the sample drawn above 5,000 points.

    Raises:
        InputError: Features or points are not finite numbers of shape (n, d), differ in length, or are not more than
            2 k; or there is not one class index per point.
    """
    return quality_of(feature_neighbours(features, neighbours=neighbours, seed=seed), points, labels=labels)


def feature_neighbours(features: Real[np.ndarray, "n d"], *, neighbours: int = 10, seed: int = 0) -> FeatureNeighbours:
    """Find the neighbours and rank the distances of features, for `quality_of` each of their embeddings.

    Args:
        features: What is embedded.
        neighbours: Size k of a neighbourhood.
        seed: Seed of the sample drawn above 5,000 rows.

    Raises:
        InputError: The features are no finite (n, d), or there are not more than 2 k of them.
    """
    check_seed(seed)
    features = as_array(features)
    n = np.atleast_1d(features).shape[0]
    chosen = np.arange(n)
    if n > MOST_POINTS:
        chosen = np.sort(np.random.default_rng(seed).choice(n, MOST_POINTS, replace=False))
    inputs = _some_rows(features, chosen, "features")
    neighbours = checked_integer("neighbours", neighbours)
    if not 1 <= neighbours < len(chosen) / 2:
        raise InputError(
            f"neighbours is {neighbours}, expected 1 to {(len(chosen) - 1) // 2} for {len(chosen)} points "
            "(fewer than half of them)."
        )
    distances = all_squared_distances(inputs)
    return FeatureNeighbours(
        chosen=chosen,
        rows=n,
        neighbours=neighbours,
        nearest=nearest(distances, neighbours),
        distances=distances,
        pair_ranks=pair_ranks(above_diagonal(distances)),
    )


def quality_of(
    features: FeatureNeighbours,
    points: Real[np.ndarray, "n dims"],
    *,
    labels: Integer[np.ndarray, " n"] | None = None,
) -> Quality:
    """Measure one embedding of features whose neighbours are known; see `quality`.

    Args:
        features: What `feature_neighbours` gave for the features.
        points: The embedding, a row for each row of the features, measured or not.
        labels: Class index of each point, from 0.

    Raises:
        InputError: The points are no finite (n, d) or not as many as the features, or the labels are not one class
            index a point.
    """
    points = as_array(points, noun="points")
    n = np.atleast_1d(points).shape[0]
    if n != features.rows:
        raise InputError(f"got {features.rows} rows of features and {n} points, expected one point per row.")
    outputs = _some_rows(points, features.chosen, "points")
    classes = None if labels is None else checked_labels(labels, points=n)[features.chosen]
    distances = all_squared_distances(outputs)
    n, k = len(outputs), features.neighbours
    close = nearest(distances, k)
    intruders, missing = _excess(features.distances, close, k), _excess(distances, features.nearest, k)
    scale = 2 / (n * k * (2 * n - 3 * k - 1))
    return Quality(
        trustworthiness=1 - scale * int(intruders.sum()),
        continuity=1 - scale * int(missing.sum()),
        neighbours_kept=float((intruders == 0).mean()),
        knn_accuracy=None if classes is None else float((majority(classes[close]) == classes).mean()),
        distance_correlation=spearman(features.pair_ranks, above_diagonal(distances)),
        neighbours=k,
        sample=n,
    )


def _some_rows(rows: Real[np.ndarray, "n d"], chosen: Int64[np.ndarray, " m"], noun: str) -> Float64[np.ndarray, "m d"]:
    """Check all rows and make float64 of the chosen ones only: rows may be many and wide, and lie on disk."""
    array = np.asarray(rows)
    if array.ndim != 2 or len(chosen) == len(array) or array.dtype.kind not in "fiub":
        return checked_rows(array, noun=noun)
    parts = (array[start : start + ROWS_AT_ONCE] for start in range(0, len(array), ROWS_AT_ONCE))
    finite = all(np.isfinite(part).all() for part in parts)
    return checked_rows(array[chosen] if finite else array, noun=noun)


def _excess(
    distances: Float64[np.ndarray, "n n"], neighbours: Int64[np.ndarray, "n k"], k: int
) -> Int64[np.ndarray, "n k"]:
    """By how much each neighbour's rank exceeds k; 0 for those among the k nearest."""
    parts = np.array_split(np.arange(len(distances)), len(distances) // ROWS_AT_ONCE + 1)
    neighbour_ranks = [ranks(distances[part[0] : part[-1] + 1], neighbours[part]) for part in parts]
    return np.maximum(np.concatenate(neighbour_ranks) - k, 0)
