from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from glassnet.errors import InputError
from glassnet.tasks.classification import learn as metrics

TARGETS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
PREDICTED = np.array([0, 0, 1, 1, 2, 2, 2, 0, 2])
BY_HAND = np.array([[2, 1, 0], [0, 1, 1], [1, 0, 3]])
index_pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


def drawn_probabilities(seed: int, n: int, classes: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.5), size=n)


def test_confusion_matrix_by_hand():
    confusion = metrics.confusion_matrix(TARGETS, PREDICTED, classes=3)
    assert confusion.dtype == np.int64
    np.testing.assert_array_equal(confusion, BY_HAND)


@given(index_pairs)
def test_confusion_matrix_equals_a_loop_and_scikit_learn(pairs):
    targets, predicted = np.array(pairs, dtype=np.int64).T
    slow = np.zeros((5, 5), dtype=np.int64)
    for target, guess in pairs:
        slow[target, guess] += 1
    confusion = metrics.confusion_matrix(targets, predicted, classes=5)
    np.testing.assert_array_equal(confusion, slow)
    oracle = sklearn_metrics.confusion_matrix(targets, predicted, labels=range(5))
    np.testing.assert_array_equal(confusion, oracle)


def test_confusion_matrix_takes_narrow_integers_without_overflow():
    targets = np.full(3, 200, dtype=np.uint8)
    assert metrics.confusion_matrix(targets, targets, classes=256)[200, 200] == 3


def test_confusion_matrix_refuses_bad_input(unchecked):
    with pytest.raises(InputError, match=r"target class 3 is out of range, expected 0 to 2\."):
        metrics.confusion_matrix(np.array([0, 3]), np.array([0, 1]), classes=3)
    with pytest.raises(InputError, match=r"predicted class -1 is out of range"):
        metrics.confusion_matrix(np.array([0, 1]), np.array([0, -1]), classes=3)
    with pytest.raises(InputError, match=r"got 2 targets and 3 predictions"):
        metrics.confusion_matrix(np.zeros(2, int), np.zeros(3, int), classes=3)


def test_per_class_by_hand():
    scores = metrics.per_class(BY_HAND)
    assert [row.precision for row in scores] == pytest.approx([2 / 3, 1 / 2, 3 / 4])
    assert [row.recall for row in scores] == pytest.approx([2 / 3, 1 / 2, 3 / 4])
    assert [row.f1 for row in scores] == pytest.approx([2 / 3, 1 / 2, 3 / 4])


@given(index_pairs)
def test_per_class_equals_scikit_learn(pairs):
    targets, predicted = np.array(pairs, dtype=np.int64).T
    scores = metrics.per_class(metrics.confusion_matrix(targets, predicted, classes=5))
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
        targets, predicted, labels=range(5), zero_division=np.nan
    )
    as_floats = np.array([(s.precision, s.recall, s.f1) for s in scores], dtype=float)
    np.testing.assert_allclose(as_floats, np.stack([precision, recall, f1], axis=1))


def test_per_class_says_none_where_there_is_no_ratio():
    absent, only_predicted, never_predicted = metrics.per_class(np.array([[0, 0, 0], [0, 2, 0], [0, 1, 0]]))
    assert absent == metrics.ClassScore(None, None, None)
    assert only_predicted == metrics.ClassScore(2 / 3, 1.0, 4 / 5)
    assert never_predicted == metrics.ClassScore(None, 0.0, 0.0)


def test_calibration_error_by_hand():
    # Ten bins: (0.5, 0.6] holds 0.6 wrong, gap 0.6; (0.8, 0.9] holds 0.9 right and 0.85 right, gap 0.1 + 0.15.
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.15, 0.85]])
    error = metrics.expected_calibration_error(probabilities, np.array([1, 0, 1]), bins=10)
    assert error == pytest.approx((0.6 + 0.25) / 3)


def test_calibration_error_puts_a_bins_upper_edge_inside_it():
    # 0.5 lies in (1/4, 1/2] and 0.6 in (1/2, 3/4], so that the gaps of a miss and a hit cannot cancel.
    probabilities = np.array([[0.5, 0.5], [0.6, 0.4]])
    error = metrics.expected_calibration_error(probabilities, np.array([1, 0]), bins=4)
    assert error == pytest.approx((0.5 + 0.4) / 2)


@pytest.mark.parametrize("bins", [1, 4, 15])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_calibration_error_equals_the_papers_double_sum(bins, dtype):
    probabilities = drawn_probabilities(1, 300, 5).astype(dtype)
    targets = np.random.default_rng(2).integers(0, 5, 300)
    slow = 0.0
    for b in range(1, bins + 1):
        members = [
            i for i in range(300) if Fraction(b - 1, bins) < Fraction(float(max(probabilities[i]))) <= Fraction(b, bins)
        ]
        if members:
            hits = np.mean([np.argmax(probabilities[i]) == targets[i] for i in members])
            slow += len(members) / 300 * abs(hits - np.mean([float(max(probabilities[i])) for i in members]))
    assert metrics.expected_calibration_error(probabilities, targets, bins=bins) == pytest.approx(slow, abs=1e-9)


def test_calibration_error_vanishes_for_a_certain_and_right_classifier():
    assert metrics.expected_calibration_error(np.eye(4), np.arange(4)) == 0
    assert metrics.expected_calibration_error(np.eye(4), (np.arange(4) + 1) % 4) == 1


def test_calibration_error_refuses_bad_input(unchecked):
    good, targets = drawn_probabilities(0, 3, 2), np.zeros(3, dtype=np.int64)
    with pytest.raises(InputError, match=r"row 1 of the probabilities is not a distribution \(sum 3, .*softmax"):
        metrics.expected_calibration_error(np.array([[0.5, 0.5], [4.0, -1.0]]), np.zeros(2, int))
    with pytest.raises(InputError, match=r"row 0 of the probabilities is not a distribution"):
        metrics.expected_calibration_error(np.full((1, 2), np.nan), np.zeros(1, int))
    with pytest.raises(InputError, match=r"row 0 of the probabilities is not a distribution"):
        metrics.expected_calibration_error(np.array([[1.5, -0.5]]), np.zeros(1, int))
    with pytest.raises(InputError, match=r"got probabilities of shape \(3, 2\) and targets of shape \(2,\)"):
        metrics.expected_calibration_error(good, targets[:2])
    with pytest.raises(InputError, match=r"with n at least 1"):
        metrics.expected_calibration_error(good[:0], targets[:0])
    with pytest.raises(InputError, match=r"bins is 0, expected at least 1"):
        metrics.expected_calibration_error(good, targets, bins=0)
