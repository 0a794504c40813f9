"""What the reconstruction part measures of its runs: quality image by image, by network and seed, and the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glassnet.data.own_numbers import OwnNumbers
from glassnet.denoising.beside import measure_baselines
from glassnet.devices import choose_device
from glassnet.experiment import Run, build_disturbance, measured
from glassnet.paper.stages import Stage, stage
from glassnet.run import RunDirectory
from glassnet.settings.reproduce import ReproduceSettings
from glassnet.tasks.image_quality import QUALITY

Quality = Mapping[str, np.ndarray]
"""Measures of each test image by the keys of QUALITY."""


@dataclass(frozen=True)
class Measured:
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


def measure(kept: RunDirectory, runs: Mapping[str, Mapping[int, Run]], settings: ReproduceSettings) -> Measured:
    """Measure all runs of a data set on its test images, and once what needs no network, stage by stage."""
    stages = {
        name: {seed: evaluated(kept, run, settings) for seed, run in by_seed.items()} for name, by_seed in runs.items()
    }
    beside: dict[str, Quality] = {}
    left_out: list[str] = []
    for by_seed in runs.values():  # PCA has as many components as the code of each network
        found = _baselines(kept, by_seed[min(by_seed)], settings)
        for place, title in enumerate(found.numbers["titles"]):
            beside.setdefault(title, {name: found.arrays[f"{place}/{name}"] for name in QUALITY})
        left_out = list(found.numbers["left_out"])
    return Measured(
        networks={n: {seed: one.arrays for seed, one in by_seed.items()} for n, by_seed in stages.items()},
        numbers={n: {seed: one.numbers for seed, one in by_seed.items()} for n, by_seed in stages.items()},
        baselines=beside,
        left_out=left_out,
    )


def margins(found: Measured, network: str) -> dict[str, np.ndarray]:
    """Return by how much a network's PSNR lies above each baseline's, in dB, image by image.

    The network's figure of an image is its mean over seeds. A slow baseline has the first images only, and is compared
    on these.
    """
    own = over_seeds(found.networks[network], "psnr")
    return {title: own[: len(one["psnr"])] - one["psnr"].astype(np.float64) for title, one in found.baselines.items()}


def nearest(differences: Mapping[str, np.ndarray]) -> tuple[str, np.ndarray]:
    """Return the baseline that a network is least above, or most below, with the differences to it."""
    return min(differences.items(), key=lambda item: float(item[1].mean()))


def over_seeds(by_seed: Mapping[int, Quality], name: str) -> np.ndarray:
    """Return each image's mean of a measure over the seeds."""
    return np.stack([one[name] for one in by_seed.values()]).mean(axis=0, dtype=np.float64)


def evaluated(kept: RunDirectory, run: Run, settings: ReproduceSettings) -> Stage:
    """Measure a run on its test images, as `glassnet eval` does."""

    def compute() -> Stage:
        dataset = run.dataset(settings.data_root)
        records = measured(
            run.model(choose_device(settings.device)),
            dataset.test,
            run.task.recorder(run.settings, len(dataset.classes)),
            task=run.task,
            disturbance=build_disturbance(run.settings, run.task),
            numbers=OwnNumbers(run.settings.seed, "test"),
        )
        arrays = {name: records[name].numpy() for name in QUALITY}
        return Stage(arrays, run.task.evaluate(records, dataset.classes))

    return stage(kept, f"quality-{run.name}", _inputs(run), compute)


def _baselines(kept: RunDirectory, run: Run, settings: ReproduceSettings) -> Stage:
    def compute() -> Stage:
        dataset = run.dataset(settings.data_root)
        found, left_out = measure_baselines(run, run.model(), dataset, "test")
        arrays = {f"{place}/{name}": each for place, one in enumerate(found) for name, each in one.quality.items()}
        return Stage(arrays, {"titles": [one.title for one in found], "left_out": left_out})

    return stage(kept, f"baselines-{run.name}", _inputs(run), compute)


def _inputs(run: Run) -> dict[str, Any]:
    return {"run": run.name, "started": run.manifest.get("started"), "metrics": run.metrics}
