"""Channels of maps that are hard to follow: behind flips, turns, indices, products and circular padding."""

import numpy as np
import pytest
import torch
from torch import nn

import glassnet as gn
from channel_loops import check, given


class Behind(nn.Module):
    """A convolution, something done to its map (n, 4, 8, 6), and a module that takes it."""

    def __init__(self, change, taker=None):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.change, self.relu = nn.Conv2d(3, 4, 3, padding=1), change, taker or nn.ReLU()

    def forward(self, images):
        return self.relu(self.change(self.conv(images)))


def sampled(maps):
    return nn.functional.grid_sample(maps, torch.full((len(maps), 8, 6, 2), 0.25), align_corners=False)


ROWS = torch.arange(7, -1, -1)
MIX = torch.rand(8, 32, generator=torch.Generator().manual_seed(1)) - 0.5
MAPS = {
    "flipped": lambda h: h.flip(3),
    "flipped in both": lambda h: h.flip(2, 3),
    "turned": lambda h: h.rot90(1, (2, 3)),
    "turned by half": lambda h: h.rot90(2, (2, 3)),
    "indexed": lambda h: h[:, :, ROWS],
    "indexed in both": lambda h: h[:, :, ROWS[:, None], torch.arange(6)],
    "picked": lambda h: h.index_select(2, ROWS[:5]),
    "sampled": sampled,
    "einsum": lambda h: torch.einsum("nchw,hk->nckw", h, MIX),
    "product": lambda h: (h.mT @ MIX).mT,
    "product from the left": lambda h: MIX.mT @ h,
    "channels flipped": lambda h: h.flip(1),
    "channels indexed": lambda h: h[:, torch.tensor([3, 1, 2, 1])],
    "channels picked": lambda h: h.index_select(1, torch.tensor([3, 1, 2, 1])),
    "columns, channels last, flipped": lambda h: h.permute(0, 2, 3, 1).flip(2).permute(0, 3, 1, 2),
    "flipped as tokens": lambda h: h.flatten(2).flip(2).unflatten(2, (8, 6)),
    "circular": lambda h: nn.functional.pad(h, (1, 2, 1, 0), mode="circular"),
    "rolled by hand": lambda h: written(h, ((slice(None, 3), h[:, :, 5:]), (slice(3, None), h[:, :, :5]))),
}


def written(maps, parts):
    out = torch.empty_like(maps)
    for rows, part in parts:
        out[:, :, rows] = part
    return out


@pytest.mark.parametrize("change", MAPS.values(), ids=MAPS)
def test_maps_whose_pixels_are_not_known_are_maps_still(change):
    images = torch.rand(9, 3, 8, 6, generator=torch.Generator().manual_seed(2))
    labels = np.arange(9) % 3
    net = Behind(change)
    found = gn.channels(net, images, labels, layers="relu", top=5)["relu"]
    maps = given(net, "relu", images=images)
    assert found.size == tuple(maps.shape[2:])
    assert len(found) == 4
    check(found, maps, labels)
    field = gn.receptive_field(net, "relu", (3, 8, 6))
    assert field.map_size == tuple(maps.shape[2:])
    if field.how == "operations":  # equal to where the gradient of some images is not 0
        drawn = images.clone().requires_grad_()
        with torch.enable_grad():
            changed = net.eval().change(net.conv(drawn))
            for row, column in ((0, 0), (2, 3), (maps.shape[2] - 1, maps.shape[3] - 1)):
                (slope,) = torch.autograd.grad(changed[:, :, row, column].square().sum(), drawn, retain_graph=True)
                rows, columns = (slope.abs().sum(over).nonzero().flatten().tolist() for over in ((0, 1, 3), (0, 1, 2)))
                assert field.box(row, column) == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def test_a_channel_of_a_flipped_map_is_ablated_not_a_row():
    images, labels = torch.rand(9, 3, 8, 6), np.arange(9) % 3
    net = Behind(lambda h: h.flip(3), nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(4 * 48, 3)))
    found = gn.ablate(net, images, labels, "relu.0")
    assert len(found.lost("loss")) == 4


def test_circular_padding_is_followed():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), nn.ReLU())
    images = torch.rand(9, 3, 8, 6)
    found = gn.channels(net, images, np.arange(9) % 3, layers="all", top=5)
    assert list(found) == ["0", "1"]
    check(found["1"], given(net, "1", images=images), np.arange(9) % 3)
    assert gn.receptive_field(net, "1", (3, 8, 6)).box(3, 3) == (2, 2, 5, 5)
    assert gn.receptive_field(net, "1", (3, 8, 6)).box(3, 0) == (0, 2, 6, 5)  # columns 5, 0 and 1


def test_layers_of_a_kind_that_cannot_be_looked_at_are_named(capsys):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2, return_indices=True))
    assert list(gn.channels(net, torch.rand(4, 3, 8, 6), layers="all")) == ["0"]
    assert "left out 1: it gives a tuple instead of a tensor; choose a layer inside it." in capsys.readouterr().err
