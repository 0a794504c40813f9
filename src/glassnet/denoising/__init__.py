"""What a user would do without a network: classical denoisers, each at the strength that serves it best.

A denoiser is a function of images in [0, 1], the deviation of their noise and a strength. A new one is such a function
and one line in DENOISERS.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["DENOISERS", "Denoiser", "Pictures"]

Pictures = Float[np.ndarray, "n channel height width"]

PATCH_PIXELS, REACH_PIXELS = 5, 6
"""Of non-local means: side of the patches that are compared, and how far away they lie at most."""


def unchanged(noisy: Pictures, _deviation: float, _strength: float) -> Pictures:
    """Return the noisy images as they are: what doing nothing costs."""
    return noisy


def median(noisy: Pictures, _deviation: float, strength: float) -> Pictures:
    """Return images whose values are medians of windows of `strength` by `strength` pixels, channel by channel.

    The image is mirrored at its border (edge pixels twice).

    Tukey 1977, Exploratory Data Analysis, chapter 7.
    """
    from scipy.ndimage import median_filter

    side = int(strength)
    return median_filter(noisy, size=(1, 1, side, side), mode="reflect")


def nonlocal_means(noisy: Pictures, deviation: float, strength: float) -> Pictures:
    """Return means weighted by exp(-max(d² - 2 s², 0) / h²), d² the mean squared difference of small patches.

    s is the noise's standard deviation and h = strength x s; patches of 5 pixels a side, up to 6 pixels away, are
    compared. It is scikit-image's fast version, whose sums over patches are those of Darbon et al. 2008.

    Buades, Coll and Morel 2005, https://doi.org/10.1109/CVPR.2005.38; Darbon et al. 2008,
    https://doi.org/10.1109/ISBI.2008.4541250.
    """
    cleaned = [_nonlocal_means_of_one(image, deviation, strength) for image in noisy.astype(np.float64)]
    return np.stack(cleaned).astype(noisy.dtype)


def _nonlocal_means_of_one(
    image: Float[np.ndarray, "channel height width"], deviation: float, strength: float
) -> Float[np.ndarray, "channel height width"]:
    from skimage.restoration import denoise_nl_means

    single = len(image) == 1  # with an axis for its one channel, scikit-image would give it back on its side
    cleaned = denoise_nl_means(
        image[0] if single else image,
        patch_size=PATCH_PIXELS,
        patch_distance=REACH_PIXELS,
        h=strength * deviation,
        sigma=deviation,
        fast_mode=True,
        channel_axis=None if single else 0,
    )
    return cleaned.reshape(image.shape).clip(0, 1)


def bm3d_installed() -> bool:
    """Tell whether the package bm3d is installed."""
    return importlib.util.find_spec("bm3d") is not None


def bm3d(noisy: Pictures, deviation: float, strength: float) -> Pictures:
    """Return images denoised by BM3D for noise of standard deviation strength x deviation.

    Dabov et al. 2007, https://doi.org/10.1109/TIP.2007.901238; the package bm3d, whose licence allows no commercial
    use, is an extra for that reason.
    """
    import bm3d as package

    cleaned = []
    for image in noisy.astype(np.float64):
        height, width = image.shape[1:]
        one = package.bm3d_rgb(image.transpose(1, 2, 0), strength * deviation) if len(image) == 3 else None
        if one is None:
            one = np.stack([package.bm3d(plane, strength * deviation) for plane in image], axis=-1)
        cleaned.append(np.asarray(one).reshape(height, width, -1).transpose(2, 0, 1))
    return np.stack(cleaned).astype(noisy.dtype).clip(0, 1)


@dataclass(frozen=True)
class Denoiser:
    """A classical denoiser with the strengths to choose from.

    Attributes:
        title: As tables name it.
        denoise: (images in [0, 1], standard deviation of their noise, strength) to images.
        strengths: Tried on training images; the one of the highest mean PSNR is used.
        limit: It is run on so many test images at most, the first ones; None for all. The slow ones have a limit.
        available: Whether what it needs is installed.
        needs: The command that installs it.
        threads: Whether several threads may denoise at once, each its own images.
    """

    title: str
    denoise: Callable[[Pictures, float, float], Pictures]
    strengths: tuple[float, ...] = (1.0,)
    limit: int | None = None
    available: Callable[[], bool] = lambda: True
    needs: str = ""
    threads: bool = True


DENOISERS: dict[str, Denoiser] = {
    "noisy": Denoiser("noisy input", unchanged),
    "median": Denoiser("median filter", median, (3, 5)),
    "nonlocal_means": Denoiser("non-local means", nonlocal_means, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)),
    "bm3d": Denoiser(
        "BM3D",
        bm3d,
        (0.7, 1.0, 1.5),
        limit=100,
        available=bm3d_installed,
        needs="pip install 'glassnet[bm3d]'",
        threads=False,  # it has threads of its own
    ),
}
