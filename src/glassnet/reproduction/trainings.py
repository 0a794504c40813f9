"""The trainings of a part as a list that is known before the first of them, and the report's own network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glassnet.experiment import Run, resolve
from glassnet.reproduction.budget import epochs_of
from glassnet.reproduction.reported import OWN_NETWORK
from glassnet.settings import ResolvedSettings, TrainSettings
from glassnet.settings.train import ReproduceSettings
from glassnet.tuning import tune
from glassnet.tuning.plan import make_plan, run_path


@dataclass(frozen=True)
class Training:
    """A training that a part needs.

    Attributes:
        settings: As resolved, with the seed.
        path: The run directory.
        figures: Of the report, that it serves.
    """

    settings: ResolvedSettings
    path: Path
    figures: tuple[str, ...]


def folder_of(out: Path) -> Path:
    """Return the folder of the runs; parts that are given the same `out` share it, and train nothing twice."""
    return out / "training"


def base_settings(settings: ReproduceSettings, *, model_options: tuple[str, ...] = ()) -> TrainSettings:
    """Return the settings that all trainings of a reproduction share, for the report's own network."""
    base = TrainSettings(
        data=settings.data,
        model=OWN_NETWORK,
        model_options=model_options,
        device=settings.device,
        precision=settings.precision,
        data_root=settings.data_root,
    )
    return replace(base, epochs=epochs_of(settings, resolve(base).epochs))


def grid_trainings(
    base: TrainSettings, axes: Mapping[str, Sequence[Any]], seeds: Sequence[int], folder: Path, figures: Sequence[str]
) -> list[Training]:
    """List what `tune` would train, where each run goes, without writing anything.

    Raises:
        InputError: A name or value is wrong, or the folder holds a grid on other settings.
    """
    plan = make_plan(base, axes, folder)
    return [
        Training(replace(plan.cells[name], seed=seed), run_path(folder, name, seed), tuple(figures))
        for seed in seeds
        for name in plan.asked
    ]


def own_training(settings: ReproduceSettings, out: Path, *figures: str) -> Training:
    """Return the training of the report's own network that Figures 1, 2, 3, 12 to 14 and 17 are of."""
    (training,) = grid_trainings(base_settings(settings), {}, (settings.seed,), folder_of(out), figures)
    return training


def train_own_network(settings: ReproduceSettings, out: Path, *, model_options: tuple[str, ...] = ()) -> Run:
    """Train the report's own network with the defaults, or go on with it, or open it where it is finished.

    The runs lie where part classification has them, so that a run that it has trained is the one that is opened.
    """
    base = base_settings(settings, model_options=model_options)
    return train_one(base, {}, settings.seed, folder_of(out))


def train_one(base: TrainSettings, axes: Mapping[str, Sequence[Any]], seed: int, folder: Path) -> Run:
    """Train the one run of a grid whose axes have one value each, or go on with it, or open it."""
    (training,) = grid_trainings(base, axes, (seed,), folder, ())
    tune(base, axes, seeds=(seed,), out=folder)
    return Run.open(training.path)
