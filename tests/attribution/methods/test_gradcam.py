"""Grad-CAM: by hand, by the paper's double sum, and by captum and torchcam at every convolution."""

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn
from torchcam.methods import GradCAM

from glassnet.attribution import explain
from glassnet.attribution.methods.cam import gradcam
from glassnet.models.layers import select_layers

CLASSES = [0, 1, 2, 3, 4, 0, 1]


def assert_close(ours, theirs):
    """Agree within 1e-5 of the largest value, which must not be zero everywhere."""
    scale = np.abs(theirs).max()
    assert scale > 0
    assert np.abs(ours - theirs).max() <= 1e-5 * scale


def test_two_by_two_by_hand():
    activation = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [2.0, 5.0]]]])
    gradient = torch.tensor([[[[1.0, 3.0], [0.0, 4.0]], [[-1.0, -2.0], [-3.0, -6.0]]]])
    # The means are 8/4 = 2 and -12/4 = -3: 2*1 - 3*1 = -1 -> 0, 2*2 - 0 = 4, 2*3 - 3*2 = 0, 2*4 - 3*5 = -7 -> 0.
    assert gradcam(activation, gradient).tolist() == [[[0.0, 4.0], [0.0, 0.0]]]


def test_equals_the_papers_double_sum():
    generator = torch.Generator().manual_seed(0)
    activation, gradient = (torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    expected = torch.zeros(2, 4, 5, dtype=torch.float64)
    for image in range(2):
        for k in range(3):
            a_k = sum(gradient[image, k, i, j] for i in range(4) for j in range(5)) / (4 * 5)
            expected[image] += a_k * activation[image, k]
    expected[expected < 0] = 0
    np.testing.assert_allclose(gradcam(activation, gradient), expected, atol=1e-12)


def test_equals_captum_at_every_convolution(network, images):
    ours = explain(network, images, target=CLASSES, methods="gradcam")
    assert list(ours.layers) == select_layers(network, "conv")
    assert len(ours.layers) >= 2
    network.eval()
    for layer in ours.layers:
        oracle = LayerGradCam(network, network.get_submodule(layer))
        theirs = oracle.attribute(images, target=torch.tensor(CLASSES), relu_attributions=True)
        assert_close(ours.raw["gradcam", layer], theirs.squeeze(1).detach().numpy())


def torchcam(model, images, layers):
    model.eval()
    with GradCAM(model, layers) as extractor:
        maps = extractor(CLASSES, model(images), normalized=False)
    return [map_.numpy() for map_ in maps]


@pytest.mark.parametrize("name", ["convnet", "shared", "functional"])
def test_equals_torchcam_at_every_convolution(name, build_network, images):
    network = build_network(name)
    ours = explain(network, images, target=CLASSES, methods="gradcam")
    for layer, theirs in zip(ours.layers, torchcam(network, images, list(ours.layers)), strict=True):
        assert_close(ours.raw["gradcam", layer], theirs)


def test_differs_from_torchcam_where_an_in_place_relu_follows(build_network, images):
    """torchcam keeps the tensor that the in-place ReLU writes over, and so explains the ReLU where the convolution is
    asked for; captum, which copies, is the oracle for the convolution. Ours tells the two apart."""
    network = build_network("in-place")
    ours = explain(network, images, target=CLASSES, methods="gradcam", layers=["0", "1", "2", "3", "5"])
    convolution, relu, _, _, last = torchcam(network, images, ["0", "1", "2", "3", "5"])
    assert_close(ours.raw["gradcam", "5"], last)  # batch-norm follows, and copies
    assert_close(ours.raw["gradcam", "1"], relu)
    assert_close(ours.raw["gradcam", "1"], convolution)
    assert np.abs(ours.raw["gradcam", "0"] - convolution).max() > 0.1 * convolution.max()


def test_maps_are_upsampled_bilinearly_to_the_images(images):
    model = nn.Sequential(nn.Conv2d(3, 2, 6, stride=6), nn.Flatten(), nn.Linear(8, 3)).eval()
    ours = explain(model, images, methods="gradcam")
    raw, full = ours.raw["gradcam", "0"], ours["gradcam", "0"]
    assert raw.shape == (7, 2, 2)
    assert full.shape == (7, 12, 12)
    # Pixel centres of 12 in those of 2: i -> (i + 0.5) / 6 - 0.5, held at the borders.
    weight = np.clip((np.arange(12) + 0.5) / 6 - 0.5, 0, 1)
    rows = raw[:, :1] * (1 - weight)[:, None] + raw[:, 1:] * weight[:, None]
    expected = rows[:, :, :1] * (1 - weight) + rows[:, :, 1:] * weight
    np.testing.assert_allclose(full, expected, atol=1e-6)
