"""How likely a variational autoencoder makes images, nearer than its bound: by importance sampling of the code.

log p(x) >= E[log 1/k sum_i w_i], w_i = p(x | z_i) p(z_i) / q(z_i | x), z_i drawn from q(z | x): the bound of Burda et
al. 2016, https://arxiv.org/abs/1509.00519, equation 8, which grows with k towards log p(x). With k = 1 it is the
evidence lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Generator, Tensor, nn

from glassnet.console import progress
from glassnet.data import Split
from glassnet.data.batches import ordered_batches, ordered_places
from glassnet.devices import autocast
from glassnet.errors import InputError
from glassnet.experiment import build_corruption
from glassnet.images import device_of
from glassnet.models.autoencoder import Autoencoder
from glassnet.models.autoencoder import Reconstruction as Output
from glassnet.models.inference import outputs, translate_torch_errors
from glassnet.rng import PerImageRNG, SplitName
from glassnet.settings import TrainSettings
from glassnet.subject import Subject
from glassnet.tasks.reconstruction.elbo import LIKELIHOODS
from glassnet.tasks.reconstruction.result import Importance
from glassnet.turns import evaluating

VALUES_AT_ONCE = 2**20
"""Pixels times channels that are decoded at once; a decoder's maps take some dozens of times their memory."""
MOST_CODES_AT_ONCE = 1024


def log_weights(
    output: Output, targets: Float[Tensor, "1 channel height width"], samples: int, generator: Generator
) -> Float64[Tensor, " samples"]:
    """Draw codes of one image from q(z | x), and return log p(x | z) + log p(z) - log q(z | x) of each, in nats.

    With z = m + s e, the last two are the sum over the code of (e² - z²) / 2 + log s.

    Args:
        output: Of the one image.
        targets: What should come out.
        samples: Codes.
        generator: Source of the codes, on the CPU. How many are drawn at once follows from the image's size alone, so
            that equal generators give equal weights whatever the memory.
    """
    mean, log_variance = output.mean.double(), _log_variance(output).double()
    at_once = min(MOST_CODES_AT_ONCE, max(1, VALUES_AT_ONCE // targets[0].numel()))
    found = []
    for first in range(0, samples, at_once):
        count = min(at_once, samples - first)
        drawn = torch.randn((count, *mean.shape[1:]), generator=generator).to(mean.device).double()
        codes = mean + (log_variance / 2).exp() * drawn
        logits = output.decode(codes.to(output.mean.dtype)).float()
        wanted = targets.expand(count, *targets.shape[1:])
        log_likelihood = -LIKELIHOODS[output.likelihood](logits, wanted, output.log_deviation).double()
        codes, drawn = codes.flatten(1), drawn.flatten(1)
        found.append(log_likelihood + (drawn.square() - codes.square()).sum(dim=1) / 2 + log_variance.sum() / 2)
    return torch.cat(found)


def summed_up(weights: Float64[Tensor, " samples"]) -> tuple[float, float, float]:
    """Return -log of the weights' mean, the mean of their -log, and how many equal weights would say as much.

    The last is (sum w)² / sum w² (Kish 1965): 1 where one code says all, and the figure then hangs on it.
    """
    total = weights.logsumexp(dim=0)
    effective = (2 * total - (2 * weights).logsumexp(dim=0)).exp()
    return float(math.log(len(weights)) - total), float(-weights.mean()), float(effective)


def measure_likelihood(
    subject: Subject,
    model: nn.Module,
    split: Split,
    part: SplitName,
    *,
    samples: int,
    batch_size: int,
    precision: str,
) -> Importance:
    """Estimate the negative log-likelihood of images, which the model is given as its bound is measured.

    With noise on the input, q sees the noisy image, and what is measured is the clean one.

    Raises:
        InputError: The model has no distribution of codes.
    """
    _require_distribution(model, subject)
    rows: list[tuple[float, float, float]] = []
    title = f"importance sampling, {samples:,} codes per image"
    with progress(title, len(split)) as advance, evaluating(model), torch.no_grad():
        for output, target, generator in _images(subject, model, split, part, batch_size, precision):
            with translate_torch_errors(model, target), autocast(target.device, precision):
                rows.append(summed_up(log_weights(output, target, samples, generator)))
            advance()
    nats, bound, effective = np.array(rows).T
    return Importance(
        samples=samples,
        images=len(nats),
        nll=float(nats.mean()),
        nll_error=float(nats.std(ddof=1) / len(nats) ** 0.5) if len(nats) > 1 else None,
        negative_elbo=float(bound.mean()),
        effective=float(np.median(effective)),
        each=nats,
    )


def _images(
    subject: Subject, model: nn.Module, split: Split, part: SplitName, batch_size: int, precision: str
) -> Iterator[tuple[Output, Tensor, Generator]]:
    """Yield the model's output for each image, what should come out, and the image's own random numbers."""
    settings, rng = subject.settings or TrainSettings(), PerImageRNG(subject.seed, part)
    corruption = build_corruption(settings, subject.task)
    batches = ordered_batches(split, batch_size=batch_size, device=device_of(model), corruption=corruption, rng=rng)
    for places, (images, targets) in zip(ordered_places(len(split), batch_size=batch_size), batches, strict=True):
        (output,) = outputs(model, [images], precision=precision)
        for row, generator in enumerate(rng.generators(places, "samples")):
            one = slice(row, row + 1)
            log_variance = _log_variance(output)[one]
            yield output._replace(mean=output.mean[one], log_variance=log_variance), targets[one], generator


def _log_variance(output: Output) -> Tensor:
    assert output.log_variance is not None  # as `_require_distribution` saw to
    return output.log_variance


def _require_distribution(model: nn.Module, subject: Subject) -> None:
    if not isinstance(model, Autoencoder) or model.log_variance is None:
        what = "a single code per image" if isinstance(model, Autoencoder) else "images only"
        raise InputError(
            f"--nll-samples draws codes from the distribution of a variational autoencoder, but {subject.name} gives "
            f"{what}; leave it out, or train a VAE, for example with --model vae_conv."
        )
