import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from glassnet.errors import InputError
from glassnet.tasks.reconstruction.image_quality import mean_squared_error, psnr, ssim


def noisy_pair(channels, size):
    generator = torch.Generator().manual_seed(channels)
    images = torch.rand(3, channels, size, size, generator=generator)
    images[0, :, : size // 2] = 0  # flat parts, as the ground of a digit
    return (images + 0.2 * torch.randn(images.shape, generator=generator)).clamp(0, 1), images


def test_psnr_by_hand():
    black, grey = torch.zeros(2, 1, 8, 8), torch.full((2, 1, 8, 8), 0.1)
    assert mean_squared_error(black, grey).tolist() == pytest.approx([0.01, 0.01])
    assert psnr(black, grey).tolist() == pytest.approx([20.0, 20.0])
    assert psnr(black, black).tolist() == pytest.approx([100.0, 100.0])  # and not infinite


def test_ssim_by_hand():
    # two flat images have no variance: SSIM is that of their means
    dark, light = torch.full((1, 1, 7, 7), 0.2), torch.full((1, 1, 7, 7), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert ssim(dark, light).item() == pytest.approx(expected, rel=1e-5)
    assert ssim(dark, dark).item() == pytest.approx(1)


def test_a_checkerboard_and_its_negative():
    board = ((torch.arange(7)[:, None] + torch.arange(7)) % 2).float().view(1, 1, 7, 7)
    mean, other = 24 / 49, 25 / 49
    variance = (24 * 25) / 49**2 * 49 / 48
    above = (2 * mean * other + 1e-4) * (-2 * variance + 9e-4)
    below = (mean**2 + other**2 + 1e-4) * (2 * variance + 9e-4)
    assert ssim(board, 1 - board).item() == pytest.approx(above / below, rel=1e-4)


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (3, 9)])
def test_both_equal_scikit_image(channels, size):
    noisy, images = noisy_pair(channels, size)
    for i in range(3):
        a, b = noisy[i].double().numpy(), images[i].double().numpy()
        assert psnr(noisy, images)[i].item() == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), rel=1e-5)
        oracle = structural_similarity(a, b, data_range=1, channel_axis=0)
        assert ssim(noisy, images)[i].item() == pytest.approx(oracle, rel=1e-5)


def test_shapes_that_do_not_fit():
    with pytest.raises(InputError, match=r"shapes \(1, 1, 8, 8\) and \(1, 1, 8, 9\), expected the same"):
        psnr(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 9))
    with pytest.raises(InputError, match="with sides of at least 7 pixels"):
        ssim(torch.zeros(1, 1, 6, 6), torch.zeros(1, 1, 6, 6))


def test_a_larger_error_is_never_a_higher_psnr():
    clean = torch.zeros(1, 1, 8, 8)
    found = [psnr(torch.full_like(clean, error), clean).item() for error in np.linspace(0.01, 1, 20)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(0, abs=1e-6)
    assert math.isfinite(found[0])
