"""Layers that give token sequences: read as grids, or as the caller says."""

import numpy as np
import pytest
import torch

from glassnet.attribution import explain
from glassnet.errors import InputError

LAYERS = ["before", "joined", "narrow"]


@pytest.mark.parametrize(("name", "first"), [("tokens", 1), ("tokens-without-class", 0)])
def test_token_layers_are_explained_and_it_is_said_once(build_network, images, capsys, name, first):
    network = build_network(name)
    explanation = explain(network, images, layers=LAYERS, methods=("gradcam", "eigencam"), batch_size=2)
    what = (
        f"the {16 + first} tokens of before and 2 more layers are read as {'a class token and ' * first}a grid of 4 x 4"
    )
    assert capsys.readouterr().err == f"{what} (pass reshape to explain to read them differently).\n"
    assert explanation.layers == ("before", "joined", "narrow")
    assert explanation["gradcam", "joined"].shape == (7, 12, 12)
    # By hand, as if the tokens were an image all along.
    taken = {}
    network.eval().joined.register_forward_hook(lambda _m, _i, output: taken.update(at=output) or output.retain_grad())
    network(images).max(1).values.sum().backward()
    a, g = (t.detach()[:, first:].transpose(1, 2).reshape(7, 8, 4, 4) for t in (taken["at"], taken["at"].grad))
    expected = (g.mean((2, 3), keepdim=True) * a).sum(1).relu()
    np.testing.assert_allclose(explanation.raw["gradcam", "joined"], expected, rtol=1e-4, atol=1e-7)


def test_reshape_reads_tokens_as_the_caller_says(build_network, images, capsys):
    network = build_network("tokens")

    def turned(tokens):
        return tokens[:, 1:].unflatten(1, (4, 4)).permute(0, 3, 2, 1)

    mine = explain(network, images, layers=LAYERS, methods="hirescam", reshape=turned)
    auto = explain(network, images, layers=LAYERS, methods="hirescam")
    assert capsys.readouterr().err.count("tokens") == 1
    for layer in LAYERS:
        turned_back = mine.raw["hirescam", layer].transpose(0, 2, 1)
        np.testing.assert_allclose(turned_back, auto.raw["hirescam", layer], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("reshape", "message"),
    [
        (
            lambda x: x.view(3, 5, 7),
            r"gives shape \(7, 17, 8\), on which reshape fails: shape '\[3, 5, 7\]' is invalid",
        ),
        (lambda x: x[:, 1:], r"gives shape \(7, 17, 8\), of which reshape makes \(7, 16, 8\), but a map needs \(7, ch"),
        (lambda x: None, r".* of which reshape makes NoneType, but a map needs \(7, channel, height, width\)"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_reshape_that_gives_no_maps_is_refused(build_network, images, reshape, message):
    with pytest.raises(InputError, match=f"layer 'joined' {message}"):
        explain(build_network("tokens"), images, layers="joined", methods="gradcam", reshape=reshape)


def test_tokens_without_a_whole_grid_are_refused(images):
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 2, stride=2), torch.nn.Flatten(2), Transpose(), torch.nn.Linear(4, 3)
    )
    message = (
        r"layer '3' gives shape \(7, 35, 3\), which has no axis known to run over pixels; "
        r"pass reshape, a function from this to \(7, channel, h"
    )
    with pytest.raises(InputError, match=message):
        explain(model, images, layers="3", methods="gradcam", target=lambda output: output.mean((1, 2)))


def test_each_layer_has_its_own_reshape(build_network, images):
    network = build_network("tokens")

    def turned(tokens):
        return tokens[:, 1:].unflatten(1, (4, 4)).permute(0, 3, 2, 1)

    mixed = explain(network, images, layers=LAYERS, methods="hirescam", reshape={"jo*": turned})
    auto = explain(network, images, layers=LAYERS, methods="hirescam")
    assert_equal = np.testing.assert_array_equal
    assert_equal(mixed.raw["hirescam", "joined"].transpose(0, 2, 1), auto.raw["hirescam", "joined"])
    assert_equal(mixed.raw["hirescam", "before"], auto.raw["hirescam", "before"])


@pytest.mark.parametrize(
    ("reshape", "message"),
    [
        ({"joint": lambda x: x}, "no layer 'joint' in reshape. Did you mean joined"),
        ({"joined": 3}, "reshape is a int, expected a function from a layer's output"),
        (3, "reshape is a int, expected a function"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_reshape_of_no_layer_or_no_function_is_refused(build_network, images, reshape, message):
    with pytest.raises(InputError, match=message):
        explain(build_network("tokens"), images, layers="joined", methods="gradcam", reshape=reshape)


class Transpose(torch.nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)[:, 1:]


TURNS = {
    "transpose": lambda x: x.transpose(2, 3).contiguous(),
    "mT": lambda x: x.mT,
    "permute": lambda x: x.permute(0, -3, 3, 2),
    "twice": lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 2, 1),
}


@pytest.mark.parametrize("name", TURNS)
def test_a_convolution_that_is_given_rows_for_columns(name):
    class Turned(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 5, 3, padding=1)

        def forward(self, x):
            return self.second(TURNS[name](self.first(x)).relu()).relu().square().mean((2, 3))

    torch.manual_seed(0)
    network, pictures = Turned().eval(), torch.rand(2, 3, 6, 6)
    explanation = explain(network, pictures, layers="conv", methods="gradcam", target=1)
    value = network.second(TURNS[name](network.first(pictures)).relu()).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(value.relu().square().mean((2, 3))[:, 1].sum(), [value])
    plain = (gradient.mean((2, 3), keepdim=True) * value).sum(1).relu().detach()
    torch.testing.assert_close(torch.as_tensor(explanation.raw["gradcam", "second"]), plain.mT)


def test_no_pass_is_traced_for_convolutions_of_maps_as_they_are(monkeypatch):
    class Shuffled(torch.nn.Sequential):
        def forward(self, x):
            x = self[0](x).permute(0, 2, 3, 1).relu().permute(0, 3, 1, 2)
            x = x.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2)
            return self[1](x).mean((2, 3))

    network = Shuffled(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 5, 3))
    monkeypatch.setattr("glassnet.attribution.engine.maps.trace_or_reason", None)
    assert explain(network, torch.rand(2, 3, 6, 6), layers="conv", methods="gradcam").layers == ("0", "1")
