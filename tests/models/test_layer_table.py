import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet.errors import InputError


class Twice(nn.Module):
    """One convolution called twice, one transposed, one grouped."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.up = nn.ConvTranspose2d(2, 4, 4, stride=2, padding=1)
        self.grouped = nn.Conv2d(4, 4, 3, groups=2)

    def forward(self, x):
        return self.grouped(self.up(self.conv(self.conv(x))))


def test_multiply_accumulates_equal_a_count_by_loops():
    rows = gn.layer_table(Twice(), (1, 2, 5, 6))
    assert [(r.name, r.input, r.output) for r in rows] == [
        ("conv", (2, 5, 6), (2, 5, 6)),
        ("conv", (2, 5, 6), (2, 5, 6)),
        ("up", (2, 5, 6), (4, 10, 12)),
        ("grouped", (4, 10, 12), (4, 8, 10)),
    ]
    # By hand: each output (or, transposed, input) position meets each weight that leads to it once.
    assert rows[0].macs == 5 * 6 * 2 * (2 * 3 * 3)
    assert rows[2].macs == 5 * 6 * 2 * (4 * 4 * 4)
    assert rows[3].macs == 8 * 10 * 4 * (2 * 3 * 3)
    assert [r.parameters for r in rows] == [2 * 2 * 9 + 2, 0, 2 * 4 * 16 + 4, 4 * 2 * 9 + 4]


def test_the_model_is_left_as_it_was_found_also_when_it_raises():
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1)).train()
    model[1].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    gn.layer_table(model, (2, 1, 8, 8))
    with pytest.raises(InputError, match=r"Sequential cannot take an input of shape \(1, 3, 8, 8\)"):
        gn.layer_table(model, (1, 3, 8, 8))
    assert (model.training, model[0].training, model[1].training) == (True, True, False)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not model[0]._forward_hooks
