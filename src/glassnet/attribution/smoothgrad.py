"""SmoothGrad: any method, averaged over noisy copies of the image."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from glassnet.attribution.rerun import Rerun
from glassnet.errors import InputError


def smoothgrad(
    images: Float[Tensor, "batch channel height width"],
    rerun: Rerun,
    *,
    of: str = "saliency",
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
) -> Float[Tensor, "batch ..."]:
    """Average a method over copies of each image with Gaussian noise.

    M = 1/N sum_i M_of(x + e_i), e_i ~ N(0, s²), with s the noise level times the image's range, max x - min x.

    Smilkov et al. 2017, https://arxiv.org/abs/1706.03825, section 3.

    Args:
        images: (n, channel, height, width), values in the model's own range.
        rerun: Runs the method again.
        of: The method that is averaged; one of a layer makes this one of a layer.
        samples: Noisy copies N.
        noise: The noise level, a share of the image's range.
        seed: Of the noise, which is the same for all images: so maps differ by their images, and chunks do not matter.

    Raises:
        InputError: There is no sample.
    """
    if samples < 1:
        raise InputError(f"samples is {samples}, expected at least 1.")

    def noisy() -> Iterator[Tensor]:
        # On the CPU, so that every device draws the same.
        generator = torch.Generator().manual_seed(seed)
        for _ in range(samples):
            yield images + deviation * torch.randn(images.shape[1:], generator=generator).to(images)

    deviation = noise * (images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True))
    maps = rerun(of, noisy())
    total = next(maps)
    for each in maps:
        total = total + each
    return total / samples
