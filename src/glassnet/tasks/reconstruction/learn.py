"""Reconstruction: an image given back from a code, learned by the evidence lower bound, measured by PSNR and SSIM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from glassnet.measures import show, with_interval
from glassnet.settings.train import Names, Recipe
from glassnet.stats import bootstrap_ci
from glassnet.tasks.base import Measures, Records, Task
from glassnet.tasks.reconstruction.elbo import (
    LIKELIHOODS,
    LatentUse,
    bits_per_dimension,
    deviation_warnings,
    latent_use,
)
from glassnet.tasks.reconstruction.image_quality import QUALITY
from glassnet.tasks.reconstruction.records import objective, recorder
from glassnet.tasks.reconstruction.result import Code, Reconstruction

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


def between(bounds: Sequence[float] | None, digits: int) -> str:
    """Write an interval from low to high."""
    return "–" if bounds is None else f"{bounds[0]:.{digits}f} to {bounds[1]:.{digits}f}"


def _evaluate(records: Records, _classes: Sequence[str]) -> Reconstruction:
    """All that the report shows of a reconstruction; terms in nats per image, None where they are not finite."""
    values, likelihood = int(records["values"][0]), _likelihood(records)
    deviation = records["deviation"][0].tolist() if "deviation" in records else None
    code = _latent(use_of(records)) if "code_kl" in records else None
    warnings = deviation_warnings(deviation or [], likelihood == TITLES["gaussian"])
    measures = _measure(records) | quality({name: records[name].numpy() for name in QUALITY})
    return Reconstruction(
        images=len(records["loss"]),
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
        values={name: records[name].numpy() for name in (*QUALITY, "reconstruction", "kl")},
    )


def _likelihood(records: Records) -> str:
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
    corrupts=True,
    compares_classes=False,
)
