"""The services that take logs: TensorBoard, Weights & Biases, MLflow; each of their libraries is an optional one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glassnet.loggers.logger import Logger, needed
from glassnet.loggers.pictures import Picture
from glassnet.settings import to_json
from glassnet.training.callbacks import TrainingInfo

TENSORBOARD_FOLDER = "tensorboard"
PROJECT = "glassnet"
"""Project of Weights & Biases and experiment of MLflow, where no other is named."""


class TensorBoard(Logger):
    """Logs into tensorboard/ in the run directory: `tensorboard --logdir runs` shows all runs."""

    def __init__(self, *, maps: int = 4) -> None:
        """Take how many held-out images are pictured.

        Raises:
            InputError: tensorboard is not installed.
        """
        super().__init__(maps=maps)
        self._module = needed("torch.utils.tensorboard", "TensorBoard")

    def open(self, info: TrainingInfo) -> int:
        """Open the log; steps after the epochs that are done, from a process that was killed, are dropped."""
        folder, done = info.path / TENSORBOARD_FOLDER, len(info.history)
        logged = _last_step(folder, done) if done else 0
        self._writer = self._module.SummaryWriter(str(folder), purge_step=done + 1 if done else None)
        return logged

    def numbers(self, values: Mapping[str, float], epoch: int) -> None:
        """Log numbers by name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)

    def picture(self, name: str, picture: Picture, epoch: int) -> None:
        """Log a picture."""
        self._writer.add_image(name, picture, epoch, dataformats="HWC")

    def flush(self) -> None:
        """Write to the disk what was logged."""
        self._writer.flush()

    def close(self, metrics: Mapping[str, float]) -> None:
        """Log the final metrics at step 0 of final/, and close the log."""
        for name, value in metrics.items():
            self._writer.add_scalar(f"final/{name}", value, 0)
        self._writer.close()


def _last_step(folder: Path, done: int) -> int:
    """Return the last epoch, of those that are done, of which a log holds numbers."""
    reader = needed("tensorboard.backend.event_processing.event_accumulator", "TensorBoard")
    if not folder.is_dir():
        return 0
    accumulator = reader.EventAccumulator(str(folder), size_guidance={reader.SCALARS: 0, reader.IMAGES: 1}).Reload()
    names = [name for name in accumulator.Tags()["scalars"] if not name.startswith("final/")]
    return max((one.step for name in names for one in accumulator.Scalars(name) if one.step <= done), default=0)


class WeightsAndBiases(Logger):
    """Logs to Weights & Biases, as WANDB_MODE and `wandb login` say; offline, into the run directory."""

    def __init__(self, *, maps: int = 4, project: str | None = None) -> None:
        """Take how many held-out images are pictured, and the project; WANDB_PROJECT if not given.

        Raises:
            InputError: wandb is not installed.
        """
        super().__init__(maps=maps)
        self._project = project or os.environ.get("WANDB_PROJECT") or PROJECT
        self._module = needed("wandb", "Weights & Biases")

    def open(self, info: TrainingInfo) -> int:
        """Begin a run there, or go on with the one of this training."""
        self._run = self._module.init(
            project=self._project,
            name=info.path.name,
            id=_identity(info),
            resume="allow",
            dir=str(info.path),
            config=to_json(info.settings),
            mode="offline" if os.environ.get("GLASSNET_OFFLINE") == "1" else None,
        )
        self._run.define_metric("*", step_metric="epoch")
        logged = self._run.summary.get("epoch") if info.history else 0
        return int(logged) if logged is not None else len(info.history)  # offline it cannot be asked

    def numbers(self, values: Mapping[str, float], epoch: int) -> None:
        """Log numbers by name."""
        self._run.log({**values, "epoch": epoch})

    def picture(self, name: str, picture: Picture, epoch: int) -> None:
        """Log a picture."""
        self._run.log({name: self._module.Image(picture), "epoch": epoch})

    def close(self, metrics: Mapping[str, float]) -> None:
        """Put the final metrics into the run's summary, and end it."""
        self._run.summary.update({f"final/{name}": value for name, value in metrics.items()})
        self._run.finish()


class MLflow(Logger):
    """Logs to MLflow, where MLFLOW_TRACKING_URI says."""

    def __init__(self, *, maps: int = 4, experiment: str = PROJECT) -> None:
        """Take how many held-out images are pictured, and the experiment.

        Raises:
            InputError: mlflow is not installed.
        """
        super().__init__(maps=maps)
        self._experiment, self._module = experiment, needed("mlflow", "MLflow")

    def open(self, info: TrainingInfo) -> int:
        """Begin a run there, or go on with the one of this training."""
        self._client: Any = self._module.MlflowClient()
        known = self._client.get_experiment_by_name(self._experiment)
        place = known.experiment_id if known else self._client.create_experiment(self._experiment)
        tag, name = _identity(info), info.path.name
        found = self._client.search_runs([place], f"tags.glassnet = '{tag}'") if info.history else []
        if found:
            self._id = found[0].info.run_id
            self._client.set_terminated(self._id, "RUNNING")
            values = self._client.get_metric_history(self._id, "seconds")
            return max((one.step for one in values if one.step <= len(info.history)), default=0)
        self._id = self._client.create_run(place, run_name=name, tags={"glassnet": tag}).info.run_id
        for key, value in to_json(info.settings).items():
            self._client.log_param(self._id, key, str(value)[:500])
        return 0

    def numbers(self, values: Mapping[str, float], epoch: int) -> None:
        """Log numbers by name."""
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=epoch)

    def picture(self, name: str, picture: Picture, epoch: int) -> None:
        """Log a picture, a file an epoch."""
        self._client.log_image(self._id, picture, f"{name}/epoch-{epoch:04}.png")

    def close(self, metrics: Mapping[str, float]) -> None:
        """Log the final metrics, and end the run."""
        for name, value in metrics.items():
            self._client.log_metric(self._id, f"final/{name}", value)
        self._client.set_terminated(self._id)


def _identity(info: TrainingInfo) -> str:
    """Name a training by where and when it began, so that a resumed one goes on in its own log."""
    text = f"{info.path.resolve()} {info.began}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=8).hexdigest()
