import pytest
import torch

from glassnet.data.augment.noise import Noise, NoiseCorruption, parse_noise
from glassnet.errors import InputError

SHAPE = (40, 3, 16, 16)


def corrupted(noise, images, seed=0, **how):
    one = NoiseCorruption(parse_noise(noise), **how)
    return one.apply(images, one.draw(tuple(images.shape), torch.Generator().manual_seed(seed)))


def test_gaussian_has_its_deviation_and_stays_in_range():
    noisy, clean = corrupted("gaussian:0.1", torch.full(SHAPE, 0.5))
    assert (noisy - clean).std().item() == pytest.approx(0.1, rel=0.02)
    assert (noisy - clean).mean().item() == pytest.approx(0, abs=0.002)
    dark, _ = corrupted("gaussian:0.1", torch.zeros(SHAPE))
    assert dark.min() == 0
    assert (dark == 0).float().mean().item() == pytest.approx(0.5, abs=0.01)


def test_saltpepper_strikes_whole_pixels():
    noisy, _ = corrupted("saltpepper:0.2", torch.full(SHAPE, 0.5))
    assert torch.equal(noisy[:, 0], noisy[:, 2])
    shares = [(noisy[:, 0] == value).float().mean().item() for value in (0, 1, 0.5)]
    assert shares == pytest.approx([0.1, 0.1, 0.8], abs=0.01)


def test_mask_sets_pixels_to_black():
    noisy, _ = corrupted("mask:0.25", torch.full(SHAPE, 0.7))
    assert (noisy[:, 0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert torch.equal(noisy[:, 0], noisy[:, 1])
    assert sorted(noisy.unique().tolist()) == [0, pytest.approx(0.7)]


def test_by_hand():
    images, drawn = torch.tensor([0.2, 0.9]).view(1, 1, 1, 2), torch.tensor([-1.0, 2.0]).view(1, 1, 1, 2)
    noisy, clean = NoiseCorruption(Noise("gaussian", 0.1)).apply(images, drawn)
    assert noisy.flatten().tolist() == pytest.approx([0.1, 1.0])  # 1.1 is clipped
    assert torch.equal(clean, images)
    drawn = torch.tensor([0.04, 0.06]).view(1, 1, 1, 2)
    assert NoiseCorruption(Noise("saltpepper", 0.1)).apply(images, drawn)[0].flatten().tolist() == [1.0, 0.0]


def test_binarised_pixels_are_input_and_target():
    grey = torch.full(SHAPE, 0.3)
    noisy, target = corrupted("none", grey, binarize=True)
    assert torch.equal(noisy, target)
    assert set(target.unique().tolist()) == {0.0, 1.0}
    assert target.mean().item() == pytest.approx(0.3, abs=0.01)
    noisy, target = corrupted("mask:0.5", grey, binarize=True)
    assert torch.equal(noisy[noisy > 0], target[noisy > 0])
    assert noisy.sum() < 0.6 * target.sum()


@pytest.mark.parametrize("noise", ["gaussian:0.3", "saltpepper:0.1", "mask:0.25", "none"])
def test_the_same_seed_the_same_noise(noise):
    images = torch.rand(SHAPE, generator=torch.Generator().manual_seed(5))
    for binarize in (False, True):
        first, second = (corrupted(noise, images, seed=1, binarize=binarize)[0] for _ in range(2))
        other = corrupted(noise, images, seed=2, binarize=binarize)[0]
        assert torch.equal(first, second)
        assert torch.equal(first, other) == (noise == "none" and not binarize)


@pytest.mark.parametrize(
    "text", ["gausian:0.3", "gaussian", "gaussian:x", "gaussian:0", "mask:1.5", "saltpepper:nan", ""]
)
def test_a_noise_model_misspelt(text):
    with pytest.raises(InputError, match=r"as in gaussian:0\.3, saltpepper:0\.1 or mask:0\.25") as caught:
        parse_noise(text)
    kind = text.partition(":")[0]
    if kind == "gausian":
        assert "no noise model 'gausian'. Did you mean gaussian?" in str(caught.value)
    if kind in ("mask", "saltpepper"):
        assert "expected a share of the pixels above 0 and at most 1" in str(caught.value)
