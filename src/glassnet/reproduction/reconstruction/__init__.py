"""Figures 6 to 11: images denoised by the report's three networks on its three data sets, beside what needs none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glassnet import figures
from glassnet.data.split import balanced_draw
from glassnet.denoising.baselines import noisy_and_clean
from glassnet.experiment import Run
from glassnet.formats import between
from glassnet.models import create_model, parse_options
from glassnet.models.layer_table import LayerTable, layer_table
from glassnet.reproduction.budget import filled
from glassnet.reproduction.claims import Verdict
from glassnet.reproduction.part import Part, Reproduction, SavedFigure, open_folder, save_plot
from glassnet.reproduction.reconstruction.comparison import judge, margin_table, quality_table, summary_table
from glassnet.reproduction.reconstruction.measures import (
    Measurements,
    evaluated,
    latent_dimensions,
    margins,
    measure,
    over_seeds,
)
from glassnet.reproduction.reconstruction.plan import (
    VAE,
    Denoising,
    bound_trainings,
    bounds,
    chosen,
    network_trainings,
    trainings,
)
from glassnet.run import RunDirectory
from glassnet.settings import TrainSettings
from glassnet.settings.train import ReproduceSettings
from glassnet.tables import Table
from glassnet.tasks.reconstruction.image_quality import psnr
from glassnet.tasks.reconstruction.learn import mean_interval, quality
from glassnet.training import train_or_resume


def reconstruction(settings: ReproduceSettings, out: Path) -> Reproduction:
    """Train the report's networks with every seed, measure them beside classical denoisers, and judge its claims.

    Args:
        settings: Seeds, data sets and networks; how each is trained stands in `reconstruction_plan`.
        out: Folder; the runs go below its training/, and those that are finished there are not trained again.

    Raises:
        InputError: A network or data set is not planned for, or the folder holds runs of other settings.
    """
    settings = filled(settings, "reconstruction")
    plans, folder = chosen(settings), open_folder(out)
    trainings(settings, out)  # so that all of it is checked before the first training
    tables: list[Table] = []
    measured: list[tuple[Denoising, Measurements]] = []
    verdicts: list[Verdict] = []
    saved: list[SavedFigure] = []
    details: dict[str, Any] = {"parameters": sum(layer.parameters for layer in diagram_layers())}
    notes = [_how(settings)]
    for plan in plans:
        runs = {
            name: {seed: train_or_resume(one.settings, one.path) for seed, one in by_seed.items()}
            for name, by_seed in network_trainings(plan, settings, out).items()
        }
        measurements = measure(folder, runs, settings)
        measured.append((plan, measurements))
        tables += [quality_table(plan, runs, measurements), margin_table(plan, measurements)]
        verdicts += judge(plan, measurements, seed=settings.seed)
        saved += plot_rows(folder, plan, runs, measurements, settings)
        details[plan.data] = _details(measurements)
        notes += _notes(plan, runs, measurements)
    tables = [summary_table(measured), *tables, *_bounds(plans, folder, settings, out)]
    saved = [plot_diagram(folder), *saved]
    return Reproduction("reconstruction", out, tuple(tables), tuple(verdicts), tuple(saved), tuple(notes), details)


RECONSTRUCTION = Part(
    "Figures 6 to 11: images denoised by an autoencoder and two VAEs",
    trainings,
    reconstruction,
    ("seeds", "models", "datasets", "seed"),
)


def _bounds(plans: Sequence[Denoising], folder: RunDirectory, settings: ReproduceSettings, out: Path) -> list[Table]:
    """Train and lay out the bound on clean images, of the first seed; no table where there is none to train."""
    rows: list[tuple[str, ...]] = []
    for plan in plans:
        for bound, training in bound_trainings(plan, settings, out):
            run = train_or_resume(training.settings, training.path)
            numbers = evaluated(folder, run, settings).numbers
            bits = numbers["bits_per_dimension"]
            rows.append((
                plan.data, f"{run.settings.model}, {numbers['latent']['dimensions']:,} latent", bound.title,
                f"{numbers['reconstruction']:.2f}", f"{numbers['kl']:.2f}", f"{numbers['negative_elbo']:.2f}",
                between(numbers["negative_elbo_interval"], 2), "–" if bits is None else f"{bits:.3f}",
                f"{numbers['latent']['active']:,}",
            ))  # fmt: skip
    header = ("data", "network", "likelihood", "reconstruction (nats)", "KL (nats)", "negative ELBO", "95% over images",
              "bits per dimension", "active")  # fmt: skip
    note = f"Seed {min(settings.seeds)}; one draw of the code an image."
    return [Table("The bound on clean test images", header, tuple(rows), note=note)] if rows else []


def _details(measurements: Measurements) -> dict[str, Any]:
    return {
        "margins": {
            name: {title: [float(of.mean()), *(mean_interval(of) or (None, None))] for title, of in above.items()}
            for name, above in ((name, margins(measurements, name)) for name in measurements.networks)
        },
        "quality": {
            name: {of: _of_images(over_seeds(by_seed, of)) for of in ("psnr", "ssim")}
            for name, by_seed in measurements.networks.items()
        },
        "networks": {
            name: {str(seed): dict(one) for seed, one in by.items()} for name, by in measurements.numbers.items()
        },
        "baselines": {
            title: quality(one) | {"images": len(one["psnr"])} for title, one in measurements.baselines.items()
        },
    }


def _of_images(values: np.ndarray) -> dict[str, Any]:
    return {"mean": float(values.mean()), "interval": mean_interval(values), "images": len(values)}


def _how(settings: ReproduceSettings) -> str:
    return (
        f"Seeds {', '.join(map(str, settings.seeds))}. Training images are not augmented. The epoch is chosen on "
        "validation images, and so were beta and the learning rate; the shape of the code was chosen when test results "
        "of earlier trials were known."
    )


def _notes(plan: Denoising, runs: Mapping[str, Mapping[int, Run]], measurements: Measurements) -> list[str]:
    run = next(iter(next(iter(runs.values())).values()))
    data = run.manifest["data"]
    trainings = "; ".join(
        f"{name}: {_trained_by(by[min(by)].settings)}" for name, by in runs.items()
    )  # fmt: skip
    warnings = [
        f"{name} on {plan.data}, seed {seed}: {line}"
        for name, by_seed in measurements.numbers.items()
        for seed, one in by_seed.items()
        for line in one["warnings"]
    ]
    about = f"{plan.data}: {data['note']}; {data['train']:,} training, {data['test']:,} test images. {trainings}."
    return [about, *_no_bottleneck(plan, runs), *measurements.left_out, *warnings]


def _trained_by(settings: TrainSettings) -> str:
    return (
        f"{', '.join(settings.model_options)}, beta {settings.beta:g}, learning rate {settings.learning_rate:g}, "
        f"{settings.epochs} epochs"
    )


def _no_bottleneck(plan: Denoising, runs: Mapping[str, Mapping[int, Run]]) -> list[str]:
    """Say which networks have a code with at least as many dimensions as the image has values."""
    sentences = []
    for name, by_seed in runs.items():
        run = by_seed[min(by_seed)]
        model = run.manifest["model"]
        numbers, values = latent_dimensions(run), model["in_channels"] * model["image_size"] ** 2
        if numbers >= values:
            sentences.append(
                f"{name} on {plan.data}: the code has {numbers:,} dimensions, at least as many as the image has "
                "values, so it is no bottleneck; PCA with that many components returns the noisy image."
            )
    return sentences


FIGURE_IMAGES = 10
DIGIT_SHAPE = (1, 1, 28, 28)


def diagram_layers() -> LayerTable:
    """Return the layers of Figure 6: of the VAE with a vector code whose bound is measured on MNIST."""
    options = parse_options(VAE, bounds("mnist")[0].settings.model_options)
    return layer_table(create_model(VAE, in_channels=1, image_size=DIGIT_SHAPE[-1], **options), DIGIT_SHAPE)


def plot_diagram(folder: RunDirectory) -> SavedFigure:
    """Plot Figure 6 from the layer table of the VAE."""
    layers = diagram_layers()
    title, alt = "Figure 6: structure of the VAE", "Encoder, mean and deviation, code and decoder, each with its sizes."
    figure = figures.autoencoder_diagram([asdict(layer) for layer in layers], f"{title} ({VAE})")
    return save_plot(folder, "figure-6", figure, title=title, alt=alt)


def plot_rows(
    folder: RunDirectory,
    plan: Denoising,
    runs: Mapping[str, Mapping[int, Run]],
    measurements: Measurements,
    settings: ReproduceSettings,
) -> list[SavedFigure]:
    """Plot noisy, reconstructed and original images of each network's first seed; the same images for all."""
    saved = []
    for name, by_seed in runs.items():
        run = by_seed[min(by_seed)]
        number = plan.figures.get(name)
        stem = f"figure-{number}" if number else f"{plan.name}-{name}"
        title = f"{f'Figure {number}: ' if number else ''}{name} on {plan.name}"
        title += f": mean PSNR {measurements.networks[name][min(by_seed)]['psnr'].mean():.2f} dB"
        saved.append(_rows(folder, run, stem, title, settings))
    return saved


def _rows(folder: RunDirectory, run: Run, stem: str, title: str, settings: ReproduceSettings) -> SavedFigure:
    dataset = run.dataset(settings.data_root)
    noisy, clean = noisy_and_clean(run, dataset, "test", balanced_draw(dataset.test.targets, FIGURE_IMAGES, seed=0))
    with torch.no_grad():
        images = run.model()(noisy).images
    rows = {"noisy": noisy, "reconstructed": images, "original": clean}
    figure = figures.image_rows(
        {row: pictures.numpy() for row, pictures in rows.items()},
        captions={
            row: [f"{value:.1f} dB" for value in psnr(rows[row], clean).tolist()] for row in ("noisy", "reconstructed")
        },
        title=title,
        note=f"Noise {run.settings.noise}. {len(clean)} test images drawn at random, not picked, with their PSNR.",
    )
    alt = f"{title}: rows of noisy, reconstructed and original images, with the PSNR of each."
    return save_plot(folder, stem, figure, title=title, alt=alt)
