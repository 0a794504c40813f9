import sys

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid

from glassnet.embedding.separability import separability, spread
from glassnet.errors import InputError


def test_separability_by_hand():
    # Means 1 and 7 of 2 and 2 points, the mean of all 4: between 2 * 9 * 2, within 1 + 1 + 4 + 4.
    rows, labels = np.array([[0.0], [2], [5], [9]]), np.array([3, 3, 8, 8])
    result = separability(rows, labels)
    assert result.scatter_ratio == pytest.approx(36 / 10)
    # Without itself: 0 is 2 from the other, 7 from 7; 2 is 2 and 5; 5 is 4 from 9 and
    # from 1, which is no nearer; 9 is 4 and 8.
    assert result.nearest_mean_accuracy == pytest.approx(3 / 4)


def test_separability_equals_plain_loops(digits):
    rows, labels = digits[0][:200].astype(np.float64), digits[1][:200]
    mean = rows.mean(axis=0)
    between, within = np.zeros((64, 64)), np.zeros((64, 64))
    for label in range(10):
        group = rows[labels == label]
        between += len(group) * np.outer(group.mean(axis=0) - mean, group.mean(axis=0) - mean)
        within += (group - group.mean(axis=0)).T @ (group - group.mean(axis=0))
    result = separability(rows, labels)
    assert result.scatter_ratio == pytest.approx(np.trace(between) / np.trace(within))
    total = ((rows - mean) ** 2).sum()
    assert result.scatter_ratio == pytest.approx((total - np.trace(within)) / np.trace(within))


@pytest.mark.filterwarnings("ignore:self.within_class_std_dev_")  # digits have pixels that are always off
def test_nearest_mean_equals_scikit_learn_leaving_each_row_out(digits):
    rows, labels = digits[0][:150].astype(np.float64), digits[1][:150]
    right = 0
    for i in range(150):
        others = np.arange(150) != i
        right += int(NearestCentroid().fit(rows[others], labels[others]).predict(rows[i : i + 1])[0] == labels[i])
    assert separability(rows, labels).nearest_mean_accuracy == pytest.approx(right / 150)


def test_separability_does_not_change_with_rotation_scale_and_place(blobs):
    rows, labels = blobs[0].astype(np.float64), blobs[1]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0]
    one, other = separability(rows, labels), separability(1e-3 * rows @ turn + 5, labels)
    assert one.scatter_ratio == pytest.approx(other.scatter_ratio)
    assert one.nearest_mean_accuracy == other.nearest_mean_accuracy == 1
    model = LinearDiscriminantAnalysis(solver="eigen", store_covariance=True).fit(rows, labels)
    assert one.scatter_ratio > 10
    assert model.covariance_.trace() * 120 * (1 + one.scatter_ratio) == pytest.approx(rows.var(axis=0).sum() * 120)


def test_classes_without_spread_and_classes_of_one():
    assert separability(np.array([[0.1], [0.1], [0.7], [0.7]]), np.array([0, 0, 1, 1])).scatter_ratio is None
    lone = separability(np.array([[0.0], [1], [50]]), np.array([0, 0, 1]))
    assert lone.nearest_mean_accuracy == pytest.approx(2 / 3)


def test_spread_by_hand():
    # Four corners of a rectangle 6 by 2: centred, singular values 6 and 2, eigenvalues 36 and 4.
    result = spread(np.array([[3.0, 1], [3, -1], [-3, 1], [-3, -1]]) + 9)
    assert result.effective_rank == pytest.approx(np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25)))
    assert result.participation_ratio == pytest.approx(40**2 / (36**2 + 4**2))
    line = spread(np.outer(np.arange(5.0), [1, 2, 3]))
    assert (line.effective_rank, line.participation_ratio) == pytest.approx((1, 1))


@pytest.mark.parametrize("columns", [5, 60])
def test_spread_equals_the_singular_values(columns):
    rows = np.random.default_rng(0).normal(size=(30, columns)) * np.linspace(1, 9, columns)
    values = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    result = spread(rows)
    # The last of the 30 is rounding noise of 1e-14.
    assert result.effective_rank == pytest.approx(np.exp(entropy(values)), rel=1e-9)
    assert result.participation_ratio == pytest.approx((values**2).sum() ** 2 / (values**4).sum())


def test_as_many_equal_directions_as_the_rank():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(9, 9)))[0][:4]
    result = spread(np.vstack([turn, -turn]))
    assert (result.effective_rank, result.participation_ratio) == pytest.approx((4, 4))
    assert result.sample == 8


def test_above_the_limit_a_sample_is_measured(digits, monkeypatch):
    module = sys.modules["glassnet.embedding.separability"]  # the package's attribute of this name is the function

    whole = spread(digits[0])
    monkeypatch.setattr(module, "MOST_ROWS", 500, raising=True)
    some = spread(digits[0], seed=2)
    assert (whole.sample, some.sample) == (1797, 500)
    assert some == spread(digits[0], seed=2) != spread(digits[0], seed=3)
    assert some.effective_rank == pytest.approx(whole.effective_rank, rel=0.05)


def test_refuses_bad_input(blobs, unchecked):
    rows, labels = blobs
    with pytest.raises(InputError, match=r"all labels are the same class, expected at least two classes"):
        separability(rows, np.zeros(120, dtype=np.int64))
    with pytest.raises(InputError, match=r"labels are of type int64 and shape \(119,\)"):
        separability(rows, labels[1:])
    with pytest.raises(InputError, match=r"all 120 rows of the features are the same"):
        spread(np.ones((120, 3)))
    with pytest.raises(InputError, match=r"seed is -1, expected 0 to"):
        spread(rows, seed=-1)
