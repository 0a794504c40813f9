"""Figures 6 to 11 as pictures: the VAE from its layer table, and the three rows of each network on each data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import torch

from glassnet import figures
from glassnet.data.sampling import balanced_draw
from glassnet.denoising.beside import given
from glassnet.experiment import Run
from glassnet.models import create_model, parse_options
from glassnet.models.summary import layer_table
from glassnet.reproduction.reconstruction_measures import Measured
from glassnet.reproduction.reconstruction_plan import VAE, Denoising, bounds
from glassnet.reproduction.reproduction import Drawn
from glassnet.run import RunDirectory
from glassnet.settings.reproduce import ReproduceSettings
from glassnet.tasks.image_quality import psnr

SHOWN = 10
DIGIT_SHAPE = (1, 1, 28, 28)


def draw_diagram(kept: RunDirectory) -> Drawn:
    """Draw Figure 6 from the layer table of the VAE with a vector code whose bound is measured on MNIST."""
    options = parse_options(VAE, bounds("mnist")[0].settings.model_options)
    layers = layer_table(create_model(VAE, in_channels=1, image_size=DIGIT_SHAPE[-1], **options), DIGIT_SHAPE)
    title, alt = "Figure 6: structure of the VAE", "Encoder, mean and deviation, code and decoder, each with its sizes."
    figure = figures.autoencoder_diagram([asdict(layer) for layer in layers], f"{title} ({VAE})")
    kept.save_figure("figure-6", figure, title=title, alt=alt)
    return Drawn("figure-6", title, alt)


def draw_rows(
    kept: RunDirectory,
    plan: Denoising,
    runs: Mapping[str, Mapping[int, Run]],
    found: Measured,
    settings: ReproduceSettings,
) -> list[Drawn]:
    """Draw noisy, reconstructed and original images of each network's first seed; the same images for all."""
    drawn = []
    for name, by_seed in runs.items():
        run = by_seed[min(by_seed)]
        number = plan.figures.get(name)
        stem = f"figure-{number}" if number else f"{plan.name}-{name}"
        title = f"{f'Figure {number}: ' if number else ''}{name} on {plan.name}"
        title += f": mean PSNR {found.networks[name][min(by_seed)]['psnr'].mean():.2f} dB"
        drawn.append(_rows(kept, run, stem, title, settings))
    return drawn


def _rows(kept: RunDirectory, run: Run, stem: str, title: str, settings: ReproduceSettings) -> Drawn:
    dataset = run.dataset(settings.data_root)
    noisy, clean = given(run, dataset, "test", balanced_draw(dataset.test.own_targets, SHOWN, seed=0))
    with torch.no_grad():
        images = run.model()(noisy).images
    rows = {"noisy": noisy, "reconstructed": images, "original": clean}
    figure = figures.image_rows(
        {row: pictures.numpy() for row, pictures in rows.items()},
        captions={
            row: [f"{value:.1f} dB" for value in psnr(rows[row], clean).tolist()] for row in ("noisy", "reconstructed")
        },
        title=title,
        note=f"Noise {run.settings.noise}. {len(clean)} test images drawn by seed, none picked; below each its PSNR.",
    )
    alt = f"{title}: rows of noisy, reconstructed and original images, with the PSNR of each."
    kept.save_figure(stem, figure, title=title, alt=alt)
    return Drawn(stem, title, alt)
