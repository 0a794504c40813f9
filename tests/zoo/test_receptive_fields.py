"""Receptive fields of networks nobody here wrote equal the gradient's support, at the corners and in the middle."""

from unittest.mock import patch

import pytest
import torch
from torch.nn import functional as F

from glassnet.models.layers import split_call
from glassnet.models.layout.trace import trace
from glassnet.models.parts import layer_tensor
from glassnet.models.receptive.find import receptive_fields
from glassnet.turns import layer_by_layer
from gradient_support import generic, supports
from zoo.architectures import ARCHITECTURES, missing
from zoo.comparison import _images

pytestmark = pytest.mark.filterwarnings("ignore")

SAMPLE = (
    "pytorchcv resnet20_cifar10",
    "pytorchcv seresnet20_cifar10",
    "pytorchcv shufflenetv2_wd2",
    "transformers SwinForImageClassification",
    "transformers ConvNextForImageClassification",
    "transformers SegformerForImageClassification",
    "transformers MobileViTForImageClassification",
    "monai UNet",
)
LAYERS = 8
"""Of each network, evenly spaced."""


def averaged(x, kernel_size, stride=None, padding=0, _dilation=1, ceil_mode=False, return_indices=False):
    """In place of a maximum, of which the gradient sees one number alone."""
    assert not return_indices
    return F.avg_pool2d(x, kernel_size, stride, padding, ceil_mode)


def outputs(model, images, layers):
    """What some calls of layers give, with a graph."""
    given, counts = {}, {}

    def note(name, output):
        counts[name] = counts.get(name, -1) + 1
        given[name, counts[name]] = layer_tensor(output, None)

    names = {split_call(layer)[0] for layer in layers}
    for name in names:
        model.get_submodule(name).register_forward_hook(lambda _m, _i, output, name=name: note(name, output))
    with patch.object(F, "max_pool2d", averaged), layer_by_layer():
        model(images)
    return given


def compare(name):
    architecture = ARCHITECTURES[name]
    if missing(architecture):
        pytest.skip(f"{missing(architecture)} is not installed: pip install 'glassnet[zoo]'")
    torch.manual_seed(0)
    model = architecture.build().eval()
    images = _images(architecture)[:1].float()
    fields = receptive_fields(model, "*", images)
    chosen = list(fields)[:: max(1, len(fields) // LAYERS)]
    inputs = images.double().expand(2, -1, -1, -1).clone().requires_grad_()
    given = outputs(generic(model), inputs, chosen)
    readings = trace(model, images, {split_call(layer)[0] for layer in chosen})
    for layer in chosen:
        field, (module, number) = fields[layer], split_call(layer)
        height, width = field.map_size
        places = [(0, 0), (height // 2, width // 2), (0, width - 1), (height - 1, width - 1)]
        maps = readings[module, number or 0].to_places(given[module, number or 0])
        assert field.how == "operations", layer
        assert field.boxes(places).tolist() == supports(maps, inputs, places).tolist(), layer


@pytest.mark.parametrize("name", SAMPLE)
def test_boxes_equal_the_gradients_support(name):
    compare(name)
