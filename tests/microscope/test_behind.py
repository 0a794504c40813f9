"""A convolution's channels behind its batch normalisation: found by the pass, whatever stands between."""

import pytest
import torch
from torch import nn

from glassnet.errors import InputError
from glassnet.microscope.behind import behind_normalisation
from tiny_nets import TinyNet

IMAGES = torch.rand(3, 3, 8, 8)


class Odd(nn.Module):
    """A shared convolution with two normalisations, one without, one behind an activation, one that never runs."""

    def __init__(self):
        super().__init__()
        self.twice, self.first, self.second = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.plain, self.relu, self.late = nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)
        self.idle = nn.Conv2d(3, 3, 1)
        self.head = nn.Linear(4, 2)

    def forward(self, images):
        maps = self.second(self.twice(self.first(self.twice(images))))
        return self.head(self.late(self.relu(self.plain(maps))).mean(dim=(2, 3)))


def test_a_pool_may_stand_between_and_an_activation_may_not():
    pooled = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 1)
    )
    assert behind_normalisation(pooled, ("conv",), IMAGES) == (("2", "4"), {"2": "0"})
    assert behind_normalisation(pooled, ("last-conv",), IMAGES) == (("2",), {"2": "0"})  # of more than a pixel
    assert behind_normalisation(pooled, ("0", "*"), IMAGES) == (("0", "*"), {})  # as they were asked for
    assert behind_normalisation(TinyNet(), ("fc1", "conv"), IMAGES) == (("fc1", "bn", "conv2"), {"bn": "conv1"})


def test_each_call_has_its_own():
    layers, of = behind_normalisation(Odd(), ("conv",), IMAGES)
    assert layers == ("first", "second", "plain")
    assert of == {"first": "twice:0", "second": "twice:1"}


def test_a_model_is_left_as_it_was_and_one_without_convolutions_is_refused():
    net = TinyNet().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    behind_normalisation(net, ("conv",), IMAGES)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
    with pytest.raises(InputError, match="no layer 'conv'"):
        behind_normalisation(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), ("conv",), IMAGES)
