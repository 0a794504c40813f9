"""A reconstruction's evaluation: PSNR and SSIM beside what needs no network, and what the code has learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glassnet.commands.answer import table
from glassnet.commands.evaluated import Evaluated, Shown
from glassnet.commands.reconstruction_pictures import draw_pictures, latent_shape
from glassnet.console import say
from glassnet.data import Split
from glassnet.data.batches import ordered_batches
from glassnet.experiment import build_disturbance
from glassnet.tasks.baselines import Baseline, denoised, projected
from glassnet.tasks.denoising.principal import MOST_IMAGES
from glassnet.tasks.reconstruction import QUALITY, quality

MEASURED_NOISE_IMAGES = 500
"""Training images that the deviation of the noise is measured on, and classical denoisers are tuned on."""


def _arrays(found: Evaluated) -> dict[str, np.ndarray]:
    """Measure the baselines too, and add what they came to to the result."""
    baselines, left_out = _baselines(found)
    measured = {one: _measured(one, found) for one in baselines}
    found.result |= {
        "noise": found.run.settings.noise,
        "baselines": [
            {"name": one.name, "title": one.title, "images": len(one.images), **quality(each)}
            for one, each in measured.items()
        ],
        "left_out": left_out,
    }
    own = {name: found.records[name].numpy() for name in (*QUALITY, "reconstruction", "kl")}
    others = {f"{one.name}/{name}": each[name] for one, each in measured.items() for name in QUALITY}
    return own | others


def _text(found: Evaluated) -> str:
    result = found.result
    rows = [(found.run.manifest["model"]["name"], *_cells(result))]
    rows += [(one["title"], *_cells(one)) for one in result["baselines"]]
    told = found.run.task.told({f"test_{key}": result[key] for key in found.run.task.kept})
    code = result["latent"]
    more = [] if code is None else [f"{code['active']:,} of {code['dimensions']:,} latent dimensions are active."]
    more += [] if code is None else code["warnings"]
    return "\n".join(
        [
            f"{found.run.name} on {result['data']} ({result['split']}, {result['images']:,} images, noise "
            f"{result['noise']}): {told}",
            "",
            table(("", "images", "MSE", "PSNR (dB)", "95% interval", "SSIM", "95% interval"), rows),
            *more,
            *result["left_out"],
        ]
    )


def _cells(measured: Mapping[str, Any]) -> tuple[str, ...]:
    psnr, ssim = measured["psnr_interval"], measured["ssim_interval"]
    return (
        f"{measured['images']:,}",
        f"{measured['mse']:.5f}",
        f"{measured['psnr']:.2f}",
        f"{psnr[0]:.2f} to {psnr[1]:.2f}",
        f"{measured['ssim']:.4f}",
        f"{ssim[0]:.4f} to {ssim[1]:.4f}",
    )


def _measured(one: Baseline, found: Evaluated) -> dict[str, np.ndarray]:
    clean = pairs(found, found.split.part(torch.arange(len(one.images))))[1]
    return {name: measure(one.images, clean).numpy() for name, measure in QUALITY.items()}


def _baselines(found: Evaluated) -> tuple[list[Baseline], list[str]]:
    """Run every baseline on the images that the model was given."""
    say("measuring what needs no network on the same images")
    noisy, clean = pairs(found, found.split)
    training = found.dataset.train
    baselines: list[Baseline] = []
    left_out = ["The input has no noise, so that no denoiser is measured."]
    if not torch.equal(noisy, clean):
        few = training.part(torch.arange(min(MEASURED_NOISE_IMAGES, len(training))))
        baselines, left_out = denoised(noisy, pairs(found, few))
    many = training.take(torch.arange(min(MOST_IMAGES, len(training))))[0].float() / 255
    return [*baselines, projected(noisy, many, int(np.prod(latent_shape(found.model))))], left_out


def pairs(found: Evaluated, split: Split) -> tuple[Tensor, Tensor]:
    """Return a split's images as the model is given them, and as it should give them back."""
    settings = found.run.settings
    corruption = build_disturbance(settings, found.run.task)
    batches = ordered_batches(
        split, batch_size=512, device=torch.device("cpu"), disturbance=corruption, seed=settings.seed
    )
    noisy, clean = zip(*batches, strict=True)
    return torch.cat(noisy), torch.cat(clean)


SHOWN = Shown(_arrays, draw_pictures, _text)
