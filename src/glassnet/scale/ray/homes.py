"""Trainings on other machines whose runs come home: each epoch's files are sent to the folder where they belong.

A node has a disk of its own, and may die with it. So a training writes to its node's temporary folder, and an actor on
this machine writes what it sends after each epoch to the run directory, where the next attempt finds it. What an
attempt sends that was believed dead is not written.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from glassnet.console import say
from glassnet.run.transfer import changed_files, write_files
from glassnet.scale.workers import Task
from glassnet.settings import ResolvedSettings
from glassnet.training import train_or_resume
from glassnet.training.callbacks import EpochRecord, TrainingInfo
from glassnet.tuning import Trial


class Home:
    """Writes what trainings send, on the machine of the sweep; Ray makes an actor of it."""

    def __init__(self) -> None:
        """Begin without any attempt."""
        self._attempts: dict[str, int] = {}

    def begin(self, path: str, attempt: int) -> None:
        """Take what this attempt sends from now on, and nothing of those before it."""
        self._attempts[path] = attempt

    def write(self, path: str, attempt: int, files: Mapping[str, bytes]) -> None:
        """Write a run's files, unless a later attempt has begun."""
        if self._attempts.get(path) == attempt:
            write_files(Path(path), files)


class Homes:
    """The run directories of a grid on this machine, within a block."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        """Know the trainings."""
        self._attempts: Counter[Path] = Counter({trial.path: 0 for trial in trials})

    def __enter__(self) -> Self:
        """Start the actor, on this machine and no other."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._home = ray.remote(num_cpus=0)(Home).options(scheduling_strategy=here).remote()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the actor."""
        import ray

        ray.kill(self._home)

    def task(self, trial: Trial) -> Task:
        """Make the next attempt at a training, which goes on from what has come home of those before it."""
        import ray

        self._attempts[trial.path] += 1
        attempt, path = self._attempts[trial.path], trial.path.absolute()
        ray.get(self._home.begin.remote(str(path), attempt))
        files = changed_files(path)[0] if path.is_dir() else {}
        say(f"{trial.place}: {trial.name}")
        return train_away, trial.settings, trial.name, files, self._home, str(path), attempt


def train_away(
    settings: ResolvedSettings, name: str, files: Mapping[str, bytes], home: Any, path: str, attempt: int
) -> None:
    """Train a run on a node's own disk, or go on with the files of one, and send home what it writes."""
    from glassnet.scale.trials import named_lines

    with named_lines(name), tempfile.TemporaryDirectory(prefix="glassnet-") as scratch:
        there = Path(scratch) / Path(path).name
        write_files(there, files)
        courier = Courier(there, lambda new: home.write.remote(path, attempt, new))
        train_or_resume(settings, there, callbacks=(courier,))
        courier.send()


class Courier:
    """A callback that sends what an epoch has changed, and waits until it is written."""

    def __init__(self, path: Path, write: Any) -> None:
        """Take a run, and what sends files by name home."""
        self._path, self._write = path, write
        self._stamps = changed_files(path)[1]

    def send(self) -> None:
        """Send what has changed since the last time."""
        import ray

        files, self._stamps = changed_files(self._path, self._stamps)
        ray.get(self._write(files))

    def on_start(self, info: TrainingInfo) -> None:  # noqa: ARG002
        """Send the first checkpoint."""
        self.send()

    def on_epoch(self, record: EpochRecord) -> None:  # noqa: ARG002
        """Send an epoch's weights, history and checkpoint."""
        self.send()

    def on_end(self, metrics: Mapping[str, Any]) -> None:
        """Wait for `send`: the manifest is written by now, but not yet read again."""
