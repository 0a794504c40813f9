"""Where data, models and tasks meet: settings to (data set, model, task), and a run to the same."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glassnet.data import Dataset, load_dataset
from glassnet.data.holdout import channel_statistics
from glassnet.errors import InputError, unknown_name
from glassnet.models import create_model, parse_options
from glassnet.models.normalize import Normalize
from glassnet.run import RunDirectory
from glassnet.settings import TrainSettings, from_json
from glassnet.tasks import TASKS, Task


@dataclass(frozen=True)
class Experiment:
    """What a training needs: data, a model with random weights, the task, and what rebuilds the model."""

    dataset: Dataset
    model: nn.Module
    task: Task
    description: Mapping[str, Any]


def resolve(settings: TrainSettings) -> TrainSettings:
    """Return the settings with absolute paths to the data, so that a run works from any folder."""
    kind, colon, path = settings.data.partition(":")
    data = f"folder:{Path(path).expanduser().resolve()}" if kind == "folder" and path else kind + colon + path
    named = settings.data_root or os.environ.get("GLASSNET_DATA")
    return dataclasses.replace(settings, data=data, data_root=Path(named).expanduser().resolve() if named else None)


def read_settings(values: Mapping[str, Any], *, source: object) -> TrainSettings:
    """Rebuild the settings that a run holds.

    Raises:
        InputError: They are no settings; `source` is named as where they came from.
    """
    try:
        return from_json(TrainSettings, values)
    except (TypeError, AttributeError) as error:
        raise InputError(f"the settings in {source} are damaged ({error}); train the run again.") from None


def build(settings: TrainSettings) -> Experiment:
    """Load the data set and build the model that the settings name; the weights depend on the seed alone.

    Raises:
        InputError: A name is unknown, an option is wrong, or the data set's files are missing or damaged.
    """
    options = parse_options(settings.model, settings.model_options)
    dataset = load_dataset(settings.data, root=settings.data_root, image_size=settings.image_size)
    if dataset.task != settings.task:
        raise InputError(f"{settings.data} is a data set for {dataset.task}, not for --task {settings.task}.")
    description = {
        "name": settings.model,
        "options": options,
        "in_channels": dataset.channels,
        "num_classes": len(dataset.classes),
        "image_size": dataset.image_size,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = build_model(description)
    _set_normalization(model, *channel_statistics(dataset.train))
    return Experiment(dataset, model, TASKS[settings.task], description)


def build_model(description: Mapping[str, Any]) -> nn.Module:
    """Build the model that a description in run.json names."""
    try:
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in description["options"].items()}
        return create_model(
            description["name"],
            in_channels=description["in_channels"],
            num_classes=description["num_classes"],
            image_size=description["image_size"],
            **options,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the model's description is damaged ({error!r}); train the run again.") from None


def _set_normalization(model: nn.Module, mean: list[float], std: list[float]) -> None:
    for module in model.modules():
        if isinstance(module, Normalize) and not module.fixed:
            module.mean.copy_(torch.tensor(mean).view_as(module.mean))
            module.std.copy_(torch.tensor(std).view_as(module.std))


class Run(RunDirectory):
    """A finished run: its settings, metrics, history, trained model and data set."""

    @property
    def settings(self) -> TrainSettings:
        """The settings it was trained with."""
        return read_settings(self.manifest["settings"], source=self.path)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its classes."""
        return tuple(self.manifest["data"]["classes"])

    @property
    def task(self) -> Task:
        """Its task."""
        name = self.manifest["settings"].get("task")
        if name not in TASKS:
            raise unknown_name("task", str(name), TASKS, where=f" in {self.path}", noun="tasks")
        return TASKS[name]

    def model(self, device: str | torch.device = "cpu") -> nn.Module:
        """Rebuild the model with its best weights, in evaluation mode.

        Raises:
            InputError: The weights are damaged or belong to another model.
        """
        with torch.device("meta"):  # sizes without numbers: the run's own weights take their place
            model = build_model(self.manifest["model"])
        try:
            model.load_state_dict(self.weights(), assign=True)
        except RuntimeError as error:
            raise InputError(
                f"{self.path / 'model.safetensors'} does not fit {self.manifest['model']['name']}: "
                f"{' '.join(str(error).split())[:200]}; train the run again."
            ) from None
        return model.eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def dataset(self, root: Path | None = None) -> Dataset:
        """Load its data set, from `root` or from where it was trained.

        Raises:
            InputError: The files are missing or damaged.
        """
        settings = self.settings
        # The folder of a user's own images may have moved; --data-root then says where it is.
        data = "folder" if root is not None and settings.data.startswith("folder:") else settings.data
        return load_dataset(data, root=root or settings.data_root, image_size=settings.image_size)
