"""Several classes of each image in one call."""

import numpy as np
import pytest
import torch

from glassnet.attribution import METHODS, explain

CLASSES = [[0, 4], [1, 3], [2, 2], [3, 1], [4, 0], [0, 1], [1, 4]]


@pytest.mark.parametrize(
    "target", [CLASSES, np.array(CLASSES), torch.tensor(CLASSES)], ids=["lists", "array", "tensor"]
)
def test_each_class_as_if_alone(build_network, images, target):
    network, methods = build_network("residual"), ("gradcam", "guided_gradcam", "saliency", "integrated_gradients")
    both = explain(network, images, target=target, methods=methods, batch_size=3)
    assert both.targets.tolist() == CLASSES
    assert both.scores.shape == (7, 2)
    assert both["gradcam", "conv1"].shape == (7, 2, 12, 12)
    assert both["guided_gradcam", "conv1"].shape == (7, 2, 3, 12, 12)
    for number in range(2):
        alone = explain(network, images, target=np.array(CLASSES)[:, number], methods=methods)
        np.testing.assert_allclose(both.scores[:, number], alone.scores, rtol=1e-5)
        for key, value in alone.maps.items():
            np.testing.assert_allclose(both[key][:, number], value, atol=1e-5 * np.abs(value).max())
        for key, value in alone.raw.items():
            assert both.raw[key][:, number].shape == value.shape


def test_the_same_classes_of_every_image(build_network, images):
    network = build_network("convnet")
    short = explain(network, images, target=[[3, 1, 0]], methods="gradcam")
    long = explain(network, images, target=[[3, 1, 0]] * 7, methods="gradcam")
    assert short.targets.tolist() == [[3, 1, 0]] * 7
    for key, value in long.maps.items():
        np.testing.assert_array_equal(short[key], value)


def test_one_class_in_a_list_keeps_its_axis(build_network, images):
    explanation = explain(build_network("convnet"), images, target=[[2]], methods="gradcam", layers="last-conv")
    assert explanation["gradcam", "conv4"].shape == (7, 1, 12, 12)


def test_it_costs_one_forward_pass(build_network, images, monkeypatch):
    network, forwards, backwards = build_network("convnet"), [], []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **options: backwards.append(1) or grad(*args, **options))
    # Passes of all images; those of one tell how images may lie in memory.
    network.register_forward_pre_hook(lambda _, taken: forwards.append(1) if len(taken[0]) == len(images) else None)
    methods = [name for name in METHODS if name in ("gradcam", "guided_gradcam", "layercam", "saliency")]
    explain(network, images, target=[[0, 1, 2]], methods=methods)
    assert (len(forwards), len(backwards)) == (1, 3 * 2)
