"""What a user would do without a network: classical denoisers, each at the strength that serves it best.

A new one is one function in `methods` and one line in DENOISERS.
"""

from collections.abc import Callable
from dataclasses import dataclass

from glassnet.denoising import methods
from glassnet.denoising.methods import Pictures

__all__ = ["DENOISERS", "Denoiser", "Pictures"]


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
    "noisy": Denoiser("noisy input", methods.unchanged),
    "median": Denoiser("median filter", methods.median, (3, 5)),
    "nonlocal_means": Denoiser("non-local means", methods.nonlocal_means, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)),
    "bm3d": Denoiser(
        "BM3D",
        methods.bm3d,
        (0.7, 1.0, 1.5),
        limit=100,
        available=methods.bm3d_installed,
        needs="pip install 'glassnet[bm3d]'",
    ),
}
