"""Guided passes through every way to write a ReLU, and a clear refusal where there is none."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from glassnet.attribution import METHODS, explain
from glassnet.errors import InputError


class Around(nn.Module):
    """A linear map, an activation, a linear map; the weights have both signs, so that guiding changes the gradient."""

    def __init__(self, activation) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.inner = nn.Parameter(torch.randn(8, 12, generator=generator))
        self.outer = nn.Parameter(torch.randn(3, 8, generator=generator))
        self.activation = activation

    def forward(self, x):
        return self.activation(x.flatten(1) @ self.inner.T / 4) @ self.outer.T


IMAGES = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(1))

RELUS = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU(inplace)": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu(inplace)": lambda x: F.relu(x, inplace=True),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
    "clamp(min=0)": lambda x: x.clamp(min=0),
    "clamp(0)": lambda x: torch.clamp(x, 0),
    "clamp_(min=0.0)": lambda x: x.clamp_(min=0.0),
    "clamp_min(0)": lambda x: x.clamp_min(0),
    "nn.ReLU6": nn.ReLU6(),
    "F.relu6(inplace)": lambda x: F.relu6(x, inplace=True),
    "F.hardtanh": lambda x: F.hardtanh(x, 0, 6),
    "nn.Hardtanh": nn.Hardtanh(0, 9),
    "clamp(0, 6)": lambda x: x.clamp(0, 6),
    "clamp(0, 6.0) in place": lambda x: x.clamp_(0, 6.0),
    "clamp(min=tensor(0.))": lambda x: x.clamp(min=torch.tensor(0.0)),
    "clamp(tensors)": lambda x: torch.clamp(x, torch.zeros(8), torch.full((8,), 6.0)),
    "clamp_min(tensor)": lambda x: x.clamp_min(torch.tensor(0.0)),
    "clip(min=0)": lambda x: torch.clip(x, min=0),
    "nn.Threshold": nn.Threshold(0, 0),
    "nn.Threshold(inplace)": nn.Threshold(0, 0, inplace=True),
    "F.threshold_": lambda x: F.threshold_(x, 0, 0),
    "maximum(x, 0)": lambda x: torch.maximum(x, torch.tensor(0.0)),
    "maximum(0, x)": lambda x: torch.maximum(torch.zeros(8), x),
    "max(x, zeros)": lambda x: torch.max(x, torch.zeros_like(x)),
    "fmax": lambda x: torch.fmax(x, torch.zeros(8)),
    "where(x > 0, x, 0)": lambda x: torch.where(x > 0, x, 0),
    "where(x < 0, zeros, x)": lambda x: torch.where(x < 0, torch.zeros_like(x), x),
    "Tensor.where": lambda x: x.where(x >= 0, 0.0),
    "x * (x > 0)": lambda x: x * (x > 0),
    "(x > 0).float() * x": lambda x: (x > 0).float() * x,
    "mul_ a mask": lambda x: x.clone().mul_(x > 0),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0),
    "masked_fill_": lambda x: x.clone().masked_fill_(x < 0, 0),
    "x[x < 0] = 0": lambda x: fill_below(x.clone()),
    "aten": torch.ops.aten.relu,
    "of a view, in place": lambda x: x.view(4, 2, 4).relu_().view(4, 8),
    "clamp of a view, in place": lambda x: x.view(4, 2, 4).clamp_(min=0).view(4, 8),
    "in place, result unused": lambda x: (x.relu_(), x)[1],
    "overwritten later": lambda x: F.relu(x.clone()).add_(0),
}


def fill_below(x):
    x[x < 0] = 0
    return x


# None of these does anything to what it gets here; a negative gradient arrives at each and must pass.
NOT_RELUS = {
    "clamp(min=-9)": lambda x: -((-x.relu()).clamp(min=-9)),
    "clamp(-1, 7)": lambda x: 6 - (6 - x.relu()).clamp(-1, 7),
    "clamp(max=7)": lambda x: 6 - (6 - x.relu()).clamp(max=7),
    "clamp(min=tensor)": lambda x: 6 - (6 - x.relu()).clamp(min=torch.full((8,), -1.0)),
    "maximum(x, -1)": lambda x: 6 - torch.maximum(6 - x.relu(), torch.tensor(-1.0)),
    "where a fixed mask": lambda x: 6 - torch.where(torch.ones(8).bool(), 6 - x.relu(), 0),
    "times a fixed mask": lambda x: 6 - (6 - x.relu()) * torch.ones(8),
    "a hard sigmoid": lambda x: 6 - 6 * (F.relu6(6 - x.relu()) / 6),
    "hardtanh": lambda x: 6 - F.hardtanh(6 - x.relu(), -9, 9),
    "a floor of rounding": lambda x: x.relu().clamp(min=1e-12),
}


def guided(activation):
    return explain(Around(activation), IMAGES, target=1, methods="guided_backpropagation").maps.popitem()[1]


def by_hand():
    model = Around(nn.ReLU())
    hidden = IMAGES.flatten(1) @ model.inner.T / 4
    passed = (hidden > 0) * model.outer[1].clamp(min=0)
    assert (hidden < 6).all()
    return (passed @ model.inner / 4).view_as(IMAGES).detach().numpy()


@pytest.mark.parametrize("activation", [*RELUS.values(), *NOT_RELUS.values()], ids=[*RELUS, *NOT_RELUS])
def test_every_way_to_write_a_relu_is_guided(activation):
    if activation is RELUS["overwritten later"]:
        with pytest.raises(InputError, match=r"fails on images of shape .* modified by an inplace operation"):
            guided(activation)  # no backward pass of any kind exists for it
    else:
        np.testing.assert_allclose(guided(activation), by_hand(), rtol=1e-5, atol=1e-7)


UNDEFINED = {
    "GELU": nn.GELU(),
    "SiLU": nn.SiLU(inplace=True),
    "Mish": F.mish,
    "ELU": nn.ELU(),
    "SELU": torch.selu,
    "CELU": F.celu,
    "LeakyReLU": lambda x: F.leaky_relu_(x, 0.1),
    "PReLU": nn.PReLU(),
    "RReLU": nn.RReLU(),
    "Softplus": nn.Softplus(),
    "Hardswish": nn.Hardswish(),
}


@pytest.mark.parametrize("name", UNDEFINED)
def test_other_activations_are_refused_by_name_for_guided_methods_only(name):
    model = (
        nn.Sequential(nn.Conv2d(3, 4, 2), UNDEFINED[name], nn.Flatten())
        if isinstance(UNDEFINED[name], nn.Module)
        else None
    )
    model = model or Around(UNDEFINED[name])
    message = f"guided backpropagation does not apply: this model uses {name}, .* for ReLU, .* use gradcam instead"
    with pytest.raises(InputError, match=message):
        explain(model, IMAGES, target=1, methods="guided_backpropagation")
    if isinstance(model, nn.Sequential):
        assert explain(model, IMAGES, target=1, methods="gradcam")["gradcam", "0"].shape == (4, 2, 2)


class Rectifies(torch.autograd.Function):
    """A ReLU with a backward pass of its own, or one that gives no gradient."""

    @staticmethod
    def forward(ctx, x, gives):
        ctx.save_for_backward(x)
        ctx.gives = gives
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        return (gradient * (ctx.saved_tensors[0] > 0) if ctx.gives else None), None


def relu(x):
    return torch.relu(x) * 1


def where(x):
    return torch.where(x > 0, x, torch.zeros_like(x)) + 1


def sliced(x):
    x = x * 1
    x[:, :4].relu_()
    return x


RELU = "but guided backpropagation is defined only for ReLU"
BY_HAND = rf"this model uses a hand-written activation x · f\(x\), such as SiLU, GELU or Hardswish, {RELU}"
FLOOR = f"a clamp or maximum with a floor other than 0, which changes its input, {RELU}"
STACK = r"the maximum over a stack, such as stack\(\[x, 0\]\)\.amax\(0\), which cannot be guided"
NOT_GUIDED = {
    "clamp(min=0.1)": (lambda x: x.clamp(min=0.1) + x.relu() * 0, FLOOR),
    "clamp_(-0.1)": (lambda x: (x * 1).clamp_(-0.1) + x.relu() * 0, FLOOR),
    "clamp_min(0.1)": (lambda x: x.clamp_min(0.1) + x.relu() * 0, FLOOR),
    "clamp(0.1, 6)": (lambda x: x.clamp(0.1, 6) + x.relu() * 0, FLOOR),
    "clamp(min=tensor(0.1))": (lambda x: x.clamp(min=torch.tensor(0.1)) + x.relu() * 0, FLOOR),
    "clamp(min=many)": (lambda x: x.clamp(min=torch.linspace(0.1, 0.8, 8)) + x.relu() * 0, FLOOR),
    "hardtanh(0.1, 6)": (lambda x: F.hardtanh(x, 0.1, 6) + x.relu() * 0, FLOOR),
    "maximum(0.1, x)": (lambda x: torch.maximum(torch.tensor(0.1), x) + x.relu() * 0, FLOOR),
    "stack.max": (lambda x: torch.stack([x, torch.zeros_like(x)]).max(0).values + x.relu() * 0, STACK),
    "stack.max(-1)": (lambda x: torch.stack([torch.zeros_like(x), x], -1).max(2).values + x.relu() * 0, STACK),
    "stack.amax": (lambda x: torch.stack([x, torch.zeros_like(x)], 2).amax(-1) + x.relu() * 0, STACK),
    "LeakyReLU by a stack": (lambda x: torch.stack([x, 0.1 * x]).amax(0) + x.relu() * 0, STACK),
    "x (sign(x) + 1) / 2": (lambda x: x * (x.sign() + 1) / 2 + x.relu() * 0, BY_HAND),
    "(x + sqrt(x x)) / 2": (lambda x: (x + (x * x).sqrt()) / 2 + x.relu() * 0, r"uses x \+ \|x\|"),
    "(x + sqrt(x^2 + e)) / 2": (lambda x: (x + (x**2 + 1e-9).sqrt()) / 2 + x.relu() * 0, r"uses x \+ \|x\|"),
    "custom Function": (lambda x: Rectifies.apply(x, True), "runs Rectifies, a custom autograd Function, whose"),
    "no gradient": (lambda x: Rectifies.apply(x.relu(), False), "runs Rectifies, a custom autograd Function"),
    "h-swish": (lambda x: x * F.relu6(x + 3) / 6, BY_HAND),
    "h-swish, divided first": (lambda x: x * (F.relu6(x + 3) / 6), BY_HAND),
    "h-swish by clamp": (lambda x: (x + 3).clamp(0, 6) / 6 * x, BY_HAND),
    "h-swish in place": (lambda x: F.relu6(x + 3).mul_(x).div_(6), BY_HAND),
    "swish": (lambda x: x.relu() * 0 + x * x.sigmoid(), BY_HAND),
    "swish by division": (lambda x: x / (1 + (-x).exp()), BY_HAND),
    "GELU by hand": (lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)), BY_HAND),
    "GELU by tanh": (lambda x: 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.045 * x**3))), BY_HAND),
    "LeakyReLU by hand": (lambda x: torch.maximum(x, 0.1 * x), f"a maximum of two functions of one input, .*, {RELU}"),
    "LeakyReLU by where": (lambda x: torch.where(x > 0, x, 0.1 * x), "mask of its own activations with where, and the"),
    "a hard threshold": (lambda x: torch.where(x > 0.1, x, 0), "mask of its own activations with where, and the"),
    "nn.Threshold(0, 1)": (nn.Threshold(0, 1), r"a threshold other than \(0, 0\)"),
    "(x + |x|) / 2": (lambda x: (x + x.abs()) / 2, r"uses x \+ \|x\|, a form of ReLU that cannot be guided"),
    "-clamp(-x, max=0)": (lambda x: -(-x).clamp(max=0) + x.relu() * 0, "cuts at a maximum of 0"),
    "-minimum(-x, 0)": (lambda x: -torch.minimum(-x, torch.zeros(())) + x.relu() * 0, "cuts at a maximum of 0"),
    "of a part, in place": (sliced, "writes a ReLU into part of a tensor, which hides it"),
    "LeakyReLU of a view": (lambda x: F.leaky_relu_(x.view(4, 2, 4), 0.1).view(4, 8), "this model uses LeakyReLU"),
    "Hardshrink": (F.hardshrink, "this model uses Hardshrink"),
    "LogSigmoid": (nn.LogSigmoid(), "this model uses LogSigmoid"),
}


@pytest.mark.parametrize("name", NOT_GUIDED)
def test_what_cannot_be_guided_is_named(name):
    activation, message = NOT_GUIDED[name]
    with pytest.raises(InputError, match=f"^guided backpropagation does not apply: .*{message}"):
        guided(activation)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("made", [torch.jit.script, lambda function: torch.jit.trace(function, torch.rand(4, 8))])
def test_scripted_and_traced_functions_are_guided_or_named_however_often_they_ran(made):
    rectify, masked, outcomes = made(relu), made(where), []
    for _ in range(4):
        try:
            np.testing.assert_allclose(guided(rectify), by_hand(), rtol=1e-5, atol=1e-7)
        except InputError as error:
            outcomes.append(str(error))
    hidden = "this model runs a scripted function that torch has optimised, whose backward pass cannot be inspected"
    assert all(hidden in message for message in outcomes)
    for _ in range(4):
        with pytest.raises(InputError, match=rf"{hidden}|calls where inside a scripted or torch function"):
            guided(masked)


HIDDEN_MASKS = {
    "detached": lambda x: torch.where(x.detach() > 0, x, 0.0),
    "NumPy": lambda x: x * torch.from_numpy((x.detach().numpy() > 0).astype("float32")),
    "heaviside": lambda x: x * torch.heaviside(x.detach(), torch.tensor(0.0)),
    "lerp": lambda x: torch.lerp(torch.zeros_like(x), x, (x > 0).float()),
    "addcmul": lambda x: torch.addcmul(torch.zeros_like(x), x, (x > 0).float()),
    "einsum": lambda x: torch.einsum("nc,nc->nc", x, (x > 0).float()),
}


@pytest.mark.parametrize("name", HIDDEN_MASKS)
def test_masks_made_outside_of_the_graph_and_by_any_function_are_guided(name):
    np.testing.assert_allclose(guided(HIDDEN_MASKS[name]), by_hand(), rtol=1e-5, atol=1e-7)


def test_gates_of_other_inputs_are_no_activations():
    gate = nn.Linear(8, 8)
    with torch.no_grad():
        ours = explain(Around(lambda x: x.relu() * torch.sigmoid(gate(x))), IMAGES, methods="guided_backpropagation")
        hard = explain(
            Around(lambda x: x.relu() * (F.relu6(gate(x) + 3) / 6)), IMAGES, methods="guided_backpropagation"
        )
        soft = explain(Around(lambda x: x.relu() * F.hardsigmoid(gate(x))), IMAGES, methods="guided_backpropagation")
    assert ours.maps
    np.testing.assert_allclose(*(one.maps.popitem()[1] for one in (hard, soft)), rtol=1e-4, atol=1e-6)


HONEST = {
    "F.normalize": lambda x: F.normalize(x.relu()),
    "a clipped norm": lambda x: x.relu() / x.norm(dim=1, keepdim=True).clamp(min=99),
    "clamp(-1, 1)": lambda x: x.relu() + x.clamp(-1, 1),
    "a gate": lambda x: x.relu() * (x.flip(1) + 0.5).clamp(0, 1),
    "a probability": lambda x: x.relu() + x.sigmoid().clamp(min=0.4),
    "signed roots": lambda x: x.relu().sign() * (x.relu().abs() + 1e-5).sqrt(),
    "a stack along another axis": lambda x: x.relu() + torch.stack([x, torch.zeros_like(x)]).amax(2)[0, :, None],
    "views of two inputs": lambda x: torch.stack([x.relu(), x.flip(1)]).amax(0),
}


@pytest.mark.parametrize("name", HONEST)
def test_floors_and_maxima_that_are_no_activations_are_no_obstacle(name):
    assert np.isfinite(guided(HONEST[name])).all()


def test_the_floor_of_a_parameter_is_no_obstacle():
    model = Around(lambda x: x.relu() * model.power.clamp(min=1).prod())
    model.power = nn.Parameter(torch.tensor([-1.0, 0.5]))
    ours = explain(model, IMAGES, target=1, methods="guided_backpropagation").maps.popitem()[1]
    np.testing.assert_allclose(ours, by_hand(), rtol=1e-5, atol=1e-7)


def test_the_relus_of_a_target_are_not_the_models():
    model = Around(nn.ReLU())
    ours = explain(model, IMAGES, target=lambda output: 9 - (9 - output[:, 1]).relu(), methods="guided_backpropagation")
    np.testing.assert_allclose(ours.maps.popitem()[1], by_hand(), rtol=1e-5, atol=1e-7)


def test_a_model_without_relu_is_refused():
    with pytest.raises(InputError, match="no ReLU ran between the images and the output"):
        guided(torch.tanh)


REASONS = {
    "tanh": "no ReLU ran between the images and the output of this model",
    "gelu": "this model uses GELU, but guided backpropagation is defined only for ReLU, which passes no negative input",
}


@pytest.mark.parametrize("name", REASONS)
def test_guided_methods_are_left_out_and_it_is_printed_once_where_others_remain(build_network, images, capsys, name):
    network = build_network(name)
    methods = {"smooth": partial(METHODS["smoothgrad"], of="guided_backpropagation", samples=2)}
    methods |= {name: METHODS[name] for name in ("guided_gradcam", "saliency", "guided_backpropagation", "gradcam")}
    explanation = explain(network, images, methods=methods, batch_size=2)
    titles = "smooth and Guided Grad-CAM and Guided backpropagation"
    message = f"left out {titles}: guided backpropagation does not apply, because {REASONS[name]}.\n"
    assert capsys.readouterr().err == message
    assert explanation.methods == ("saliency", "gradcam")
    expected = explain(network, images, methods=("saliency", "gradcam"), batch_size=2)
    assert list(explanation.maps) == list(expected.maps)
    for key, value in expected.maps.items():
        np.testing.assert_array_equal(explanation[key], value)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", REASONS)
def test_guided_methods_alone_are_refused_in_one_sentence(build_network, images, capsys, name):
    with pytest.raises(InputError) as caught:
        explain(build_network(name), images, methods=("guided_gradcam", "guided_backpropagation"))
    assert str(caught.value) == f"guided backpropagation does not apply: {REASONS[name]}; use gradcam instead."
    assert capsys.readouterr().err == ""


def test_what_is_left_of_the_default_methods_without_relu(build_network, images):
    explanation = explain(build_network("tanh"), images)
    assert explanation.methods == ("gradcam",)
    assert explanation.layers == ("0", "2")


def test_an_activation_off_the_gradient_path_is_no_obstacle():
    np.testing.assert_allclose(guided(lambda x: x.relu() + 0 * F.gelu(x.detach())), by_hand(), rtol=1e-5, atol=1e-7)
