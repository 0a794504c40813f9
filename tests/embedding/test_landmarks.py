"""A sample is embedded and the rest is placed: the same points as by hand, and what it costs."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from glassnet.embedding import embed, landmark_accuracy
from glassnet.embedding import landmarks as module
from glassnet.embedding.landmarks import draw_landmarks, place_others
from glassnet.embedding.tsne import engines
from glassnet.errors import InputError


@pytest.fixture(scope="module")
def placed(digits):
    return embed(digits[0][:900], landmarks=500, seed=1)


def test_equals_embedding_the_sample_and_placing_the_others(digits, placed):
    rows, chosen = digits[0][:900], placed.landmarks
    alone = embed(rows[chosen], seed=1)
    others = np.setdiff1d(np.arange(900), chosen)
    np.testing.assert_array_equal(placed.points[chosen], alone.points)
    np.testing.assert_array_equal(placed.points[others], alone.transform(rows[others]))
    np.testing.assert_array_equal(placed.transform(rows[others][:9]), placed.points[others][:9])
    assert placed.kl_divergence == alone.kl_divergence
    assert placed.settings == {**alone.settings, "landmarks": 500}
    assert alone.landmarks is None


def test_the_draw_is_uniform_by_seed_and_knows_no_classes():
    first = draw_landmarks(1000, 300, seed=3)
    np.testing.assert_array_equal(first, draw_landmarks(1000, 300, seed=3))
    assert (first != draw_landmarks(1000, 300, seed=4)).any()
    assert (np.diff(first) > 0).all()
    counts = np.zeros(50)
    for seed in range(400):
        counts[draw_landmarks(50, 20, seed=seed)] += 1
    assert np.abs(counts / 400 - 0.4).max() < 5 * np.sqrt(0.4 * 0.6 / 400)


def test_a_memory_map_gives_the_same(digits, placed, tmp_path):
    np.save(tmp_path / "rows.npy", digits[0][:900])
    mapped = embed(np.load(tmp_path / "rows.npy", mmap_mode="r"), landmarks=500, seed=1)
    np.testing.assert_array_equal(mapped.landmarks, placed.landmarks)
    np.testing.assert_array_equal(mapped.points, placed.points)


def test_only_others_are_placed_and_each_once(monkeypatch):
    monkeypatch.setattr("glassnet.embedding.checks.CHUNK_NUMBERS", 20)
    rows, chosen, calls = (
        np.arange(60, dtype=np.float32).reshape(30, 2),
        np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 29]),
        [],
    )
    made = place_others(rows, chosen, -rows[chosen], lambda some: calls.append(some) or some)
    expected = rows.copy()
    expected[chosen] *= -1
    np.testing.assert_array_equal(made, expected)
    assert [len(some) for some in calls] == [10, 9]


def test_placing_costs_digits_less_than_two_points(digits, placed):
    cost = placed.landmark_accuracy(digits[1][:900])
    assert cost.landmarks > 0.93
    assert cost.placed > cost.landmarks - 0.02
    assert (cost.neighbours, cost.landmark_sample, cost.placed_sample) == (10, 500, 400)
    assert cost.words == (
        f"kNN accuracy {cost.landmarks:.1%} of 500 landmarks, {cost.placed:.1%} of 400 points placed among them "
        "(the 10 nearest landmarks vote)"
    )


def test_accuracy_equals_the_plain_count(digits, placed):
    labels, chosen, points = digits[1][:900], placed.landmarks, placed.points.astype(np.float64)
    others = np.setdiff1d(np.arange(900), chosen)
    apart = cdist(points, points[chosen])
    apart[chosen, np.arange(500)] = np.inf
    nearest = np.argsort(apart, axis=1)[:, :7]
    right = np.array([np.bincount(labels[chosen][row]).argmax() for row in nearest]) == labels
    cost = placed.landmark_accuracy(labels, neighbours=7)
    assert cost.landmarks == pytest.approx(right[chosen].mean(), abs=0.005)  # equal distances may be ordered otherwise
    assert cost.placed == pytest.approx(right[others].mean(), abs=0.005)


def test_accuracy_by_hand_among_equals_and_on_a_sample(monkeypatch):
    # Landmarks 0-3 lie in one place and have class 0, 4-7 elsewhere with class 1; 8 and 9 were placed, one wrongly.
    points = np.array([[0, 0]] * 4 + [[9, 9]] * 4 + [[0, 1], [9, 8]], dtype=np.float32)
    labels = np.array([0] * 4 + [1] * 4 + [0, 0])
    cost = landmark_accuracy(points, np.arange(8), labels, neighbours=3)
    assert (cost.landmarks, cost.placed) == (1, 0.5)
    monkeypatch.setattr(module, "SAMPLE", 5)
    some = landmark_accuracy(points, np.arange(8), labels, neighbours=3)
    assert (some.landmark_sample, some.placed_sample, some.landmarks) == (5, 2, 1)


def test_a_landmark_does_not_vote_for_itself():
    # Each landmark's nearest other one has another class; only itself has its own.
    points = np.array([[0, 0], [1, 0], [9, 0], [10, 0], [0, 0.4]], dtype=np.float32)
    cost = landmark_accuracy(points, np.arange(4), np.array([0, 1, 0, 1, 0]), neighbours=1)
    assert (cost.landmarks, cost.placed) == (0, 1)
    # Of equals it is left out, too, and no other in its stead.
    equal = landmark_accuracy(np.zeros((5, 2), np.float32), np.arange(4), np.array([0, 1, 1, 1, 1]), neighbours=3)
    assert equal.landmarks == 0.75


def test_refuses_what_does_not_fit(digits, blobs, placed, unchecked, monkeypatch):
    rows = blobs[0]
    for landmarks in (3, 120, -1):
        with pytest.raises(InputError, match=rf"landmarks is {landmarks}, expected 4 to 119 for 120 points; leave it"):
            embed(rows, landmarks=landmarks)
    with pytest.raises(InputError, match=r"landmarks is 9\.5, expected a whole number"):
        embed(rows, landmarks=9.5)
    with pytest.raises(InputError, match=r"perplexity is 30, expected 1 to 13, .* for 40 landmarks"):
        embed(rows, landmarks=40)
    alike = np.vstack([np.ones((119, 3)), np.zeros((1, 3))])
    with pytest.raises(InputError, match=r"all 20 rows of the landmarks are the same"):
        embed(alike, landmarks=20, perplexity=2, seed=1)
    monkeypatch.setattr(engines, "EARLY_STEPS", 1)
    monkeypatch.setattr(engines, "STEPS", 1)
    whole = embed(rows, perplexity=5)
    with pytest.raises(InputError, match="all points were embedded and none placed among landmarks; pass landmarks"):
        whole.landmark_accuracy(blobs[1])
    with pytest.raises(InputError, match=r"labels are of type int64 and shape \(3,\), expected integers of shape"):
        placed.landmark_accuracy([1, 2, 3])
    with pytest.raises(InputError, match=r"got 500 landmarks of 900 points and neighbours=500, expected more"):
        placed.landmark_accuracy(digits[1][:900], neighbours=500)
