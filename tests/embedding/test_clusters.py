import sys
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import HDBSCAN
from sklearn.metrics import silhouette_samples, silhouette_score

from glassnet.embedding import cluster
from glassnet.embedding.clusters import METHODS, silhouettes
from glassnet.embedding.clusters.methods import from_sample
from glassnet.errors import InputError

module = sys.modules["glassnet.embedding.clusters"]
partitions = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=2, max_size=25)


def slow_accuracy(assignment: np.ndarray, labels: np.ndarray, k: int, classes: int) -> float:
    """The best share over all ways to give each cluster a class of its own, or none."""
    names = [*range(classes), *([-1] * k)]
    return max(
        np.mean([names[i] == label for i, label in zip((way[c] for c in assignment), labels, strict=True)])
        for way in set(permutations(range(len(names)), k))
    )


def slow_adjusted_rand(first: np.ndarray, second: np.ndarray) -> float:
    """Hubert & Arabie 1985 over all pairs of points: (together in both - expected) / (mean of both - expected)."""
    n = len(first)
    pairs = [(i, j) for i in range(n) for j in range(i)]
    both = sum(first[i] == first[j] and second[i] == second[j] for i, j in pairs)
    one = sum(first[i] == first[j] for i, j in pairs)
    other = sum(second[i] == second[j] for i, j in pairs)
    expected = one * other / len(pairs)
    return (both - expected) / ((one + other) / 2 - expected)


def test_by_hand():
    points = np.array([[0.0, 0], [0, 1], [0, 2], [9, 0], [9, 1], [9, 2]])
    labels = np.array([4, 4, 7, 7, 7, 7])
    result = cluster(points, k=2, labels=labels)
    assert len(set(result.assignment[:3])) == len(set(result.assignment[3:])) == 1
    assert result.assignment.dtype == np.int64
    assert result.accuracy == pytest.approx(5 / 6)
    np.testing.assert_array_equal(result.matching[result.assignment], [4, 4, 4, 7, 7, 7])
    # Pairs together in both: 1 + 3 of 15; clusters 6, classes 1 + 6; expected 6 * 7 / 15.
    assert result.ari == pytest.approx((4 - 2.8) / (6.5 - 2.8))
    # Mutual information over the mean of the entropies: clusters 3 + 3, classes 2 + 4, joint 2, 1, 3.
    entropy = lambda *counts: -sum(c / 6 * np.log(c / 6) for c in counts)  # noqa: E731
    information = entropy(3, 3) + entropy(2, 4) - entropy(2, 1, 3)
    assert result.nmi == pytest.approx(information / ((entropy(3, 3) + entropy(2, 4)) / 2))


def test_silhouette_by_hand():
    # On a line at 0, 1 | 10: a = 1 for both of the first cluster, b = 10 and 9; the third point is alone, so 0.
    points = np.array([[0.0], [1.0], [10.0]])
    values = silhouettes(points, np.array([0, 0, 1]), np.arange(3))
    np.testing.assert_allclose(values, [0.9, 8 / 9, 0])


@settings(max_examples=60, deadline=None)
@given(partitions)
def test_matching_equals_all_permutations(pairs):
    assignment, labels = np.array(pairs).T
    accuracy, matching = module.match(assignment, labels, k=3)
    assert accuracy == pytest.approx(slow_accuracy(assignment, labels, 3, 4))
    assert accuracy == pytest.approx(np.mean(matching[assignment] == labels))
    used = matching[matching >= 0]
    assert len(set(used)) == len(used)


def test_matching_leaves_over_what_is_too_many():
    more_clusters, matching = module.match(np.array([0, 1, 2, 2]), np.array([5, 5, 5, 5]), k=3)
    assert more_clusters == 0.5
    np.testing.assert_array_equal(matching, [-1, -1, 5])
    more_classes, matching = module.match(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2]), k=2)
    assert more_classes == 0.75
    assert matching[1] == 2


def test_adjusted_rand_index_equals_all_pairs(digits):
    points, labels = digits[0][:150], digits[1][:150]
    result = cluster(points, k=7, labels=labels)
    assert result.ari == pytest.approx(slow_adjusted_rand(result.assignment, labels))


def test_measures_do_not_depend_on_the_names_of_the_classes(digits):
    points, labels = digits[0][:300], digits[1][:300]
    renamed = np.random.default_rng(0).permutation(20)[labels]
    one, other = cluster(points, k=10, labels=labels), cluster(points, k=10, labels=renamed)
    assert (one.ari, one.nmi, one.accuracy) == pytest.approx((other.ari, other.nmi, other.accuracy))
    assert 0.6 < one.accuracy < 1


def test_separate_groups_are_found(blobs):
    result = cluster(blobs[0], k=3, labels=blobs[1])
    assert (result.ari, result.nmi, result.accuracy) == pytest.approx((1, 1, 1))
    assert result.silhouette > 0.8
    assert (result.k, result.sample) == (3, 120)
    np.testing.assert_array_equal(cluster(blobs[0], k=3).assignment, result.assignment)


def test_silhouette_equals_scikit_learns(digits):
    result = cluster(digits[0], k=9)
    assert result.silhouette == pytest.approx(silhouette_score(digits[0].astype(np.float64), result.assignment))
    assert result.ari is result.nmi is result.accuracy is result.matching is None


def test_silhouette_of_a_sample_is_taken_among_all_points(digits, monkeypatch):
    monkeypatch.setattr(module, "SILHOUETTE_POINTS", 700)
    result = cluster(digits[0], k=9, seed=2)
    assert result.sample == 700
    exact = silhouette_samples(digits[0].astype(np.float64), result.assignment)
    chosen = np.sort(np.random.default_rng(2).choice(len(digits[0]), 700, replace=False))
    assert result.silhouette == pytest.approx(exact[chosen].mean())


def test_as_many_clusters_as_points():
    result = cluster(np.arange(5.0)[:, None], k=5, labels=np.arange(5))
    assert (result.accuracy, result.silhouette) == (1, 0)


def test_equal_points_count_once():
    points = np.repeat([[0.0, 0], [1, 1]], 10, axis=0)
    assert cluster(points, k=2).silhouette == pytest.approx(1)
    with pytest.raises(InputError, match=r"k is 3, expected 2 to 2, the number of distinct points among 20"):
        cluster(points, k=3)


def test_refuses_bad_input(blobs, unchecked):
    points = blobs[0]
    for k in (-1, 0, 1, 121):
        with pytest.raises(InputError, match=rf"k is {k}, expected 2 to 120"):
            cluster(points, k=k)
    with pytest.raises(InputError, match=r"points have a NaN or an infinity in 2 of 120 rows, first in row 4"):
        cluster(np.where(np.isin(np.arange(120), [4, 9])[:, None], np.nan, points), k=3)
    with pytest.raises(InputError, match=r"labels are of type float64 and shape \(120,\), expected integers"):
        cluster(points, k=3, labels=blobs[1].astype(float))
    with pytest.raises(InputError, match=r"labels are of type int64 and shape \(119,\), expected integers of shape"):
        cluster(points, k=3, labels=blobs[1][:-1])
    with pytest.raises(InputError, match=r"label -1 is negative"):
        cluster(points, k=3, labels=blobs[1] - 1)
    with pytest.raises(InputError, match=r"seed is -3, expected 0 to"):
        cluster(points, k=3, seed=-3)


def slow_ward(points: np.ndarray, k: int) -> np.ndarray:
    """Ward 1963: merge the pair whose union grows the sum of squares least, until k are left."""
    groups = [[i] for i in range(len(points))]
    squares = lambda rows: ((points[rows] - points[rows].mean(axis=0)) ** 2).sum()  # noqa: E731
    while len(groups) > k:
        pairs = [
            (squares(a + b) - squares(a) - squares(b), i, j)
            for i, a in enumerate(groups)
            for j, b in enumerate(groups[:i])
        ]
        _, i, j = min(pairs)
        groups[j] += groups.pop(i)
    names = np.empty(len(points), dtype=np.int64)
    for name, group in enumerate(groups):
        names[group] = name
    return names


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_separate_groups(blobs, method):
    result = cluster(blobs[0], method=method, labels=blobs[1])
    assert (result.k, result.method, result.fitted) == (3, method, 120)
    assert result.noise_share == result.noise / 120 < 0.2
    assert result.accuracy == pytest.approx(1 - result.noise_share)
    assert result.silhouette > 0.8
    assert result.class_silhouette == pytest.approx(silhouette_score(blobs[0].astype(np.float64), blobs[1]))
    np.testing.assert_array_equal(cluster(blobs[0], method=method, labels=blobs[1]).assignment, result.assignment)


def test_agglomerative_equals_ward_step_by_step():
    points = np.random.default_rng(3).normal(size=(15, 2))
    for k in (2, 5):
        result = cluster(points, method="agglomerative", k=k, labels=slow_ward(points, k))
        assert (result.ari, result.accuracy) == (1, 1)


def test_hdbscan_by_hand():
    # Two rows of five, and one point far from both: two clusters and noise.
    points = np.array([[x, y] for y in (0.0, 50) for x in range(5)] + [[400.0, 400]])
    labels = np.array([0] * 5 + [1] * 5 + [1])
    result = cluster(points, method="hdbscan", min_cluster_size=3, labels=labels)
    assert (result.k, result.noise) == (2, 1)
    assert result.assignment[-1] == -1
    assert result.accuracy == pytest.approx(10 / 11)
    assert result.sample == 10
    assert result.silhouette == pytest.approx(silhouette_score(points[:10], labels[:10]))
    # Noise as a third cluster, by the double loop over all pairs.
    assert result.ari == pytest.approx(slow_adjusted_rand(result.assignment, labels))


def test_hdbscan_equals_scikit_learns(digits):
    points = digits[0][:400].astype(np.float64)
    result = cluster(points, method="hdbscan", min_cluster_size=8, labels=digits[1][:400])
    expected = HDBSCAN(min_cluster_size=8, copy=True).fit_predict(points)
    np.testing.assert_array_equal(result.assignment, expected)
    assert result.noise == (expected == -1).sum() > 0


def test_nothing_but_noise_has_no_silhouette():
    points = np.random.default_rng(0).normal(size=(30, 2))
    result = cluster(points, method="hdbscan", min_cluster_size=30, labels=np.arange(30) % 2)
    assert (result.k, result.noise, result.silhouette, result.sample) == (0, 30, None, 0)
    assert (result.accuracy, result.ari, len(result.matching)) == (0, 0, 0)


def test_equal_points_do_hdbscan_no_harm():
    points = np.repeat([[0.0, 0], [1, 1]], 20, axis=0)
    assert cluster(points, method="hdbscan").k == 2


def test_above_the_limit_a_sample_is_clustered_and_the_others_join_the_nearest(blobs):
    points = blobs[0].astype(np.float64)
    seen = []
    assignment, fitted = from_sample(lambda rows: seen.append(rows) or np.arange(len(rows)), points, most=40, seed=5)
    chosen = np.sort(np.random.default_rng(5).choice(120, 40, replace=False))
    assert fitted == 40
    np.testing.assert_array_equal(seen[0], points[chosen])
    np.testing.assert_array_equal(assignment[chosen], np.arange(40))
    nearest = np.linalg.norm(points[:, None] - points[chosen], axis=2).argmin(axis=1)
    np.testing.assert_array_equal(assignment, nearest)


def test_a_sample_gives_the_same_groups(blobs, monkeypatch):
    monkeypatch.setattr(sys.modules["glassnet.embedding.clusters.methods"], "MOST_POINTS", 30)
    result = cluster(blobs[0], method="agglomerative", k=3, labels=blobs[1])
    assert (result.fitted, result.accuracy) == (30, 1)


def test_options_that_do_not_fit_the_method(blobs):
    points = blobs[0]
    for message, options in {
        r"no clustering method 'kmean'. Did you mean kmeans\?": {"method": "kmean"},
        r"k is missing, expected a number of clusters for kmeans, or labels": {},
        r"k is 3, but hdbscan finds the number of clusters itself; leave k out": {"method": "hdbscan", "k": 3},
        r"min_cluster_size applies to hdbscan only, not to kmeans": {"k": 3, "min_cluster_size": 4},
        r"min_cluster_size is 1, expected 2 to 120": {"method": "hdbscan", "min_cluster_size": 1},
    }.items():
        with pytest.raises(InputError, match=message):
            cluster(points, **options)
    with pytest.raises(InputError, match=r"got 1 point, expected at least 2 for hdbscan"):
        cluster(points[:1], method="hdbscan")


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_hdbscan_takes_few_points(n):
    result = cluster(np.arange(float(n))[:, None], method="hdbscan", labels=np.arange(n) % 2)
    assert len(result.assignment) == result.fitted == n


def test_says_why_there_is_nothing_to_cluster(blobs):
    points = blobs[0]
    for labels in (None, blobs[1]):
        with pytest.raises(InputError, match=r"all 120 points are the same, expected at least two different"):
            cluster(np.ones_like(points), k=None if labels is not None else 3, labels=labels)
    with pytest.raises(InputError, match=r"all labels are the same class, expected at least two classes; give k"):
        cluster(points, labels=np.full(120, 4))
    assert cluster(points, k=2, labels=np.full(120, 4)).k == 2


@pytest.mark.parametrize("k", [3.0, "3", True, np.float32(3), [3]])
def test_refuses_a_number_of_clusters_that_is_none(blobs, unchecked, k):
    with pytest.raises(InputError, match=r"k is .*, expected a whole number"):
        cluster(blobs[0], k=k)
    with pytest.raises(InputError, match=r"min_cluster_size is .*, expected a whole number"):
        cluster(blobs[0], method="hdbscan", min_cluster_size=k)
    with pytest.raises(InputError, match=r"seed is .*, expected a whole number"):
        cluster(blobs[0], k=3, seed=k)
