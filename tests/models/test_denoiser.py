"""A denoiser without a code: any size, the level as an input, the noise as the output."""

import math

import numpy as np
import pytest
import torch

import glassnet as gn
from glassnet.data.augment.noise import NoiseCorruption, parse_noise
from glassnet.errors import InputError
from glassnet.models.denoiser import check_denoising, estimate_level, self_ensemble
from glassnet.models.features import extract_features
from glassnet.models.inference import predict
from glassnet.tasks.reconstruction.learn import negative_psnr

SMALL = {"filters": (4, 8), "blocks": 1}


def create(*, channels=1, seed=0, **options):
    torch.manual_seed(seed)
    return gn.create_model("unet_denoiser", in_channels=channels, image_size=16, **{**SMALL, **options})


def trained_ends(model):
    """Give the last layer weights, so that there is something to see."""
    with torch.no_grad():
        model.tail.weight.normal_(std=0.1)
    return model


def pictures(n=4, channels=1, size=16):
    """Smooth waves in the middle of the range."""
    along = torch.linspace(0, math.pi, size)
    waves = [0.5 + 0.3 * torch.outer(torch.sin((k + 1) * along), torch.cos(along)) for k in range(n)]
    return torch.stack(waves)[:, None].repeat(1, channels, 1, 1)


def noisy(images, level, seed=1):
    return images + level * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(16, 16), (17, 31), (1, 5), (28, 28), (3, 2)])
def test_any_size_and_colour(channels, shape):
    model = trained_ends(create(channels=channels)).eval()
    images = torch.rand(2, channels, *shape)
    with torch.no_grad():
        output = model(images)
    assert output.shape == images.shape
    assert output.isfinite().all()
    assert 0 <= output.min() <= output.max() <= 1


def test_padding_repeats_the_edge_and_is_cut():
    """An image of odd size gives what its padded self gives, cut."""
    model, image = trained_ends(create(filters=(4, 4, 4))), torch.rand(1, 1, 7, 10)
    padded = torch.cat([image, image[:, :, -1:]], dim=2)
    padded = torch.cat([padded, padded[..., -1:], padded[..., -1:]], dim=3)
    with torch.no_grad():
        torch.testing.assert_close(model(image, 0.1), model(padded, 0.1)[..., :7, :10])


def test_it_begins_by_giving_the_image_back_and_predicts_the_noise():
    model, images = create(), torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(model(images), images)
        model.tail.bias.fill_(0.25)
        torch.testing.assert_close(model(images), images - 0.25)
        assert model.eval()(images).min() == 0  # cut to the range outside training only


def test_the_level_is_an_input_of_each_image():
    model, images = trained_ends(create()), pictures(2)
    with torch.no_grad():
        weak, strong = model(images, 0.02), model(images, 0.5)
        mixed = model(images, torch.tensor([0.02, 0.5]))
    assert not torch.allclose(weak, strong, atol=1e-3)
    torch.testing.assert_close(mixed, torch.stack([weak[0], strong[1]]))
    level = estimate_level(images)
    with torch.no_grad():
        torch.testing.assert_close(model(images), model(images, level))


@pytest.mark.parametrize("level", [0.02, 0.1, 0.3])
def test_the_level_is_estimated_from_the_image(level):
    images = pictures(3, channels=3, size=64)
    found = estimate_level(noisy(images, level))
    assert found.tolist() == pytest.approx([level] * 3, rel=0.08)
    assert estimate_level(torch.full((2, 1, 9, 9), 0.4)).tolist() == [0, 0]
    assert estimate_level(torch.rand(2, 1, 1, 9)).tolist() == [0, 0]


def test_the_estimate_by_hand():
    """Two squares of two by two: (9 - 2 - 3 + 4) / 2 = 4 and (1 - 1 - 1 + 2) / 2 = 1/2; the lower median is 1/2."""
    image = torch.tensor([[9.0, 2.0, 1.0, 1.0], [3.0, 4.0, 1.0, 2.0]])[None, None]
    assert estimate_level(image).item() == pytest.approx(0.5 / 0.6745)


def test_the_estimate_is_scikit_image_s():
    restoration = pytest.importorskip("skimage.restoration")
    pytest.importorskip("pywt")
    image = noisy(pictures(1, size=64), 0.1)
    theirs = restoration.estimate_sigma(image[0, 0].numpy())
    assert estimate_level(image).item() == pytest.approx(theirs, rel=0.1)


def test_it_learns_one_batch_to_the_last_bit_of_its_noise():
    """Four images with one draw of noise each, 150 steps: far above what is put in."""
    model, clean = create(filters=(8, 16)), pictures(4)
    given = noisy(clean, 0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    before = float(negative_psnr(given, clean).mean())
    for _ in range(150):
        loss = negative_psnr(model(given), clean).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert before == pytest.approx(-20, abs=0.6)
    assert loss.item() < -30


def test_the_loss_by_hand():
    one, other = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    one[0] += 0.1
    one[1, 0, 0, 0] = 0.02
    assert negative_psnr(one, other).tolist() == pytest.approx([-20, -40], abs=1e-2)
    assert negative_psnr(other, other).tolist() == pytest.approx([-80, -80])


def test_gradients_reach_every_weight_and_the_image():
    model, images = trained_ends(create()), torch.rand(2, 1, 10, 14, requires_grad=True)
    gradients = torch.autograd.grad(model(images).square().mean(), [images, *model.parameters()])
    assert all(gradient.isfinite().all() and gradient.abs().sum() > 0 for gradient in gradients)


def test_the_table_features_and_maps():
    model, images = trained_ends(create(channels=3)).eval(), torch.rand(4, 3, 16, 16)
    rows = gn.layer_table(model, (1, 3, 16, 16))
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in model.parameters())
    assert extract_features(model, images, ["middle.0.conv2"])["middle.0.conv2"].shape == (4, 8)
    explained = gn.explain(
        model, images, target=lambda output: output.square().mean(dim=(1, 2, 3)), layers=["head", "middle.0.conv2"]
    )
    assert explained["gradcam", "head"].shape == (4, 16, 16)
    np.testing.assert_allclose(predict(model, images, batch_size=3), model(images).detach(), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": (8,)}, r"filters is \(8,\), expected two or more positive numbers"),
        ({"filters": (8, 0)}, r"filters is \(8, 0\), expected two or more"),
        ({"blocks": 0}, r"blocks is 0, expected at least 1"),
    ],
)
def test_options_that_no_such_network_has(options, message):
    with pytest.raises(InputError, match=message):
        create(**options)


def test_a_training_without_noise_is_refused():
    with pytest.raises(InputError, match=r"learns to remove noise, but --noise is none; give a noise, such as"):
        check_denoising(create(), "none")
    check_denoising(create(), "gaussian:0.1")
    check_denoising(torch.nn.Identity(), "none")


def test_a_range_of_levels_gives_each_image_its_own():
    images = torch.full((200, 1, 24, 24), 0.5)
    corruption = NoiseCorruption(parse_noise("gaussian:0.02-0.12"))
    drawn = corruption.draw((200, 1, 24, 24), torch.Generator().manual_seed(0))
    given, clean = corruption.apply(images, drawn)
    levels = (given - clean).flatten(1).std(dim=1)
    assert torch.equal(clean, images)
    assert levels.min() > 0.017
    assert levels.max() < 0.13
    assert levels.mean().item() == pytest.approx(0.07, abs=0.005)
    assert levels.std().item() == pytest.approx(0.1 / math.sqrt(12), rel=0.15)
    alone, _ = corruption.apply(images[:3], drawn[:3])
    assert torch.equal(alone, given[:3])
    single = NoiseCorruption(parse_noise("gaussian:0.1"))
    whole = single.draw((5, 1, 4, 4), torch.Generator().manual_seed(0))
    ranged = corruption.draw((5, 1, 4, 4), torch.Generator().manual_seed(0))
    assert torch.equal(ranged[:, :1], whole)  # the same normal numbers, more of them or less


@pytest.mark.parametrize(
    "text", ["gaussian:0.5-0.02", "gaussian:0.1-", "gaussian:-0.1", "gaussian:0.1-0.1", "mask:0.2-2"]
)
def test_a_range_that_is_none(text):
    with pytest.raises(InputError, match=r"expected a .* above 0 and at most 1, as in .*or the least and the most"):
        parse_noise(text)


def test_a_small_amount_in_exponents_is_no_range():
    assert parse_noise("gaussian:5e-2").amount == 0.05
    assert parse_noise("gaussian:5e-2").least is None


class Leftmost(torch.nn.Module):
    """Takes the level off the leftmost column only."""

    def forward(self, images, level):
        clean = images.clone()
        clean[..., 0] -= level
        return clean


def test_the_mean_over_eight_orientations_by_hand():
    """Each edge is the leftmost column in two of the eight; a corner is on two edges."""
    clean = self_ensemble(Leftmost(), torch.ones(1, 1, 3, 3), 0.4)
    edge, corner = 1 - 0.4 * 2 / 8, 1 - 0.4 * 4 / 8
    expected = torch.tensor([[corner, edge, corner], [edge, 1.0, edge], [corner, edge, corner]])
    torch.testing.assert_close(clean[0, 0], expected)


def test_eight_orientations_of_a_turned_image_are_the_turned_result():
    model, images = trained_ends(create()).eval(), torch.rand(2, 1, 16, 12)
    whole = self_ensemble(model, images, 0.1)
    assert not whole.requires_grad
    for turned in (lambda x: x.rot90(1, (2, 3)), lambda x: x.flip(3)):
        torch.testing.assert_close(self_ensemble(model, turned(images), 0.1), turned(whole))
        assert not torch.allclose(model(turned(images), 0.1), turned(model(images, 0.1)), atol=1e-3)
