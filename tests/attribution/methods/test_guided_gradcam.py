"""Guided Grad-CAM: the product, by hand, by plain loops and on networks."""

import numpy as np
import torch
from torch.nn import functional as F

from glassnet.attribution import explain
from glassnet.attribution.methods.cam import gradcam, guided_gradcam
from references import attributions as reference


def test_product_by_hand():
    # One map pixel covers the whole image, so it scales both channels by 3.
    map_, guided = torch.full((1, 1, 1), 3.0), torch.tensor([[[[1.0, -2.0]], [[0.5, 0.0]]]])
    assert guided_gradcam(map_, guided).tolist() == [[[[3.0, -6.0]], [[1.5, 0.0]]]]


def test_two_by_two_by_hand(signed):
    # At the convolution A1 = x and A2 = -x, with gradients [[2, 0], [-3, 0]] and [[0, -1], [0, 8]] of means -1/4 and
    # 7/4: the map is relu(-x/4 - 7x/4) = relu(-2x) = [[0, 4], [0, 8]]. Guided backpropagation is [[2, 0], [0, -8]].
    model, image = signed
    explanation = explain(model, image, target=1, layers="0", methods=("gradcam", "guided_gradcam"))
    assert explanation["gradcam", "0"].tolist() == [[[0, 4], [0, 8]]]
    assert explanation["guided_gradcam", "0"].tolist() == [[[[0, 0], [0, -64]]]]


def test_upsampled_by_hand():
    # Pixel centres at -1/4, 1/4, 3/4 and 5/4 of the map's: the outer ones are held, the inner ones lie between.
    map_, guided = torch.tensor([[[0.0, 4.0], [0.0, 4.0]]]), torch.tensor([[[[1.0, 2, -1, 3], [5, -2, 1, 0.5]]]])
    assert guided_gradcam(map_, guided).tolist() == [[[[0, 2, -3, 12], [0, -2, 3, 2]]]]


def test_equals_plain_loops():
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 9, 7))
    parts = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    ours = guided_gradcam(gradcam(*parts[:2]), parts[2])
    for mine, *of_image in zip(ours, *(part.numpy() for part in parts), strict=True):
        np.testing.assert_allclose(mine, reference.guided_gradcam(*of_image), atol=1e-12)


def test_is_guided_backpropagation_times_the_upsampled_map(network, images):
    explanation = explain(network, images, methods=("gradcam", "guided_backpropagation", "guided_gradcam"))
    guided = explanation["guided_backpropagation", "input"]
    for layer in explanation.layers:
        raw = torch.from_numpy(explanation.raw["gradcam", layer])
        up = F.interpolate(raw[:, None], (12, 12), mode="bilinear", align_corners=False).numpy()
        np.testing.assert_allclose(explanation["guided_gradcam", layer], guided * up, rtol=1e-6)
        np.testing.assert_array_equal(explanation["gradcam", layer], up[:, 0])
        np.testing.assert_array_equal(explanation.raw["guided_gradcam", layer], explanation["guided_gradcam", layer])
