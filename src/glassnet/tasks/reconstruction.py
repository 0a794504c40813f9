"""Reconstruction: an image given back from a code, learned by the evidence lower bound, measured by PSNR and SSIM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from glassnet.bootstrap import mean_interval
from glassnet.settings import TrainSettings
from glassnet.tasks.elbo import LIKELIHOODS, LatentUse, bits_per_dimension, kl_per_dimension, latent_use, warm_up
from glassnet.tasks.image_quality import mean_squared_error, psnr, ssim
from glassnet.tasks.task import Measures, Objective, Recorder, Records, Task

QUALITY = {"mse": mean_squared_error, "psnr": psnr, "ssim": ssim}
"""Measures of an image beside its original: mean squared error, dB, and structural similarity."""
INTERVAL_SEED = 0


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


def _objective(settings: TrainSettings, _targets: Tensor, _classes: int) -> Objective:
    def of_batch(output: Output, targets: Tensor, progress: float) -> tuple[Tensor, Mapping[str, Tensor]]:
        told = LIKELIHOODS[output.likelihood](output.logits, targets, output.log_deviation).mean()
        if output.log_variance is None:
            return told, {"reconstruction": told.detach()}
        kl = kl_per_dimension(output.mean, output.log_variance).sum(dim=1).mean()
        weight = settings.beta * warm_up(progress, settings.kl_warmup)
        return told + weight * kl, {"reconstruction": told.detach(), "kl": kl.detach()}

    return of_batch


def _recorder(settings: TrainSettings, _classes: int) -> Recorder:
    @torch.no_grad()
    def of_batch(output: Output, targets: Tensor) -> Records:
        images = output.images
        records = {name: measure(images, targets) for name, measure in QUALITY.items()}
        return records | _terms(output, targets) | _code(output)

    return lambda output, targets: _weighted(of_batch(output, targets), settings.beta)


def _weighted(records: Records, beta: float) -> Records:
    return records | {"loss": records["reconstruction"] + beta * records["kl"]}


def _terms(output: Output, targets: Tensor) -> Records:
    """The two terms of the bound for each image, at one draw of its code from torch's global generator, in nats."""
    if output.log_variance is None:
        logits, kl = output.logits, torch.zeros(len(targets), device=targets.device)
    else:
        eps = torch.randn_like(output.mean)
        logits = output.decode(output.mean + (output.log_variance / 2).exp() * eps)
        kl = kl_per_dimension(output.mean, output.log_variance).sum(dim=1)
    told = LIKELIHOODS[output.likelihood](logits, targets, output.log_deviation)
    records = {"reconstruction": told, "kl": kl, "values": torch.full_like(kl, targets[0].numel())}
    if output.log_deviation is not None:
        records["discretized"] = LIKELIHOODS["discretized_gaussian"](logits, targets, output.log_deviation)
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


def _measure(records: Records) -> Measures:
    losses = records["loss"].double()
    measures = {"loss": losses.mean().item(), "loss_error": (losses.std(correction=0) / len(losses) ** 0.5).item()}
    for name in ("reconstruction", "kl", "psnr", "ssim"):
        measures[name] = records[name].double().mean().item()
    return measures


def _leads(measures: Mapping[str, float], lowest: Mapping[str, float]) -> bool:
    return measures["loss"] < lowest["loss"]


def supersedes(measures: Mapping[str, float], lowest: Mapping[str, float]) -> bool:
    """Keep the epoch of the lowest loss: the images differ far more among themselves than two epochs do on them."""
    return measures["loss"] <= lowest["loss"]


def quality(values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Summarise measures of images, one value an image: mean and 95% bootstrap interval of each."""
    found: dict[str, Any] = {}
    for name, of_images in values.items():
        each = np.asarray(of_images, dtype=np.float64)
        found |= {name: float(each.mean()), f"{name}_interval": list(mean_interval(each, seed=INTERVAL_SEED))}
    return found


def _evaluate(records: Records, _classes: Sequence[str]) -> dict[str, Any]:
    """All that the report shows of a reconstruction, as JSON values; terms in nats per image."""
    variational = "code_kl" in records
    nats = (records["reconstruction"] + records["kl"]).double()
    values = int(records["values"][0])
    result: dict[str, Any] = {
        "images": len(nats),
        **_measure(records),
        **quality({name: records[name].numpy() for name in QUALITY}),
        "variational": variational,
        "values_per_image": values,
        "negative_elbo": None,
        "negative_elbo_interval": None,
        "bits_per_dimension": None,
        "latent": None,
    }
    if variational:
        result["negative_elbo"] = nats.mean().item()
        result["negative_elbo_interval"] = list(mean_interval(nats.numpy(), seed=INTERVAL_SEED))
        result["latent"] = _latent(use_of(records))
        if "discretized" in records:
            whole = (records["discretized"] + records["kl"]).double().mean().item()
            result["bits_per_dimension"] = bits_per_dimension(whole, values)
    return result


def use_of(records: Records) -> LatentUse:
    """Join what the batches said of the code's dimensions."""
    images = float(records["code_images"].sum())
    mean = records["code_sum"].sum(dim=0) / images
    variance = records["code_squares"].sum(dim=0) / images - mean.square()
    return latent_use(records["code_kl"].sum(dim=0) / images, variance, float(records["code_log_variance"].max()))


def _latent(use: LatentUse) -> dict[str, Any]:
    return {
        "dimensions": len(use.kl),
        "active": int(use.active.sum()),
        "active_dimensions": use.active.nonzero().flatten().tolist(),
        "kl_per_dimension": use.kl.tolist(),
        "largest_deviation": use.largest_deviation,
        "warnings": list(use.warnings),
    }


def _told(metrics: Mapping[str, Any]) -> str:
    low, high = metrics["test_psnr_interval"]
    text = f"test PSNR {metrics['test_psnr']:.2f} dB (95% interval {low:.2f} to {high:.2f})"
    text += f", SSIM {metrics['test_ssim']:.4f}"
    if metrics.get("test_negative_elbo") is not None:
        text += f", negative ELBO {metrics['test_negative_elbo']:.2f} nats ({metrics['test_kl']:.2f} of them KL)"
    if metrics.get("test_bits_per_dimension") is not None:
        text += f", {metrics['test_bits_per_dimension']:.3f} bits per dimension (discretised)"
    return text


RECONSTRUCTION = Task(
    name="reconstruction",
    options=("noise", "beta", "kl_warmup", "binarize"),
    objective=_objective,
    recorder=_recorder,
    measure=_measure,
    leads=_leads,
    supersedes=supersedes,
    rule="the epoch of the lowest validation loss",
    evaluate=_evaluate,
    kept=(
        "loss",
        "psnr",
        "psnr_interval",
        "ssim",
        "ssim_interval",
        "mse",
        "reconstruction",
        "kl",
        "negative_elbo",
        "bits_per_dimension",
    ),
    told=_told,
)
