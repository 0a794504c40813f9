"""Median filter: each value becomes the median of its neighbourhood."""

import numpy as np
from jaxtyping import Float

Pictures = Float[np.ndarray, "n channel height width"]


def denoise(noisy: Pictures, _deviation: float, strength: float) -> Pictures:
    """Return images whose values are medians of windows of `strength` by `strength` pixels, channel by channel.

    The image is mirrored at its border (edge pixels twice).

    Tukey 1977, Exploratory Data Analysis, chapter 7.
    """
    from scipy.ndimage import median_filter

    side = int(strength)
    return median_filter(noisy, size=(1, 1, side, side), mode="reflect")
