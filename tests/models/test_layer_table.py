"""The layer table: every call, every parameter once, and one sentence where a model cannot run."""

import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import glassnet as gn
from glassnet.errors import InputError, WorkError
from odd_nets import Attention, ByKeyword, ClassToken, Drawing, Fused, Recurrent, tied

SHAPE = (1, 3, 16, 16)


def total(rows, key="parameters"):
    return sum(getattr(row, key) for row in rows)


def all_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def by_name(rows):
    return {row.name: row for row in rows}


@pytest.mark.parametrize(
    ("build", "shape", "parameters"),
    [
        (ByKeyword, SHAPE, 242),
        (ClassToken, SHAPE, 554),
        (Attention, SHAPE, 698),
        (Recurrent, (1, 4, 8), 1698),
        (lambda: parametrizations.spectral_norm(nn.Conv2d(3, 8, 3)), SHAPE, 224),
        (lambda: parametrizations.weight_norm(nn.Conv2d(3, 8, 3)), SHAPE, 232),
        (lambda: parametrizations.orthogonal(nn.Linear(4, 4)), (1, 4), 20),
        (tied, (1, 8), 64),
    ],
)
def test_parameters_add_up(build, shape, parameters):
    model = build()
    rows = gn.layer_table(model, shape)
    assert total(rows) == total(rows, "trainable") == all_parameters(model) == parameters


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_old_parametrizations_belong_to_their_layer(norm):
    model = nn.Sequential(norm(nn.Conv2d(3, 8, 3)), norm(nn.Conv2d(8, 2, 1)))
    rows = gn.layer_table(model, SHAPE)
    assert [row.name for row in rows] == ["0", "1"]
    assert total(rows) == all_parameters(model)
    assert rows[0].macs == 14 * 14 * 8 * 27


def test_a_parametrized_layer_is_one_row_of_its_own_kind():
    model = nn.Sequential(parametrizations.spectral_norm(parametrizations.weight_norm(nn.Conv2d(3, 8, 3))))
    (row,) = gn.layer_table(model, SHAPE)
    assert (row.name, row.kind, row.output, row.macs) == ("0", "Conv2d", (8, 14, 14), 14 * 14 * 8 * 27)
    assert row.parameters == all_parameters(model) == 232


def test_a_convolution_with_children_keeps_its_row():
    class Same(nn.Conv2d):
        def __init__(self):
            super().__init__(3, 8, 3)
            self.pad = nn.ZeroPad2d(1)

        def forward(self, x):
            return super().forward(self.pad(x))

    rows = by_name(gn.layer_table(nn.Sequential(Same()), SHAPE))
    assert (rows["0"].parameters, rows["0"].macs, rows["0"].output) == (224, 16 * 16 * 8 * 27, (8, 16, 16))
    assert rows["0.pad"].output == (3, 18, 18)


def test_frozen_parameters_count_and_are_no_trainable_ones():
    model = ByKeyword()
    model.conv.requires_grad_(False)
    rows = by_name(gn.layer_table(model, SHAPE))
    assert (rows["conv"].parameters, rows["conv"].trainable) == (224, 0)
    assert (rows["fc"].parameters, rows["fc"].trainable) == (18, 18)
    assert not model.conv.weight.requires_grad


def test_own_parameters_stand_in_the_models_own_row_and_a_call_by_keyword_has_its_sizes():
    rows = by_name(gn.layer_table(ClassToken(), SHAPE))
    assert (rows["ClassToken"].parameters, rows["ClassToken"].input, rows["ClassToken"].output) == (
        144,
        SHAPE[1:],
        (2,),
    )
    assert by_name(gn.layer_table(ByKeyword(), SHAPE))["conv"].input == SHAPE[1:]


def test_a_layer_that_is_called_past_its_hooks_keeps_its_parameters_and_its_parent_the_cost():
    class Past(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.ModuleDict({"fc": nn.Linear(4, 2)})
            self.scales = nn.ParameterList([torch.zeros(3)])

        def forward(self, x):
            return self.block["fc"].forward(x)

    rows = gn.layer_table(Past(), (1, 4))
    assert [(row.name, row.parameters, row.macs) for row in rows] == [
        ("Past", 0, 8), ("block.fc", 10, 0), ("scales", 3, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("build", [ByKeyword, Attention, Fused])
def test_inference_mode_and_half_precision_change_no_row(build):
    rows = gn.layer_table(build(), SHAPE)
    with torch.inference_mode():
        assert gn.layer_table(build(), SHAPE) == rows
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert gn.layer_table(build().to(dtype), SHAPE) == rows


def test_rows_do_not_depend_on_the_batch():
    for build in (ByKeyword, ClassToken, Attention, Fused):
        assert gn.layer_table(build(), (3, *SHAPE[1:])) == gn.layer_table(build(), SHAPE)


def in_one_piece():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2)).eval()
    image = torch.zeros(SHAPE)
    return {
        "scripted": torch.jit.script(model),
        "traced": torch.jit.trace(model, image),
        "exported": torch.export.export(model, (image,)).module(),
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("how", ["scripted", "traced", "exported"])
def test_what_runs_in_one_piece_has_all_its_parameters_and_one_row_of_cost(how, capsys):
    model = in_one_piece()[how]
    rows = gn.layer_table(model, SHAPE)
    assert total(rows) == all_parameters(model) == 112 + 1570
    assert rows[0].macs == total(rows, "macs") == 14 * 14 * 4 * 27 + 1568
    assert rows[0].output == (2,)
    assert "runs in one piece, like all scripted, traced and exported models" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_layer_among_others_has_its_row(capsys):
    rows = gn.layer_table(nn.Sequential(torch.jit.script(nn.Conv2d(3, 4, 3)), nn.ReLU()), SHAPE)
    scripted = rows[0]
    assert (scripted.name, scripted.kind, scripted.parameters) == ("0", "Conv2d", 112)
    assert scripted.macs == 14 * 14 * 4 * 27
    assert not capsys.readouterr().err


@pytest.mark.parametrize("wrap", ["compile", "compiled", "DataParallel"])
def test_a_wrapped_model_has_the_rows_of_its_own(wrap):
    torch.compiler.reset()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    if wrap == "DataParallel":
        wrapped = nn.DataParallel(model)
    else:
        wrapped = torch.compile(model, backend="eager")
        if wrap == "compiled":
            with torch.no_grad():
                wrapped(torch.zeros(SHAPE))
    plain = gn.layer_table(model, SHAPE)
    rows = gn.layer_table(wrapped, SHAPE)
    assert [(r.kind, r.output, r.parameters, r.macs) for r in rows] == [
        (r.kind, r.output, r.parameters, r.macs) for r in plain
    ]


def test_the_model_and_the_random_generator_are_left_as_they_were_found():
    model = Drawing().train()
    model.fc.eval()
    found = {name: (value, value.clone()) for name, value in [*model.named_buffers(), ("last", model.last)]}
    random = torch.get_rng_state()
    gn.layer_table(model, (1, 4))
    assert torch.equal(torch.get_rng_state(), random)
    for name, (value, copy) in found.items():
        assert getattr(model, name) is value
        assert torch.equal(value, copy), name
    assert (model.training, model.fc.training) == (True, False)
    assert not model.fc._forward_hooks
    assert not model.fc._forward_pre_hooks


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


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_scalar_of_another_type_before_the_layers_does_not_set_that_of_the_image(dtype):
    model = ByKeyword()
    model.register_parameter("scale", nn.Parameter(torch.ones(()).to(dtype)))
    model.register_parameter("token", nn.Parameter(torch.ones(1, 1, 2).to(dtype)))
    rows = gn.layer_table(model, SHAPE)
    assert total(rows) == 245


def test_a_model_without_numbers_and_one_of_two_inputs():
    with torch.device("meta"):
        assert total(gn.layer_table(Attention(), SHAPE)) == 698
    pair = nn.Bilinear(3, 4, 5)
    with pytest.raises(InputError, match=r"Bilinear cannot take an input .*input2.*call it through forward=lambda"):
        gn.layer_table(pair, (1, 3))
    (row,) = gn.layer_table(pair, (1, 3), forward=lambda model, images: model(images, torch.zeros(1, 4)))
    assert (row.name, row.kind, row.input, row.parameters) == ("Bilinear", "Bilinear", (3,), 65)


def test_outputs_that_are_no_tensor_keep_their_rows():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.words = nn.Linear(4, 2), nn.Embedding(3, 2)

        def forward(self, x):
            return {"logits": self.fc(x)}, None, str(self.words)

    rows = by_name(gn.layer_table(nn.Sequential(Named()), (1, 4)))
    assert (rows["0.fc"].output, rows["0.words"].output, total(rows.values())) == ((2,), None, 16)


class Raising(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (nn.Sequential(nn.LazyLinear(2)), (1, 4), "layer '0' .LazyLinear. has no weights yet; call the model once"),
        (nn.Linear(4, 2), (1, 5), r"Linear cannot take an input of shape \(1, 5\): mat1 and mat2"),
        (nn.Conv2d(3, 4, 3), (1, 3), r"Conv2d cannot take an input of shape \(1, 3\): Expected 3D"),
        (nn.Embedding(3, 2), (1, 3), "Embedding cannot take an input of shape"),
        (Raising(ValueError("Input image size (8*8) doesn't match.")), (1, 3, 8, 8), "size .8.8. doesn't match.$"),
        (
            Raising(AttributeError("no 'text'")),
            (1, 3, 8, 8),
            "no 'text'. If it takes more than images, call it",
        ),
        (Raising(AssertionError()), (1, 3, 8, 8), "8, 8.: AssertionError.$"),
        (nn.Linear(4, 2), (0, 4), r"input_shape is \(0, 4\), expected whole numbers"),
        (nn.Linear(4, 2), (), r"input_shape is \(\), expected whole numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_what_cannot_run_is_one_sentence(model, shape, message):
    with pytest.raises(InputError, match=message):
        gn.layer_table(model, shape)


def test_too_little_memory_is_named():
    with pytest.raises(WorkError, match="not enough memory"):
        gn.layer_table(Raising(RuntimeError("DefaultCPUAllocator: can't allocate memory")), (1, 3))


def test_a_list_of_parameters_is_never_called_and_nothing_is_said(capsys):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scales = nn.ParameterList([nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))])

        def forward(self, x):
            return x * self.scales[1]

    assert sum(row.parameters for row in gn.layer_table(Scaled(), (1, 3))) == 5
    assert capsys.readouterr().err == ""


def test_each_layer_says_what_its_units_see():
    """3x3, 3x3 by 2 and a pool of 2: 3, 5, 7; a linear layer over all places sees all that the pool saw."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2)
    )
    rows = gn.layer_table(model, (1, 3, 16, 17))
    assert [row.receptive_field for row in rows] == [(3, 3), (3, 3), (5, 5), (7, 7), (15, 15), (15, 15)]
    sizes_alone = gn.layer_table(deepcopy(model).to("meta"), (1, 3, 16, 17))
    assert [row.receptive_field for row in sizes_alone] == [row.receptive_field for row in rows]


def test_what_sees_no_image_has_no_receptive_field():
    assert gn.layer_table(nn.Sequential(nn.Linear(4, 2)), (1, 4))[0].receptive_field is None
    rows = gn.layer_table(nn.Sequential(nn.LSTM(8, 4)), (1, 1, 5, 8), forward=lambda model, images: model(images[0]))
    assert rows[0].receptive_field is None


def test_a_table_loads_no_compiler():
    """It takes a second to load, at each start of a command or of the explorer."""
    code = (
        "import sys, torch; from glassnet.models.layer_table import layer_table;"
        "layer_table(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU()), (1, 1, 8, 8));"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
