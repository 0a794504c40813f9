import sys

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from glassnet.embedding.layers import layer_scores
from glassnet.embedding.separability import held_out, linear_probe, separability, spread
from glassnet.errors import InputError


def test_each_score_is_its_own_function_on_the_same_rows(digits):
    # Noise, or equal distances would leave to chance who is nearest.
    pixels, labels = digits[0][:400] + 1e-3 * np.random.default_rng(0).normal(size=(400, 64)), digits[1][:400]
    features = {"pixels": pixels, "few": pixels[:, 20:28]}
    scores = layer_scores(features, labels, test_share=0.4, neighbours=5, seed=2)
    train, test = held_out(labels, share=0.4, seed=2)
    assert [(score.layer, score.columns) for score in scores] == [("pixels", 64), ("few", 8)]
    for score, rows in zip(scores, features.values(), strict=True):
        probe = linear_probe(rows, labels, train=train, test=test, seed=2)
        assert (score.probe.accuracy, score.probe.validation) == (probe.accuracy, probe.validation)
        model = KNeighborsClassifier(5).fit(rows[train].astype(np.float64), labels[train])
        assert score.knn_accuracy == pytest.approx(model.score(rows[test].astype(np.float64), labels[test]))
        assert score.separability == separability(rows, labels)
        assert score.spread == spread(rows, seed=2)
    assert scores[0].probe.accuracy > scores[1].probe.accuracy + 0.1
    assert scores[0].knn_accuracy > scores[1].knn_accuracy + 0.1


def test_the_rows_to_score_may_be_given(blobs):
    features, labels = blobs
    _, test = held_out(labels, share=0.3, seed=0)
    drawn, given = layer_scores({"a": features}, labels), layer_scores({"a": features}, labels, test_rows=test)
    assert drawn[0].knn_accuracy == given[0].knn_accuracy
    np.testing.assert_array_equal(drawn[0].probe.probabilities, given[0].probe.probabilities)


def test_refuses_bad_input(blobs, unchecked):
    features, labels = blobs
    with pytest.raises(InputError, match=r"got no layer to score"):
        layer_scores({}, labels)
    with pytest.raises(InputError, match=r"b has 100 rows, but there are 120 labels; pass one per row"):
        layer_scores({"a": features, "b": features[:100]}, labels)
    with pytest.raises(InputError, match=r"neighbours is 85, expected 1 to 84, the number of training rows"):
        layer_scores({"a": features}, labels, neighbours=85)
    with pytest.raises(InputError, match=r"the share to hold out is 1.0, expected above 0"):
        layer_scores({"a": features}, labels, test_share=1.0)
    for message, rows in {
        r"test_rows go from 1 to 120, expected 0 to 119": np.array([1, 120]),
        r"test_rows has shape \(2,\), expected distinct row indices, fewer than the 120 rows": np.array([1, 1]),
        r"test_rows has shape \(120,\), expected distinct": np.arange(120),
        r"test_rows has shape \(0,\), expected distinct": np.arange(0),
    }.items():
        with pytest.raises(InputError, match=message):
            layer_scores({"a": features}, labels, test_rows=rows)


def test_a_dead_layer_is_named_before_any_probe_is_fitted(blobs, monkeypatch):
    features, labels = blobs
    probed = []
    monkeypatch.setattr(sys.modules["glassnet.embedding.layers"], "linear_probe", lambda *a, **b: probed.append(a))
    with pytest.raises(InputError, match=r"all 120 rows of the features of conv2 are the same.*choose another layer"):
        layer_scores({"conv1": features, "conv2": np.zeros_like(features)}, labels)
    with pytest.raises(InputError, match=r"features of conv2 have a NaN or an infinity in 120 of 120 rows"):
        layer_scores({"conv1": features, "conv2": features * np.nan}, labels)
    assert not probed
