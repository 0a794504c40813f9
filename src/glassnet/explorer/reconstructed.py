"""One reconstructed image with any noise, and what the numbers of the latent code do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from glassnet.console import progress
from glassnet.data import Split
from glassnet.data.augment.noise import NoiseCorruption, parse_noise
from glassnet.data.batches import corrupt, ordered_batches
from glassnet.errors import InputError, WorkError
from glassnet.images import device_of, to_float
from glassnet.models.autoencoder import Autoencoder
from glassnet.models.inference import outputs
from glassnet.rng import PerImageRNG
from glassnet.settings import TrainSettings
from glassnet.subject import Part, Subject
from glassnet.tasks.reconstruction.elbo import ACTIVE_VARIANCE, kl_per_dimension
from glassnet.tasks.reconstruction.image_quality import QUALITY
from glassnet.tasks.reconstruction.learn import output_images
from glassnet.turns import evaluating

NONE = "none"
STRENGTHS = {
    "gaussian": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
    "saltpepper": (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7),
    "mask": (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9),
}
"""Amounts of each kind of noise that a slider offers."""
MOST_DIMENSIONS, MOST_CODES = 32, 64
LOW, HIGH = 0.01, 0.99
"""Quantiles of a dimension over the images between which its slider goes."""


@dataclass(frozen=True, eq=False)
class ReconstructedImage:
    """An image, what the model was given of it, and what it gave back; all in [0, 1].

    Attributes:
        noise: As `--noise` takes it.
        original: What should come out.
        noisy: What the model was given.
        output: What it gave.
        code: The latent code; nothing for a model without one.
        psnr: Of the output.
        ssim: Of the output.
        noisy_psnr: Of what the model was given; None without noise.
        loss: As the evaluation measures it; None where it is not finite.
    """

    noise: str
    original: Float32[np.ndarray, "channel height width"]
    noisy: Float32[np.ndarray, "channel height width"]
    output: Float32[np.ndarray, "channel height width"]
    code: Float32[np.ndarray, " d"]
    psnr: float | None
    ssim: float | None
    noisy_psnr: float | None
    loss: float | None


def own_noise(subject: Subject) -> str:
    """Return the noise of a run's settings, as `--noise` takes it; "none" for what was not trained here."""
    return NONE if subject.settings is None else subject.settings.noise


def strengths(subject: Subject) -> list[str]:
    """Return what a slider of noise offers: none, and amounts of the run's kind of noise, its own among them.

    A range of amounts, of which each image has its own, stands behind none, before the single ones.
    """
    own = parse_noise(own_noise(subject))
    kind = "gaussian" if own is None else own.kind
    ranged = own is not None and own.least is not None
    amounts = sorted({*STRENGTHS[kind], *([] if own is None or ranged else [own.amount])})
    return [NONE, *([own_noise(subject)] if ranged else []), *(f"{kind}:{amount:g}" for amount in amounts)]


def corruption(subject: Subject, noise: str) -> NoiseCorruption:
    """Return what is done to the images: as in the run's evaluation, but for the noise.

    Raises:
        InputError: The noise is misspelt.
    """
    return NoiseCorruption(parse_noise(noise), subject.settings is not None and subject.settings.binarize)


def reconstruct(
    subject: Subject, model: nn.Module, split: Split, part: Part, noise: str, *, name: str
) -> ReconstructedImage:
    """Reconstruct an image from what noise leaves of it, by the random numbers that the evaluation gives it.

    Args:
        subject: Whose image.
        model: Its model.
        split: The image alone, with its number.
        part: Its part.
        noise: As `--noise` takes it.
        name: What an error calls it.

    Raises:
        InputError: The noise is misspelt.
        WorkError: The model gives NaN.
    """
    rng, places = PerImageRNG(subject.seed, part), split.numbers.tolist()
    images, device = to_float(split.images), device_of(model)
    noisy, original = corrupt(images, places, corruption=corruption(subject, noise), rng=rng)
    (output,) = outputs(model, [noisy])
    given = output_images(output).cpu()
    if not bool(given.isfinite().all()):
        raise WorkError(f"the model gives NaN for {name}; look for NaN in its weights, or too large inputs.")
    measure = subject.task.test_stats(subject.settings or TrainSettings(), len(subject.classes))
    with evaluating(model):  # the recorder decodes codes by the model
        records = measure(output, original.to(device), lambda shape: rng.normal(places, shape, "code"))
    return ReconstructedImage(
        noise=noise,
        original=original[0].numpy(),
        noisy=noisy[0].numpy(),
        output=given[0].numpy(),
        code=np.zeros(0, np.float32) if isinstance(output, Tensor) else output.mean.flatten().cpu().numpy(),
        psnr=float(records["psnr"][0]),
        ssim=float(records["ssim"][0]),
        noisy_psnr=None if noise == NONE else float(QUALITY["psnr"](noisy, original)[0]),
        loss=float(records["loss"][0]) if "loss" in records and bool(records["loss"].isfinite().all()) else None,
    )


@dataclass(frozen=True, eq=False)
class Latents:
    """What the latent dimensions of a model do, those that carry most first.

    Attributes:
        dims: Numbers of the dimensions.
        kl: Mean KL of each in nats; the variance over the images where the code is a point.
        low: From where its slider goes: the first percentile over the images.
        high: To where: the 99th.
        dimensions: Numbers of the whole code.
        active: How many of them depend on the image.
        variational: Whether the code is a distribution.
    """

    dims: Int64[np.ndarray, " k"]
    kl: Float[np.ndarray, " k"]
    low: Float[np.ndarray, " k"]
    high: Float[np.ndarray, " k"]
    dimensions: int
    active: int
    variational: bool


def latents(subject: Subject, model: nn.Module, split: Split, part: Part, *, batch_size: int = 512) -> Latents:
    """Measure each latent dimension over a part's images, given to the model as the evaluation gives them.

    Raises:
        InputError: The model has no code.
    """
    check_code(model)
    batches = ordered_batches(
        split,
        batch_size=batch_size,
        device=device_of(model),
        corruption=corruption(subject, own_noise(subject)),
        rng=PerImageRNG(subject.seed, part),
    )
    means, total = [], torch.zeros(())
    with progress("codes", len(split)) as advance:
        for output in outputs(model, (images for images, _ in batches)):
            means.append(output.mean.flatten(1).cpu())
            if output.log_variance is not None:
                total = total + kl_per_dimension(output.mean, output.log_variance).double().sum(dim=0).cpu()
            advance(len(output.mean))
    return _ordered(torch.cat(means).numpy(), (total / len(split)).numpy() if total.ndim else None)


def _ordered(means: Float[np.ndarray, "n d"], kl: Float[np.ndarray, " d"] | None) -> Latents:
    variance = means.var(axis=0, dtype=np.float64)
    weight = variance if kl is None else kl
    dims = np.argsort(-weight, kind="stable")[:MOST_DIMENSIONS]
    low, high = np.quantile(means[:, dims], (LOW, HIGH), axis=0)
    active = int((variance > ACTIVE_VARIANCE).sum())
    return Latents(dims, weight[dims], low, high, means.shape[1], active, kl is not None)


def decode(model: nn.Module, codes: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n channel height width"]:
    """Return the images that codes stand for, in [0, 1].

    Raises:
        InputError: The model has no code, or these are no codes of it.
        WorkError: The model gives NaN.
    """
    shape = check_code(model)
    if codes.ndim != 2 or codes.shape[1] != math.prod(shape) or not 0 < len(codes) <= MOST_CODES:
        raise InputError(
            f"got codes of shape {codes.shape}, expected 1 to {MOST_CODES} of {math.prod(shape):,} numbers each."
        )
    if not np.isfinite(codes).all():
        raise InputError("a code has a NaN or infinite number, expected finite ones.")
    latent = torch.from_numpy(codes.copy()).view(-1, *shape).to(device_of(model))
    with evaluating(model), torch.no_grad():
        images = model.decode(latent).float().sigmoid().cpu()  # type: ignore[operator]
    if not bool(images.isfinite().all()):
        raise WorkError("the model gives NaN for a code; look for NaN in its weights.")
    return images.numpy()


def check_code(model: nn.Module) -> Sequence[int]:
    """Return the shape of a model's code.

    Raises:
        InputError: It has none.
    """
    if not isinstance(model, Autoencoder):
        raise InputError(f"{type(model).__name__} returns images only and has no latent code; look at its output.")
    return model.latent_shape
