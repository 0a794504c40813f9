"""Maps that are 0 by mathematics, and rounding noise in floating point."""

import numpy as np
import pytest
import torch
from torch import nn

from glassnet.attribution import explain
from glassnet.attribution.engine.rounding import mean_vanishes, spatial_mean

SIDES = (8, 32, 96)


def seeded(norm, side, dtype=torch.float32):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            norm(8),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Conv2d(8, 8, 3, padding=1),
            norm(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, 3),
        )
        return model.to(dtype), torch.rand(3, 3, side, side, dtype=dtype)


NORMS = {
    "InstanceNorm2d": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "GroupNorm of one channel a group": lambda channels: nn.GroupNorm(channels, channels),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("norm", NORMS)
def test_gradcam_before_an_instance_norm_is_zero_and_it_is_said(norm, side, dtype, capsys):
    model, images = seeded(NORMS[norm], side, dtype)
    explanation = explain(
        model, images, target=1, methods=("gradcam", "layercam"), layers=["0", "1", "3", "4"], batch_size=2
    )
    for layer in ("0", "3"):
        assert not explanation["gradcam", layer].any()
        assert explanation["layercam", layer].any()
    assert explanation["gradcam", "1"].any()
    assert explanation["gradcam", "4"].any()
    said = [line for line in capsys.readouterr().err.splitlines() if "rounding errors" in line]
    assert len(said) == 2
    assert said[0].startswith(
        "Grad-CAM at 0 is 0: the mean gradients of its channels are rounding errors, because what foll"
    )


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, lambda channels: nn.GroupNorm(2, channels), lambda _: nn.Identity()])
def test_honest_maps_keep_every_bit(norm, side, capsys):
    model, images = seeded(norm, side)
    explanation = explain(model, images, target=1, methods="gradcam", layers="conv")
    model.eval()
    for layer in ("0", "3"):
        taken = {}

        def leaf(_module, _inputs, output, taken=taken):
            taken["leaf"] = output.detach().clone().requires_grad_()
            return taken["leaf"].clone()

        with model.get_submodule(layer).register_forward_hook(leaf):
            (gradient,) = torch.autograd.grad(model(images.contiguous())[:, 1].sum(), taken["leaf"])
        assert torch.equal(spatial_mean(gradient), gradient.mean(dim=(2, 3)))
        assert not mean_vanishes(gradient).any()
        assert explanation["gradcam", layer].any()
    assert "rounding errors" not in capsys.readouterr().err


def test_by_hand():
    # Two channels of 4 pixels: sums of exactly 0, of 2^-24 among magnitudes of 4 (an error), and of 0.001 among these.
    zero, error, honest = ([1.0, -1, 1, -1], [1.0, -1, 1, -1 + 2**-24], [1.0, -1, 1, -1.001])
    gradient = torch.tensor([[zero, error], [error, error], [zero, honest], [[0.0] * 4] * 2]).view(4, 2, 2, 2)
    assert mean_vanishes(gradient).tolist() == [True, True, False, False]
    mean = spatial_mean(gradient)
    assert mean[:2].tolist() == [[0, 0]] * 2
    np.testing.assert_array_equal(mean[2:], gradient[2:].mean(dim=(2, 3)))
