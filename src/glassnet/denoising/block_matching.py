"""BM3D: similar patches are stacked and filtered together; by the authors' package, which is no free software."""

import importlib.util

import numpy as np
from jaxtyping import Float

Pictures = Float[np.ndarray, "n channel height width"]


def available() -> bool:
    """Tell whether the package bm3d is installed."""
    return importlib.util.find_spec("bm3d") is not None


def denoise(noisy: Pictures, deviation: float, strength: float) -> Pictures:
    """Return images denoised by BM3D for noise of standard deviation strength x deviation.

    Dabov et al. 2007, https://doi.org/10.1109/TIP.2007.901238; the package bm3d, whose licence allows no commercial
    use, is an extra for that reason.
    """
    from bm3d import bm3d, bm3d_rgb

    cleaned = []
    for image in noisy.astype(np.float64):
        height, width = image.shape[1:]
        one = bm3d_rgb(image.transpose(1, 2, 0), strength * deviation) if len(image) == 3 else None
        if one is None:
            one = np.stack([bm3d(plane, strength * deviation) for plane in image], axis=-1)
        cleaned.append(np.asarray(one).reshape(height, width, -1).transpose(2, 0, 1))
    return np.stack(cleaned).astype(noisy.dtype).clip(0, 1)
