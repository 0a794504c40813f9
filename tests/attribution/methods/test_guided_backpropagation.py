"""Guided backpropagation: by hand, by a reference without autograd, and by captum where captum is right."""

import warnings

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop
from torch import nn

from glassnet.attribution import explain
from references import guided as reference

CLASSES = [0, 1, 2, 3, 4, 0, 1]


def guided(model, images, target=CLASSES):
    explanation = explain(model, images, target=target, methods="guided_backpropagation")
    assert explanation.layers == ()
    return explanation["guided_backpropagation", "input"]


def parameters(module):
    return [p.detach().double().numpy() for p in module.parameters()]


def test_one_pixel_by_hand():
    # h = relu(W x) with W x = (2, -1, 4, 3) and y = V h. A plain gradient sums V_k W_k over W_k x > 0, that is
    # 5*2 - 3*4 + 2*3 = 4; the guided one leaves out the negative V_2: 5*2 + 2*3 = 16.
    model = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([2.0, -1.0, 4.0, 3.0]).view(4, 1, 1, 1))
        model[3].weight.copy_(torch.tensor([[5.0, 7.0, -3.0, 2.0]]))
    assert guided(model, torch.ones(1, 1, 1, 1), target=1).item() == 16


def test_two_by_two_by_hand(signed):
    # h1 = relu(x) = [[1, 0], [3, 0]] and h2 = relu(-x) = [[0, 2], [0, 4]], so the plain gradient is V1 where x > 0 and
    # -V2 elsewhere: [[2, 1], [-3, -8]]. The guided one leaves out the negative of V, which are -3 and -1.
    model, image = signed
    assert explain(model, image, target=1, methods="saliency")["saliency", "input"].tolist() == [[[2, 1], [3, 8]]]
    assert guided(model, image, target=1).tolist() == [[[[2, 0], [0, -8]]]]


def test_the_sign_is_asked_of_the_sum_over_branches():
    # y = 3 h - 5 h with one ReLU h, used twice: the gradient there is 3 - 5 < 0, so nothing passes.
    class Branches(nn.Module):
        def forward(self, x):
            h = x.relu()
            return (3 * h - 5 * h).flatten(1)

    assert guided(Branches(), torch.ones(1, 1, 1, 1), target=1).item() == 0


@pytest.mark.parametrize("name", ["convnet", "in-place", "shared", "shared-in-place"])
def test_equals_captum_where_relus_are_modules(name, build_network, images):
    network = build_network(name)
    ours = guided(network, images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = GuidedBackprop(network.eval()).attribute(images, target=torch.tensor(CLASSES)).detach().numpy()
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_equals_the_reference_with_functional_relus_and_captum_does_not(build_network, images):
    network = build_network("functional").eval()
    statistics = [b.double().numpy() for b in (network.bn.running_mean, network.bn.running_var)]
    steps = (
        lambda x: reference.conv(x, *parameters(network.conv1), padding=1),
        reference.relu,
        reference.max_pool,
        lambda x: reference.conv(x, *parameters(network.conv2)),
        lambda x: reference.batch_norm(x, *statistics, *parameters(network.bn), network.bn.eps),
        reference.relu,
        lambda x: reference.conv(x, *parameters(network.conv3)),
        reference.relu,  # leaves 2 x 2 pixels, which the adaptive pool keeps
        lambda x: reference.linear(x, *parameters(network.hidden)),
        reference.relu,
        lambda x: reference.linear(x, *parameters(network.out)),
    )
    value, backs = images.double().numpy(), []
    for step in steps:
        value, back = step(value)
        backs.append(back)
    np.testing.assert_allclose(value, network(images).detach().numpy(), rtol=1e-4, atol=1e-6)
    gradient = reference.one_hot(CLASSES, 5)
    for back in reversed(backs):
        gradient = back(gradient)
    np.testing.assert_allclose(guided(network, images), gradient, atol=1e-5 * np.abs(gradient).max())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        captum = GuidedBackprop(network).attribute(images, target=torch.tensor(CLASSES)).detach().numpy()
    assert np.abs(captum - gradient).max() > 0.1 * np.abs(gradient).max()


def test_equals_the_reference_with_in_place_branches(build_network, images):
    network = build_network("residual").eval()
    x, first = reference.conv(images.double().numpy(), *parameters(network.conv1), padding=1)
    x, rectified = reference.relu(x)
    long, second = reference.conv(x, *parameters(network.conv2), padding=1)
    short, third = reference.conv(x, *parameters(network.conv3))
    y, summed = reference.relu(long + short)
    y, pooled = reference.mean_pool(y, 3)
    y, out = reference.linear(y, *parameters(network.head))
    np.testing.assert_allclose(y, network(images).detach().numpy(), rtol=1e-4, atol=1e-6)
    gradient = summed(pooled(out(reference.one_hot(CLASSES, 5))))
    gradient = first(rectified(second(gradient) + third(gradient)))
    np.testing.assert_allclose(guided(network, images), gradient, atol=1e-5 * np.abs(gradient).max())


def test_the_plain_gradient_of_the_same_call_is_not_guided(network, images):
    both = explain(network, images, target=CLASSES, methods=("guided_backpropagation", "gradcam"))
    alone = explain(network, images, target=CLASSES, methods="gradcam")
    for layer in alone.layers:
        np.testing.assert_array_equal(both["gradcam", layer], alone["gradcam", layer])
