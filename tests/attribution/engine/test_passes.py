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
    "in place, result unused": lambda x: (x.relu_(), x)[1],
    "overwritten later": lambda x: F.relu(x.clone()).add_(0),
}

# None of these does anything to what it gets here; a negative gradient arrives at each and must pass.
NOT_RELUS = {
    "clamp(min=-9)": lambda x: -((-x.relu()).clamp(min=-9)),
    "clamp(0, 7)": lambda x: 6 - (6 - x.relu()).clamp(0, 7),
    "clamp(min=tensor)": lambda x: 6 - (6 - x.relu()).clamp(min=torch.zeros(8)),
    "hardtanh": lambda x: 6 - F.hardtanh(6 - x.relu(), -9, 9),
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


def test_a_model_without_relu_is_refused():
    with pytest.raises(InputError, match="no ReLU ran between the images and the output"):
        guided(torch.tanh)


REASONS = {
    "tanh": "it changes how ReLUs pass gradients back, and no ReLU ran between the images and the output of this model",
    "gelu": "this model uses GELU, and the rule is defined for ReLU, which passes nothing of a negative input",
}


@pytest.mark.parametrize("name", REASONS)
def test_guided_methods_are_left_out_and_it_is_printed_once_where_others_remain(build_network, images, capsys, name):
    network = build_network(name)
    methods = {"smooth": partial(METHODS["smoothgrad"], of="guided_backpropagation", samples=2)}
    methods |= {name: METHODS[name] for name in ("guided_gradcam", "saliency", "guided_backpropagation", "gradcam")}
    explanation = explain(network, images, methods=methods, batch_size=2)
    titles = "smooth and Guided Grad-CAM and Guided backpropagation"
    message = f"left out {titles}: guided backpropagation does not apply, since {REASONS[name]}.\n"
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
