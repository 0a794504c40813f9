"""A grid of trainings over an engine's workers: each cell and seed is a task that trains an ordinary run directory.

A training gives the same weights wherever it runs with as many threads, so the table is that of the local engine. What
a dead worker has left is taken up from its checkpoint, by the same `train_or_resume` that goes on with a stopped grid.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from glassnet.console import say
from glassnet.scale.engines import Engine, open_workers
from glassnet.scale.workers import Failure, Task
from glassnet.settings import ResolvedSettings, TrainSettings
from glassnet.training import train_or_resume
from glassnet.tuning import Trial, Tuning, one_by_one
from glassnet.tuning import tune as tune_grid


def tune(
    base: TrainSettings,
    axes: Mapping[str, Sequence[Any]],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    out: Path,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    trial_cpus: int | None = None,
) -> Tuning:
    """Train every combination of the axes' values with every seed, and compare them.

    Finished runs in `out` are not trained again, interrupted runs continue from their checkpoints, and runs of an
    earlier grid with the same base settings are part of the result. A training is left out if its loss becomes NaN or
    its worker dies three times; the others continue.

    Args:
        base: Settings of every run except the axes; seed, out and resume are not used.
        axes: Values for names of settings or model options, typed or as on the command line.
        seeds: Each seed determines the initial weights, the held-out images and their order; runs with the same seed
            are compared in pairs.
        out: Folder of the runs; tuning.json, grid.json and figures/tuning.png and .svg are written there too.
        engine: "local" trains one run after another in this process; "processes" uses several processes on this
            machine; "ray" uses a Ray cluster, which sends the runs back epoch by epoch. The results are the same to the
            last bit, given the same `trial_cpus` and kind of processor.
        workers: Number of simultaneous trainings with "processes" or "ray"; None for as many as the CPUs allow.
        address: The Ray cluster: "auto" or HOST:PORT; None starts one on this machine.
        trial_cpus: Threads per training, and CPUs that Ray reserves for it; None means 1, or torch's default with
            "local".

    Raises:
        InputError: A name or value is wrong, `out` has a grid with other settings, or the engine is not available;
            nothing is trained.
        WorkError: No training finished.
    """
    chosen = Engine(engine, workers, address, 1 if trial_cpus is None else trial_cpus)
    if engine == "local":
        with _threads(trial_cpus):
            return tune_grid(base, axes, seeds=seeds, out=out, train_all=one_by_one)
    return tune_grid(base, axes, seeds=seeds, out=out, train_all=partial(train_all, engine=chosen))


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch use so many threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_all(trials: Sequence[Trial], *, engine: Engine) -> None:
    """Train over an engine's workers, and say what is begun, what is finished and what is left out.

    Raises:
        InputError: A run directory holds something else, or the data cannot be read; the other trainings are stopped.
    """
    if not trials:
        return
    done = 0
    try:
        with open_workers(engine, most=len(trials)) as workers, _tasks_of(engine, trials) as task:
            for trial, result in workers.complete(trials, task, name=lambda one: one.name):
                done += 1
                if not isinstance(result, Failure):
                    say(f"{trial.name} is finished, {done} of {len(trials)}")
                elif result.kind == "input":
                    raise result.raised()
                else:
                    again = "; run the same command to try it again." if result.kind == "lost" else ""
                    say(f"{trial.name} is left out: {result.message}{again}")
    except KeyboardInterrupt:
        say(f"stopped after {done} of {len(trials)} trainings; run the same command to continue.")
        raise


@contextlib.contextmanager
def _tasks_of(engine: Engine, trials: Sequence[Trial]) -> Iterator[Any]:
    """Yield what makes a training's task: in place on this machine, by way of its worker's disk on a cluster."""
    if engine.name == "ray":
        from glassnet.scale.ray import Homes

        with Homes(trials) as homes:
            yield homes.task
        return
    yield _in_place


def _in_place(trial: Trial) -> Task:
    say(f"{trial.place}: {trial.name}")
    return train_trial, trial.settings, trial.path, trial.name


def train_trial(settings: ResolvedSettings, path: Path, name: str) -> None:
    """Train a run in a worker, or go on with it; what it says begins with its name."""
    with named_lines(name):
        train_or_resume(settings, path)


def named_lines(name: str) -> contextlib.AbstractContextManager[Any]:
    """Let each line on standard error begin with a name, as where several trainings write to one terminal."""
    return contextlib.redirect_stderr(_Named(name, sys.stderr))


class _Named(io.TextIOBase):
    """Standard error of one of several trainings: each line begins with the training's name."""

    def __init__(self, name: str, stream: Any) -> None:
        self._name, self._stream = name, stream

    def write(self, text: str) -> int:
        """Write whole lines, as `say` gives them."""
        lines = text.splitlines(keepends=True)
        self._stream.write("".join(f"[{self._name}] {one}" if one.strip() else one for one in lines))
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        self._stream.flush()
