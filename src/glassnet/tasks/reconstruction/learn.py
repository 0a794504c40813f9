"""Reconstruction: an image given back from a code, learned by the evidence lower bound, measured by PSNR and SSIM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from glassnet.measures import show, with_interval
from glassnet.settings import TrainSettings
from glassnet.settings.train import Names, Recipe
from glassnet.stats import bootstrap_ci
from glassnet.tasks.base import Measures, Normal, Objective, Recorder, Records, Task
from glassnet.tasks.reconstruction.elbo import (
    LIKELIHOODS,
    LatentUse,
    bits_per_dimension,
    deviation_warnings,
    kl_per_dimension,
    latent_use,
    warm_up,
)
from glassnet.tasks.reconstruction.image_quality import QUALITY
from glassnet.tasks.reconstruction.result import Code, Reconstruction


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
    """Return the negative ELBO of a batch, its KL term weighted by beta and the warm-up, with both terms apart.

    A model that gives images alone is trained on minus their PSNR.
    """

    def of_batch(output: Output | Tensor, targets: Tensor, progress: float) -> tuple[Tensor, Mapping[str, Tensor]]:
        if isinstance(output, Tensor):
            return negative_psnr(output, targets).mean(), {}
        negative_log_likelihood = LIKELIHOODS[output.likelihood](output.logits, targets, output.log_deviation).mean()
        if output.log_variance is None:
            return negative_log_likelihood, {"reconstruction": negative_log_likelihood.detach()}
        kl = kl_per_dimension(output.mean, output.log_variance).sum(dim=1).mean()
        weight = settings.beta * warm_up(progress, settings.kl_warmup)
        return negative_log_likelihood + weight * kl, {
            "reconstruction": negative_log_likelihood.detach(),
            "kl": kl.detach(),
        }

    return of_batch


def recorder(settings: TrainSettings, _classes: int) -> Recorder:
    """Return what is remembered of a batch: quality and terms by image, sums over the code's dimensions as one row."""

    @torch.no_grad()
    def of_batch(output: Output | Tensor, targets: Tensor, normal: Normal) -> Records:
        images = output_images(output)
        records = {name: measure(images, targets) for name, measure in QUALITY.items()}
        records["values"] = torch.full((len(targets),), targets[0].numel())
        if isinstance(output, Tensor):
            return records | {"loss": negative_psnr(output, targets)}
        return _weighted(records | _terms(output, targets, normal) | _code(output), settings.beta) | kind

    kind = {"binarized": torch.tensor([settings.binarize])}
    return of_batch


def negative_psnr(images: Tensor, targets: Tensor) -> Float[Tensor, " batch"]:
    """Return 10 log10(mean squared error + 1e-8) of each image, in dB: alike for weak noise and for strong.

    The mean squared error itself would count an image with five times the noise 25-fold. It is the loss of Chen et al.
    2022, https://arxiv.org/abs/2204.04676, as their code has it.
    """
    return 10 * torch.log10((images.float() - targets).square().flatten(1).mean(dim=1) + 1e-8)


def output_images(output: Output | Tensor) -> Tensor:
    """Return the reconstructed images of an output, which may be these images alone, with no code and no likelihood."""
    return output if isinstance(output, Tensor) else output.images


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
    negative_log_likelihood = LIKELIHOODS[output.likelihood](logits, targets, output.log_deviation)
    records = {"reconstruction": negative_log_likelihood, "kl": kl}
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


INTERVAL_SEED = 0
TITLES = {
    "bernoulli": "Bernoulli, grey values as means",
    "binarized": "Bernoulli, binarised pixels",
    "gaussian": "Gaussian density",
    "discretized_gaussian": "discretised Gaussian",
}
"""What the nats of each likelihood are, of which those of different ones are not comparable."""


def _measure(records: Records) -> Measures:
    losses = records["loss"].double()
    measures = {"loss": losses.mean().item(), "loss_error": (losses.std(correction=0) / len(losses) ** 0.5).item()}
    for name in ("reconstruction", "kl", "psnr", "ssim"):
        if name in records:
            measures[name] = records[name].double().mean().item()
    return measures


def _is_best(measures: Mapping[str, float], lowest: Mapping[str, float]) -> bool:
    return measures["loss"] < lowest["loss"]


def should_checkpoint(measures: Mapping[str, float], lowest: Mapping[str, float]) -> bool:
    """Keep the epoch of the lowest loss: the images differ far more among themselves than two epochs do on them."""
    return measures["loss"] <= lowest["loss"]


def quality(values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Summarise measures of images, one value an image: mean and 95% bootstrap interval of each."""
    summary: dict[str, Any] = {}
    for name, of_images in values.items():
        each = np.asarray(of_images, dtype=np.float64)
        summary |= {name: float(each.mean()), f"{name}_interval": mean_interval(each)}
    return summary


def mean_interval(each: np.ndarray) -> tuple[float, float] | None:
    """Bound a mean over images; None where all images have the same value."""
    return bootstrap_ci(np.asarray(each, dtype=np.float64), seed=INTERVAL_SEED)


def _evaluate(records: Records, _classes: Sequence[str]) -> Reconstruction:
    """All that the report shows of a reconstruction; terms in nats per image, None where not finite or not there."""
    values, likelihood = int(records["values"][0]), _likelihood(records)
    deviation = records["deviation"][0].tolist() if "deviation" in records else None
    code = _latent(use_of(records)) if "code_kl" in records else None
    warnings = deviation_warnings(deviation or [], likelihood == TITLES["gaussian"])
    none: dict[str, float | None] = dict.fromkeys(("loss", "loss_error", "reconstruction", "kl"))
    measures = none | _measure(records) | quality({name: records[name].numpy() for name in QUALITY})
    return Reconstruction(
        images=len(records["psnr"]),
        **{name: _finite(value) for name, value in measures.items()},
        variational=code is not None,
        values_per_image=values,
        likelihood=likelihood,
        likelihood_deviation=None if deviation is None else tuple(map(_finite, deviation)),
        **_bound(records, values, variational=code is not None),
        latent=code,
        warnings=(*(code.warnings if code else ()), *warnings),
        noise="none",
        baselines=(),
        left_out=(),
        values={name: records[name].numpy() for name in (*QUALITY, "reconstruction", "kl") if name in records},
    )


def _likelihood(records: Records) -> str | None:
    if "likelihood" not in records:
        return None
    name = list(LIKELIHOODS)[int(records["likelihood"][0])]
    return TITLES["binarized" if name == "bernoulli" and bool(records["binarized"][0]) else name]


def _bound(records: Records, values: int, *, variational: bool) -> dict[str, Any]:
    if not variational:
        return dict.fromkeys(("negative_elbo", "negative_elbo_interval", "bits_per_dimension"))
    nats = (records["reconstruction"] + records["kl"]).double()
    bits = None
    if "discretized" in records:
        whole = (records["discretized"] + records["kl"]).double().mean().item()
        bits = _finite(bits_per_dimension(whole, values))
    return {
        "negative_elbo": _finite(nats.mean().item()),
        # Nats are infinite where the code's variance exploded.
        "negative_elbo_interval": mean_interval(nats.numpy()) if bool(nats.isfinite().all()) else None,
        "bits_per_dimension": bits,
    }


def _finite(value: Any) -> Any:
    """Put None in place of a number that is not finite, which JSON does not have."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def use_of(records: Records) -> LatentUse:
    """Join what the batches said of the code's dimensions."""
    images = float(records["code_images"].sum())
    mean = records["code_sum"].sum(dim=0) / images
    variance = records["code_squares"].sum(dim=0) / images - mean.square()
    return latent_use(records["code_kl"].sum(dim=0) / images, variance, float(records["code_log_variance"].max()))


def _latent(use: LatentUse) -> Code:
    return Code(
        dimensions=len(use.kl),
        active=int(use.active.sum()),
        active_dimensions=tuple(use.active.nonzero().flatten().tolist()),
        kl_per_dimension=tuple(map(_finite, use.kl.tolist())),
        largest_deviation=_finite(use.largest_deviation),
        warnings=tuple(use.warnings),
    )


def _summary_line(metrics: Mapping[str, Any]) -> str:
    text = f"test PSNR {with_interval('psnr', metrics['test_psnr'], metrics['test_psnr_interval'])}"
    text += f", SSIM {show('ssim', metrics['test_ssim'])}"
    if metrics.get("test_negative_elbo") is not None:
        text += f", negative ELBO {show('negative_elbo', metrics['test_negative_elbo'])} nats"
        text += f" ({show('kl', metrics['test_kl'])} of them KL"
        text += f"; {metrics['test_likelihood']})" if metrics.get("test_likelihood") else ")"
    if metrics.get("test_bits_per_dimension") is not None:
        text += f", {show('bits_per_dimension', metrics['test_bits_per_dimension'])} bits per dimension (discretised)"
    return text


TASK = Task(
    name="reconstruction",
    options=("noise", "beta", "kl_warmup", "binarize"),
    objective=objective,
    test_stats=recorder,
    val_stats=recorder,
    measure=_measure,
    is_best=_is_best,
    should_checkpoint=should_checkpoint,
    checkpoint_rule="the epoch of the lowest validation loss",
    result=Reconstruction,
    evaluate=_evaluate,
    saved_metrics=(
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
        "likelihood",
        "likelihood_deviation",
        "warnings",
    ),
    required_metrics=("psnr", "psnr_interval", "ssim"),
    summary_line=_summary_line,
    defaults=Names(data="mnist-sample", model="vae_conv"),
    recipe=Recipe(epochs=20, batch_size=128, learning_rate=0.006, weight_averaging=0.995),
    output="image",
    target_dimensions=0,
    corrupts=True,
    compares_classes=False,
)
