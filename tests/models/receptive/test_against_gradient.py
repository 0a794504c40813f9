"""Receptive fields equal the gradient's support: a unit at a time, in double precision, with positive weights."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from glassnet.models.receptive.find import receptive_fields
from graph_zoo import GRAPHS, LAYERS

SIZE = (13, 17)


def generic(model):
    """A copy in which no unit is off: positive weights in double precision, and averages in place of maxima."""
    model = copy.deepcopy(model).double().eval()
    generator = torch.Generator().manual_seed(0)
    for one in model.parameters():
        one.data = torch.rand(one.shape, generator=generator).double() * 0.3 + 0.01
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                options = (child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(module, name, nn.AvgPool2d(*options))
    return model


def supports(maps, images, places):
    """What each unit sees by the gradient of a random sum of its channels, (x0, y0, x1, y1)."""
    weights = torch.rand(maps.shape[1], generator=torch.Generator().manual_seed(1)).double() + 0.5
    boxes = []
    for row, column in places:
        unit = (maps[0, :, row, column] * weights).sum()
        (gradient,) = torch.autograd.grad(unit, images, retain_graph=True, allow_unused=True)
        gradient = torch.zeros_like(images) if gradient is None else gradient
        seen = gradient[0].abs().amax(dim=0)
        seen = seen > 1e-25
        rows, columns = seen.any(dim=1).nonzero().flatten(), seen.any(dim=0).nonzero().flatten()
        boxes.append([int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1] if len(rows) else [0] * 4)
    return np.array(boxes)


def as_map(output, map_size):
    """(n, c, rows, columns): of maps however they lie, of tokens on a grid or in a column, of vectors."""
    if output.ndim == 2:
        return output[..., None, None]
    if output.ndim == 4:
        orders = ((0, 1, 2, 3), (0, 3, 1, 2), (0, 1, 3, 2))
        turned = [output.permute(order) for order in orders]
        fitting = [one for one in turned if one.shape[2:] == map_size]
        return fitting[0] if fitting else output.flatten(2)[..., None]
    tokens = map_size[0] * map_size[1]
    return output[:, -tokens:].mT.unflatten(2, map_size)


def places_of(map_size, most=60):
    every = np.stack(np.meshgrid(*map(np.arange, map_size), indexing="ij"), axis=2).reshape(-1, 2)
    if len(every) <= most:
        return every
    corners = every[[0, map_size[1] - 1, -map_size[1], -1]]
    return np.concatenate([corners, np.random.default_rng(0).permutation(every)[: most - 4]])


def check(model, size=SIZE, *, layer="layer", how="operations"):
    images = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2))
    field = receptive_fields(model, layer, images)[layer]
    assert field.how == how
    kept = []
    copied, inputs = generic(model), images.double().requires_grad_()
    copied.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    copied(inputs * 1)
    places = places_of(field.map_size)
    expected = supports(as_map(kept[0], field.map_size), inputs, places)
    np.testing.assert_array_equal(field.boxes(places), expected)
    for axis in range(2):
        if field.stride[axis] is not None:
            starts = field.offset[axis] + field.stride[axis] * places[:, axis]
            seen = expected[:, 2] > 0
            assert (expected[seen, 1 - axis] >= starts[seen]).all()
            assert (expected[seen, 3 - axis] <= (starts + field.size[axis])[seen]).all()
    return field


@pytest.mark.parametrize("name", GRAPHS)
def test_boxes_equal_the_gradients_support(name):
    check(GRAPHS[name](), layer=LAYERS.get(name, "layer"))
