import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import glassnet as gn
from glassnet.attribution.faithfulness import confidence_change, deletion_insertion, faithfulness
from glassnet.attribution.faithfulness.hiding import blurred
from glassnet.errors import InputError


class Sum(nn.Module):
    """Class 1 scores the sum of the first column, class 0 nothing."""

    def forward(self, x):
        score = x[:, 0, :, 0].sum(dim=1)
        return torch.stack([torch.zeros_like(score), score], dim=1)


IMAGE = np.array([[[[2.0, 0.0], [1.0, 1.0]]]], dtype=np.float32)  # its mean is 1
MAP = np.array([[[0.9, 0.1], [0.5, 0.2]]])


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, dtype=float)))


def test_curves_worked_out_by_hand():
    # In the map's order 2, 1 (lower left), 1 (lower right), 0 go. Score = sum of the left column.
    found = deletion_insertion(Sum(), IMAGE, MAP, [1], steps=4, deleted="black", inserted="black")
    np.testing.assert_allclose(found.fractions, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found.deletion, [sigmoid([3, 1, 0, 0, 0])], rtol=1e-6)
    np.testing.assert_allclose(found.insertion, [sigmoid([0, 2, 3, 3, 3])], rtol=1e-6)
    a, b, half = sigmoid(3), sigmoid(1), 0.5
    np.testing.assert_allclose(found.deletion_area, [((a + b) / 2 + (b + half) / 2 + 2 * half) / 4], rtol=1e-6)
    mean = deletion_insertion(Sum(), IMAGE, MAP, [1], steps=4)
    np.testing.assert_allclose(mean.deletion, [sigmoid([3, 2, 2, 2, 2])], rtol=1e-6)


def test_drop_and_increase_worked_out_by_hand():
    # The map over its maximum leaves 2 * 1 + 1 * 5/9 of 3; of class 0 the rest, which rises.
    after = 2 + 5 / 9
    drop, increase = confidence_change(Sum(), IMAGE, MAP, [1])
    np.testing.assert_allclose(drop, [(sigmoid(3) - sigmoid(after)) / sigmoid(3)], rtol=1e-5)
    assert increase.tolist() == [0]
    drop, increase = confidence_change(Sum(), IMAGE, MAP, [0])
    assert (drop.tolist(), increase.tolist()) == ([0], [1])
    drop, _ = confidence_change(Sum(), IMAGE, np.zeros((1, 2, 2)), [1])  # nothing marked: a black image
    np.testing.assert_allclose(drop, [(sigmoid(3) - 0.5) / sigmoid(3)], rtol=1e-5)


def slow(model, image, values, target, steps, seed_order):
    """One image, one pixel count after the other, as in the paper's algorithm 1."""
    pixels = values.size
    cuts = [round(k * pixels / steps) for k in range(steps + 1)]
    order = sorted(range(pixels), key=lambda p: -values.flat[p])
    ground = image.mean(dim=(1, 2), keepdim=True).expand_as(image)
    start = blurred(image[None])[0]
    deletion, insertion = [], []
    for cut in cuts:
        without, only = image.clone(), start.clone()
        for p in order[:cut]:
            row, column = divmod(p, image.shape[2])
            without[:, row, column] = ground[:, row, column]
            only[:, row, column] = image[:, row, column]
        for frame, curve in ((without, deletion), (only, insertion)):
            with torch.no_grad():
                curve.append(float(model(frame[None]).softmax(1)[0, target]))
    return deletion, insertion


@pytest.mark.parametrize("batch_size", [1, 13, 500])
def test_curves_equal_a_slow_reference_whatever_the_batches(build_network, images, batch_size):
    model = build_network("in-place").eval()
    maps = np.random.default_rng(0).random((7, 12, 12))
    targets = np.arange(7) % 5
    found = deletion_insertion(model, images, maps, targets, steps=9, batch_size=batch_size)
    for n in (0, 6):
        deletion, insertion = slow(model, images[n], maps[n], targets[n], 9, None)
        np.testing.assert_allclose(found.deletion[n], deletion, rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(found.insertion[n], insertion, rtol=2e-5, atol=1e-6)


def test_the_ends_of_the_curves_are_the_image_and_its_ground(build_network, images):
    model = build_network("convnet")
    found = deletion_insertion(model, images, np.zeros((7, 12, 12)), np.zeros(7, int), steps=3)
    model.eval()
    with torch.no_grad():
        whole = model(images).softmax(1)[:, 0].numpy()
        flat = model(images.mean(dim=(2, 3), keepdim=True).expand_as(images)).softmax(1)[:, 0].numpy()
    np.testing.assert_allclose(found.deletion[:, 0], whole, rtol=1e-4)
    np.testing.assert_allclose(found.insertion[:, -1], whole, rtol=1e-4)
    np.testing.assert_allclose(found.deletion[:, -1], flat, rtol=1e-4)


def test_the_blur_is_a_gaussians_and_keeps_a_flat_image():
    point = torch.zeros(1, 1, 33, 33)
    point[0, 0, 16, 16] = 1
    sigma = 33 / 8
    offsets = np.arange(-16, 17)
    window = np.exp(-0.5 * (offsets / sigma) ** 2) * (np.abs(offsets) <= round(3 * sigma))
    window /= window.sum()
    np.testing.assert_allclose(blurred(point)[0, 0].numpy(), np.outer(window, window), atol=1e-6)
    torch.testing.assert_close(blurred(torch.full((1, 3, 9, 5), 0.3)), torch.full((1, 3, 9, 5), 0.3))


def test_all_numbers_of_an_explanation_and_a_clean_model(build_network, images):
    model = build_network("convnet")
    explanation = gn.explain(model, images, layers=["conv1", "conv4"])
    mask = images.numpy().mean(axis=1) > 0.5
    found = faithfulness(model, images, explanation, mask=mask, steps=5)
    assert set(found.numbers) == set(explanation.maps)
    for key, numbers in found.numbers.items():
        assert list(numbers) == ["deletion", "insertion", "average_drop", "increase", "mask_share", "pointing_game"]
        drawn = deletion_insertion(model, images, explanation.maps[key], explanation.targets, steps=5)
        assert numbers["deletion"].mean == pytest.approx(drawn.deletion_area.mean())
        low, high = numbers["insertion"].low, numbers["insertion"].high
        assert low <= numbers["insertion"].mean <= high
        assert numbers["increase"].high - numbers["increase"].low > 0.1  # Wilson's, also where all or none are hits
    assert "mask_share" not in faithfulness(model, images, explanation, steps=2).numbers["gradcam", "conv1"]
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_a_model_that_raises_is_left_clean(build_network, images):
    model = build_network("convnet")
    model.fc2.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(InputError, match=r"ConvNet fails on images .* division by zero"):
        deletion_insertion(model, images, np.zeros((7, 12, 12)), np.zeros(7, int))
    with pytest.raises(InputError, match=r"ConvNet fails on images .* division by zero"):
        confidence_change(model, images, np.zeros((7, 12, 12)), np.zeros(7, int))
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(p.requires_grad for p in model.parameters())


def test_what_does_not_fit_is_refused(build_network, images):
    model, maps = build_network("convnet"), np.zeros((7, 12, 12))
    with pytest.raises(InputError, match=r"maps have shape \(7, 6, 6\), expected one value per pixel"):
        deletion_insertion(model, images, maps[:, :6, :6], np.zeros(7, int))
    with pytest.raises(InputError, match=r"targets have shape \(3,\), expected \(7,\)"):
        deletion_insertion(model, images, maps, np.zeros(3, int))
    with pytest.raises(InputError, match="steps is 0, expected a whole number from 1 to 144"):
        deletion_insertion(model, images, maps, np.zeros(7, int), steps=0)
    with pytest.raises(InputError, match="target 9 is out of range: the model has 5 classes"):
        confidence_change(model, images, maps, np.full(7, 9))
    with pytest.raises(InputError, match="target -1 is negative; class numbers start at 0"):
        deletion_insertion(model, images, maps, np.full(7, -1))
    with pytest.raises(InputError, match="targets are of type float64, expected whole numbers"):
        deletion_insertion(model, images, maps, np.full(7, 0.5))  # was taken for class 0
    with pytest.raises(InputError, match=r"output is of shape .* not class scores \(n, classes\)"):
        deletion_insertion(nn.Conv2d(3, 2, 1), images, maps, np.zeros(7, int))


def test_a_map_of_what_matters_deletes_faster_than_one_of_what_does_not():
    class Corner(nn.Module):
        def forward(self, x):
            score = 8 * F.avg_pool2d(x, 4)[:, 0, 0, 0]
            return torch.stack([torch.zeros_like(score), score - 4], dim=1)

    images = torch.rand(6, 1, 12, 12, generator=torch.Generator().manual_seed(0)) * 0.2
    images[:, :, :4, :4] += 0.8
    right = np.zeros((6, 12, 12))
    right[:, :4, :4] = 1
    good, bad = (deletion_insertion(Corner(), images, maps, np.ones(6, int)) for maps in (right, 1 - right))
    assert (good.deletion_area < bad.deletion_area).all()
    assert (good.insertion_area > bad.insertion_area).all()
