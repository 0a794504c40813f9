import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from glassnet.embedding.separability import held_out, linear_probe
from glassnet.errors import InputError
from glassnet.stats import wilson_interval

module = sys.modules["glassnet.embedding.separability"]
TRAIN, TEST = np.arange(200), np.arange(200, 400)


def slow_loss(rows, labels, weights, intercept, regularisation) -> float:
    """Mean cross-entropy and penalty, one row at a time."""
    total = 0.0
    for row, label in zip(rows, labels, strict=True):
        scores = row @ weights + intercept
        total -= scores[label] - np.log(np.exp(scores).sum())
    return total / len(rows) + regularisation / 2 * (weights**2).sum()


def plain(features):
    """Columns less their mean over their standard deviation, both of the training rows."""
    return (features - features[TRAIN].mean(axis=0)) / np.maximum(features[TRAIN].std(axis=0), 1e-9)


@pytest.fixture
def closely(monkeypatch):
    monkeypatch.setattr(module, "FINAL_TOLERANCE", 1e-8)


@pytest.mark.usefixtures("closely")
def test_two_classes_by_hand():
    # At x = -1 and 1 of two classes, b = 0 and W = (-w, w): the derivative -2/(1 + e^2w) + 2 l w is 0 at w = 1
    # for l = 1/(1 + e²).
    rows, labels = np.array([[-1.0], [1]] * 4 + [[-3.0], [0.1]]), np.array([4, 7] * 5)
    strength = 1 / (1 + np.e**2)
    probe = linear_probe(
        rows, labels, train=np.arange(8), test=np.array([8, 9]), regularisations=[strength], validation_share=0.3
    )
    first = [1 / (1 + np.exp(2 * x)) for x in (-3, 0.1)]
    np.testing.assert_allclose(probe.probabilities[:, 0], first, atol=1e-6)
    np.testing.assert_array_equal(probe.classes, [4, 7])
    assert probe.accuracy == 1


@pytest.mark.usefixtures("closely")
@pytest.mark.parametrize("regularisation", [1.0, 1e-2, 1e-3])
def test_the_fit_is_the_minimum_and_equals_scipys_of_the_slow_loss(digits, regularisation):
    features, labels = digits[0][:400, 20:24].astype(np.float64), digits[1][:400] % 3
    probe = linear_probe(features, labels, train=TRAIN, test=TEST, regularisations=[regularisation])
    rows = plain(features)
    solution = minimize(
        lambda p: slow_loss(rows[TRAIN], labels[TRAIN], p[:12].reshape(4, 3), p[12:], regularisation),
        np.zeros(15), tol=1e-12, options={"gtol": 1e-7},
    ).x  # fmt: skip
    scores = rows[TEST] @ solution[:12].reshape(4, 3) + solution[12:]
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probe.probabilities, expected, atol=1e-4)


@pytest.mark.parametrize("columns", [64, 250])
def test_probe_equals_a_fit_by_torch(digits, monkeypatch, columns):
    rng = np.random.default_rng(0)
    features, labels = digits[0][:400].astype(np.float64), digits[1][:400]
    if columns > 64:  # wider than the 200 training rows
        features = np.tanh(features @ rng.normal(size=(64, columns)))
    probe = linear_probe(features, labels, train=TRAIN, test=TEST, regularisations=[0.1])
    rows, truth = torch.from_numpy(plain(features)), torch.from_numpy(labels)
    weights = torch.zeros(columns, 10, dtype=torch.float64, requires_grad=True)
    intercept = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    steps = torch.optim.LBFGS(
        [weights, intercept], max_iter=3000, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss():
        steps.zero_grad()
        value = F.cross_entropy(rows[TRAIN] @ weights + intercept, truth[TRAIN]) + 0.05 * weights.square().sum()
        value.backward()
        return value

    steps.step(loss)
    expected = (rows[TEST] @ weights + intercept).softmax(dim=1).detach().numpy()
    # As far as the fit goes by default, and nearer the further it goes.
    np.testing.assert_allclose(probe.probabilities, expected, atol=2e-3)
    monkeypatch.setattr(module, "FINAL_TOLERANCE", 1e-8)
    closer = linear_probe(features, labels, train=TRAIN, test=TEST, regularisations=[0.1])
    np.testing.assert_allclose(closer.probabilities, expected, atol=1e-4)
    right = int((expected.argmax(axis=1) == labels[TEST]).sum())
    assert probe.accuracy == right / 200
    assert probe.interval == wilson_interval(right, 200)
    assert probe.regularisation == 0.1


def test_a_column_that_is_constant_in_training_says_nothing(digits):
    features, labels = digits[0][:400].astype(np.float64), digits[1][:400]
    more = np.hstack([features, np.full((400, 1), 5.0)])
    more[TEST, -1] = 1e6 * (labels[TEST] - 4)
    one, other = (linear_probe(rows, labels, train=TRAIN, test=TEST).probabilities for rows in (features, more))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_regularisation_is_chosen_by_the_validation_rows(digits):
    features, labels = digits[0][:400], digits[1][:400]
    grid = (1e-4, 100.0, 0.1)
    probe = linear_probe(features, labels, train=TRAIN, test=TEST, regularisations=grid, seed=3)
    assert set(probe.validation) == set(grid)
    best = max(probe.validation.values())
    assert probe.regularisation == max(l for l, value in probe.validation.items() if value == best)  # noqa: E741
    fitted, out = held_out(labels[TRAIN], share=0.2, seed=3)
    rows = plain(features.astype(np.float64))
    for value, accuracy in probe.validation.items():
        model = LogisticRegression(C=1 / (len(fitted) * value), tol=1e-7, max_iter=9000, solver="newton-cg")
        model.fit(rows[fitted], labels[fitted])
        assert accuracy == pytest.approx((model.predict(rows[out]) == labels[out]).mean(), abs=0.03)


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
    with pytest.raises(InputError, match=r"a share of 0.1 of 3 rows holds out no row"):
        held_out(np.arange(3), share=0.1, seed=0)


def test_refuses_bad_input(blobs, unchecked):
    features, labels = blobs
    train, test = np.arange(60), np.arange(60, 120)
    for message, changed in {
        r"row 59 is in train and in test": {"test": np.arange(59, 120)},
        r"test has rows 60 to 120, expected 0 to 119": {"test": np.arange(60, 121)},
        r"train has shape \(0,\), expected row indices": {"train": train[:0]},
        r"train has shape \(60,\), expected row indices": {"train": train.astype(float)},
        r"all training rows are the same class": {"train": np.arange(0, 60, 3)},
        r"regularisations are \(0.1, 0\), expected at least one, all above 0": {"regularisations": (0.1, 0)},
        r"regularisations are \(\), expected at least one": {"regularisations": ()},
        r"seed is -2, expected": {"seed": -2},
    }.items():
        with pytest.raises(InputError, match=message):
            linear_probe(features, labels, **{"train": train, "test": test, **changed})
