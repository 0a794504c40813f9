"""What every entry of METHODS must hold, and that a new one is one line."""

import inspect
import re
from functools import partial

import numpy as np
import pytest
import torch

from glassnet.attribution import METHODS, explain
from glassnet.attribution.engine.attention import OF_ATTENTION
from glassnet.attribution.methods import INGREDIENTS, choose_methods, ingredients, is_of_a_layer
from glassnet.errors import InputError
from glassnet.method_titles import METHOD_TITLES

CLASSES = [0, 1, 2, 3, 4, 0, 1]

every_method = pytest.mark.parametrize("method", METHODS)

# Differences of nearly equal numbers: 8 bits of mantissa leave less of them.
FINE = {"occlusion": 0.7, "xgradcam": 0.7, "saliency": 0.9}


NETWORKS = ("convnet", "in-place", "shared", "functional", "residual", "shared-in-place", "tokens")
FEW = ("functional", "residual")  # enough for methods of many passes, which take longer
ALIKE = ("convnet", "shared", "shared-in-place")
"""Networks whose layers the others have too; the ReLUs that run twice have tests of their own, in test_oracles.py."""


def networks_for(method):
    if not ingredients(method).isdisjoint(OF_ATTENTION):
        return ("tokens",)
    return FEW if "rerun" in ingredients(method) else NETWORKS


everywhere = pytest.mark.parametrize(
    ("method", "network"),
    [
        pytest.param(m, name, marks=pytest.mark.slow if name in ALIKE else ())
        for m in METHODS
        for name in networks_for(m)
    ],
    indirect=["network"],
)


@pytest.fixture
def network(request, build_network):
    return build_network(getattr(request, "param", "residual"))


_explained = {}


@pytest.fixture
def full(request, network, images):
    """Explain in single precision and whole, each method and network once: that it repeats has a test of its own."""

    def explained(target="predicted"):
        key = request.node.callspec.id, str(target)
        if key not in _explained:
            _explained[key] = explain(network, images, methods=request.node.callspec.params["method"], target=target)
        return _explained[key]

    return explained


@every_method
def test_a_method_says_where_it_comes_from_and_what_it_needs(method):
    assert re.search(r"\d{4}, https://(arxiv.org/abs|doi.org)/", inspect.getdoc(METHODS[method]))
    assert ingredients(method) <= set(INGREDIENTS)


def test_every_method_has_one_title_of_its_own():
    assert list(METHOD_TITLES) == list(METHODS)
    assert len(set(METHOD_TITLES.values())) == len(METHOD_TITLES)


@everywhere
def test_shapes_types_and_keys(method, full):
    explanation = full()
    assert explanation.methods == (method,)
    where = list(explanation.layers) if is_of_a_layer(method) else ["input"]
    assert list(explanation.maps) == list(explanation.raw) == [(method, layer) for layer in where]
    for key in explanation.maps:
        assert explanation[key].dtype == explanation.raw[key].dtype == np.float32
        assert explanation[key].shape in ((7, 12, 12), (7, 3, 12, 12))
        assert np.isfinite(explanation[key]).all()
        assert np.abs(explanation[key]).max() > 0


@everywhere
def test_the_same_twice_and_in_chunks(method, network, images, full):
    whole, again = full(), explain(network, images, methods=method)
    chunks = explain(network, images, methods=method, batch_size=2)
    for key, value in whole.maps.items():
        np.testing.assert_array_equal(again[key], value)
        np.testing.assert_allclose(chunks[key], value, atol=1e-6 * max(1, np.abs(value).max()))
    np.testing.assert_array_equal(chunks.targets, whole.targets)
    np.testing.assert_allclose(chunks.scores, whole.scores, atol=1e-5)
    np.testing.assert_allclose(chunks.output, whole.output, atol=1e-5)


@everywhere
def test_half_precision_is_close(method, network, images, full):
    single = full(CLASSES)
    autocast = explain(network, images, methods=method, target=CLASSES, precision="bf16")
    half = explain(network.bfloat16(), images, methods=method, target=CLASSES)
    for key, value in single.maps.items():
        for other in (autocast, half):
            assert other[key].dtype == np.float32
            # The median, since XGrad-CAM divides by a channel's sum, which for an image now and then is nearly 0.
            assert np.median(cosines(other[key], value)) > FINE.get(method, 0.97)


def cosines(some, others):
    pairs = zip(some.reshape(len(some), -1), others.reshape(len(others), -1), strict=True)
    lengths = [(a @ b, np.linalg.norm(a) * np.linalg.norm(b)) for a, b in pairs]
    return [product / length if length else 1 for product, length in lengths]


@everywhere
def test_double_precision_is_the_same(method, network, images, full):
    single = full(CLASSES)
    double = explain(network.double(), images, methods=method, target=CLASSES)
    for key, value in single.maps.items():
        # Where many points are averaged, some lie so near a ReLU's corner that rounding decides the side.
        near = 1e-3 if "rerun" in ingredients(method) else 1e-4
        np.testing.assert_allclose(double[key], value, atol=near * np.abs(value).max())


def test_a_new_method_is_one_line(monkeypatch, network, images):
    def product(activation, gradient):
        return (activation * gradient).sum(1).relu()

    def twice(product, guided_backpropagation):
        return 2 * product

    monkeypatch.setitem(METHODS, "product", product)
    monkeypatch.setitem(METHODS, "twice", twice)
    explanation = explain(network, images, methods=("twice", "product"))
    assert ingredients("twice") == {"activation", "gradient", "guided_gradient"}
    for layer in explanation.layers:
        np.testing.assert_allclose(explanation["twice", layer], 2 * explanation["product", layer], rtol=1e-5)


def test_a_method_of_ones_own_needs_no_registry(network, images):
    methods = {"double": lambda gradcam: 2 * gradcam, "smooth": partial(METHODS["smoothgrad"], of="double", samples=2)}
    explanation = explain(network, images, methods=methods)
    assert explanation.methods == ("double", "smooth")
    expected = explain(network, images, methods="gradcam")
    for layer in expected.layers:
        np.testing.assert_allclose(explanation["double", layer], 2 * expected["gradcam", layer], rtol=1e-5)
        assert explanation["smooth", layer].shape == (7, 12, 12)
    assert "double" not in METHODS


def test_many_passes_are_packed_into_batches_and_no_larger(images, build_network):
    model, sizes = build_network("functional"), []
    model.register_forward_pre_hook(lambda _m, inputs: sizes.append(len(inputs[0])))
    methods = {"integrated": partial(METHODS["integrated_gradients"], steps=32)}
    explain(model, images[:2], methods=methods, batch_size=8)
    assert sizes == [2, 2] + [8] * 8  # the images, the baseline, 32 steps of 2 images
    sizes.clear()
    explain(model, images[:3], methods=methods, batch_size=2)
    assert sizes == [2, 2] + [2] * 32 + [1, 1] + [2] * 16


def test_methods_that_need_no_gradient_build_no_graph_and_ask_for_none(images):
    class Cut(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.graphs = torch.nn.Conv2d(3, 4, 3), []

        @torch.no_grad()
        def forward(self, x):
            return self.conv(x).relu().mean((2, 3))

    explanation = explain(Cut(), images, methods=("eigencam", "scorecam", "occlusion"))
    assert explanation.layers == ("conv",)
    with pytest.raises(InputError, match=r"layer 'conv' runs under torch.no_grad\(\), so no gradient path"):
        explain(Cut(), images, methods=("eigencam", "gradcam"))
    for method in ("saliency", "input_x_gradient", "integrated_gradients"):
        with pytest.raises(InputError, match=r"no gradient path leads from the images to the score: torch.no_grad\(\)"):
            explain(Cut(), images, methods=method)


def test_attributions_that_are_nan_are_said(images):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), Root(), torch.nn.Flatten(), torch.nn.Linear(400, 2))
    with pytest.raises(InputError, match="gradcam at 0 has NaN or infinite values for 7 of 7 images, because"):
        explain(model, images, methods="gradcam")


class Root(torch.nn.Module):
    """Its slope at 0 is infinite, and times 0 not a number, though the score is fine."""

    def forward(self, x):
        return (0 * x).sqrt()


def test_a_parameter_that_nothing_provides_is_refused(network, images):
    with pytest.raises(InputError, match=r"no method or ingredient 'activations' for mine. Did you mean activation"):
        explain(network, images, methods={"mine": lambda activations: activations})


@pytest.mark.parametrize(
    ("methods", "way"),
    [
        ({"it": partial(METHODS["smoothgrad"], of="it")}, "it from it"),
        ({"gradcam": lambda gradcam: gradcam}, "gradcam from gradcam"),
        ({"one": lambda two: two, "two": lambda one: one}, "one from two from one"),
    ],
)
def test_a_method_that_needs_itself_is_refused(methods, way):
    name = next(iter(methods))
    with pytest.raises(
        InputError, match=rf"method '{name}' depends on itself \({way}\); give it a name different from"
    ):
        choose_methods(methods)


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
