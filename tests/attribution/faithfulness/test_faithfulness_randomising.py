"""Every weight of every kind of model is lost once, in order, and the model itself is not touched."""

import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from glassnet.attribution import explain
from glassnet.attribution.faithfulness import sanity_check
from glassnet.attribution.faithfulness.following import fixed_target
from glassnet.attribution.faithfulness.randomising import copy_model, randomise, weights_in_order
from glassnet.errors import InputError


class Transformer(nn.Module):
    """Patches, a class token, and one attention whose `out_proj` is never called as a module."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patch = nn.Conv2d(3, 8, 3, stride=3)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.token.expand(len(x), -1, -1), tokens), dim=1)
        normed = self.norm(tokens)
        return self.head((tokens + self.attention(normed, normed, normed)[0])[:, 0])


class Kept(nn.Module):
    """Keeps its last activation, in an attribute, a list and an object of its own, and a lock."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(400, 5)
        self.seen, self.lock, self.stream = [], threading.Lock(), (i for i in range(3))

    def forward(self, x):
        with self.lock:
            self.last = self.conv(x).relu()
            self.seen[:] = [self.last, {"mean": self.last.mean()}]
        return self.head(self.last.flatten(1))


def legacy_weight_norm():
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        conv = nn.utils.weight_norm(nn.Conv2d(3, 4, 3))
    return nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(400, 5))


def parametrised():
    torch.manual_seed(0)
    convs = parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), parametrizations.spectral_norm(nn.Conv2d(4, 4, 3))
    return nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.Flatten(), nn.Linear(256, 5))


class Shared(nn.Module):
    """A weight that no module owns but the model, of a functional convolution, and one used in a scripted part."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kernel = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.scripted = torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(400, 6), nn.ReLU()))
        self.head, self.unused = nn.Linear(6, 5), nn.Linear(2, 2)

    def forward(self, x):
        return self.head(self.scripted(nn.functional.conv2d(x, self.kernel)))


MODELS = {
    "transformer": (Transformer, ["patch", "token", "norm", "attention", "attention.out_proj", "head"]),
    "kept": (Kept, ["conv", "head"]),
    "legacy": (legacy_weight_norm, ["0", "3"]),
    "parametrised": (parametrised, ["0", "2", "4"]),
    "shared": (Shared, ["unused", "kernel", "scripted.1", "head"]),
}


def call(model, images):
    return model(images)


@pytest.mark.usefixtures("unchecked")  # a scripted module's parameters are plain tensors
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("build", "order"), MODELS.values(), ids=MODELS)
def test_every_weight_is_lost_where_it_is_used(build, order, images):
    model = build().eval()
    model(images)  # what it keeps, it keeps now
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lost = copy_model(model)
    torch.testing.assert_close(lost(images), model(images))
    groups = weights_in_order(lost, images, call)
    assert list(groups) == order
    assert {id(w) for group in groups.values() for w in group} == {id(w) for w in lost.parameters()}
    generator = torch.Generator().manual_seed(0)
    for weights in groups.values():
        old = [weight.clone() for weight in weights]
        randomise(weights, generator)
        for weight, was in zip(weights, old, strict=True):
            flat = bool((was == was.flatten()[0]).all())  # without a spread the mean is all there is, as of a norm's
            assert torch.equal(weight, was) == flat
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(one.requires_grad for one in model.parameters())


def test_the_loss_of_the_output_projection_changes_the_map_of_the_attention(images):
    """It has half of what the attention has to say, and was kept when all else was lost."""
    checked = sanity_check(Transformer(), images, methods="saliency")
    assert checked.layers == ("trained", "head", "attention.out_proj", "attention", "norm", "token", "patch")
    step = checked.layers.index("attention.out_proj")
    maps = checked.rank_correlation["saliency"]
    assert (np.abs(maps[step] - maps[step - 1]) > 1e-3).all()


@pytest.mark.parametrize("build", [Kept, legacy_weight_norm, parametrised])
def test_models_that_deepcopy_refuses_are_checked(build, images):
    model = build()
    model(images)
    checked = sanity_check(model, images, methods=("gradcam", "saliency"))
    assert checked.rank_correlation["gradcam"].shape == (len(checked.layers), 7)
    assert (checked.rank_correlation["saliency"][0] > 0.999).all()
    assert (checked.rank_correlation["saliency"][-1] < 0.9).all()


def test_an_activation_that_is_kept_still_has_its_graph(images):
    model = Kept()
    model(images)
    last = model.last
    sanity_check(model, images, methods="saliency")
    assert model.last is last
    assert last.requires_grad
    assert model.seen[0] is last
    assert torch.autograd.grad(last.sum(), model.conv.weight)[0].shape == (4, 3, 3, 3)


def test_the_model_is_as_it_was_when_a_method_raises(images):
    model = Kept()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def own(_model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sanity_check(model, images, methods=[], own={"own": own})
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_what_cannot_be_copied_is_one_sentence(images):
    class Stubborn(Kept):
        def __deepcopy__(self, memo):
            raise NotImplementedError("no copies\nat all")

    with pytest.raises(
        InputError, match=r"Stubborn cannot be copied to randomise its weights: no copies; remove attributes that"
    ):
        sanity_check(Stubborn(), images, methods="saliency")


class Mlp(nn.Module):
    """No convolution."""

    def __init__(self, classes=5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.head = nn.Linear(432, 9), nn.Linear(9, classes)

    def forward(self, x):
        return self.head(self.hidden(x.flatten(1)).relu())


class Hard(Mlp):
    """No gradient."""

    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


@pytest.mark.parametrize(
    ("model", "methods"), [(Mlp, "saliency"), (Hard, "occlusion"), (Mlp, ["saliency", "occlusion"])]
)
def test_a_model_without_convolution_or_gradient_is_checked_for_its_predicted_class(model, methods, images):
    checked = sanity_check(model(), images, methods=methods)
    assert checked.layers == ("trained", "head", "hidden")
    fixed = explain(model(), images, target=model()(images).argmax(1), methods=methods)
    assert fixed.targets.tolist() == fixed_target(model(), images, "predicted", batch_size=2).tolist()


def test_the_class_stays_when_the_weights_go_also_of_a_maximum_and_of_one_output(images, capsys):
    predicted = sanity_check(Mlp(), images, methods="saliency")
    highest = sanity_check(Mlp(), images, methods="saliency", target=lambda o: o.max(1).values)
    np.testing.assert_allclose(highest.rank_correlation["saliency"], predicted.rank_correlation["saliency"], atol=1e-6)
    assert capsys.readouterr().err.count("the target uses each image's highest class") == 1
    one = fixed_target(nn.Sequential(Mlp(1), nn.Sigmoid()), images, "predicted", batch_size=3)
    assert one.tolist() == (Mlp(1)(images)[:, 0] > 0).int().tolist()
    assert fixed_target(Mlp(), images, 3, batch_size=2) == 3


def test_output_and_forward_are_those_of_explain(images):
    class Asking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Mlp()

        def forward(self, x, sign):
            return {"wrong": self.net(x), "right": sign * self.net(x)}

    checked = sanity_check(Asking(), images, methods="saliency", output="right", forward=lambda model, x: model(x, -1))
    negative = fixed_target(Mlp(), images, "predicted", output=lambda o: -o, batch_size=7)
    expected = sanity_check(Mlp(), images, methods="saliency", target=negative)
    np.testing.assert_allclose(checked.rank_correlation["saliency"], expected.rank_correlation["saliency"], atol=1e-6)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_traced_model_loses_its_weights_as_they_are_defined(images):
    traced = torch.jit.trace(Mlp().eval(), images)
    assert sanity_check(traced, images, methods="saliency").layers == ("trained", "head", "hidden")


def test_what_each_step_would_say_again_is_said_once(images, capsys):
    class Wrapped(Mlp):
        def forward(self, x):
            return {"logits": super().forward(x)}

    sanity_check(Wrapped(), images, methods="saliency")
    assert capsys.readouterr().err.count("the class scores are taken from the output's 'logits'") == 1
