"""Where data, models and tasks meet: settings to (data set, model, task), and a run to the same."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

import glassnet
from glassnet import building
from glassnet.console import say_once
from glassnet.data import OF_A_PATH, Dataset, load_dataset
from glassnet.data.augment import FOR_PRETRAINED
from glassnet.data.augment.noise import NoiseCorruption, parse_noise
from glassnet.data.batches import Corruption, require_background
from glassnet.data.fingerprint import changes, check_classes_stay, check_fits, counted, fingerprint
from glassnet.data.split import channel_statistics
from glassnet.defaults import fill, is_pretrained
from glassnet.errors import InputError, unknown_name
from glassnet.models import build_model
from glassnet.models.autoencoder import check_training
from glassnet.models.blocks import set_normalization
from glassnet.models.denoiser import check_denoising
from glassnet.models.pretrained import name_classes
from glassnet.models.references import is_reference
from glassnet.run import RunDirectory, require_metrics
from glassnet.settings import ResolvedSettings, TrainSettings, from_json
from glassnet.settings.convert import renamed
from glassnet.tasks import TASKS, Objective, Recorder, Task


@dataclass(frozen=True)
class Experiment:
    """What a training needs: data, a model with random weights, the task, and what rebuilds the model.

    Attributes:
        dataset: Images and targets.
        model: With random weights.
        task: What it learns.
        description: What `build_model` rebuilds the model from.
        objective: The task's loss, as the settings want it.
        test_stats: What is remembered of each batch that is tested.
        val_stats: What is remembered of each batch that is measured after an epoch.
        corruption: What is done to the images before the model is given them; None for nothing.
        low_res_size: Side of the training images in the first epochs, in pixels; None where all show their own size.
    """

    dataset: Dataset
    model: nn.Module
    task: Task
    description: Mapping[str, Any]
    objective: Objective
    test_stats: Recorder
    val_stats: Recorder
    corruption: Corruption | None
    low_res_size: int | None = None


def resolve(settings: TrainSettings) -> ResolvedSettings:
    """Return the settings with all that follows from the task, and absolute paths to the data.

    So a run holds all that it was made with, and works from any folder.

    Raises:
        InputError: A name is unknown, or model, data set and task do not fit each other.
    """
    filled = fill(settings)
    data = filled.data
    kind, colon, path = data.partition(":")
    if path and (kind in OF_A_PATH or (kind == "hf" and Path(path).expanduser().is_dir())):
        data = f"{kind}{colon}{Path(path).expanduser().resolve()}"
    named = settings.data_root or os.environ.get("GLASSNET_DATA")
    root = Path(named).expanduser().resolve() if named else None
    teachers = tuple(path.expanduser().resolve() for path in filled.teachers)
    return building.resolve_reference(dataclasses.replace(filled, data=data, data_root=root, teachers=teachers))


def read_settings(values: Mapping[str, Any], *, source: object) -> ResolvedSettings:
    """Rebuild the settings that a run holds; what an early run did not write down is the task's.

    Raises:
        InputError: They are no settings; `source` is named as where they came from.
    """
    try:
        task = TASKS[values["task"]]
        usual = dataclasses.asdict(task.defaults) | dataclasses.asdict(task.recipe)
        return from_json(ResolvedSettings, usual | {key: one for key, one in values.items() if one is not None})
    except (TypeError, AttributeError, KeyError) as error:
        raise InputError(f"the settings in {source} are damaged ({error}); train the run again.") from None


def build(settings: ResolvedSettings, *, dataset: Dataset | None = None) -> Experiment:
    """Load the data set and build the model of the settings; the weights depend on the seed alone.

    Args:
        settings: As resolved.
        dataset: The data set, where it has been loaded already.

    Raises:
        InputError: A name is unknown, an option is wrong, or the data set's files are missing or damaged.
    """
    task = TASKS[settings.task]
    expected = building.known_description(settings)
    low_res = building.check_sizes(settings, expected) if expected else None
    dataset = dataset or load_dataset(
        settings.data,
        root=settings.data_root,
        image_size=settings.image_size,
        skip_damaged=settings.skip_damaged,
        task=task.name,
    )
    if is_pretrained(settings.model, settings.model_options, settings.weights):
        # Trained on a million photographs, it takes stronger changes of few, and learns less of each by heart.
        dataset = dataclasses.replace(
            dataset, augmentation=FOR_PRETRAINED.get(dataset.augmentation, dataset.augmentation)
        )
    if settings.copy_paste and dataset.train.has_masks:
        require_background(dataset.train)
    model, description = building.first_model(settings, dataset, task)
    name_classes(model, dataset.classes)
    check_denoising(model, settings.noise)
    check_training(model, beta=settings.beta, kl_warmup=settings.kl_warmup, binarize=settings.binarize)
    if not is_reference(settings.model):  # one of somebody's own normalises as it did when it was made
        set_normalization(model, *channel_statistics(dataset.train))
    classes = len(dataset.classes)
    return Experiment(
        dataset=dataset,
        model=model,
        task=task,
        description=description,
        objective=task.objective(settings, dataset.train.target_parts(), classes),
        test_stats=task.test_stats(settings, classes),
        val_stats=task.val_stats(settings, classes),
        corruption=build_corruption(settings, task),
        low_res_size=low_res if description == expected else building.low_res_size(settings, description),
    )


def build_corruption(settings: TrainSettings, task: Task) -> Corruption | None:
    """Return what is done to the images before the model is given them: noise, for a task that takes it off.

    Raises:
        InputError: The noise model is misspelt.
    """
    return corruption_of(settings) if task.corrupts else None


def corruption_of(settings: TrainSettings) -> NoiseCorruption:
    """Return what a reconstruction's settings do to an image.

    Raises:
        InputError: The noise model is misspelt.
    """
    return NoiseCorruption(parse_noise(settings.noise), settings.binarize)


class Questions:
    """What a run or a subject can be asked: each is the public function with this one as its first argument.

    The functions lie above this module, which needs none of them: they are taken from the package when one is called.
    """

    def evaluate(self: Any, **options: Any) -> Any:
        """Measure the model on its images; see `glassnet.evaluate`."""
        return glassnet.evaluate(self, **options)

    def features(self: Any, layer: str | nn.Module, **options: Any) -> Any:
        """Return the features of a layer, one row per image; see `glassnet.analyse`."""
        return glassnet.analyse(self, "features", layer=layer, **options)

    def embed(self: Any, layer: str | nn.Module, **options: Any) -> Any:
        """Embed the features of a layer as points, and measure the embedding; see `glassnet.analyse`."""
        return glassnet.analyse(self, "embedding", layer=layer, **options)

    def explain(self: Any, **options: Any) -> Any:
        """Show where the layers look; see `glassnet.analyse`."""
        return glassnet.analyse(self, "attribution", **options)

    def channels(self: Any, **options: Any) -> Any:
        """Measure what the channels of the layers have learned; see `glassnet.analyse`."""
        return glassnet.analyse(self, "channels", **options)

    def explore(self: Any, **options: Any) -> Any:
        """Open the explorer in the browser; see `glassnet.explore`."""
        return glassnet.explore(self, **options)

    def report(self: Any, **options: Any) -> Any:
        """Write the report; see `glassnet.report`."""
        return glassnet.report([self], **options)


class Run(RunDirectory, Questions):
    """A finished run: its settings, metrics, history, trained model and data set."""

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a finished run; settings with an old name get today's name.

        Raises:
            InputError: There is no finished run, it is damaged, or a newer glassnet wrote it.
        """
        run = super().open(path)
        task = TASKS.get(str(run.manifest["settings"]["task"]))
        needed = [f"test_{name}" for name in (task.required_metrics if task else ())]
        require_metrics(run.path / "run.json", run.manifest, needed)
        return dataclasses.replace(run, manifest={**run.manifest, "settings": renamed(run.manifest["settings"])})

    @property
    def settings(self) -> ResolvedSettings:
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
        described = self.manifest["model"]
        # Sizes without numbers: the run's own weights take their place. Code of the user's own may need numbers.
        with nullcontext() if described.get("reference") else torch.device("meta"):
            model = build_model(described)
        weights, wanted = self.weights(), model.state_dict()
        for name in wanted.keys() & weights.keys():
            if weights[name].dtype != wanted[name].dtype:
                raise self._unfit(f"{name} is {weights[name].dtype}, expected {wanted[name].dtype}")
        try:
            model.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            raise self._unfit(" ".join(str(error).split())[:200]) from None
        name_classes(model, self.classes)
        return model.eval().to(device=device, memory_format=building.memory_format(described))  # type: ignore[call-overload]

    def _unfit(self, why: str) -> InputError:
        model = self.manifest["model"]["name"]
        return InputError(f"{self.path / 'model.safetensors'} does not fit {model}: {why}; train the run again.")

    def dataset(self, root: Path | None = None) -> Dataset:
        """Load its data set, from `root` or from where it was trained.

        Raises:
            InputError: The files are missing or damaged, or other data than the run was trained on.
        """
        return self.checked_dataset(root)[0]

    def source(self, root: Path | None) -> tuple[str, Path | None]:
        """Return name and root that its data set is loaded by; `root` is where a user's own folder has moved to."""
        kind = self.settings.data.partition(":")[0]
        moved = root is not None and kind in OF_A_PATH
        return kind if moved else self.settings.data, root or self.settings.data_root

    def checked_dataset(self, root: Path | None = None, *, skip_damaged: bool = False) -> tuple[Dataset, str]:
        """Load its data set, and say in a sentence how it has changed since the training; empty where it has not.

        Files that cannot be read are left out if `skip_damaged` says so, or the training did.

        Raises:
            InputError: The files are missing or damaged, or other data than the run was trained on.
        """
        settings = self.settings
        data, root = self.source(root)
        dataset = load_dataset(
            data,
            root=root,
            image_size=settings.image_size,
            skip_damaged=skip_damaged or settings.skip_damaged,
            task=self.task.name,
        )
        return dataset, self.check_data(dataset)

    def check_data(self, dataset: Dataset) -> str:
        """Compare data with those that the run was trained on; what has changed is printed once, and returned.

        Raises:
            InputError: Classes, their order, channels, size or the kind of the targets are others: what the model
                says of them would be wrong.
        """
        model, data = self.manifest["model"], self.manifest["data"]
        before = data.get("fingerprint") or counted(data, apart=dataset.validation is not None)
        check_fits(
            dataset,
            data=dataset.name,
            of=self.name,
            channels=model["in_channels"],
            image_size=model["image_size"],
            classes=data["classes"],
            targets=before.get("targets"),
        )
        now = fingerprint(dataset, before)
        check_classes_stay(before, now, data=dataset.name, of=self.name)
        changed = changes(before, now)
        if not changed:
            return ""
        sentence = (
            f"the data of {self.name} have changed since the training: {', '.join(changed)}. Results are for the data "
            "as they are now, and the model may have been trained on images that are now test images."
        )
        say_once(sentence)
        return sentence
