"""The baselines of a reconstruction: what each classical denoiser, and PCA, makes of the same noisy images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from glassnet.console import progress
from glassnet.denoising import DENOISERS, Denoiser
from glassnet.denoising.principal import principal
from glassnet.tasks.reconstruction.image_quality import psnr

Images = Float[Tensor, "n channel height width"]

TUNING_IMAGES = 50
"""Training images that a denoiser's strength is chosen on."""


@dataclass(frozen=True)
class Baseline:
    """One baseline's images.

    Attributes:
        name: A key of DENOISERS, or "pca".
        title: As tables name it, with the strength that was chosen.
        images: Of the first test images; fewer than all for a slow one.
    """

    name: str
    title: str
    images: Images


def noise_deviation(noisy: Images, clean: Images) -> float:
    """Root of the mean squared difference that noise makes, after clipping: what a denoiser is told of it."""
    return float((noisy - clean).square().mean().sqrt())


def denoised(noisy: Images, tuning: tuple[Tensor, Tensor]) -> tuple[list[Baseline], list[str]]:
    """Denoise test images by every classical denoiser that is installed.

    Args:
        noisy: Test images.
        tuning: Noisy and clean training images, to choose strengths and measure the noise on.

    Returns:
        The baselines, and a sentence for each that is left out.
    """
    found: list[Baseline] = []
    left_out: list[str] = []
    pair = tuning[0][:TUNING_IMAGES], tuning[1][:TUNING_IMAGES]
    deviation = noise_deviation(*tuning)
    for name, one in DENOISERS.items():
        if not one.available():
            left_out.append(f"{one.title} is left out, since it is not installed: {one.needs}.")
            continue
        some = noisy[: one.limit]
        with progress(f"{one.title} on {len(some):,} images", None):
            strength = _strength(one, *pair, deviation) if len(one.strengths) > 1 else one.strengths[0]
            images = _run(one, some, deviation, strength)
        chosen = f" ({strength:g})" if len(one.strengths) > 1 else ""
        found.append(Baseline(name, f"{one.title}{chosen}", images))
    return found, left_out


def projected(noisy: Images, training: Float[Tensor, "m channel height width"], components: int) -> Baseline:
    """Reconstruct noisy images from as many principal components of the clean training images as a code has numbers."""
    fitted = principal(training.flatten(1), components)
    images = fitted.reconstruct(noisy.flatten(1)).view_as(noisy)
    return Baseline("pca", f"PCA, {fitted.components.shape[1]:,} components", images)


def _strength(one: Denoiser, noisy: Images, clean: Images, deviation: float) -> float:
    """Choose the strength of the highest mean PSNR on training images."""
    few = min(len(noisy), one.limit // 10 if one.limit else len(noisy))
    quality = {s: float(psnr(_run(one, noisy[:few], deviation, s), clean[:few]).mean()) for s in one.strengths}
    return max(quality, key=quality.__getitem__)


def _run(one: Denoiser, noisy: Images, deviation: float, strength: float) -> Images:
    return torch.from_numpy(one.denoise(noisy.numpy(), deviation, strength))
