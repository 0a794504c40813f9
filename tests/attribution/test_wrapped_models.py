"""One network in every wrapping, compiled, traced, exported, parallel, half or frozen: right, or one sentence."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from glassnet.attribution import explain
from glassnet.errors import InputError
from glassnet.models.features import extract_features
from glassnet.models.inference import predict

IMAGES = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))
METHODS = ("gradcam", "guided_backpropagation", "saliency")
pytestmark = pytest.mark.filterwarnings("ignore")


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(8, 8, 3),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, 3),
        )
        nn.init.uniform_(model[1].running_mean)
        nn.init.uniform_(model[1].running_var, 0.5, 2)
    return model


def lightning():
    module = pytest.importorskip("lightning").LightningModule()
    module.net = network()
    module.forward = lambda images: module.net(images)
    return module


def exported(model):
    batch = ({0: torch.export.Dim.AUTO},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(model, (IMAGES,), dynamic_shapes=batch).module()


WITH_LAYERS = {
    "frozen": (lambda: network().requires_grad_(False), ""),
    "evaluated": (lambda: network().eval(), ""),
    "channels last": (lambda: network().to(memory_format=torch.channels_last), ""),
    "float64": (lambda: network().double(), ""),
    "DataParallel": (lambda: nn.DataParallel(network()), "module."),
    "LightningModule": (lightning, "net."),
    "compiled": (lambda: torch.compile(network(), backend="eager"), "_orig_mod."),
    "torch.fx": (lambda: torch.fx.symbolic_trace(network()), ""),
}


@pytest.mark.parametrize("name", WITH_LAYERS)
def test_a_wrapped_network_is_explained_as_it_is_without(name):
    build, prefix = WITH_LAYERS[name]
    model, plain = build(), network()
    expected = explain(plain, IMAGES, target=1, methods=METHODS, layers="conv")
    ours = explain(model, IMAGES, target=1, methods=METHODS, layers="conv")
    for (method, layer), value in expected.maps.items():
        where = layer if layer == "input" else prefix + layer
        np.testing.assert_allclose(ours[method, where], value, atol=1e-5 * np.abs(value).max())
    for layer, rows in extract_features(plain, IMAGES, "conv").items():
        np.testing.assert_allclose(extract_features(model, IMAGES, "conv")[prefix + layer], rows, rtol=1e-5, atol=1e-6)


IN_ONE_PIECE = {
    "traced": lambda: torch.jit.trace(network().eval(), IMAGES),
    "scripted": lambda: torch.jit.script(network()),
    "scripted and frozen": lambda: torch.jit.freeze(torch.jit.script(network().eval())),
    "exported": lambda: exported(network().eval()),
}


@pytest.mark.parametrize("name", IN_ONE_PIECE)
def test_what_runs_in_one_piece_is_explained_at_its_input(name):
    model, plain = IN_ONE_PIECE[name](), network()
    expected = explain(plain, IMAGES, target=1, methods=("saliency", "occlusion", "guided_backpropagation"))
    before = predict(model, IMAGES)
    ours = explain(model, IMAGES, target=1, methods=("saliency", "occlusion"))
    for method in ours.methods:
        value = expected[method, "input"]
        np.testing.assert_allclose(ours[method, "input"], value, atol=1e-5 * np.abs(value).max())
    for _ in range(3):
        try:
            guided = explain(model, IMAGES, target=1, methods="guided_backpropagation")[
                "guided_backpropagation", "input"
            ]
        except InputError as error:
            reason = str(error)
            assert "a scripted function that torch has optimised" in reason
        else:
            np.testing.assert_allclose(guided, expected["guided_backpropagation", "input"], atol=1e-5)
    torch.testing.assert_close(predict(model, IMAGES), before)
    with pytest.raises(InputError, match=r"its layers cannot be observed|no layer 'conv' in GraphModule"):
        explain(model, IMAGES, target=1, methods="gradcam", layers="conv")


def test_a_model_exported_in_training_mode_is_refused():
    model = exported(network().train())
    for call in (lambda: predict(model, IMAGES), lambda: explain(model, IMAGES, target=1, methods="saliency")):
        with pytest.raises(
            InputError, match=r"^GraphModule was exported in training mode, which cannot be changed; exp"
        ):
            call()


def test_layers_beside_a_scripted_part():
    plain = network().eval()
    model = nn.Sequential(torch.jit.script(copy.deepcopy(plain[:3])), *copy.deepcopy(plain[3:]))
    ours = explain(model, IMAGES, target=1, methods="gradcam", layers="conv")
    expected = explain(plain, IMAGES, target=1, methods="gradcam", layers="4")["gradcam", "4"]
    np.testing.assert_allclose(ours.maps.popitem()[1], expected, atol=1e-5 * expected.max())


class AfterAScalar(nn.Module):
    """The network, and before it a scalar of another type that rescales nothing."""

    def __init__(self, dtype):
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=dtype))
        self.net = network()

    def forward(self, images):
        return self.net(images * self.scale)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_scalar_of_another_type_before_the_layers_changes_nothing(dtype):
    model = AfterAScalar(dtype)
    assert next(model.parameters()).dtype == dtype
    expected = explain(network(), IMAGES, target=1, methods=METHODS, layers="conv")
    ours = explain(model, IMAGES, target=1, methods=METHODS, layers="conv")
    assert len(ours.maps) == len(expected.maps)
    for (method, layer), value in expected.maps.items():
        where = layer if layer == "input" else f"net.{layer}"
        np.testing.assert_allclose(ours[method, where], value, rtol=1e-5, atol=1e-6 * np.abs(value).max())
    np.testing.assert_allclose(ours.scores, expected.scores, rtol=1e-6)


class CastsItself(nn.Module):
    """Runs in bfloat16 whatever it is given."""

    def __init__(self):
        super().__init__()
        self.net = network().bfloat16()

    def forward(self, images):
        return self.net(images.bfloat16())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_guided_as_its_weights_are_in_float32(dtype):
    model = network().to(dtype)
    weights = [(p, p.data_ptr()) for p in (*model.parameters(), *model.buffers())]
    given = IMAGES.to(dtype)
    wide = explain(copy.deepcopy(model).float(), given.float(), target=1, methods=METHODS, layers="conv")
    half = explain(model, given, target=1, methods=METHODS, layers="conv")
    np.testing.assert_array_equal(half["guided_backpropagation", "input"], wide["guided_backpropagation", "input"])
    assert half.scores.dtype == np.float32
    for layer in half.layers:  # Grad-CAM is that of the model as it runs
        value = wide["gradcam", layer]
        np.testing.assert_allclose(half["gradcam", layer], value, atol=0.02 * value.max())
        assert not np.array_equal(half["gradcam", layer], value)
    assert all(p is one and p.data_ptr() == place for p, (one, place) in zip(all_tensors(model), weights, strict=True))
    several = explain(model, given, target=[[0, 1]], methods="guided_backpropagation")[
        "guided_backpropagation", "input"
    ]
    np.testing.assert_array_equal(several[:, 1], half["guided_backpropagation", "input"])


def all_tensors(model):
    return (*model.parameters(), *model.buffers())


def test_a_network_that_casts_to_half_precision_itself_is_guided_there_and_it_is_said(capsys):
    explanation = explain(CastsItself(), IMAGES, target=1, methods="guided_backpropagation")
    assert np.isfinite(explanation["guided_backpropagation", "input"]).all()
    assert (
        "CastsItself runs in half precision only, which makes guided backpropagation inaccurate"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_recurrent_layer_in_half_precision(dtype):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.rnn, self.out = nn.Conv2d(3, 4, 3), nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 3)

        def forward(self, x):
            return self.out(self.rnn(self.conv(x).relu().flatten(2).transpose(1, 2))[0].mean(dim=1))

    model = Recurrent().to(dtype)
    ours = explain(model, IMAGES.to(dtype), target=1, methods="guided_backpropagation")
    wide = explain(copy.deepcopy(model).float(), IMAGES.to(dtype).float(), target=1, methods="guided_backpropagation")
    for key, value in wide.maps.items():
        np.testing.assert_allclose(ours[key], value, atol=1e-5 * np.abs(value).max())
    assert model(IMAGES.to(dtype)).dtype == dtype


def test_long_doubles_and_foreign_byte_orders():
    model, array = network().double(), IMAGES.double().numpy()
    expected = explain(model, array, target=1)
    for other in (array.astype(np.longdouble), array.astype(">f8")):
        same = explain(model, other, target=1)
        for key, value in expected.maps.items():
            np.testing.assert_array_equal(same[key], value)
