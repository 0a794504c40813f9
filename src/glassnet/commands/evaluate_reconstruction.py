"""A reconstruction's evaluation: PSNR and SSIM beside what needs no network, and what the code has learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from glassnet.commands.evaluated import Evaluated, Shown
from glassnet.commands.reconstruction_pictures import draw_pictures
from glassnet.console import say
from glassnet.denoising.baselines import measure_baselines
from glassnet.tables import text_table
from glassnet.tasks.reconstruction.image_quality import QUALITY
from glassnet.tasks.reconstruction.learn import between, mean_interval


def _arrays(found: Evaluated) -> dict[str, np.ndarray]:
    """Measure the baselines too, and add what they came to to the result."""
    say("measuring what needs no network on the same images")
    baselines, left_out = measure_baselines(found.run, found.model, found.dataset, found.split_name)
    own = {name: found.records[name].numpy() for name in (*QUALITY, "reconstruction", "kl")}
    rows = [one.to_json() | _margin(own["psnr"], one.quality["psnr"]) for one in baselines]
    found.result.update(noise=found.run.settings.noise, baselines=rows, left_out=left_out)
    return own | {f"{one.name}/{name}": values for one in baselines for name, values in one.quality.items()}


def _margin(own: np.ndarray, baseline: np.ndarray) -> dict[str, Any]:
    """Say by how much the network's PSNR lies above a baseline's, on the images that the baseline has."""
    differences = own[: len(baseline)].astype(np.float64) - baseline
    return {"margin": float(differences.mean()), "margin_interval": mean_interval(differences)}


def _text(found: Evaluated) -> str:
    result = found.result
    rows = [(found.run.manifest["model"]["name"], *_cells(result))]
    rows += [(one["title"], *_cells(one)) for one in result["baselines"]]
    told = found.run.task.summary_line({f"test_{key}": result[key] for key in found.run.task.saved_metrics})
    code = result["latent"]
    more = [] if code is None else [f"{code['active']:,} of {code['dimensions']:,} latent dimensions are active."]
    if result["likelihood_deviation"]:
        sides = ", ".join(f"{value:.4f}" for value in result["likelihood_deviation"])
        more.append(f"Standard deviation of the likelihood, per channel: {sides}.")
    more += result["warnings"]
    return "\n".join(
        [
            f"{found.run.name} on {result['data']} ({result['split']}, {result['images']:,} images, noise "
            f"{result['noise']}): {told}",
            "",
            text_table(("", "images", "MSE", "PSNR (dB)", "95% interval", "SSIM", "95% interval"), rows),
            *more,
            *result["left_out"],
        ]
    )


def _cells(measured: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{measured['images']:,}",
        f"{measured['mse']:.5f}",
        f"{measured['psnr']:.2f}",
        between(measured["psnr_interval"], 2),
        f"{measured['ssim']:.4f}",
        between(measured["ssim_interval"], 4),
    )


SHOWN = Shown(_arrays, draw_pictures, _text)
