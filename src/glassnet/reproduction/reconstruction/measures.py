"""What the reconstruction part measures of its runs: quality image by image, by network and seed, and the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np

from glassnet.denoising import DENOISERS
from glassnet.denoising.baselines import BaselineQuality, measure_denoisers, measure_principal
from glassnet.devices import choose_device
from glassnet.experiment import Run, build_corruption
from glassnet.measuring import run_evaluation
from glassnet.models.autoencoder import Autoencoder
from glassnet.reproduction.part import Stage, run_inputs, stage
from glassnet.rng import PerImageRNG
from glassnet.run import RunDirectory
from glassnet.settings import to_json
from glassnet.settings.train import ReproduceSettings
from glassnet.tasks.reconstruction.image_quality import QUALITY
from glassnet.tasks.reconstruction.result import Reconstruction

Quality = Mapping[str, np.ndarray]
"""Measures of each test image by the keys of QUALITY."""


@dataclass(frozen=True)
class Measurements:
    """The networks and the baselines on one data set.

    Attributes:
        networks: By network and seed, the measures of each test image.
        numbers: By network and seed, what `glassnet eval` says in full.
        baselines: By title, on the images of the first seed; a slow one has fewer.
        left_out: Sentences on baselines that are not there.
    """

    networks: Mapping[str, Mapping[int, Quality]]
    numbers: Mapping[str, Mapping[int, Mapping[str, Any]]]
    baselines: Mapping[str, Quality]
    left_out: Sequence[str]


def measure(folder: RunDirectory, runs: Mapping[str, Mapping[int, Run]], settings: ReproduceSettings) -> Measurements:
    """Measure all runs of a data set on its test images, and once what needs no network, stage by stage."""
    stages = {
        name: {seed: evaluated(folder, run, settings) for seed, run in by_seed.items()}
        for name, by_seed in runs.items()
    }
    firsts = [by_seed[min(by_seed)] for by_seed in runs.values()]
    denoisers = _denoisers(folder, firsts[0], settings)  # all networks of a seed are given the same images
    codes = sorted({latent_dimensions(run) for run in firsts})
    baselines = [denoisers, *(_principal(folder, firsts[0], settings, components=numbers) for numbers in codes)]
    return Measurements(
        networks={n: {seed: one.arrays for seed, one in by_seed.items()} for n, by_seed in stages.items()},
        numbers={n: {seed: one.numbers for seed, one in by_seed.items()} for n, by_seed in stages.items()},
        baselines={
            title: {name: one.arrays[f"{place}/{name}"] for name in QUALITY}
            for one in baselines
            for place, title in enumerate(one.numbers["titles"])
        },
        left_out=denoisers.numbers["left_out"],
    )


def margins(measurements: Measurements, network: str) -> dict[str, np.ndarray]:
    """Return by how much a network's PSNR lies above each baseline's, in dB, image by image.

    The network's figure of an image is its mean over seeds. A slow baseline has the first images only, and is compared
    on these.
    """
    own = over_seeds(measurements.networks[network], "psnr")
    return {
        title: own[: len(one["psnr"])] - one["psnr"].astype(np.float64) for title, one in measurements.baselines.items()
    }


def nearest(differences: Mapping[str, np.ndarray]) -> tuple[str, np.ndarray]:
    """Return the baseline that a network is least above, or most below, with the differences to it."""
    return min(differences.items(), key=lambda item: float(item[1].mean()))


def weakest(measurements: Measurements) -> tuple[str, str, np.ndarray]:
    """Return the network and the baseline that it is least above, or most below, of all pairs, with the differences."""
    pairs = {name: nearest(margins(measurements, name)) for name in measurements.networks}
    name = min(pairs, key=lambda one: float(pairs[one][1].mean()))
    return name, *pairs[name]


def best_network(measurements: Measurements) -> str:
    """Return the network of the highest mean PSNR on the test images."""
    return max(measurements.networks, key=lambda name: float(over_seeds(measurements.networks[name], "psnr").mean()))


def nonlocal_means_title(measurements: Measurements) -> str | None:
    """Return the title of non-local means among the baselines; None where no noise left it out."""
    known = DENOISERS["nonlocal_means"].title
    return next((title for title in measurements.baselines if title.startswith(known)), None)


def over_seeds(by_seed: Mapping[int, Quality], name: str) -> np.ndarray:
    """Return each image's mean of a measure over the seeds."""
    return np.stack([one[name] for one in by_seed.values()]).mean(axis=0, dtype=np.float64)


def evaluated(folder: RunDirectory, run: Run, settings: ReproduceSettings) -> Stage:
    """Measure a run on its test images, as `glassnet eval` does."""

    def compute() -> Stage:
        dataset = run.dataset(settings.data_root)
        records = run_evaluation(
            run.model(choose_device(settings.device)),
            dataset.test,
            run.task.test_stats(run.settings, len(dataset.classes)),
            task=run.task,
            corruption=build_corruption(run.settings, run.task),
            rng=PerImageRNG(run.settings.seed, "test"),
        )
        arrays = {name: records[name].numpy() for name in QUALITY}
        return Stage(arrays, _numbers(run.task.evaluate(records, dataset.classes)))

    return stage(folder, f"quality-{run.name}", run_inputs(run), compute)


def _numbers(result: Reconstruction) -> dict[str, Any]:
    """Return what was measured on all images together as JSON values; a network alone has no baselines here."""
    apart = ("values", "noise", "baselines", "left_out")
    return {one.name: to_json(getattr(result, one.name)) for one in fields(result) if one.name not in apart}


def latent_dimensions(run: Run) -> int:
    """Return how many latent dimensions the code of one image has."""
    return int(np.prod(cast(Autoencoder, run.model()).latent_shape))


def _denoisers(folder: RunDirectory, run: Run, settings: ReproduceSettings) -> Stage:
    """Measure the classical denoisers once for all networks of a data set."""
    inputs = _images(run) | {
        "denoisers": {name: [one.available(), list(one.strengths), one.limit] for name, one in DENOISERS.items()}
    }

    def compute() -> Stage:
        baselines, left_out = measure_denoisers(run, run.dataset(settings.data_root), "test")
        return _stage(baselines, left_out)

    return stage(folder, f"denoisers-{_place(run)}", inputs, compute)


def _principal(folder: RunDirectory, run: Run, settings: ReproduceSettings, *, components: int) -> Stage:
    def compute() -> Stage:
        return _stage([measure_principal(run, run.dataset(settings.data_root), "test", components=components)], [])

    return stage(folder, f"pca-{components}-{_place(run)}", _images(run) | {"components": components}, compute)


def _stage(baselines: Sequence[BaselineQuality], left_out: Sequence[str]) -> Stage:
    arrays = {f"{place}/{name}": each for place, one in enumerate(baselines) for name, each in one.quality.items()}
    return Stage(arrays, {"titles": [one.title for one in baselines], "left_out": list(left_out)})


def _place(run: Run) -> str:
    return f"{run.settings.data.partition(':')[0]}-seed{run.settings.seed}"


def _images(run: Run) -> dict[str, Any]:
    """Return what decides the noisy images that a run is tested on."""
    had, settings = run.manifest["data"], run.settings
    sizes = {name: had[name] for name in ("name", "note", "image_size", "train", "validation", "test")}
    return sizes | {"noise": settings.noise, "binarize": settings.binarize, "seed": settings.seed}
