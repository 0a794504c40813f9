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
        dimensions: Number of latent dimensions.
        active: How many of them depend on the image.
        active_dimensions: Which of them depend on the image.
        kl_per_dimension: Mean KL of each dimension in nats; None where it is not finite.
        largest_deviation: Largest standard deviation of a code; the prior's is 1.
        warnings: Sentences on what is wrong with the code.
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
        title: Its name in tables.
        images: Number of images measured, counted from the first; fewer for a slow method.
        psnr: Mean peak signal-to-noise ratio in dB.
        psnr_interval: Its 95% interval.
        ssim: Mean structural similarity.
        ssim_interval: Its 95% interval.
        mse: Mean squared error.
        mse_interval: Its 95% interval.
        margin: Mean PSNR of the network minus that of the baseline, on the same images.
        margin_interval: Its 95% interval.
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
        images: Number of images.
        nll: Mean estimate of -log p(x): an upper bound that falls with more samples.
        nll_error: Its standard error over images; None for one image.
        negative_elbo: The negative ELBO of the same images, from the same codes.
        effective: Median over images of the effective sample size.
        each: The estimate for each image.
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
        images: Number of images.
        loss: Mean training loss.
        loss_error: Its standard error.
        reconstruction: Reconstruction term, at one code drawn per image.
        kl: KL term.
        psnr: Mean peak signal-to-noise ratio in dB.
        psnr_interval: Its 95% interval.
        ssim: Mean structural similarity.
        ssim_interval: Its 95% interval.
        mse: Mean squared error.
        mse_interval: Its 95% interval.
        variational: Whether the network is variational, so that there is an ELBO.
        values_per_image: Pixels times channels.
        likelihood: The likelihood; nats of different likelihoods are not comparable. None for plain images.
        likelihood_deviation: Learned standard deviation of a pixel, per channel.
        negative_elbo: Sum of the reconstruction term and the KL term.
        negative_elbo_interval: Its 95% interval.
        bits_per_dimension: Negative ELBO in bits per pixel and channel, for the discretised Gaussian.
        latent: The latent code.
        warnings: Sentences on what is wrong.
        noise: The noise added to the input.
        baselines: Methods without a network on the same images.
        left_out: A sentence on each baseline that was not measured.
        values: Values of each image by measure: psnr, ssim, mse and, with a likelihood, reconstruction and kl; for
            baselines NAME/MEASURE.
        importance: The likelihood by importance sampling, if requested.
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
