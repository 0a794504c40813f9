"""What every entry of METHODS must hold, and that a new one is one line."""

import inspect
import re

import numpy as np
import pytest
import torch

from glassnet.attribution import METHODS, explain
from glassnet.attribution.methods import INGREDIENTS, choose_methods, ingredients, is_of_a_layer
from glassnet.errors import InputError

CLASSES = [0, 1, 2, 3, 4, 0, 1]

every_method = pytest.mark.parametrize("method", METHODS)


@every_method
def test_a_method_says_where_it_comes_from_and_what_it_needs(method):
    assert re.search(r"\d{4}, https://(arxiv.org/abs|doi.org)/", inspect.getdoc(METHODS[method]))
    assert ingredients(method) <= set(INGREDIENTS)


@every_method
def test_shapes_types_and_keys(method, network, images):
    explanation = explain(network, images, methods=method)
    assert explanation.methods == (method,)
    where = list(explanation.layers) if is_of_a_layer(method) else ["input"]
    assert list(explanation.maps) == list(explanation.raw) == [(method, layer) for layer in where]
    for key in explanation.maps:
        assert explanation[key].dtype == explanation.raw[key].dtype == np.float32
        assert explanation[key].shape in ((7, 12, 12), (7, 3, 12, 12))
        assert np.isfinite(explanation[key]).all()
        assert np.abs(explanation[key]).max() > 0


@every_method
def test_the_same_twice_and_in_chunks(method, network, images):
    whole, again = (explain(network, images, methods=method) for _ in range(2))
    chunks = explain(network, images, methods=method, batch_size=2)
    for key, value in whole.maps.items():
        np.testing.assert_array_equal(again[key], value)
        np.testing.assert_allclose(chunks[key], value, atol=1e-6 * max(1, np.abs(value).max()))
    np.testing.assert_array_equal(chunks.targets, whole.targets)
    np.testing.assert_allclose(chunks.scores, whole.scores, atol=1e-5)
    np.testing.assert_allclose(chunks.output, whole.output, atol=1e-5)


@every_method
def test_half_precision_is_close(method, network, images):
    full = explain(network, images, methods=method, target=CLASSES)
    autocast = explain(network, images, methods=method, target=CLASSES, precision="bf16")
    half = explain(network.bfloat16(), images, methods=method, target=CLASSES)
    for key, value in full.maps.items():
        for other in (autocast, half):
            assert other[key].dtype == np.float32
            assert np.corrcoef(other[key].ravel(), value.ravel())[0, 1] > 0.97


@every_method
def test_double_precision_is_the_same(method, network, images):
    full = explain(network, images, methods=method, target=CLASSES)
    double = explain(network.double(), images, methods=method, target=CLASSES)
    for key, value in full.maps.items():
        np.testing.assert_allclose(double[key], value, atol=1e-4 * np.abs(value).max())


def test_a_new_method_is_one_line(monkeypatch, network, images):
    def hirescam(activation, gradient):
        return (activation * gradient).sum(1).relu()

    def twice(hirescam, guided_backpropagation):
        return 2 * hirescam

    monkeypatch.setitem(METHODS, "hirescam", hirescam)
    monkeypatch.setitem(METHODS, "twice", twice)
    explanation = explain(network, images, methods=("twice", "hirescam"))
    assert ingredients("twice") == {"activation", "gradient", "guided_gradient"}
    for layer in explanation.layers:
        np.testing.assert_allclose(explanation["twice", layer], 2 * explanation["hirescam", layer], rtol=1e-5)


def test_a_method_is_computed_once_for_all_that_need_it(monkeypatch, build_network, images):
    calls = []

    def counted(activation, gradient):
        calls.append(activation.shape)
        return torch.zeros(len(activation), *activation.shape[2:])

    monkeypatch.setitem(METHODS, "gradcam", counted)
    explanation = explain(build_network("convnet"), images, methods=("guided_gradcam", "gradcam"))
    assert len(calls) == len(explanation.layers) == 4


def test_unknown_methods_are_refused_with_the_nearest_names():
    with pytest.raises(
        InputError, match=r"no method 'grad-cam'. Did you mean gradcam.* The methods are: gradcam, gradcam_plus"
    ):
        choose_methods("grad-cam")
    with pytest.raises(InputError, match="methods is empty, expected at least one of gradcam"):
        choose_methods(())
    assert choose_methods(["gradcam", "gradcam"])[0] == ("gradcam",)
