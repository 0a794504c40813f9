"""Guided Grad-CAM: the product, by hand and on networks."""

import numpy as np
import torch
from torch.nn import functional as F

from glassnet.attribution import explain
from glassnet.attribution.guided_gradcam import guided_gradcam


def test_product_by_hand():
    # One map pixel covers the whole image, so it scales both channels by 3.
    gradcam, guided = torch.full((1, 1, 1), 3.0), torch.tensor([[[[1.0, -2.0]], [[0.5, 0.0]]]])
    assert guided_gradcam(gradcam, guided).tolist() == [[[[3.0, -6.0]], [[1.5, 0.0]]]]


def test_is_guided_backpropagation_times_the_upsampled_map(network, images):
    explanation = explain(network, images, methods=("gradcam", "guided_backpropagation", "guided_gradcam"))
    guided = explanation["guided_backpropagation", "input"]
    for layer in explanation.layers:
        raw = torch.from_numpy(explanation.raw["gradcam", layer])
        up = F.interpolate(raw[:, None], (12, 12), mode="bilinear", align_corners=False).numpy()
        np.testing.assert_allclose(explanation["guided_gradcam", layer], guided * up, rtol=1e-6)
        np.testing.assert_array_equal(explanation["gradcam", layer], up[:, 0])
        np.testing.assert_array_equal(explanation.raw["guided_gradcam", layer], explanation["guided_gradcam", layer])
