"""Channels of networks and images that are hard to look at: right figures, or a sentence."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import glassnet as gn
from channel_loops import IMAGES, LABELS, PIXELS, check, given
from glassnet.errors import InputError
from glassnet.microscope import responses, statistics
from glassnet.microscope.layer import find_layers
from glassnet.microscope.rectified import rectifiers
from glassnet.models.inference import call_model
from odd_nets import ClassToken
from tiny_nets import TinyNet


class Sum(nn.Module):
    """Whole numbers out of whole numbers: many activations are equal to the last bit, whatever computes them."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(1, 5, 2, bias=False), nn.ReLU()
        self.conv.weight.data = torch.randint(-1, 2, (5, 1, 2, 2), generator=torch.Generator().manual_seed(0)).float()

    def forward(self, images):
        return self.relu(self.conv(images)).flatten(1)


class Branching(nn.Module):
    """Runs what its subclasses say only for batches with a bright image."""

    def __init__(self):
        super().__init__()
        self.conv, self.deep, self.wide = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1), nn.Identity()

    def forward(self, images):
        maps = self.conv(images)
        return self.branch(maps) if images.max() > 0.5 else self.usual(maps)

    def usual(self, maps):
        return self.wide(self.deep(maps))

    def branch(self, maps):
        return maps


class MoreOften(Branching):
    """Runs a layer twice in the other batches."""

    def branch(self, maps):
        return self.wide(self.deep(self.deep(maps)))


class MoreChannels(Branching):
    """Gives twice the channels in the other batches."""

    def branch(self, maps):
        return self.wide(torch.cat([self.deep(maps)] * 2, dim=1))


class OtherSize(Branching):
    """Gives maps of half the size in the other batches."""

    def branch(self, maps):
        return self.wide(self.deep(maps)[:, :, ::2, ::2])


class Rectified(nn.Module):
    """ReLUs, in place or not, that take the very output of another layer; in batches with a bright image others do."""

    def __init__(self, inplace=False, other=False):
        super().__init__()
        self.conv, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 1)
        self.relu, self.again, self.third = nn.ReLU(inplace), nn.ReLU(inplace), nn.ReLU(inplace)
        self.other = other

    def forward(self, images):
        maps = self.conv(images)
        maps = self.relu(maps - 0.1 if self.other and images.max() > 0.5 else maps)
        return self.third(self.conv2(self.again(maps)) + 0.1)


class Views(TinyNet):
    """Asks for pixels in torch's own order."""

    def forward(self, images):
        maps = self.relu(self.bn(self.conv1(images)))
        return maps.view(len(maps), -1)


class Logarithm(nn.Module):
    """Gives the logarithm of each pixel, or another function."""

    def __init__(self, function):
        super().__init__()
        self.scale, self.conv, self.function = nn.Identity(), nn.Conv2d(1, 1, 1), function

    def forward(self, images):
        return self.conv(self.scale(self.function(images)))


def by_turns(n=20, bright=range(8, 12)):
    """Return dark images, and some bright ones."""
    images = torch.full((n, 1, 4, 4), 0.25)
    images[list(bright)] = 1
    return images


@pytest.mark.parametrize("batch_size", [None, 5, 1])
@pytest.mark.parametrize("top", [1, 4, 50])
def test_ties_and_negative_activations_are_those_of_plain_loops(batch_size, top):
    rng = np.random.default_rng(4)
    images, labels = torch.from_numpy(rng.integers(-1, 2, (30, 1, 4, 3))).float(), rng.integers(0, 3, 30)
    net = Sum()
    found = gn.channels(net, images, labels, layers="all", top=top, batch_size=batch_size)
    for layer in ("conv", "relu"):
        check(found[layer], given(net, layer, images=images), labels, top)
        best = found[layer].top_activations[:, :1] == found[layer].top_activations
        assert top == 1 or best.sum() > 5  # there are ties


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_other_types_of_numbers(kind):
    net = TinyNet().to(kind)
    found = gn.channels(net, IMAGES, LABELS, layers="conv2", top=5, batch_size=23)["conv2"]
    maps = given(net, "conv2", images=PIXELS.to(kind)).float()
    assert found.top_activations == pytest.approx(maps.amax(dim=(2, 3)).T.sort(descending=True).values[:, :5].numpy())
    assert found.means == pytest.approx(maps.mean(dim=(0, 2, 3)).numpy(), rel=1e-5)


def test_a_layer_gone_through_in_parts_gives_the_same(monkeypatch):
    net = TinyNet()
    net.bn.weight.data[1] *= -1
    whole = gn.channels(net, IMAGES, LABELS, layers="all", batch_size=23).to_json()
    monkeypatch.setattr(responses, "AT_ONCE", 1000)
    assert gn.channels(net, IMAGES, LABELS, layers="all", batch_size=23).to_json() == whole


def test_a_model_that_views_pixels_in_torchs_own_order():
    net = Views()
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        net.eval()(PIXELS.to(memory_format=torch.channels_last))
    found = gn.channels(net, IMAGES, LABELS, layers=["conv1", "relu"], top=5)
    check(found["relu"], given(net, "relu"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Branching, "layer 'deep' ran 0 times for images 8 to 11 but 1 time for the first images; choose layers"),
        (MoreOften, "layer 'deep' ran 2 times for images 8 to 11 but 1 time for the first images"),
        (
            MoreChannels,
            r"layer 'wide' gives shape \(4, 4, 4, 4\) for 4 images but \(2, 2, 4, 4\) for",
        ),
        (OtherSize, r"layer 'wide' gives shape \(4, 2, 2, 2\) for 4 images but \(2, 2, 4, 4\) for 2"),
    ],
)
@pytest.mark.parametrize("labels", [None, np.arange(20) % 2])
def test_a_layer_that_does_not_run_alike_in_every_batch_is_refused(make, message, labels):
    with pytest.raises(InputError, match=message):
        gn.channels(make(), by_turns(), labels, layers=["conv", "deep", "wide"], batch_size=4)
    net = make()
    found = gn.channels(net, by_turns(), labels, layers=net.conv, batch_size=4)
    assert found["conv"].images == 20


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("labels", [None, LABELS])
def test_a_relu_and_the_layer_before_it_are_what_each_is_alone(inplace, labels):
    net, images = Rectified(inplace), PIXELS[:, :1]
    names = ["conv", "relu", "again", "conv2", "third"]
    calls = find_layers(net, names, images, call_model)
    assert rectifiers(net, calls.values(), images, call_model) == {("relu", 0): ("conv", 0), ("again", 0): ("relu", 0)}
    found = gn.channels(net, images, labels, layers=names, batch_size=7)
    for name in names:
        alone = gn.channels(net, images, labels, layers=[name], batch_size=7)
        assert alone[name].to_json() == found[name].to_json()
    if labels is not None:
        check(found["relu"], given(net, "relu", images=images), top=9)
        check(found["conv"], given(net, "conv", images=images), top=9)


def test_a_relu_that_takes_something_else_in_some_batch_is_refused():
    net = Rectified(other=True)
    with pytest.raises(InputError, match="layer 'relu' takes the output of 'conv' for the first images but not"):
        gn.channels(net, by_turns(), layers=["conv", "relu"], batch_size=4)
    assert gn.channels(net, by_turns(), layers="relu", batch_size=4)["relu"].images == 20


@pytest.mark.parametrize(
    ("function", "image"),
    [(torch.log, 7), (lambda images: 1 / images, 7), (lambda images: (images - 0.1).sqrt(), 7)],  # -inf, inf, NaN
)
def test_a_value_that_is_not_finite_is_named_by_its_image(function, image):
    images = torch.full((10, 1, 3, 3), 0.5)
    images[image, 0, 1, 1] = 0
    with pytest.raises(InputError, match=f"'scale' gives NaN or infinity in channel 0 for image {image}; look for NaN"):
        gn.channels(Logarithm(function), images, layers=["scale", "conv"], batch_size=4)


@pytest.mark.parametrize("layers", ["conv", "all"])
def test_one_constant_image_of_a_dead_network(layers):
    net = TinyNet()
    for one in net.parameters():
        one.data.zero_()
    found = gn.channels(net, np.zeros((1, 3, 16, 16), np.uint8), [0], layers=layers)
    for layer in found.layers.values():
        assert layer.dead == tuple(range(len(layer)))
        assert set(layer.top_images.ravel().tolist()) == {0}
        assert np.isnan(layer.selectivity).all()
        assert np.isnan(layer.auroc).all()


def test_tokens_beside_a_grid_and_vectors_with_ties():
    torch.manual_seed(0)
    net, images = ClassToken(), PIXELS.round()  # few different images
    found = gn.channels(net, images, LABELS, layers=["patch", "head"], top=5, batch_size=6)
    check(found["patch"], given(net, "patch", images=images))
    check(found["head"], given(net, "head", images=images)[:, :, None, None])


def test_batches_are_as_large_as_the_cache_allows(monkeypatch):
    sizes = []
    net = TinyNet()
    net.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    images = np.zeros((600, 3, 16, 16), np.uint8)
    gn.channels(net, images)
    assert max(sizes) == 256
    sizes.clear()
    monkeypatch.setattr(statistics, "IN_CACHE", 100 * 16 * 3 * 16 * 16)
    gn.channels(net, images)
    assert max(sizes) == 100
    sizes.clear()
    gn.channels(net, np.zeros((20, 3, 300, 200), np.uint8))
    assert max(sizes) == 8
    sizes.clear()
    gn.channels(net, images, batch_size=599)
    assert [one for one in sizes if one > 2] == [599]


_PEAK = """
import re, sys, torch, glassnet as gn
class Rows:  # drawn when they are asked for
    is_read_by_rows, ndim, dtype = True, 4, torch.uint8
    def __init__(self, n): self.shape = torch.Size((n, 1, 2, 2))
    def __len__(self): return self.shape[0]
    def __getitem__(self, places):
        rows = torch.arange(*places.indices(len(self)))
        return (rows[:, None] * torch.tensor([7, 11, 13, 17]) % 251).to(torch.uint8).view(-1, 1, 2, 2)
torch.manual_seed(0)
n = int(sys.argv[1])
net = torch.nn.Sequential(torch.nn.Conv2d(1, 512, 2))
found = gn.channels(net, Rows(n), torch.arange(n) % 10)
assert found["0"].images == n and found["0"].auroc.shape == (512, 10)
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024)
"""


@pytest.mark.slow
def test_memory_grows_by_labels_and_their_ranking_alone():
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    peaks = []
    for n in (40_000, 120_000):
        command = [sys.executable, "-c", _PEAK, str(n)]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout))
    # The maxima of 512 channels would be 164 MB more.
    assert peaks[1] - peaks[0] < 60 * 80_000 + 2**24, [f"{one / 2**20:.0f} MiB" for one in peaks]
