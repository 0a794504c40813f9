"""What can be explained: classes in every form, callables, and one sentence for everything else."""

import numpy as np
import pytest
import torch
from torch import nn

from glassnet.attribution import explain
from glassnet.errors import InputError, WorkError


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 5))


@pytest.fixture
def segmenter():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 1))


def test_predicted_is_the_highest_output(model, images):
    explanation = explain(model, images, methods="gradcam")
    output = model(images).detach()
    assert explanation.targets.dtype == np.int64
    np.testing.assert_array_equal(explanation.targets, output.argmax(1))
    np.testing.assert_allclose(explanation.scores, output.max(1).values, rtol=1e-6)
    np.testing.assert_allclose(explanation.output, output, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "target",
    [
        [3, 0, 1, 2, 4, 3, 3],
        (3, 0, 1, 2, 4, 3, 3),
        np.array([3, 0, 1, 2, 4, 3, 3], np.uint8),
        torch.tensor([3, 0, 1, 2, 4, 3, 3]),
    ],
    ids=["list", "tuple", "array", "tensor"],
)
def test_one_class_an_image(model, images, target):
    explanation = explain(model, images, target=target, methods="gradcam", batch_size=3)
    assert explanation.targets.tolist() == [3, 0, 1, 2, 4, 3, 3]
    for i, one in enumerate(target):
        single = explain(model, images[i : i + 1], target=int(one), methods="gradcam")
        np.testing.assert_allclose(explanation["gradcam", "0"][i], single["gradcam", "0"][0], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("target", [2, np.int64(2), torch.tensor(2), np.array(2)])
def test_one_class_for_all(model, images, target):
    assert explain(model, images, target=target, methods="gradcam").targets.tolist() == [2] * 7


def test_a_callable_scores_any_output(segmenter, images):
    region = torch.zeros(12, 12, dtype=torch.bool)
    region[3:6, 4:9] = True
    explanation = explain(
        segmenter, images, target=lambda out: out[:, 2, region].sum(1), methods="gradcam", batch_size=3
    )
    assert explanation.targets is None
    assert explanation.output.shape == (7, 5, 12, 12)
    # d score / dA of the first convolution, by hand: ReLU's mask times the weight of class 2, inside the region.
    first = segmenter[0](images).detach()
    gradient = (first > 0) * region * segmenter[2].weight[2].view(1, 4, 1, 1).detach()
    expected = (gradient.mean((2, 3), keepdim=True) * first).sum(1).relu()
    np.testing.assert_allclose(explanation["gradcam", "0"], expected, atol=1e-6)


def test_a_callable_may_write_into_the_output(segmenter, images):
    mask = torch.arange(144).view(12, 12) % 5 == 0
    explanation = explain(segmenter, images, target=lambda out: out.mul_(mask).sum((1, 2, 3)), methods="gradcam")
    expected = explain(segmenter, images, target=lambda out: (out * mask).sum((1, 2, 3)), methods="gradcam")
    for key, value in expected.maps.items():
        np.testing.assert_array_equal(explanation[key], value)


@pytest.fixture
def autoencoder():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1))


@pytest.mark.parametrize("method", ["gradcam", "saliency", "smoothgrad", "integrated_gradients"])
def test_a_callable_of_two_arguments_gets_the_images_of_its_batch(autoencoder, images, method):
    def closeness(output, x):
        return -((output - x) ** 2).mean((1, 2, 3))

    chunks = explain(autoencoder, images, target=closeness, methods=method, batch_size=3)
    np.testing.assert_allclose(chunks.scores, closeness(autoencoder(images), images).detach(), rtol=1e-5)
    for i, image in enumerate(images.split(1)):
        # Its one image is the same in every pass, so that a function of the output alone can say it.
        alone = explain(autoencoder, image, target=lambda o, x=image: closeness(o, x), methods=method)
        for key, value in alone.maps.items():
            np.testing.assert_allclose(chunks[key][i], value[0], rtol=1e-3, atol=1e-6)


def test_an_option_of_a_callable_is_left_alone(model, images):
    explanation = explain(model, images, target=lambda out, number=3: out[:, number], methods="gradcam")
    np.testing.assert_allclose(explanation.scores, model(images)[:, 3].detach(), rtol=1e-5)


def test_a_callable_that_runs_out_of_memory_says_so(model, images):
    def greedy(_):
        raise torch.OutOfMemoryError

    with pytest.raises(WorkError, match="not enough memory for 3 images at once"):
        explain(model, images, target=greedy, methods="gradcam", batch_size=3)


def test_a_callable_takes_what_is_no_tensor(segmenter, images):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = segmenter

        def forward(self, x):
            return {"out": self.inner(x)}

    explanation = explain(Wrapped(), images, target=lambda o: o["out"].mean((1, 2, 3)), methods="gradcam")
    assert explanation.output is None
    assert explanation.scores.shape == (7,)
    with pytest.raises(
        InputError, match=r"the model's output is a dict, not class scores \(n, classes\); pass as target"
    ):
        explain(Wrapped(), images)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (5, "target 5 is out of range: the model has 5 classes, numbered from 0 to 4"),
        ([0, 1, 2, 3, 4, 5, 0], "target 5 is out of range"),
        (-1, "target -1 is negative"),
        ([0, 1], r"target has shape \(2,\) for 7 images, expected one class number per image"),
        ([], r"target has shape \(0,\) for 7 images"),
        (np.zeros((3, 2), int), r"target has shape \(3, 2\) for 7 images, .* or several, \(7, m\)"),
        ([[1, 2]] * 6 + [[1]], "target has more classes for some images than for others"),
        ([1, [2]] + [1] * 5, "target has more classes for some images than for others"),
        ([[1, 7]], "target 7 is out of range"),
        (np.zeros((7, 1, 1), int), r"target has shape \(7, 1, 1\)"),
        (np.zeros(7), 'target has dtype float64, expected "predicted", a class number, one class number per image'),
        (torch.ones(7, dtype=torch.bool), "target has dtype bool"),
        ("cat", "target is 'cat', expected \"predicted\""),
        (True, "target is True, expected"),
        (1.5, "target is 1.5, expected"),
        (None, "target is None, expected"),
        ([0.5] * 7, r"target is \[0.5, 0.5"),
        (lambda out: out, r"the target callable returned float32 of shape \(7, 5\), expected float of shape \(7,\)"),
        (lambda out: out.argmax(1), r"returned int64 of shape \(7,\), expected float"),
        (lambda out: out.sum(), r"returned float32 of shape \(\)"),
        (lambda out: out["logits"], "the target callable fails on the output for 7 images: "),
        (
            lambda out: out - torch.zeros(4, 5),
            r"fails on .* must match .*images\. If it needs the images, let it take them",
        ),
        (lambda out: 3.0, "the target callable returned a float"),
        (lambda out: out[:, 0] / 0, "NaN or infinite score for 7 of 7 images"),
        (lambda out: out[:, 0].detach(), "no gradient path"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_wrong_target_is_refused_in_one_sentence(model, images, target, message):
    with pytest.raises(InputError, match=message) as caught:
        explain(model, images, target=target, methods="gradcam")
    assert "\n" not in str(caught.value)


def test_a_class_of_an_output_that_has_none_is_refused(segmenter, images):
    message = (
        r"the model's output is of shape \(7, 5, 12, 12\), not class scores \(n, classes\); pass as target a callable"
    )
    with pytest.raises(InputError, match=message):
        explain(segmenter, images, target=0)
