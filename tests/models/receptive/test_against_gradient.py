"""Receptive fields equal the gradient's support: a unit at a time, in double precision, with positive weights."""

import numpy as np
import pytest
import torch

from glassnet.models.receptive.find import receptive_fields
from gradient_support import generic, supports
from graph_zoo import GRAPHS, LAYERS

SIZE = (13, 17)


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
            sizes = expected[:, 3 - axis] - expected[:, 1 - axis]
            free = seen & (starts >= 0) & (starts + field.size[axis] <= size[axis])
            assert not free.any() or sizes[free].max() == field.size[axis]
            assert (expected[seen, 1 - axis] >= starts[seen]).all()
            assert (expected[seen, 3 - axis] <= (starts + field.size[axis])[seen]).all()
    return field


@pytest.mark.parametrize("name", GRAPHS)
def test_boxes_equal_the_gradients_support(name):
    check(GRAPHS[name](), layer=LAYERS.get(name, "layer"))
