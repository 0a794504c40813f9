"""Models with which hooks and graphs are hard: views overwritten, checkpoints, backward passes by hand, state."""

import copy
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from glassnet.attribution import explain
from glassnet.errors import InputError
from glassnet.models.features import extract_features
from traces import traces

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
CLASSES = [0, 1, 2, 0]


def seeded(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return build()


def same(ours, expected, tolerance=1e-5):
    assert list(ours.maps) == list(expected.maps)
    for key, value in expected.maps.items():
        np.testing.assert_allclose(ours[key], value, atol=tolerance * np.abs(value).max())


def head(channels):
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 3))


def by_autograd(model, layer, value_of):
    """Grad-CAM at a module, with plain autograd: the module's output goes on as a copy of a leaf."""
    model, taken = copy.deepcopy(model).eval(), {}

    def leaf(_module, _inputs, output):
        taken["leaf"] = output.detach().clone().requires_grad_()
        return taken["leaf"].clone()

    with model.get_submodule(layer).register_forward_hook(leaf):
        scores = model(IMAGES)[range(4), CLASSES]
    (gradient,) = torch.autograd.grad(scores.sum(), taken["leaf"])
    value, gradient = value_of(taken["leaf"].detach()), value_of(gradient)
    return (gradient.mean(dim=(2, 3), keepdim=True) * value).sum(dim=1).relu().numpy()


def nnunet(inplace=True):
    """The block of nnU-Net, whose norm gives a view that the activation writes over."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.InstanceNorm2d(4, affine=True),
        nn.LeakyReLU(0.01, inplace),
        nn.Conv2d(4, 5, 3),
        nn.InstanceNorm2d(5, affine=True),
        nn.LeakyReLU(0.01, inplace),
        head(5),
    )


@pytest.mark.parametrize("layers", ["1", ["1", "4"], ["0", "1", "2", "3", "4", "5"]])
def test_a_view_that_is_overwritten_in_place(layers):
    model = seeded(nnunet)
    with torch.no_grad():
        for norm in (model[1], model[4]):
            norm.weight.copy_(torch.linspace(0.5, 2, len(norm.weight)))
            norm.bias.copy_(torch.linspace(-1, 1, len(norm.bias)))
    plain = copy.deepcopy(model)
    plain[2].inplace = plain[5].inplace = False
    options = {"target": CLASSES, "methods": ("gradcam", "layercam"), "layers": layers}
    same(explain(model, IMAGES, **options), explain(plain, IMAGES, **options))
    for layer in ("1", "4"):
        expected = by_autograd(model, layer, lambda value: value)
        ours = explain(model, IMAGES, **{**options, "layers": layer}).raw["gradcam", layer]
        np.testing.assert_allclose(ours, expected, atol=1e-5 * expected.max())


class LinearOnTokens(nn.Module):
    """A linear layer on (n, tokens, d) gives a view; a function that no module announces writes over it."""

    def __init__(self, inplace):
        super().__init__()
        self.patch, self.mixed, self.out = nn.Conv2d(3, 6, 2, stride=2), nn.Linear(6, 6), nn.Linear(6, 3)
        self.inplace = inplace

    def forward(self, x):
        x = self.mixed(self.patch(x).flatten(2).transpose(1, 2))
        x = x.relu_() if self.inplace else x.relu()
        return self.out(x.mean(dim=1))


@pytest.mark.parametrize("batch_size", [4, 1])
def test_a_linear_layer_on_tokens_that_is_overwritten_in_place(batch_size):
    model, plain = seeded(lambda: LinearOnTokens(True)), seeded(lambda: LinearOnTokens(False))
    options = {"target": CLASSES, "methods": "gradcam", "layers": ["patch", "mixed"]}
    same(explain(model, IMAGES, batch_size=batch_size, **options), explain(plain, IMAGES, **options))
    expected = by_autograd(plain, "mixed", lambda value: value.transpose(1, 2).unflatten(2, (4, 4)))
    np.testing.assert_allclose(explain(model, IMAGES, **options).raw["gradcam", "mixed"], expected, atol=1e-6)


class WritesThroughAView(nn.Module):
    """What one module gives is a view of what another gave, and the model waits for the change of both."""

    def __init__(self):
        super().__init__()
        self.conv, self.flat, self.out = nn.Conv2d(3, 4, 3), nn.Flatten(2), nn.Linear(4, 3)

    def forward(self, x):
        x = self.conv(x)
        self.flat(x).relu_()
        return self.out(x.mean(dim=(2, 3)))


def test_a_view_of_what_a_module_took_stays_one():
    model = seeded(WritesThroughAView)
    ours = explain(model, IMAGES, target=CLASSES, methods="gradcam", layers="conv")
    with_view = explain(model, IMAGES, target=CLASSES, methods="gradcam", layers="all")
    np.testing.assert_array_equal(with_view["gradcam", "conv"], ours["gradcam", "conv"])
    np.testing.assert_allclose(with_view.output, model.eval()(IMAGES).detach(), rtol=1e-6)


class Checkpointed(nn.Module):
    """Convolutions before, in and after a block that is run again in the backward pass, or not."""

    def __init__(self, reentrant):
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), nn.ReLU())
        self.last, self.out, self.reentrant = nn.Conv2d(4, 4, 1), nn.Linear(4, 3), reentrant

    def forward(self, x):
        x = self.first(x)
        x = self.block(x) if self.reentrant is None else checkpoint(self.block, x, use_reentrant=self.reentrant)
        return self.out(self.last(x).mean(dim=(2, 3)))


@pytest.mark.parametrize("layers", ["block.0", "block.2", "conv", "first", "last"])
@pytest.mark.parametrize("methods", ["gradcam", ("gradcam", "guided_backpropagation", "saliency")])
def test_layers_inside_a_checkpoint(layers, methods):
    ours, plain = (seeded(lambda reentrant=reentrant: Checkpointed(reentrant)) for reentrant in (False, None))
    options = {"target": [[0, 1]], "methods": methods, "layers": layers}
    same(explain(ours, IMAGES, **options), explain(plain, IMAGES, **options), tolerance=0)
    assert not ours.block[0]._forward_hooks


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True")
def test_a_reentrant_checkpoint_is_named():
    model = seeded(lambda: Checkpointed(True))
    with pytest.raises(InputError, match=r"^Checkpointed uses torch.utils.checkpoint with use_reentrant=True, .*False"):
        explain(model, IMAGES, target=0, methods="gradcam", layers="first")
    with pytest.raises(InputError, match=r"^layer 'block.0' runs under torch.no_grad.*torch.utils.checkpoint"):
        explain(model, IMAGES, target=0, methods="gradcam", layers="block.0")
    after = {"target": CLASSES, "methods": "gradcam", "layers": "last"}
    same(explain(model, IMAGES, **after), explain(seeded(lambda: Checkpointed(None)), IMAGES, **after))


class ByHand(torch.autograd.Function):
    """A linear map and tanh whose backward pass runs it again and differentiates its weight, as RevNets do."""

    @staticmethod
    def forward(ctx, x, weight, accumulates):
        ctx.save_for_backward(x, weight)
        ctx.accumulates = accumulates
        with torch.no_grad():
            return torch.tanh(torch.einsum("nchw,dc->ndhw", x, weight))

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            y = torch.tanh(torch.einsum("nchw,dc->ndhw", x, weight))
            if ctx.accumulates:
                torch.autograd.backward(y, gradient)
                return x.grad, None, None
            return *torch.autograd.grad(y, (x, weight), gradient), None


class Reversible(nn.Module):
    def __init__(self, accumulates, by_hand=True):
        super().__init__()
        self.first, self.out = nn.Conv2d(3, 4, 3), nn.Linear(5, 3)
        self.weight = nn.Parameter(torch.randn(5, 4))
        self.accumulates, self.by_hand = accumulates, by_hand

    def forward(self, x):
        x = self.first(x)
        if self.by_hand:
            x = ByHand.apply(x, self.weight, self.accumulates)
        else:
            x = torch.tanh(torch.einsum("nchw,dc->ndhw", x, self.weight))
        return self.out(x.mean(dim=(2, 3)))


@pytest.mark.parametrize("accumulates", [False, True])
def test_a_backward_pass_by_hand_that_differentiates_its_parameters(accumulates):
    model = seeded(lambda: Reversible(accumulates))
    model.weight.grad, model.first.bias.requires_grad = torch.ones(5, 4), False
    before = traces(model)
    options = {"target": CLASSES, "methods": ("gradcam", "saliency"), "layers": "conv"}
    plain = explain(seeded(lambda: Reversible(accumulates, by_hand=False)), IMAGES, **options)
    same(explain(model, IMAGES, batch_size=2, **options), plain)
    assert traces(model) == before


class Spiking(nn.Module):
    """A leaky neuron whose membrane is a buffer, an attribute or written past its version, and noise on top."""

    def __init__(self, kind):
        super().__init__()
        self.conv, self.out, self.kind = nn.Conv2d(3, 4, 3), nn.Linear(4, 3), kind
        self.register_buffer("late", None)
        if kind == "attribute":
            self.membrane = torch.full((4, 1, 1), 0.5)
        else:
            self.register_buffer("membrane", torch.full((4, 1, 1), 0.5))

    def forward(self, x):
        now = 0.9 * self.membrane + self.conv(x) + 0 * torch.rand(1)
        self.late = now.detach()
        if self.kind == "in place":
            self.membrane.add_(now.detach().mean(dim=(0, 2, 3))[:, None, None])
        elif self.kind == "data":
            self.membrane.data.mul_(2)
        else:
            self.membrane = now.detach()[:1]
        return self.out(now.sigmoid().mean(dim=(2, 3)))


@pytest.mark.parametrize("kind", ["in place", "rebound", "attribute", "data"])
def test_state_and_random_state_are_left_as_found(kind):
    model = seeded(lambda: Spiking(kind))
    before, membrane = traces(model), model.membrane
    whole = explain(model, IMAGES, target=CLASSES, methods=("gradcam", "saliency"))
    rows = extract_features(model, IMAGES, "conv")
    assert traces(model) == before
    assert model.membrane is membrane
    assert membrane.tolist() == torch.full((4, 1, 1), 0.5).tolist()
    assert model.late is None
    if kind != "data":  # no batch depends on the one before
        same(explain(model, IMAGES, target=CLASSES, methods=("gradcam", "saliency"), batch_size=1), whole)
    assert rows["conv"].shape == (4, 4)


def test_a_graph_of_the_callers_own_outlives_a_call():
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), head(4))).eval()
    loss = model(IMAGES).sum()
    explain(model, IMAGES, target=0)
    loss.backward()  # would fail, had the call written to what the graph saved
    assert model[0].weight.grad is not None


def convnet():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), head(4))


def test_inference_mode_around_the_call():
    model = seeded(convnet)
    options = {"methods": ("gradcam", "guided_backpropagation", "saliency", "scorecam")}
    for target in (1, CLASSES, "predicted", torch.tensor(CLASSES)):
        expected = explain(model, IMAGES, target=target, **options)
        with torch.inference_mode():
            inside = target.clone() if isinstance(target, torch.Tensor) else target
            same(explain(model, IMAGES.clone(), target=inside, **options), expected, tolerance=0)
        assert all(weight.requires_grad and not weight.is_inference() for weight in model.parameters())


def test_a_model_built_in_inference_mode():
    with torch.inference_mode():
        model = seeded(convnet)
    plain = seeded(convnet)
    model[0].weight.requires_grad  # noqa: B018
    needs = [p.requires_grad for p in model.parameters()]
    weights = list(model.parameters())
    options = {"target": CLASSES, "methods": ("gradcam", "guided_backpropagation")}
    same(explain(model, IMAGES, **options), explain(plain, IMAGES, **options), tolerance=0)
    np.testing.assert_array_equal(extract_features(model, IMAGES, "0")["0"], extract_features(plain, IMAGES, "0")["0"])
    assert [p.requires_grad for p in model.parameters()] == needs
    assert all(p is weight for p, weight in zip(model.parameters(), weights, strict=True))
    assert all(p.is_inference() for p in model.parameters())


@pytest.mark.filterwarnings("ignore")
def test_compiled_models_after_earlier_calls():
    model, stances = seeded(convnet), set()
    compiled = torch.compile(copy.deepcopy(model).eval(), backend="eager")
    dynamo = sys.modules["torch._dynamo.eval_frame"]
    for number in range(6):
        compiled(IMAGES)
        options = {"target": CLASSES, "methods": "gradcam", "layers": "conv"}

        if number == 5:
            compiled._orig_mod[0].register_forward_hook(lambda *_: stances.add(dynamo._stance.stance))
        ours, plain = explain(compiled, IMAGES, **options), explain(model, IMAGES, **options)
        assert [layer.removeprefix("_orig_mod.") for layer in ours.layers] == list(plain.layers), number
        for layer in plain.layers:
            np.testing.assert_allclose(ours["gradcam", f"_orig_mod.{layer}"], plain["gradcam", layer], atol=1e-6)
    assert stances == {"force_eager"}  # compiled code may know of no hooks
    assert dynamo._stance.stance == "default"
