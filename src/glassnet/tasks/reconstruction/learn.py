"""Reconstruction: an image given back from a code, learned by the evidence lower bound, measured by PSNR and SSIM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

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


def mean_interval(each: np.ndarray) -> list[float] | None:
    """Bound a mean over images as JSON values, None where all images have the same value."""
    bounds = bootstrap_ci(np.asarray(each, dtype=np.float64), seed=INTERVAL_SEED)
    return None if bounds is None else list(bounds)


def between(bounds: Sequence[float] | None, digits: int) -> str:
    """Write an interval from low to high."""
    return "–" if bounds is None else f"{bounds[0]:.{digits}f} to {bounds[1]:.{digits}f}"


def _evaluate(records: Records, _classes: Sequence[str]) -> dict[str, Any]:
    """All that the report shows of a reconstruction, as JSON values; terms in nats per image, None if not finite."""
    values = int(records["values"][0])
    deviation = records["deviation"][0].tolist() if "deviation" in records else None
    result: dict[str, Any] = {
        "images": len(records["loss"]),
        **_measure(records),
        **quality({name: records[name].numpy() for name in QUALITY}),
        "variational": "code_kl" in records,
        "values_per_image": values,
        "likelihood": _likelihood(records),
        "likelihood_deviation": deviation,
        **dict.fromkeys(("negative_elbo", "negative_elbo_interval", "bits_per_dimension", "latent")),
        "warnings": list(deviation_warnings(deviation or [], _likelihood(records) == TITLES["gaussian"])),
    }
    if result["variational"]:
        result |= _bound(records, values)
        result["warnings"] = [*result["latent"]["warnings"], *result["warnings"]]
    return {key: _finite(value) for key, value in result.items()}


def _likelihood(records: Records) -> str:
    name = list(LIKELIHOODS)[int(records["likelihood"][0])]
    return TITLES["binarized" if name == "bernoulli" and bool(records["binarized"][0]) else name]


def _bound(records: Records, values: int) -> dict[str, Any]:
    nats = (records["reconstruction"] + records["kl"]).double()
    found: dict[str, Any] = {
        "negative_elbo": nats.mean().item(),
        # Nats are infinite where the code's variance exploded.
        "negative_elbo_interval": mean_interval(nats.numpy()) if bool(nats.isfinite().all()) else None,
        "latent": _latent(use_of(records)),
    }
    if "discretized" in records:
        whole = (records["discretized"] + records["kl"]).double().mean().item()
        found["bits_per_dimension"] = bits_per_dimension(whole, values)
    return found


def _finite(value: Any) -> Any:
    """Put None in place of each number that is not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


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


def _summary_line(metrics: Mapping[str, Any]) -> str:
    text = f"test PSNR {metrics['test_psnr']:.2f} dB (95% interval {between(metrics['test_psnr_interval'], 2)})"
    text += f", SSIM {metrics['test_ssim']:.4f}"
    if metrics.get("test_negative_elbo") is not None:
        text += f", negative ELBO {metrics['test_negative_elbo']:.2f} nats ({metrics['test_kl']:.2f} of them KL"
        text += f"; {metrics['test_likelihood']})" if metrics.get("test_likelihood") else ")"
    if metrics.get("test_bits_per_dimension") is not None:
        text += f", {metrics['test_bits_per_dimension']:.3f} bits per dimension (discretised)"
    return text


RECONSTRUCTION = Task(
    name="reconstruction",
    options=("noise", "beta", "kl_warmup", "binarize"),
    objective=objective,
    test_stats=recorder,
    val_stats=recorder,
    measure=_measure,
    is_best=_is_best,
    should_checkpoint=should_checkpoint,
    checkpoint_rule="the epoch of the lowest validation loss",
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
    summary_line=_summary_line,
    defaults=Names(data="mnist-sample", model="vae_conv"),
    recipe=Recipe(epochs=20, batch_size=128, learning_rate=0.006, weight_averaging=0.995),
)
