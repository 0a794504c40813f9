import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from glassnet.embedding.logistic import logistic_regression
from glassnet.embedding.probe import coordinates, linear_probe
from glassnet.embedding.split import held_out
from glassnet.errors import InputError
from glassnet.stats import wilson_interval

module = sys.modules["glassnet.embedding.probe"]
TRAIN, TEST = np.arange(200), np.arange(200, 400)


def slow_loss(rows, labels, model, regularisation) -> float:
    """Mean cross-entropy and penalty, one row at a time."""
    total = 0.0
    for row, label in zip(rows, labels, strict=True):
        scores = row @ model.weights + model.intercept
        total -= scores[list(model.classes).index(label)] - np.log(np.exp(scores).sum())
    return total / len(rows) + regularisation / 2 * (model.weights**2).sum()


def test_two_points_by_hand():
    # At x = -1 and 1 of two classes, b = 0 and W = (-w, w): the derivative -2/(1 + e^2w) + 2 l w is 0 at w = 1
    # for l = 1/(1 + e²).
    model = logistic_regression(
        np.array([[-1.0], [1]]), np.array([4, 7]), regularisation=1 / (1 + np.e**2), tolerance=1e-10
    )
    np.testing.assert_allclose(model.weights, [[-1, 1]], atol=1e-7)
    np.testing.assert_allclose(model.intercept, 0, atol=1e-7)
    np.testing.assert_array_equal(model.predict(np.array([[-3.0], [0.1]])), [4, 7])


@pytest.mark.parametrize("regularisation", [1.0, 1e-2, 1e-3])
def test_regression_equals_scikit_learns(digits, regularisation):
    rows, labels = digits[0][:250].astype(np.float64), digits[1][:250]
    ours = logistic_regression(rows, labels, regularisation=regularisation, tolerance=1e-8)
    theirs = LogisticRegression(C=1 / (250 * regularisation), tol=1e-9, max_iter=9000).fit(rows, labels)
    np.testing.assert_allclose(ours.weights.T, theirs.coef_, atol=2e-4)
    np.testing.assert_allclose(np.exp(ours.log_probabilities(rows)), theirs.predict_proba(rows), atol=1e-4)
    np.testing.assert_array_equal(ours.predict(rows), theirs.predict(rows))
    found = slow_loss(rows, labels, ours, regularisation)
    rng = np.random.default_rng(0)
    for _ in range(3):  # no step away lowers the loss
        moved = type(ours)(
            weights=ours.weights + 1e-3 * rng.normal(size=ours.weights.shape),
            intercept=ours.intercept,
            classes=ours.classes,
        )
        assert slow_loss(rows, labels, moved, regularisation) > found


def test_where_it_starts_does_not_matter(digits):
    rows, labels = digits[0][:250].astype(np.float64), digits[1][:250]
    start = logistic_regression(rows, labels, regularisation=1.0)
    one, other = (
        logistic_regression(rows, labels, regularisation=0.01, start=s, tolerance=1e-8) for s in (None, start)
    )
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-5)


@pytest.mark.parametrize("columns", [64, 250])
def test_probe_equals_scikit_learn_on_all_columns(digits, monkeypatch, columns):
    rng = np.random.default_rng(0)
    features, labels = digits[0][:400].astype(np.float64), digits[1][:400]
    if columns > 64:  # wider than the 200 training rows
        features = np.tanh(features @ rng.normal(size=(64, columns)))
    probe = linear_probe(features, labels, train=TRAIN, test=TEST, regularisations=[0.1])
    scaler = StandardScaler().fit(features[TRAIN])
    model = LogisticRegression(C=1 / (200 * 0.1), tol=1e-6, max_iter=9000)
    model.fit(scaler.transform(features[TRAIN]), labels[TRAIN])
    expected = model.predict_proba(scaler.transform(features[TEST]))
    # As far as the fit goes by default, and nearer the further it goes: the columns turned or replaced lose nothing.
    np.testing.assert_allclose(probe.probabilities, expected, atol=2e-3)
    monkeypatch.setattr(module, "FINAL_TOLERANCE", 1e-6)
    closer = linear_probe(features, labels, train=TRAIN, test=TEST, regularisations=[0.1])
    np.testing.assert_allclose(closer.probabilities, expected, atol=1e-4)
    right = int((model.predict(scaler.transform(features[TEST])) == labels[TEST]).sum())
    assert probe.accuracy == right / 200
    assert probe.interval == wilson_interval(right, 200)
    assert probe.regularisation == 0.1


@pytest.mark.parametrize("columns", [30, 700])
def test_coordinates_keep_all_inner_products(columns):
    rows = np.random.default_rng(0).normal(size=(90, columns)) + 2
    rows[:, 3] = 5  # says nothing
    train, test = np.arange(60), np.arange(60, 90)
    fitted, seen = coordinates(rows, train=train, test=test)
    assert fitted.shape[1] <= 60
    kept = np.delete(rows, 3, axis=1)
    plain = (kept - kept[:60].mean(axis=0)) / kept[:60].std(axis=0)
    np.testing.assert_allclose(fitted @ fitted.T, plain[:60] @ plain[:60].T, atol=1e-5)
    np.testing.assert_allclose(seen @ fitted.T, plain[60:] @ plain[:60].T, atol=1e-5)


def test_regularisation_is_chosen_by_the_validation_rows(digits):
    features, labels = digits[0][:400], digits[1][:400]
    grid = (1e-4, 100.0, 0.1)
    probe = linear_probe(features, labels, train=TRAIN, test=TEST, regularisations=grid, seed=3)
    assert set(probe.validation) == set(grid)
    best = max(probe.validation.values())
    assert probe.regularisation == max(l for l, value in probe.validation.items() if value == best)  # noqa: E741
    kept, out = held_out(labels[TRAIN], share=0.2, seed=3)
    fitted, _ = coordinates(features.astype(np.float64), train=TRAIN, test=TEST)
    for value, accuracy in probe.validation.items():
        model = logistic_regression(fitted[kept], labels[kept], regularisation=value, tolerance=1e-7)
        assert accuracy == pytest.approx((model.predict(fitted[out]) == labels[out]).mean(), abs=0.03)


def test_test_labels_decide_nothing(digits):
    features, labels = digits[0][:400], digits[1][:400].copy()
    before = linear_probe(features, labels, train=TRAIN, test=TEST)
    labels[TEST] = 0
    after = linear_probe(features, labels, train=TRAIN, test=TEST)
    np.testing.assert_array_equal(after.probabilities, before.probabilities)
    assert after.validation == before.validation
    assert after.accuracy < 0.2 < 0.8 < before.accuracy


def test_features_that_say_nothing(blobs):
    probe = linear_probe(np.ones((120, 4)), blobs[1], train=np.arange(60), test=np.arange(60, 120))
    np.testing.assert_allclose(probe.probabilities, 1 / 3, atol=1e-3)


def test_rows_are_held_out_of_every_class_alike():
    labels = np.repeat([0, 1, 2], [10, 20, 1])
    kept, out = held_out(labels, share=0.3, seed=1)
    np.testing.assert_array_equal(np.bincount(labels[out], minlength=3), [3, 6, 0])
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, out])), np.arange(31))
    for share in (0.0, 1.0):
        with pytest.raises(InputError, match=rf"the share to hold out is {share}, expected above 0 and below 1"):
            held_out(labels, share=share, seed=0)
    with pytest.raises(InputError, match=r"a share of 0.1 of 3 rows holds out none of them"):
        held_out(np.arange(3), share=0.1, seed=0)


def test_refuses_bad_input(blobs, unchecked):
    features, labels = blobs
    train, test = np.arange(60), np.arange(60, 120)
    for message, changed in {
        r"row 59 is in train and in test": {"test": np.arange(59, 120)},
        r"test has rows 60 to 120, expected 0 to 119": {"test": np.arange(60, 121)},
        r"train has shape \(0,\), expected row indices": {"train": train[:0]},
        r"train has shape \(60,\), expected row indices": {"train": train.astype(float)},
        r"the training rows are all of one class": {"train": np.arange(0, 60, 3)},
        r"regularisations are \(0.1, 0\), expected at least one, all above 0": {"regularisations": (0.1, 0)},
        r"regularisations are \(\), expected at least one": {"regularisations": ()},
        r"seed is -2, expected": {"seed": -2},
    }.items():
        with pytest.raises(InputError, match=message):
            linear_probe(features, labels, **{"train": train, "test": test, **changed})
