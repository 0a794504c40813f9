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


def normalised():
    """A network whose last convolution is normalised, to positive numbers."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    net[1].running_mean.uniform_(-1, 1), net[1].weight.data.uniform_(-2, 2), net[1].bias.data.fill_(20)
    return net.append(nn.Linear(16, 3)).eval()


def test_the_last_convolution_is_one_thing_wherever_channels_are_looked_at(capsys):
    net, images, labels = normalised(), torch.rand(6, 3, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    lost = gn.ablate(net, images, labels, "last-conv")
    said = (
        "'last-conv' means '1' here, the batch normalisation that takes the output of '0'; for the convolution itself"
    )
    assert said in capsys.readouterr().err
    with torch.no_grad():
        maps = net[1](net[0](images))
        losses = []
        for channel in range(4):
            ablated = maps.clone()
            ablated[:, channel] = 0
            losses.append(float(nn.functional.cross_entropy(net[2:](ablated), labels)))
    assert lost.ablated["loss"] == pytest.approx(losses, rel=1e-5)
    assert (lost.layer, list(gn.channels(net, images, layers="last-conv").layers)) == ("1", ["1"])
    assert gn.visualize(net, "last-conv", channels=[0], size=8, steps=1).layer == "1"
    assert gn.concepts(net, images, "last-conv", k=2, points=2).layer == "1"
    assert gn.ablate(net, images, labels, "0").layer == gn.ablate(net, images, labels, net[0]).layer == "0"
    assert gn.explain(net, images, layers="last-conv", methods="gradcam").layers == ("0",)  # Grad-CAM takes any layer


def test_a_word_for_several_convolutions_or_a_modules_own_name_is_that(capsys):
    net, images, labels = TinyNet().eval(), torch.rand(4, 3, 8, 8), [0, 1, 2, 0]
    with pytest.raises(InputError, match="layer is 'conv', which means 2 layers; expected one, such as 'conv1'"):
        gn.ablate(net, images, labels, "conv")
    assert gn.ablate(net, images, labels, "last-conv").layer == "conv2"  # behind which there is no normalisation
    assert "means" not in capsys.readouterr().err
    named = nn.Sequential()
    for name, part in zip(("last-conv", "bn", "rest"), (net.conv1, net.bn, nn.Flatten()), strict=True):
        named.add_module(name, part)
    assert gn.ablate(named.eval(), images, labels, "last-conv").layer == "last-conv"
