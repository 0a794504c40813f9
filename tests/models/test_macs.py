"""Multiply-accumulates: what runs, charged to the module that runs it, against counts by hand and torch's own."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import glassnet as gn
from odd_nets import Attention, ByKeyword, ClassToken, Fused, Recurrent, Twice, Windows

SHAPE = (1, 3, 16, 16)


def by_name(rows):
    return {row.name: row for row in rows}


def total(rows):
    return sum(row.macs for row in rows)


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


def test_attention_has_its_projections_and_products_and_names_what_is_never_called():
    rows = gn.layer_table(Attention(), SHAPE)
    assert [row.name for row in rows] == ["patch", "attention", "attention.out_proj", "head"]
    _, attention, projection, _ = rows
    # 16 tokens of 8 numbers: three projections, q kᵀ and its product with v over both heads, the projection out.
    assert attention.macs == 16 * 8 * 24 + 2 * 16 * 16 * 8 + 16 * 8 * 8
    assert (attention.input, attention.output, attention.parameters) == ((16, 8), (16, 8), 216)
    assert (projection.input, projection.output, projection.parameters, projection.macs) == (None, None, 72, 0)


def test_fused_attention_is_charged_to_the_module_that_calls_it():
    assert by_name(gn.layer_table(Fused(), SHAPE))["Fused"].macs == 2 * 16 * 16 * 8


def test_fused_attention_of_shared_heads():
    class Shared(nn.Module):
        def forward(self, x):
            few = x[:, :2]
            return nn.functional.scaled_dot_product_attention(x, few, few, enable_gqa=True)

    (row,) = gn.layer_table(Shared(), (3, 4, 5, 8))
    assert row.macs == 4 * 5 * 5 * 8 * 2


def test_the_fast_path_of_transformer_layers_hides_none():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
    rows = gn.layer_table(model, (1, 5, 8))
    assert {"layers.0.linear1", "layers.1.self_attn", "layers.1.norm2"} <= by_name(rows).keys()
    assert total(rows) == 2 * (5 * 8 * 24 + 2 * 5 * 5 * 8 + 5 * 8 * 8 + 2 * 5 * 8 * 16)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_recurrent_layer_meets_each_matrix_once_a_step():
    lstm = by_name(gn.layer_table(Recurrent(), (3, 4, 8)))["lstm"]
    assert (lstm.macs, lstm.output) == (4 * (64 * 8 + 64 * 16), (4, 16))
    assert gn.layer_table(nn.GRU(4, 8), (3, 2, 4))[0].macs * 3 == 3 * 2 * (24 * 4 + 24 * 8)
    assert gn.layer_table(nn.LSTM(4, 8, bidirectional=True), (3, 2, 4))[0].macs * 3 == 2 * 3 * 2 * (32 * 4 + 32 * 8)


def test_windows_and_functions_are_counted_for_the_whole_image():
    rows = by_name(gn.layer_table(Windows(), (3, 16)))
    assert rows["fc"].macs == 4 * 4 * 5
    assert (rows["Windows"].macs, rows["Windows"].parameters) == (20 * 6, 120)


@pytest.mark.parametrize("build", [Twice, ByKeyword, ClassToken, Attention, Fused, Windows])
def test_multiply_accumulates_are_half_of_torchs_flops(build):
    model, shape = build().eval(), {Twice: (2, 2, 9, 8), Windows: (2, 16)}.get(build, (2, 3, 16, 16))
    # In mathematics' own kernel, since torch has no formula for the fused one of the CPU.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(torch.zeros(shape))
    assert 2 * 2 * total(gn.layer_table(model, shape)) == counter.get_total_flops() > 0


def test_a_call_that_fails_inside_a_module_that_goes_on_takes_no_cost_of_others():
    class Tries(nn.Module):
        def __init__(self):
            super().__init__()
            self.wrong, self.right, self.place = nn.Linear(9, 2), nn.Linear(4, 2), Place()

        def forward(self, x):
            try:
                return self.wrong(x)
            except RuntimeError:
                return self.right(x + self.place())

    class Place(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, 4))

        def forward(self):
            return self.weight

    rows = by_name(gn.layer_table(Tries(), (1, 4)))
    assert {name: (row.input, row.output, row.parameters, row.macs) for name, row in rows.items()} == {
        "wrong": ((4,), None, 20, 0), "place": (None, (4,), 4, 0), "right": ((4,), (2,), 10, 8),
    }  # fmt: skip


def test_a_bilinear_layer_multiplies_each_pair_once_with_its_weight():
    class Pairs(nn.Module):
        def __init__(self):
            super().__init__()
            self.pairs = nn.Bilinear(3, 3, 4)

        def forward(self, x):
            return self.pairs(x, x)

    # For each of 16 rows, 4 outputs of 3 x 3 products.
    assert sum(row.macs for row in gn.layer_table(Pairs(), (2, 16, 3))) == 16 * 4 * 9
