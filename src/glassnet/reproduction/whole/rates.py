"""How long a training takes on this machine: a few of its steps, measured on the embedded sample of the same size."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch

from glassnet.console import progress
from glassnet.data import Dataset, find_source, load_dataset
from glassnet.data.split import training_parts
from glassnet.devices import choose_device, choose_precision
from glassnet.experiment import build, resolve
from glassnet.reproduction.trainings import Training
from glassnet.reproduction.whole.data import STAND_INS
from glassnet.settings import ResolvedSettings
from glassnet.training.distributed import join_processes
from glassnet.training.loop import Loop, evaluate_split, train_epoch
from glassnet.training.state import new_state

STEPS = 3
"""Optimizer steps that are timed at most, after one that warms up."""
ENOUGH = 1.0
"""Seconds after which no further step is timed."""


@dataclass(frozen=True)
class Rate:
    """Seconds an image.

    Attributes:
        train: In a step of the training, augmentation and optimizer included.
        validate: In an evaluation.
        share: Of the steps' time, in which the processors worked for this process: less than 1 where others take them.
    """

    train: float
    validate: float
    share: float = 1.0

    def seconds(self, images: int, settings: ResolvedSettings, epochs: int) -> float:
        """Return how long so many epochs on so many images take, of which the settings hold a part out."""
        held_out = images * settings.validation
        return epochs * ((images - held_out) * self.train + held_out * self.validate)


def measure_rates(trainings: Iterable[Training]) -> dict[str, Rate]:
    """Time a few steps of each kind of training, the data replaced by the embedded sample brought to the same size.

    Returns:
        A rate by `kind_of`.
    """
    kinds = {kind_of(one.settings): one.settings for one in trainings}
    datasets: dict[tuple[str, int | None], Dataset] = {}
    rates = {}
    with progress("timing a few steps of each network", len(kinds)) as advance:
        for kind, settings in kinds.items():
            rates[kind] = _measure(_on_sample(settings), datasets)
            advance()
    return rates


def kind_of(settings: ResolvedSettings) -> str:
    """Name what decides how long an image takes, as text that JSON can hold."""
    size = "" if settings.image_size is None else f" at {settings.image_size} px"
    words = " ".join([settings.model, *sorted(settings.model_options)])
    return f"{words} on {_sample_of(settings.data)}{size}{'' if settings.augment else ', not augmented'}"


def _sample_of(data: str) -> str:
    known = next((name for name in STAND_INS if data == name or data.startswith(f"{name}-")), None)
    return data if known is None or data in STAND_INS.values() else STAND_INS[known]


def _on_sample(settings: ResolvedSettings) -> ResolvedSettings:
    source, _ = find_source(settings.data, settings.data_root)
    size = settings.image_size or source.image_size
    return replace(settings, data=_sample_of(settings.data), image_size=size)


def _measure(settings: ResolvedSettings, datasets: dict[tuple[str, int | None], Dataset]) -> Rate:
    settings = resolve(settings)
    key = (settings.data, settings.image_size)
    if key not in datasets:
        datasets[key] = load_dataset(settings.data, root=settings.data_root, image_size=settings.image_size)
    parts = build(settings, dataset=datasets[key])
    training, validation = training_parts(parts.dataset, settings.validation, seed=settings.seed)
    device = choose_device(settings.device)
    few = validation.subset(torch.arange(min(len(validation), settings.batch_size)))
    one = training.subset(torch.arange(min(len(training), settings.batch_size))).to(device)
    state = new_state(parts.model.to(device), settings, steps=10 * STEPS)
    precision = choose_precision(settings.precision, device)
    loop = Loop(parts, settings, join_processes(device), state, one, few, precision, Path(), "")
    train_epoch(loop, state.model)
    seconds: list[float] = []
    worked = time.process_time()
    while len(seconds) < STEPS and sum(seconds) < ENOUGH:
        begun = time.perf_counter()
        train_epoch(loop, state.model)
        seconds.append(time.perf_counter() - begun)
    worked = time.process_time() - worked
    share = min(1.0, worked / (sum(seconds) * torch.get_num_threads())) if device.type == "cpu" else 1.0
    begun = time.perf_counter()
    evaluate_split(loop, "validation")
    return Rate(median(seconds) / len(one), (time.perf_counter() - begun) / len(few), share)
