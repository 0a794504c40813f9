"""A picture of very many points by some of them: a sample is embedded, all others are placed among it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, Integer, Real
from scipy.spatial import cKDTree

from glassnet.console import progress
from glassnet.display import Shown
from glassnet.embedding.checks import check_seed, checked_labels, row_chunks
from glassnet.embedding.distances import majority
from glassnet.errors import InputError, checked_integer

SAMPLE = 5000
LEAST = 4
"""Landmarks that any method embeds."""


@dataclass(frozen=True, kw_only=True, repr=False)
class LandmarkAccuracy(Shown):
    """What placing costs: how often a point's nearest landmarks name its class, of landmarks and of those placed."""

    landmarks: float
    """Share of the landmarks whose class the k nearest other landmarks' majority names."""
    placed: float
    """Share of the placed points whose class the k nearest landmarks' majority names."""
    neighbours: int
    """k."""
    landmark_sample: int
    """Landmarks that this was measured on: all, or 5,000 drawn by seed."""
    placed_sample: int
    """Placed points that this was measured on: all, or 5,000 drawn by seed."""

    @property
    def words(self) -> str:
        """As in "kNN accuracy 97.1% of 5,000 landmarks, 96.8% of 5,000 points placed among them (10 nearest …)"."""
        return (
            f"kNN accuracy {self.landmarks:.1%} of {self.landmark_sample:,} landmarks, {self.placed:.1%} of "
            f"{self.placed_sample:,} points placed among them (the {self.neighbours} nearest landmarks vote)"
        )


def draw_landmarks(points: int, landmarks: int, *, seed: int) -> Int64[np.ndarray, " m"]:
    """Draw so many rows of all, uniformly and by seed, ascending.

    Classes play no part: a draw by class would show in the picture.

    Raises:
        InputError: There are not more points than landmarks, or too few landmarks.
    """
    check_seed(seed)
    if not LEAST <= landmarks < points:
        raise InputError(
            f"landmarks is {landmarks}, expected {LEAST} to {points - 1} for {points} points; leave it out to embed "
            "all points."
        )
    rng = np.random.default_rng((seed, landmarks))
    return np.sort(rng.choice(points, landmarks, replace=False, shuffle=False)).astype(np.int64)


def place_others(
    rows: Real[np.ndarray, "n d"],
    chosen: Int64[np.ndarray, " m"],
    points: Float32[np.ndarray, "m dims"],
    place: Callable[[Real[np.ndarray, "r d"]], Float[np.ndarray, "r dims"]],
) -> Float32[np.ndarray, "n dims"]:
    """Return a point for each row: the landmarks' own, and of the others where `place` puts them, a chunk at a time."""
    everywhere = np.empty((len(rows), points.shape[1]), np.float32)
    everywhere[chosen] = points
    others = ~_mask(len(rows), chosen)
    with progress(f"placing {len(rows) - len(chosen):,} points among {len(chosen):,} landmarks", len(rows)) as advance:
        for first, chunk in row_chunks(rows):
            here = others[first : first + len(chunk)]
            if here.any():
                everywhere[first : first + len(chunk)][here] = place(chunk[here])
            advance(len(chunk))
    return everywhere


def landmark_accuracy(
    points: Real[np.ndarray, "n dims"],
    landmarks: Integer[np.ndarray, " m"],
    labels: Integer[np.ndarray, " n"],
    *,
    neighbours: int = 10,
    seed: int = 0,
) -> LandmarkAccuracy:
    """Compare the kNN accuracy of landmarks and of placed points, both by the vote of the nearest landmarks.

    A landmark does not vote for itself. A tied vote goes to the smallest label, as in `quality`.

    Args:
        points: All points of the picture.
        landmarks: Which of them were embedded, as `Embedding.landmarks` says.
        labels: Class index of each point, from 0.
        neighbours: k.
        seed: Seed of the samples drawn above 5,000 points.

    Raises:
        InputError: There is not a label for each point, no point was placed, or not more landmarks than k.
    """
    check_seed(seed)
    classes, k = checked_labels(labels, points=len(points)), checked_integer("neighbours", neighbours)
    own = np.asarray(landmarks, dtype=np.int64)
    if not 1 <= k < len(own) or len(own) == len(points):
        raise InputError(
            f"got {len(own)} landmarks of {len(points)} points and neighbours={k}, expected more landmarks than "
            "neighbours, and fewer landmarks than points."
        )
    places = np.asarray(points, dtype=np.float64)
    tree = cKDTree(places[own])
    rng = np.random.default_rng(seed)
    asked = _some(np.arange(len(own)), rng)
    others = _some(np.flatnonzero(~_mask(len(places), own)), rng)
    among = _without(tree.query(places[own[asked]], k + 1)[1], asked)
    nearest = tree.query(places[others], k)[1].reshape(len(others), k)
    voted = [majority(classes[own[near]]) for near in (among, nearest)]
    return LandmarkAccuracy(
        landmarks=float((voted[0] == classes[own[asked]]).mean()),
        placed=float((voted[1] == classes[others]).mean()),
        neighbours=k,
        landmark_sample=len(asked),
        placed_sample=len(others),
    )


def _mask(points: int, chosen: Int64[np.ndarray, " m"]) -> Bool[np.ndarray, " n"]:
    mask = np.zeros(points, dtype=bool)
    mask[chosen] = True
    return mask


def _some(rows: Int64[np.ndarray, " n"], rng: np.random.Generator) -> Int64[np.ndarray, " m"]:
    return rows if len(rows) <= SAMPLE else np.sort(rng.choice(rows, SAMPLE, replace=False))


def _without(nearest: Int64[np.ndarray, "m j"], own: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, "m k"]:
    """Leave out each point itself, or the farthest where equals came before it."""
    itself = nearest == own[:, None]
    itself[~itself.any(axis=1), -1] = True
    return nearest[~itself].reshape(len(nearest), -1)
