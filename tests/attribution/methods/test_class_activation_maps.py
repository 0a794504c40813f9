"""The relatives of Grad-CAM: each by hand, and by the paper's loops."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from glassnet.attribution import METHODS, explain
from references import attributions as reference

A = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [2.0, 5.0]]]])
G = torch.tensor([[[[1.0, 3.0], [0.0, 4.0]], [[-1.0, -2.0], [-3.0, -6.0]]]])


def assert_near(maps, expected):
    np.testing.assert_allclose(maps[0], expected, rtol=1e-6, atol=1e-7)


def test_gradcam_plus_plus_by_hand():
    activation = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]], [[0.0, -1.0], [0.0, 1.0]]]])
    gradient = torch.tensor([[[[1.0, 0.0], [2.0, -3.0]], [[2.0, 0.0], [0.0, 4.0]]]])
    # The first channel adds up to 2: alpha = 1 / (2 + 2 g) = 1/4, -, 1/6, -1/4; w = 1/4 + 2/6 = 7/12.
    # The second adds up to 0: alpha = 1/2 where g is not 0; w = 2/2 + 4/2 = 3.
    assert_near(METHODS["gradcam_plus_plus"](activation, gradient), [[0, 0], [7 / 12, 3]])


def test_gradcam_plus_plus_keeps_tiny_gradients():
    # g² is 0 in float32 here; the coefficient is not: alpha = 1 / (2 + 4e-30) = 1/2.
    activation, gradient = torch.ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), 1e-30)
    assert_near(METHODS["gradcam_plus_plus"](activation, gradient) / 1e-30, [[2, 2], [2, 2]])


def test_xgradcam_by_hand():
    # w = (1 + 6 + 0 + 16) / 10 = 2.3 and -(1 + 0 + 6 + 30) / 8 = -4.625.
    assert_near(METHODS["xgradcam"](A, G), [[0, 4.6], [0, 0]])
    # A channel that adds up to 0 has no weight, rather than an infinite one.
    assert_near(METHODS["xgradcam"](A - A.mean((2, 3), keepdim=True), G), [[0, 0], [0, 0]])


def test_hirescam_by_hand():
    # [[1, 6], [0, 16]] + [[-1, 0], [-6, -30]]
    assert_near(METHODS["hirescam"](A, G), [[0, 6], [0, 0]])


def test_layercam_by_hand():
    # The second channel has no positive gradient.
    assert_near(METHODS["layercam"](A, G), [[1, 6], [0, 16]])
    assert_near(METHODS["layercam"](-A, G), [[0, 0], [0, 0]])


@pytest.mark.parametrize("sign", [1, -1])
def test_eigencam_by_hand(sign):
    # All pixels are multiples of the channels' direction (3, 4) / 5: 5, 0, 10 and -5 of it, upright or turned over.
    activation = sign * torch.tensor([[[[3.0, 0.0], [6.0, -3.0]], [[4.0, 0.0], [8.0, -4.0]]]])
    assert_near(METHODS["eigencam"](activation), [[5, 0], [10, 0]])


def test_scorecam_by_hand():
    # The first mask is [[0, 1/2], [0, 1]], through which the sum of [[1, 2], [3, 4]] is 5; a flat one masks all: 0.
    activation = torch.tensor([[[[0.0, 2.0], [0.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]]]])

    def rerun(what, variants):
        assert what == "score"
        return (images.sum((1, 2, 3)) for images in variants)

    first = 1 / (1 + math.exp(-5))
    expected = [[1 - first, 1 + first], [1 - first, 1 + 3 * first]]
    assert_near(METHODS["scorecam"](activation, A[:, :1], rerun), expected)


@pytest.mark.parametrize("method", ["gradcam_plus_plus", "xgradcam", "hirescam", "layercam"])
def test_equals_the_papers_loops(method):
    generator = torch.Generator().manual_seed(0)
    activation, gradient = (torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    for maps, a, g in zip(METHODS[method](activation, gradient), activation, gradient, strict=True):
        np.testing.assert_allclose(maps, getattr(reference, method)(a.numpy(), g.numpy()), atol=1e-12)


@pytest.mark.parametrize("channels", [3, 40])
def test_eigencam_equals_a_singular_value_decomposition(channels):
    generator = torch.Generator().manual_seed(0)
    activation = torch.rand(3, channels, 4, 5, generator=generator, dtype=torch.float64)
    for maps, a in zip(METHODS["eigencam"](activation), activation, strict=True):
        np.testing.assert_allclose(maps, reference.eigencam(a.numpy()), atol=1e-9)


def test_scorecam_of_a_network_equals_the_papers_loops(images):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(125, 4)).double()
    explanation = explain(model, images[:3], methods="scorecam", target=[2, 0, 1], batch_size=4)
    arrays = images[:3].double().numpy()
    for maps, image, target in zip(explanation.raw["scorecam", "0"], arrays, (2, 0, 1), strict=True):

        def score(x, target=target):
            return model(torch.from_numpy(x)[None])[0, target].item()

        activation = model[0](torch.from_numpy(image)[None])[0].detach().numpy()
        np.testing.assert_allclose(maps, reference.scorecam(activation, image, score), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-30, 1e21, 1e30])
def test_eigencam_of_values_whose_squares_no_float_holds(scale):
    activation = torch.rand(3, 4, 5, 5, generator=torch.Generator().manual_seed(0)) - 0.3
    activation[1] = 0
    ordinary = METHODS["eigencam"](activation)
    scaled = METHODS["eigencam"](activation * torch.tensor([scale, 1, 1]).view(3, 1, 1, 1))
    np.testing.assert_allclose(scaled[0] / scale, ordinary[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(scaled[1:], ordinary[1:], rtol=1e-4, atol=1e-5)
