"""The layer table: parameters that add up, and multiply-accumulates of what runs, against counts by hand."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrizations
from torch.utils.flop_counter import FlopCounterMode

import glassnet as gn
from glassnet.errors import InputError, WorkError

SHAPE = (1, 3, 16, 16)


def total(rows, key="parameters"):
    return sum(getattr(row, key) for row in rows)


def all_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def by_name(rows):
    return {row.name: row for row in rows}


class Twice(nn.Module):
    """One convolution called twice, one transposed, one grouped."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.up = nn.ConvTranspose2d(2, 4, 4, stride=2, padding=1)
        self.grouped = nn.Conv2d(4, 4, 3, groups=2)

    def forward(self, x):
        return self.grouped(self.up(self.conv(self.conv(x))))


class ByKeyword(nn.Module):
    """A convolution called by keyword, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 2)

    def forward(self, x):
        return self.fc(self.conv(input=x).mean((2, 3)))


class Tokens(nn.Module):
    """Patches of 4 pixels as tokens of 8 numbers, and a linear layer; subclasses work on the tokens."""

    def __init__(self):
        super().__init__()
        self.patch, self.head = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.mix(self.patch(x).flatten(2).transpose(1, 2)).mean(1))


class ClassToken(Tokens):
    """Holds parameters itself, next to its children: a class token and positions."""

    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.zeros(1, 17, 8))

    def mix(self, tokens):
        return torch.cat([self.token.expand(len(tokens), 1, 8), tokens], dim=1) + self.position


class Attention(Tokens):
    """Torch's attention, whose out_proj is never called."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def mix(self, tokens):
        return self.attention(tokens, tokens, tokens)[0]


class Fused(Tokens):
    """Attention by hand over torch's fused function: no module but its parent runs it."""

    def mix(self, tokens):
        heads = tokens.unflatten(2, (2, 4)).transpose(1, 2)
        return nn.functional.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2)


class Recurrent(nn.Module):
    """An LSTM over 4 rows of 8 numbers, which gives a tuple."""

    def __init__(self):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 2)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


class Windows(nn.Module):
    """A linear layer on 4 windows an image, and a functional one."""

    def __init__(self):
        super().__init__()
        self.fc, self.weight = nn.Linear(4, 5), nn.Parameter(torch.zeros(6, 20))

    def forward(self, x):
        return nn.functional.linear(self.fc(x.reshape(-1, 4)).reshape(len(x), 20), self.weight)


class Drawing(nn.Module):
    """Draws noise, counts in a buffer and puts another in place of one, as spiking networks do."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)
        self.register_buffer("steps", torch.zeros(3))
        self.register_buffer("potential", torch.zeros(2))
        self.register_buffer("direction", torch.zeros(2))
        self.last = torch.zeros(1)

    def forward(self, x):
        self.steps += 1
        self.potential = self.potential + torch.rand(2)
        self.direction.data = torch.ones(2)
        self.last.add_(1)
        return self.fc(x) + self.potential


def tied():
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    model[1].weight = model[0].weight
    return model


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
    assert total(rows, "macs") == 2 * (5 * 8 * 24 + 2 * 5 * 5 * 8 + 5 * 8 * 8 + 2 * 5 * 8 * 16)
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


@pytest.mark.parametrize("build", [Twice, ByKeyword, ClassToken, Attention, Fused, Windows])
def test_multiply_accumulates_are_half_of_torchs_flops(build):
    model, shape = build().eval(), {Twice: (2, 2, 9, 8), Windows: (2, 16)}.get(build, (2, 3, 16, 16))
    # In mathematics' own kernel, since torch has no formula for the fused one of the CPU.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(torch.zeros(shape))
    assert 2 * 2 * total(gn.layer_table(model, shape), "macs") == counter.get_total_flops() > 0


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
    assert "runs in one piece, as scripted, traced and exported models do" in capsys.readouterr().err


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
    with pytest.raises(InputError, match=r"Bilinear cannot take an input .*input2.*pass forward=lambda"):
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
        (Raising(AttributeError("no 'text'")), (1, 3, 8, 8), "no 'text'. If it takes more than images, pass forward"),
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
