"""`forward`: how the model is called, for models that take more than the images."""

import numpy as np
import pytest
import torch
from torch import nn

from glassnet.attribution import explain

IMAGES = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Prompted(nn.Module):
    """Class scores of images and of one vector for each image, which weighs the channels."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(torch.randn(weight.shape, generator=generator))

    def forward(self, images, prompt):
        return self.head((self.conv(images).relu() * prompt[None, :, None, None]).mean(dim=(2, 3)))


class Alone(nn.Module):
    """The same with the vector inside."""

    def __init__(self, model, prompt):
        super().__init__()
        self.model, self.prompt = model, prompt

    def forward(self, images):
        return self.model(images, self.prompt)


@pytest.mark.parametrize("memory_bytes", [10_000, 2**31])
def test_forward_gives_the_model_its_other_inputs(memory_bytes):
    model, prompt = Prompted(), torch.tensor([1.0, -2, 0.5, 3])
    methods = ("gradcam", "guided_backpropagation", "saliency", "occlusion", "smoothgrad", "scorecam")
    options = {"target": [0, 1, 2, 0, 1], "methods": methods, "memory_bytes": memory_bytes}
    ours = explain(model, IMAGES, layers="conv", forward=lambda m, images: m(images, prompt), **options)
    wrapped = explain(Alone(model, prompt), IMAGES, layers="model.conv", **options)
    for method, layer in ours.maps:
        where = layer if layer == "input" else "model.conv"
        np.testing.assert_array_equal(ours[method, layer], wrapped[method, where])
