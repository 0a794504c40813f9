"""Batches that fill a budget of memory, with the results of any other batches."""

import numpy as np
import pytest
import torch
from torch import nn

from glassnet.attribution import explain
from glassnet.attribution.engine.budget import bytes_of_a_pass
from glassnet.errors import InputError


def test_bytes_by_hand():
    # ReLU saves its output, 4 * 10 * 10 floats, and the convolution its input, 3 * 12 * 12; weights do not count. The
    # convolution's output is recorded, and its gradient is as large.
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    assert bytes_of_a_pass(model, torch.rand(1, 3, 12, 12), {"0"}) == 4 * (400 + 432 + 2 * 400)


@pytest.mark.parametrize(("share", "sizes"), [(2.5, [1, 2, 2, 2, 1]), (100, [7]), (0.1, [1] * 8)])
def test_batches_fill_the_budget(build_network, images, share, sizes):
    network, seen = build_network("in-place").eval(), []
    expected = explain(network, images, batch_size=7)
    one = bytes_of_a_pass(network.requires_grad_(False), images[:1].clone(), {"0", "2", "5"})
    network.register_forward_pre_hook(lambda _m, inputs: seen.append(len(inputs[0])))
    explanation = explain(network, images, memory_bytes=int(share * one))
    assert seen == (sizes if len(sizes) > 1 else [1] * (len(seen) - 1) + sizes)
    for key, value in expected.maps.items():
        np.testing.assert_allclose(explanation[key], value, atol=1e-6 * np.abs(value).max())


def test_few_small_images_are_not_measured(build_network, images):
    network, seen = build_network("in-place"), []
    network.register_forward_pre_hook(lambda _m, inputs: seen.append(len(inputs[0])))
    explain(network, images)
    assert seen == [1, 1, 7]  # one image in both orders of memory, then all


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": "big"}, "batch_size is 'big', expected a number of images or \"auto\""),
        ({"batch_size": -1}, "batch_size is -1, expected at least 1"),
        ({"memory_bytes": 0}, "memory_bytes is 0, expected a positive number of bytes"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_wrong_size_is_refused(build_network, images, options, message):
    with pytest.raises(InputError, match=message):
        explain(build_network("in-place"), images, **options)
