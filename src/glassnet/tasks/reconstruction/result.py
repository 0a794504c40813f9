"""What the evaluation of a reconstruction finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from glassnet.display import Shown

Bounds = tuple[float, float] | None


@dataclass(frozen=True)
class Code:
    """What the latent code does.

    Attributes:
        dimensions: Numbers in it.
        active: How many of them depend on the image.
        active_dimensions: Which.
        kl_per_dimension: Mean KL of each in nats; None where it is not finite.
        largest_deviation: Largest standard deviation of a code; the prior's is 1.
        warnings: Sentences on what is wrong with it.
    """

    dimensions: int
    active: int
    active_dimensions: tuple[int, ...]
    kl_per_dimension: tuple[float | None, ...]
    largest_deviation: float | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Baseline:
    """A method without a network, measured on the same images.

    Attributes:
        name: Its key.
        title: What tables call it.
        images: On how many of the images, from the first; a slow one has fewer.
        psnr: Mean peak signal-to-noise ratio in dB.
        psnr_interval: Its bounds at 95%.
        ssim: Mean structural similarity.
        ssim_interval: Its bounds at 95%.
        mse: Mean squared error.
        mse_interval: Its bounds at 95%.
        margin: Mean PSNR of the network minus its own, on the same images.
        margin_interval: Its bounds at 95%.
    """

    name: str
    title: str
    images: int
    psnr: float
    psnr_interval: Bounds
    ssim: float
    ssim_interval: Bounds
    mse: float
    mse_interval: Bounds
    margin: float | None = None
    margin_interval: Bounds = None


@dataclass(frozen=True, eq=False)
class Importance:
    """The negative log-likelihood of images by importance sampling, in nats an image; None where not finite.

    Attributes:
        samples: Codes drawn for each image.
        images: Their number.
        nll: Mean of -log p(x), an upper bound of it that falls with more samples.
        nll_error: Its standard error over images; None for one image.
        negative_elbo: The bound on the same images, by the same codes.
        effective: Median over images of the number of equal weights that would say as much as the image's.
        each: Of each image.
    """

    samples: int
    images: int
    nll: float | None
    nll_error: float | None
    negative_elbo: float | None
    effective: float | None
    each: Shaped[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Reconstruction(Shown):
    """How good a reconstruction is on some images; terms in nats per image, None where not finite or not there.

    Attributes:
        images: Their number.
        loss: Mean of the trained loss.
        loss_error: Its standard error.
        reconstruction: Reconstruction term at one drawn code.
        kl: KL term.
        psnr: Mean peak signal-to-noise ratio in dB.
        psnr_interval: Its bounds at 95%, as are the other intervals.
        ssim: Mean structural similarity.
        ssim_interval: Its bounds.
        mse: Mean squared error.
        mse_interval: Its bounds.
        variational: Whether there is a bound at all.
        values_per_image: Pixels times channels.
        likelihood: What the nats are of; those of different ones are not comparable. None for plain images.
        likelihood_deviation: Learned standard deviation of a pixel, per channel.
        negative_elbo: Sum of the two terms.
        negative_elbo_interval: Its bounds.
        bits_per_dimension: Of the discretised Gaussian.
        latent: What the code does.
        warnings: Sentences on what is wrong.
        noise: What was put on the input.
        baselines: Methods without a network on the same images.
        left_out: A sentence on each baseline that was not measured.
        values: psnr, ssim, mse, and of a likelihood reconstruction and kl, of each image; of baselines as NAME/MEASURE.
        importance: The likelihood by importance sampling, where that was asked for.
    """

    images: int
    loss: float | None
    loss_error: float | None
    reconstruction: float | None
    kl: float | None
    psnr: float | None
    psnr_interval: Bounds
    ssim: float | None
    ssim_interval: Bounds
    mse: float | None
    mse_interval: Bounds
    variational: bool
    values_per_image: int
    likelihood: str | None
    likelihood_deviation: tuple[float | None, ...] | None
    negative_elbo: float | None
    negative_elbo_interval: Bounds
    bits_per_dimension: float | None
    latent: Code | None
    warnings: tuple[str, ...]
    noise: str
    baselines: tuple[Baseline, ...]
    left_out: tuple[str, ...]
    values: Mapping[str, Shaped[np.ndarray, " n"]]
    importance: Importance | None = None

    def __repr__(self) -> str:
        """Say in one line how good it is."""
        quality = "PSNR not finite" if self.psnr is None else f"PSNR {self.psnr:.2f} dB"
        return f"Reconstruction({self.images:,} images, {quality})"
