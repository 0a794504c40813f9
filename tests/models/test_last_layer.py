"""The last convolution is the last that runs."""

import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet.errors import InputError
from glassnet.models.last_layer import settle_last
from glassnet.models.layers import select_layers

IMAGES = torch.rand(2, 3, 8, 8)


class Turned(nn.Module):
    """Defines its layers from last to first, an auxiliary head that runs in training alone, and counts its passes."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(4, 3, 1)
        self.last, self.first = nn.Conv2d(4, 4, 3), nn.Conv2d(3, 4, 3)
        self.auxiliary = nn.Conv2d(4, 3, 3)
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x):
        self.passes += 1
        x = self.first(x)
        if self.training:
            self.auxiliary(x)
        return self.head(self.last(x) + torch.rand(1)).mean((2, 3))


def test_the_last_that_runs_is_taken_not_the_last_defined():
    network = Turned().train()
    random = torch.get_rng_state()
    assert select_layers(network, "last-conv") == ["auxiliary"]
    assert settle_last(network, ["last-conv", "first"], IMAGES) == ["last", "first"]
    assert (network.training, float(network.passes)) == (True, 0)
    assert torch.equal(torch.get_rng_state(), random)
    assert list(gn.explain(network, IMAGES, layers="last-conv", methods="gradcam").layers) == ["last"]
    assert list(gn.extract_features(network, IMAGES, "last-conv")) == ["last"]


def test_a_network_of_small_convolutions_gives_its_last_and_other_choices_cost_no_pass():
    small = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1))
    assert settle_last(small, "last-conv", IMAGES) == ["1"]
    network = Turned()
    for layers in ("conv", ["first", network.last], network.head):
        assert settle_last(network, layers, IMAGES) is layers
    assert settle_last(nn.Sequential(nn.Conv2d(9, 2, 3)), "last-conv", IMAGES) == ["0"]  # one alone needs no pass


def test_refusals_are_those_of_the_choice_and_of_the_images():
    with pytest.raises(InputError, match="no layer 'last-conv' in Sequential"):
        settle_last(nn.Sequential(nn.Linear(3, 2)), "last-conv", IMAGES)
    with pytest.raises(InputError, match=r"Turned fails on images of shape .1, 1, 8, 8.: .* to have 3 channels"):
        settle_last(Turned(), "last-conv", torch.rand(1, 1, 8, 8))


def test_the_model_is_called_as_forward_says():
    def forward(model, images):
        return model.first(images)

    assert settle_last(Turned(), "last-conv", IMAGES, forward=forward) == ["first"]
