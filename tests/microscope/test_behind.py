"""A convolution's channels behind its batch normalisation: found by the pass, whatever stands between."""

import pytest
import torch
from torch import nn

import glassnet as gn
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


class AddsInPlace(nn.Module):
    """A normalisation that takes a convolution's output, to which something was added."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, images):
        maps = self.conv(images)
        maps += images
        return self.bn(maps)


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(), nn.ReLU(inplace=True), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)),
        AddsInPlace(),
    ],
)
def test_what_is_written_over_the_output_is_not_it(net):
    (layer,), of = behind_normalisation(net, "conv", IMAGES)
    assert (layer if isinstance(layer, str) else net.conv is layer) in ("0", True)
    assert of == {}


@pytest.mark.parametrize("between", [nn.Identity(), nn.Dropout(inplace=True)])
def test_what_passes_the_output_on_may_stand_between(between):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), between, nn.BatchNorm2d(4))
    assert behind_normalisation(net, "conv", IMAGES) == (("2",), {"2": "0"})


def test_a_module_that_is_named_as_a_kind_stands_for_itself_alone():
    net = AddsInPlace()
    net.first = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    net.forward = lambda images: net.bn(net.conv(net.first(images)).relu())
    assert list(gn.channels(net, IMAGES, layers="conv")) == ["conv", "first.1"]


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
