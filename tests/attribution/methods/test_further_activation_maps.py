"""Finer-CAM and ShapleyCAM: by hand, from their papers, beside torchcam, and in networks of several kinds."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torchcam.methods import FinerCAM

from glassnet.attribution import METHODS, explain
from glassnet.attribution.engine.targets import contrast
from glassnet.errors import InputError
from references import attributions as reference


def test_contrast_by_hand():
    scores = torch.tensor([[5.0, 1.0, 4.0, 6.0, 9.0], [0.0, 0.0, 10.0, 1.0, 3.0]])
    # Nearest to 5 are 4 and 6, and then 1 and 9 alike, of which the first; nearest to 1 are 0, 0 and 3.
    expected = torch.tensor([5 - 0.2 * (4 + 6 + 1), 1 - 0.2 * 3])
    torch.testing.assert_close(contrast(scores, torch.tensor([0, 3])), expected)
    both = contrast(scores[:1], torch.tensor([[4, 1]]))
    torch.testing.assert_close(both, torch.tensor([[9 - 0.2 * (6 + 5 + 4), 1 - 0.2 * (4 + 5 + 6)]]))
    two = contrast(torch.tensor([[2.0, -2.0]]), torch.tensor([1]))
    torch.testing.assert_close(two, torch.tensor([-3.2]))


def test_finercam_by_hand():
    activation = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [2.0, 5.0]]]])
    slopes = torch.tensor([[[[1.0, 3.0], [0.0, 4.0]], [[-1.0, -2.0], [-3.0, -6.0]]]])
    # The means are 2 and -3.
    np.testing.assert_allclose(METHODS["finercam"](activation, slopes)[0], [[0, 4], [0, 0]])


def test_finercam_of_a_network_is_from_the_paper(images):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(500, 6)).double()
    explanation = explain(model, images[:3], methods="finercam", target=[[2, 0, 5]], layers="all")
    weights, bias = (one.detach().numpy() for one in model[3].parameters())
    for image, maps in zip(images[:3].double(), explanation.raw["finercam", "1"], strict=True):
        active = model[:2](image[None])[0].detach().numpy()
        scores = weights @ active.ravel() + bias
        for label, one in zip((2, 0, 5), maps, strict=True):
            others = [k for _, k in sorted((abs(s - scores[label]), k) for k, s in enumerate(scores) if k != label)[:3]]
            gradient = weights[label] - 0.6 * weights[others].mean(axis=0)
            expected = reference.gradcam(active, gradient.reshape(active.shape))
            np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-7)
            assert reference.contrast(scores, label) == pytest.approx(
                float(contrast(torch.tensor(scores)[None], torch.tensor([label])))
            )


@pytest.mark.parametrize("name", ["convnet", "functional"])
def test_finercam_equals_torchcams(name, build_network, images):
    network = build_network(name).eval()
    ours = explain(network, images[:3], target=[0, 1, 2], layers="conv", methods=("finercam", "gradcam"))
    with FinerCAM(network, list(ours.layers)) as extractor:
        theirs = extractor([0, 1, 2], network(images[:3]), normalized=False)
    for layer, maps in zip(ours.layers, theirs, strict=True):
        scale = np.abs(maps.numpy()).max()
        assert scale > 0
        assert np.abs(ours.raw["finercam", layer] - maps.numpy()).max() < 1e-5 * scale
        assert np.abs(ours.raw["gradcam", layer] - maps.numpy()).max() > 1e-3 * scale


def test_finercam_needs_a_class(build_network, images):
    with pytest.raises(InputError, match="finercam compares a class with similar ones, but the target is a function"):
        explain(build_network("convnet"), images, methods="finercam", target=lambda logits: logits[:, 0])


def test_shapleycam_is_the_shapley_value_of_a_quadratic_score():
    rng = np.random.default_rng(0)
    matrix, slope = rng.normal(size=(6, 6)), rng.normal(size=6)
    activation = rng.normal(size=6)

    def score(values):
        return values @ matrix @ values / 2 + slope @ values

    hessian = (matrix + matrix.T) / 2
    values = reference.shapley_values(lambda present: score(np.where(present, activation, 0)), 6)
    np.testing.assert_allclose(activation * (hessian @ activation + slope - hessian @ activation / 2), values)
    # Two channels of three pixels: the weight of a channel is the mean of its pixels' values per activation.
    maps = METHODS["shapleycam"](
        *(
            torch.tensor(one).view(1, 2, 1, 3)
            for one in (activation, hessian @ activation + slope, hessian @ activation)
        )
    )
    weights = (values / activation).reshape(2, 3).mean(axis=1)
    np.testing.assert_allclose(maps[0, 0], np.maximum(weights @ activation.reshape(2, 3), 0))


class Smooth(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 3, stride=2)
        self.last = nn.Linear(48, 4)

    def forward(self, x):
        return self.last(torch.sigmoid(self.second(torch.tanh(self.first(x)))).flatten(1))


@pytest.mark.parametrize("layer", ["first", "second"])
def test_shapleycam_of_a_network_by_all_second_derivatives(layer, images):
    torch.manual_seed(0)
    model = Smooth().double()
    with torch.no_grad():  # so that no map is zero
        model.second.bias += 1
        model.last.weight.abs_()
    explanation = explain(model, images[:2], methods=("shapleycam", "gradcam"), target=[2, 1], layers=layer)
    for number, label in enumerate((2, 1)):
        first = model.first(images[number : number + 1].double()).detach()
        at = first if layer == "first" else model.second(first.tanh()).detach()

        def score(flat, label=label, shape=at.shape):
            value = flat.view(shape)
            value = model.second(value.tanh()) if layer == "first" else value
            return model.last(value.sigmoid().flatten(1))[0, label]

        gradient = torch.autograd.functional.jacobian(score, at.flatten())
        hessian = torch.autograd.functional.hessian(score, at.flatten())
        weights = (gradient - hessian @ at.flatten() / 2).view(at.shape).mean((0, 2, 3))
        expected = torch.einsum("k,khw->hw", weights, at[0]).relu()
        ours = explanation.raw["shapleycam", layer][number]
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)
        assert np.abs(ours - explanation.raw["gradcam", layer][number]).max() > 1e-3 * np.abs(ours).max()


def test_shapleycam_of_a_logit_behind_relus_is_gradcam_and_of_the_papers_score_is_not(build_network, images):
    network = build_network("functional")
    of_logit = explain(network, images, target=1, methods=("shapleycam", "gradcam"))
    of_both = explain(
        network,
        images,
        target=lambda logits: logits[:, 1] + logits.log_softmax(1)[:, 1],
        methods=("shapleycam", "gradcam"),
    )
    for layer in of_logit.layers:
        np.testing.assert_allclose(of_logit["shapleycam", layer], of_logit["gradcam", layer], atol=1e-7)
    apart = [np.abs(of_both["shapleycam", layer] - of_both["gradcam", layer]).max() for layer in of_both.layers]
    assert max(apart) > 1e-6


class Attending(nn.Module):
    def __init__(self, *, mark_once=False):
        super().__init__()
        self.conv, self.last, self.mark_once = nn.Conv2d(3, 8, 3, stride=3), nn.Linear(8, 3), mark_once

    def forward(self, x):
        tokens = self.conv(x).flatten(2).transpose(1, 2)
        tokens = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        return self.last((Once.apply(tokens).tanh() if self.mark_once else tokens).mean(1))


class Once(torch.autograd.Function):
    @staticmethod
    def forward(_context, x):
        return x.exp()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(_context, gradient):
        return gradient


def test_shapleycam_goes_through_attention(images):
    torch.manual_seed(0)
    explanation = explain(Attending(), images, target=0, methods=("shapleycam", "gradcam"))
    assert np.abs(explanation["shapleycam", "conv"] - explanation["gradcam", "conv"]).max() > 1e-4


def test_what_has_no_second_derivative_is_said(images):
    with pytest.raises(InputError, match="shapleycam needs second derivatives, but"):
        explain(Attending(mark_once=True), images, target=0, methods="shapleycam")


@pytest.mark.parametrize("methods", [*itertools.permutations(("gradcam", "finercam", "shapleycam", "saliency"))])
def test_in_any_order_and_together_as_alone(methods, build_network, images):
    network = build_network("residual")
    both = explain(network, images, target=[[0, 2]], methods=methods)
    for method in methods[:2]:
        alone = explain(network, images, target=2, methods=method)
        for key, value in alone.maps.items():
            np.testing.assert_allclose(both[key][:, 1], value, atol=1e-6 * max(1, np.abs(value).max()))
