"""What a user would do without a network: classical denoisers, each at the strength that serves it best.

A new one is one file and one line in DENOISERS.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from glassnet.denoising import block_matching, median, nonlocal_means

__all__ = ["DENOISERS", "Denoiser", "Pictures", "as_given"]

Pictures = Float[np.ndarray, "n channel height width"]


def as_given(noisy: Pictures, _deviation: float, _strength: float) -> Pictures:
    """Return the noisy images as they are: what doing nothing costs."""
    return noisy


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
    """

    title: str
    denoise: Callable[[Pictures, float, float], Pictures]
    strengths: tuple[float, ...] = (1.0,)
    limit: int | None = None
    available: Callable[[], bool] = lambda: True
    needs: str = ""


DENOISERS: dict[str, Denoiser] = {
    "noisy": Denoiser("noisy input", as_given),
    "median": Denoiser("median filter", median.denoise, (3, 5)),
    "nonlocal_means": Denoiser("non-local means", nonlocal_means.denoise, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)),
    "bm3d": Denoiser(
        "BM3D",
        block_matching.denoise,
        (0.7, 1.0, 1.5),
        limit=100,
        available=block_matching.available,
        needs="pip install 'glassnet[bm3d]'",
    ),
}
