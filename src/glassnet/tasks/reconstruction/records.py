"""What a reconstruction is trained on, and what is remembered of each batch that is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from glassnet.settings import TrainSettings
from glassnet.tasks.base import Normal, Objective, Recorder, Records
from glassnet.tasks.reconstruction.elbo import LIKELIHOODS, kl_per_dimension, warm_up
from glassnet.tasks.reconstruction.image_quality import QUALITY


@runtime_checkable
class Output(Protocol):
    """What a reconstructing model returns."""

    logits: Tensor
    mean: Tensor
    log_variance: Tensor | None
    log_deviation: Tensor | None
    likelihood: str

    decode: Callable[[Tensor], Tensor]

    @property
    def images(self) -> Tensor:
        """The reconstructed images in [0, 1]."""


def objective(settings: TrainSettings, _targets: Iterable[Tensor], _classes: int) -> Objective:
    """Return the negative ELBO of a batch, its KL term weighted by beta and the warm-up, with both terms apart."""

    def of_batch(output: Output, targets: Tensor, progress: float) -> tuple[Tensor, Mapping[str, Tensor]]:
        told = LIKELIHOODS[output.likelihood](output.logits, targets, output.log_deviation).mean()
        if output.log_variance is None:
            return told, {"reconstruction": told.detach()}
        kl = kl_per_dimension(output.mean, output.log_variance).sum(dim=1).mean()
        weight = settings.beta * warm_up(progress, settings.kl_warmup)
        return told + weight * kl, {"reconstruction": told.detach(), "kl": kl.detach()}

    return of_batch


def recorder(settings: TrainSettings, _classes: int) -> Recorder:
    """Return what is remembered of a batch: quality and terms by image, sums over the code's dimensions as one row."""

    @torch.no_grad()
    def of_batch(output: Output, targets: Tensor, normal: Normal) -> Records:
        images = output.images
        records = {name: measure(images, targets) for name, measure in QUALITY.items()}
        return records | _terms(output, targets, normal) | _code(output)

    kind = {"binarized": torch.tensor([settings.binarize])}
    return lambda output, targets, normal: _weighted(of_batch(output, targets, normal), settings.beta) | kind


def _weighted(records: Records, beta: float) -> Records:
    return records | {"loss": records["reconstruction"] + beta * records["kl"]}


def _terms(output: Output, targets: Tensor, normal: Normal) -> Records:
    """The two terms of the bound for each image, at one draw of its code by numbers of its own, in nats."""
    if output.log_variance is None:
        logits, kl = output.logits, torch.zeros(len(targets), device=targets.device)
    else:
        eps = normal(tuple(output.mean.shape[1:])).to(output.mean)
        logits = output.decode(output.mean + (output.log_variance / 2).exp() * eps)
        kl = kl_per_dimension(output.mean, output.log_variance).sum(dim=1)
    told = LIKELIHOODS[output.likelihood](logits, targets, output.log_deviation)
    records = {"reconstruction": told, "kl": kl, "values": torch.full_like(kl, targets[0].numel())}
    records["likelihood"] = torch.tensor([list(LIKELIHOODS).index(output.likelihood)])
    if output.log_deviation is not None:
        records["discretized"] = LIKELIHOODS["discretized_gaussian"](logits, targets, output.log_deviation)
        records["deviation"] = output.log_deviation.exp().view(1, -1)
    return records


def _code(output: Output) -> Records:
    """What the code's dimensions do in this batch, as one row, so that no code has to be held."""
    if output.log_variance is None:
        return {}
    mean = output.mean.flatten(1).double()
    return {
        "code_images": torch.full((1,), len(mean)),
        "code_kl": kl_per_dimension(output.mean, output.log_variance).double().sum(dim=0, keepdim=True),
        "code_sum": mean.sum(dim=0, keepdim=True),
        "code_squares": mean.square().sum(dim=0, keepdim=True),
        "code_log_variance": output.log_variance.max().view(1),
    }
