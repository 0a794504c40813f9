import sys
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier

from glassnet.embedding import embed, quality
from glassnet.embedding.distances import ruler
from glassnet.embedding.quality import feature_neighbours, quality_of
from glassnet.errors import InputError

module = sys.modules["glassnet.embedding.quality"]


def order(vectors: np.ndarray, i: int) -> list[int]:
    """All other vectors, the nearest first."""
    return sorted(
        (j for j in range(len(vectors)) if j != i), key=lambda j: float(((vectors[i] - vectors[j]) ** 2).sum())
    )


def slow_trustworthiness(features: np.ndarray, points: np.ndarray, k: int) -> float:
    """Venna & Kaski 2001: one minus the scaled sum of r(i, j) - k over the neighbours that intruded."""
    n, total = len(features), 0
    for i in range(n):
        by_features, by_points = order(features, i), order(points, i)
        for j in by_points[:k]:
            if j not in by_features[:k]:
                total += by_features.index(j) + 1 - k
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * total


def slow_vote(points: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Leave each point out and let its k nearest vote; the smallest of the most voted labels wins."""
    right = 0
    for i in range(len(points)):
        votes = Counter(int(labels[j]) for j in order(points, i)[:k])
        most = max(votes.values())
        right += min(label for label, count in votes.items() if count == most) == labels[i]
    return right / len(points)


def test_by_hand():
    # With k = 1 the points' nearest are rows 1, 0, 1, 2, 3, the features' 1, 0, 1, 4, 2. Row 3's nearest point, row 2,
    # is second among its features (4 at 2.6, 2 at 5); row 4's, row 3, is second too (2 at 2.4, 3 at 2.6).
    points = np.array([[0.0], [1], [3], [7], [15]])
    features = np.array([[0.0], [1], [3], [8], [5.4]])
    measured = quality(features, points, labels=np.array([0, 0, 1, 1, 0]), neighbours=1)
    assert measured.trustworthiness == pytest.approx(1 - 2 / (5 * 1 * 6) * (1 + 1))
    # Row 3's nearest features, row 4's, are fourth among its points (4, 6 and 7 before 8); row 4's, row 2's, second.
    assert measured.continuity == pytest.approx(1 - 2 / (5 * 1 * 6) * (3 + 1))
    assert measured.neighbours_kept == pytest.approx(3 / 5)
    # The nearest of rows 0 … 4 are rows 1, 0, 1, 2, 3: right for rows 0, 1 and 3.
    assert measured.knn_accuracy == pytest.approx(3 / 5)
    assert (measured.neighbours, measured.sample) == (1, 5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 7))
def test_equals_the_papers_double_loop(seed, k):
    rng = np.random.default_rng(seed)
    features, labels = rng.normal(size=(25, 6)), rng.integers(0, 3, 25)
    points = features[:, :2] + 0.5 * rng.normal(size=(25, 2))
    measured = quality(features, points, labels=labels, neighbours=k)
    assert measured.trustworthiness == pytest.approx(slow_trustworthiness(features, points, k))
    assert measured.continuity == pytest.approx(slow_trustworthiness(points, features, k))
    kept = np.mean([len({*order(features, i)[:k]} & {*order(points, i)[:k]}) / k for i in range(25)])
    assert measured.neighbours_kept == pytest.approx(kept)
    assert measured.knn_accuracy == pytest.approx(slow_vote(points, labels, k))


@pytest.mark.parametrize("k", [1, 5, 10, 40])
def test_equals_scikit_learns_trustworthiness(digits, k):
    features = digits[0][:500].astype(np.float64) + 1e-6 * np.random.default_rng(0).normal(size=(500, 64))
    points = embed(features, method="pca").points.astype(np.float64)
    measured = quality(features, points, neighbours=k)
    assert measured.trustworthiness == pytest.approx(trustworthiness(features, points, n_neighbors=k), abs=1e-12)
    assert measured.continuity == pytest.approx(trustworthiness(points, features, n_neighbors=k), abs=1e-12)
    assert measured.knn_accuracy is None


def test_knn_accuracy_equals_scikit_learn_leaving_each_point_out(digits):
    features, labels = digits[0][:120], digits[1][:120]
    points = embed(features, method="pca").points
    right = 0
    for i in range(120):
        others = np.arange(120) != i
        guess = KNeighborsClassifier(10).fit(points[others], labels[others]).predict(points[i : i + 1])
        right += int(guess[0] == labels[i])
    assert quality(features, points, labels=labels).knn_accuracy == pytest.approx(right / 120)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 100), st.integers(-50, 50))
def test_perfect_for_a_turned_scaled_and_moved_copy(seed, scale, shift):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(40, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    measured = quality(features, scale * features @ turn + shift, neighbours=6)
    assert (measured.trustworthiness, measured.continuity, measured.neighbours_kept) == (1, 1, 1)
    assert measured.distance_correlation == pytest.approx(1, abs=1e-5)


def test_distance_correlation_by_hand():
    # Features' distances 01, 02, 12 are 1, 3, 2; the points' are 1, 2, 3: ranks 1 3 2 against 1 2 3.
    features, points = np.array([[0.0], [1], [3]]), np.array([[1.0, 0], [0, 0], [3, 0]])
    assert quality(features, points, neighbours=1).distance_correlation == pytest.approx(1 - 6 * 2 / (3 * 8))


@pytest.mark.parametrize("whole_numbers", [False, True])
def test_distance_correlation_equals_scipys(digits, whole_numbers):
    features, points = digits[0][:300].astype(np.float64), digits[0][:300, 20:23].astype(np.float64)
    if whole_numbers:  # distances with many ties
        features, points = (features * 16).round(), (points * 2).round()
    expected = spearmanr(pdist(features), pdist(points)).statistic
    assert quality(features, points).distance_correlation == pytest.approx(expected, abs=1e-6)
    # 50,000 pairs and more: whole numbers times each other must not overflow.
    assert 0.1 < expected < 0.9


def test_equal_points_have_no_distance_correlation():
    features = np.random.default_rng(0).normal(size=(9, 2))
    assert quality(features, np.zeros((9, 2)), neighbours=2).distance_correlation is None


def test_neighbours_found_once_give_the_same_for_each_embedding(digits, monkeypatch):
    features, labels = digits[0][:400], digits[1][:400]
    monkeypatch.setattr(module, "MOST_POINTS", 250)
    known = feature_neighbours(features, neighbours=7, seed=3)
    assert known.distances.shape == (250, 250)
    for points in (features[:, 20:22], features[:, 30:33]):
        assert quality_of(known, points, labels=labels) == quality(
            features, points, labels=labels, neighbours=7, seed=3
        )
    with pytest.raises(InputError, match=r"got 400 rows of features and 250 points, expected one point per row"):
        quality_of(known, features[:250, :2])


def test_rows_outside_the_sample_are_checked_too(digits, monkeypatch):
    features = digits[0][:300].copy()
    monkeypatch.setattr(module, "MOST_POINTS", 100)
    left_out = next(row for row in range(300) if row not in feature_neighbours(features).chosen)
    features[left_out] = np.nan
    with pytest.raises(
        InputError, match=rf"features have a NaN or an infinity in 1 of 300 rows, first in row {left_out}"
    ):
        quality(features, digits[0][:300, :2])


def test_does_not_depend_on_where_the_features_lie(blobs):
    near, far = (quality(blobs[0].astype(np.float64) + shift, blobs[0][:, :2]) for shift in (0, 1e6))
    assert near == far


def test_equal_rows_are_at_no_distance():
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(8, 300)) + 3, 12, axis=0)
    # Each group's points lie together in any order: ranks must not be made up from rounding noise.
    points = np.repeat(rng.normal(size=(8, 2)) * 100, 12, axis=0) + rng.normal(size=(96, 2))
    # One row at a time, since a matrix times a vector rounds otherwise than the sums of squares do.
    for row in range(96):
        assert np.count_nonzero(ruler(features).among(np.array([row])) == 0) == 11
    measured = quality(features, points, neighbours=5)
    assert measured.trustworthiness == measured.neighbours_kept == 1


def test_many_points_are_sampled_by_seed(digits, monkeypatch):
    features, labels = digits
    points = embed(features, method="pca").points
    whole = quality(features, points, labels=labels)
    assert whole.sample == 1797
    monkeypatch.setattr(module, "MOST_POINTS", 600)
    some = quality(features, points, labels=labels, seed=4)
    assert some.sample == 600
    assert some == quality(features, points, labels=labels, seed=4)
    assert some != quality(features, points, labels=labels, seed=5)
    chosen = np.sort(np.random.default_rng(4).choice(1797, 600, replace=False))
    assert some == quality(features[chosen], points[chosen], labels=labels[chosen])
    assert some.trustworthiness == pytest.approx(whole.trustworthiness, abs=0.03)


def test_chunks_do_not_change_the_figures(digits, monkeypatch):
    features, labels = digits[0][:300] + 1e-3 * np.random.default_rng(0).normal(size=(300, 64)), digits[1][:300]
    points = embed(features, method="pca").points
    whole = quality(features, points, labels=labels)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    assert quality(features, points, labels=labels) == whole


def test_five_thousand_points_take_seconds():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(5000, 128)).astype(np.float32)
    start = time.process_time()
    quality(features, features[:, :2], labels=rng.integers(0, 10, 5000))
    assert time.process_time() - start < 10


def test_refuses_bad_input(blobs, unchecked):
    features, labels = blobs
    points = features[:, :2]
    for k in (0, 60):
        with pytest.raises(InputError, match=rf"neighbours is {k}, expected 1 to 59 for 120 points"):
            quality(features, points, neighbours=k)
    quality(features, points, neighbours=59)
    with pytest.raises(InputError, match=r"got 120 rows of features and 119 points, expected one point per row"):
        quality(features, points[1:])
    with pytest.raises(InputError, match=r"points have a NaN or an infinity in 120 of 120 rows"):
        quality(features, points * np.nan)
    with pytest.raises(InputError, match=r"labels are of type int64 and shape \(3,\)"):
        quality(features, points, labels=labels[:3])
    with pytest.raises(InputError, match=r"seed is 4294967296, expected 0 to 4294967295"):
        quality(features, points, seed=2**32)


@pytest.mark.parametrize("scale", [1e-200, 1e-25, 1.5e19, 1e25, 1e200])
def test_does_not_depend_on_the_unit(digits, scale):
    features, points = digits[0][:150].astype(np.float64), digits[0][:150, 20:23].astype(np.float64)
    # A power of two, which moves no digit, as near to the scale as there is one.
    factor = 2.0 ** round(np.log2(scale))
    measured = quality(features, points)
    assert 0.1 < measured.distance_correlation < 0.9
    assert quality(factor * features, points) == quality(features, factor * points) == measured


def test_a_label_may_be_huge(blobs):
    features, labels = blobs
    huge = np.array([7, 10**10, 2**62])[labels]
    assert quality(features, features[:, :3], labels=huge) == quality(features, features[:, :3], labels=labels)


@pytest.mark.parametrize("neighbours", [3.0, "3", None])
def test_refuses_neighbours_that_are_no_whole_number(blobs, unchecked, neighbours):
    with pytest.raises(InputError, match=r"neighbours is .*, expected a whole number"):
        quality(blobs[0], blobs[0][:, :2], neighbours=neighbours)
