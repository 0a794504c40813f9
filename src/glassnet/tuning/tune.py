"""Train a grid: every cell with every seed, each an ordinary run, none of them twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from glassnet import figures
from glassnet.console import say
from glassnet.data import Dataset, load_dataset
from glassnet.errors import InputError, WorkError
from glassnet.experiment import Run
from glassnet.files import writable_target, write_json
from glassnet.models import create_model, parse_options
from glassnet.models.references import is_reference
from glassnet.run import RunDirectory
from glassnet.settings import ResolvedSettings, TrainSettings
from glassnet.settings.convert import to_text
from glassnet.training import train_or_resume
from glassnet.tuning.plan import Plan, make_plan, run_path, write_plan
from glassnet.tuning.result import Cell, Tuning, collect, spread

SEPARATOR = " · "


@dataclass(frozen=True)
class Trial:
    """One training of a grid: a cell with a seed.

    Attributes:
        settings: What to train, with the seed.
        path: Its run directory.
        name: The cell's name and the seed, as in "filters=8,8,8,8, seed 0".
        place: Which of the grid's trainings it is, as in "training 2 of 6".
    """

    settings: ResolvedSettings
    path: Path
    name: str
    place: str


def one_by_one(trials: Sequence[Trial]) -> None:
    """Train in this process, one after another; what is lost to a NaN is left out."""
    for trial in trials:
        say(f"{trial.place}: {trial.name}")
        try:
            train_or_resume(trial.settings, trial.path)
        except WorkError as error:
            say(f"{trial.name} is left out: {error}")
        except KeyboardInterrupt:
            say(f"stopped in {trial.place}; run the same command to continue.")
            raise


def tune(
    base: TrainSettings,
    axes: Mapping[str, Sequence[Any]],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    out: Path,
    train_all: Callable[[Sequence[Trial]], None] = one_by_one,
) -> Tuning:
    """Train every combination of the axes' values with every seed, and compare them.

    What is finished in `out` is not trained again, what was interrupted goes on from its checkpoint, and what an
    earlier grid on the same base settings left there belongs to the result too. A training whose loss becomes NaN is
    left out, and the others go on.

    Args:
        base: Settings of every run but for the axes; seed, out and resume are not used.
        axes: Values for names of settings or model options, typed or as on the command line.
        seeds: Each draws the initial weights, the held-out part and the order of the images; figures with the same
            seed are paired.
        out: Folder of the runs; tuning.json, grid.json and figures/tuning.png and .svg are written beside them.
        train_all: Trains what is not finished, in order; in whichever way, each becomes an ordinary run at its path.

    Raises:
        InputError: A name or value is wrong, or `out` has a grid on other settings; nothing has been trained.
        WorkError: No training came to an end.
    """
    seeds = _checked(seeds)
    writable_target(out, folder=True)
    plan = make_plan(base, axes, out)
    _check_models(plan, seeds, out)
    write_plan(plan, out)
    jobs = [(name, seed) for seed in seeds for name in plan.asked]
    train_all(_unfinished(plan, jobs, out))
    result = collect(plan, out)
    write_json(out / "tuning.json", result.to_json())
    _plot(result)
    return result


def _checked(seeds: Sequence[int]) -> tuple[int, ...]:
    """Refuse seeds that are none, or given twice, before anything is trained."""
    wrong = [seed for seed in seeds if not 0 <= seed < 2**31]
    if not seeds or wrong or len(set(seeds)) < len(seeds):
        raise InputError(
            f"--seeds is {' '.join(map(str, seeds)) or 'empty'}, expected distinct whole numbers from 0 to 2^31 - 1."
        )
    return tuple(seeds)


def _check_models(plan: Plan, seeds: Sequence[int], out: Path) -> None:
    """Build each cell's model without weights, so that an impossible size is told before hours of training.

    What is finished must have been trained on the data that the rest will be trained on.
    """
    datasets: dict[tuple[str, int | None], Dataset] = {}
    for name in plan.asked:
        settings = plan.cells[name]
        key = (settings.data, settings.image_size)
        if key not in datasets:
            datasets[key] = load_dataset(
                settings.data,
                root=settings.data_root,
                image_size=settings.image_size,
                skip_damaged=settings.skip_damaged,
                task=settings.task,
            )
        data = datasets[key]
        options = parse_options(settings.model, settings.model_options)
        shape = {"in_channels": data.channels, "num_classes": len(data.classes), "image_size": data.image_size}
        if not is_reference(settings.model):  # whose code may need numbers: the training refuses it
            with torch.device("meta"):
                create_model(settings.model, **shape, **options)
        for path in (run_path(out, name, seed) for seed in seeds):
            if (path / "run.json").exists():
                _require_same_data(Run.open(path), data)


def _require_same_data(run: Run, data: Dataset) -> None:
    """Refuse data other than a finished cell's: the table would compare trainings on different images."""
    if run.check_data(data):
        raise InputError(
            f"the data have changed since {run.path} was trained; restore the data, or give another --out."
        )


def _unfinished(plan: Plan, jobs: Sequence[tuple[str, int]], out: Path) -> list[Trial]:
    """List what is to be trained: all cells with the first seed, then all with the next, so that they compare early."""
    waiting = [job for job in jobs if not (run_path(out, *job) / "run.json").exists()]
    done = len(jobs) - len(waiting)
    if done:
        say(f"{done} of {len(jobs)} trainings are already finished")
    return [
        Trial(
            dataclasses.replace(plan.cells[name], seed=seed),
            run_path(out, name, seed),
            f"{name}, seed {seed}",
            f"training {number} of {len(jobs)}",
        )
        for number, (name, seed) in enumerate(waiting, done + 1)
    ]


def _plot(result: Tuning) -> None:
    """Write figures/tuning.png and .svg below the result's folder: a row a cell, a dot a seed."""
    axes = [axis for axis in result.axes if len({to_text(cell.values[axis]) for cell in result.cells}) > 1]
    labels = [_label(cell, axes) for cell in result.cells]
    figure = figures.tuning_figure(
        labels,
        [cell.validation_accuracy for cell in result.cells],
        metric="validation accuracy",
        columns={
            "parameters": [f"{cell.parameters:,}" for cell in result.cells],
            "seconds": [f"{spread(cell.seconds)[0]:,.0f}" for cell in result.cells],
        },
        title=f"Settings compared: {SEPARATOR.join(axes)}" if axes else result.best.name,
    )
    mean, std = spread(result.best.validation_accuracy)
    accuracy = f"{mean:.4f}" + (f" ± {std:.4f}" if std is not None else "")
    words = f"{len(labels)} settings; the best is {result.best.name} with a validation accuracy of {accuracy}."
    RunDirectory(result.out, {}).save_figure("tuning", figure, title="Settings compared", alt=words, caption=words)


def _label(cell: Cell, axes: Sequence[str]) -> str:
    """Name a cell by what it does not share with all the others; the title names the axes."""
    values = ("–" if cell.values[axis] is None else to_text(cell.values[axis]) for axis in axes)
    return SEPARATOR.join(values) or cell.name
