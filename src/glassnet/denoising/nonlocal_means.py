"""Non-local means: each pixel becomes a mean of the pixels whose surroundings look alike."""

import numpy as np
from jaxtyping import Float

Pictures = Float[np.ndarray, "n channel height width"]

PATCH_PIXELS, REACH_PIXELS = 5, 6


def denoise(noisy: Pictures, deviation: float, strength: float) -> Pictures:
    """Return means weighted by exp(-max(d² - 2 s², 0) / h²), d² the mean squared difference of small patches.

    s is the noise's standard deviation and h = strength x s; patches of 5 pixels a side, up to 6 pixels away, are
    compared. It is scikit-image's fast version, whose sums over patches are those of Darbon et al. 2008.

    Buades, Coll and Morel 2005, https://doi.org/10.1109/CVPR.2005.38; Darbon et al. 2008,
    https://doi.org/10.1109/ISBI.2008.4541250.
    """
    return np.stack([_denoised(image, deviation, strength) for image in noisy.astype(np.float64)]).astype(noisy.dtype)


def _denoised(
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
