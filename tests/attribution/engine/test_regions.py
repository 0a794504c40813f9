import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet.attribution.engine.targets import largest_classes, segmented_region
from glassnet.errors import InputError


class Tiny(nn.Sequential):
    """Two convolutions: four channels, then three classes a pixel."""

    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return Tiny().double().eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 1, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def slow(model, image, label):
    """Equation 2 of the paper, pixel by pixel: the sum over the region of dy_ij / dA_k, averaged over the layer."""
    activation = model[0](image[None]).detach().requires_grad_()
    logits = model[2](model[1](activation))[0]
    region = (logits.argmax(dim=0) == label).nonzero().tolist()
    weights = torch.zeros(4, dtype=torch.float64)
    for i, j in region:
        (gradient,) = torch.autograd.grad(logits[label, i, j], activation, retain_graph=True)
        for k in range(4):
            weights[k] += gradient[0, k].sum() / (5 * 6)
    return (weights[:, None, None] * activation[0].detach()).sum(dim=0).clamp(min=0)


def test_grad_cam_of_a_region_equals_a_slow_reference(model, images):
    with torch.no_grad():
        present = model(images).argmax(dim=1).unique().tolist()
    assert len(present) > 1
    for label in present:
        found = gn.explain(model, images, target=segmented_region(label), layers="0", methods="gradcam")
        for row, image in enumerate(images):
            expected = slow(model, image, label).float()
            torch.testing.assert_close(torch.from_numpy(found.raw["gradcam", "0"][row]), expected, rtol=1e-4, atol=1e-6)


def test_the_largest_class_but_the_background_is_taken():
    predicted = torch.tensor([[[0, 0, 0, 0], [2, 2, 1, 0]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
    assert largest_classes(predicted, 3).tolist() == [2, 0]
    logits = torch.nn.functional.one_hot(predicted, 3).permute(0, 3, 1, 2).float()
    assert segmented_region()(logits).tolist() == [2, 7 + 1]


def test_a_class_that_is_nowhere_has_the_score_0(model, images):
    logits = torch.zeros(2, 3, 4, 4)
    logits[:, 0] = 1
    assert segmented_region(2)(logits).tolist() == [0, 0]


def test_what_is_no_segmentation_is_refused():
    with pytest.raises(InputError, match=r"the output has shape \(2, 3\), expected \(n, classes, height, width\)"):
        segmented_region()(torch.zeros(2, 3))
    with pytest.raises(InputError, match="with class 3"):
        segmented_region(3)(torch.zeros(2, 3, 4, 4))
