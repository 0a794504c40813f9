"""How near an image is to another one: mean squared error, peak signal-to-noise ratio, structural similarity."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from glassnet.errors import InputError

Images = Float[Tensor, "n channel height width"]
PerImage = Float[Tensor, " n"]
Array = TypeVar("Array", Tensor, np.ndarray)

WINDOW_PIXELS = 7
SMALLEST_ERROR = 1e-10
"""Mean squared error that counts as none, so that equal images have 100 dB and no infinity enters a mean."""


def mean_squared_error(images: Images, references: Float[Tensor, "..."]) -> PerImage:
    """Mean of (x - y)² over an image's pixels and channels.

    Raises:
        InputError: The two have different shapes.
    """
    if images.shape != references.shape:
        got = f"{tuple(images.shape)} and {tuple(references.shape)}"
        raise InputError(f"images and references have shapes {got}, expected the same shape.")
    return (images - references).square().flatten(1).mean(dim=1)


def psnr(images: Images, references: Float[Tensor, "..."]) -> PerImage:
    """Peak signal-to-noise ratio of images in [0, 1]: -10 log10(MSE), in dB; 100 dB at most.

    Raises:
        InputError: The two have different shapes.
    """
    return -10 * mean_squared_error(images, references).clamp(min=SMALLEST_ERROR).log10()


def ssim(images: Images, references: Float[Tensor, "..."]) -> PerImage:
    """Structural similarity of images in [0, 1], averaged over windows of 7 by 7 pixels and over channels; 1 at most.

    SSIM = (2 m_x m_y + C1)(2 c_xy + C2) / ((m_x² + m_y² + C1)(v_x + v_y + C2)), C1 = 0.01², C2 = 0.03², of the windows
    that lie wholly inside the image; variances and the covariance have n - 1 in the denominator, as in scikit-image.

    Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861, equation 13.

    Raises:
        InputError: The two have different shapes, or are smaller than a window.
    """
    if images.shape != references.shape or min(images.shape[2:]) < WINDOW_PIXELS:
        got = f"{tuple(images.shape)} and {tuple(references.shape)}"
        raise InputError(
            f"images and references have shapes {got}, expected the same shape, with sides of at least "
            f"{WINDOW_PIXELS} pixels."
        )
    x, y = images.double(), references.double()  # E[x²] - E[x]² loses half of the digits
    count = WINDOW_PIXELS**2
    by_window = ssim_of_windows(x, y, _window_mean, unbiased=count / (count - 1))
    return by_window.flatten(1).mean(dim=1).to(torch.float32)


def _window_mean(values: Tensor) -> Tensor:
    return F.avg_pool2d(values, WINDOW_PIXELS, stride=1)


def ssim_of_windows(x: Array, y: Array, window_mean: Callable[[Array], Array], *, unbiased: float = 1.0) -> Array:
    """Structural similarity window by window, the formula of `ssim`.

    Args:
        x: Images in [0, 1], in double precision.
        y: Images of the same shape.
        window_mean: From an image to its mean in the window around each place: what the windows are.
        unbiased: What variances and the covariance are multiplied by, n / (n - 1) for windows of n equal pixels.
    """
    mean_x, mean_y = window_mean(x), window_mean(y)
    variance_x = unbiased * (window_mean(x * x) - mean_x**2)
    variance_y = unbiased * (window_mean(y * y) - mean_y**2)
    covariance = unbiased * (window_mean(x * y) - mean_x * mean_y)
    c1, c2 = 0.01**2, 0.03**2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return above / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))


QUALITY = {"mse": mean_squared_error, "psnr": psnr, "ssim": ssim}
"""Measures of an image beside its original: mean squared error, dB, and structural similarity."""
