"""What `glassnet explain` explains: the model of a run, or a model by its name, as one with published weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from glassnet.console import say
from glassnet.data import Split
from glassnet.errors import InputError, unknown_name
from glassnet.experiment import Run
from glassnet.models import MODELS, create_model, model_options, model_task, parse_options
from glassnet.run import RunDirectory
from glassnet.settings import ExplainSettings

_OF_A_MODEL = ("model_options", "image_size", "num_classes", "in_channels", "out")
PIXELS, CLASSES, CHANNELS = 224, 1000, 3
"""ImageNet's, which published weights were trained for."""
SEGMENTED = 21
"""Classes of a segmentation: those of VOC."""


@dataclass(frozen=True)
class Subject:
    """A model with all that is needed to show it images and to keep what comes of it.

    Attributes:
        name: For messages: the run's path, or the model's name.
        model: In evaluation mode, on its device.
        kept: Holds attributions/ and figures/.
        classes: Names of its classes.
        image_size: Height and width of its images in pixels.
        in_channels: Their channels.
        data: The data set that it was trained on; None for a model by name.
        test: Loads the test images; None for a model by name.
        task: What the model is made for.
    """

    name: str
    model: nn.Module
    kept: RunDirectory
    classes: tuple[str, ...]
    image_size: int
    in_channels: int
    data: str | None
    test: Callable[[], Split] | None
    task: str


def open_subject(settings: ExplainSettings, device: torch.device) -> Subject:
    """Open the run at settings.run, or build the model of that name where there is no such folder.

    Raises:
        InputError: It is neither, or options do not fit it.
    """
    name = str(settings.run)
    if settings.run.exists() or name not in MODELS:
        if not settings.run.exists() and settings.run.name == name:
            _refuse_name(name)
        return _of_run(settings, device)
    options = parse_options(name, settings.model_options)
    usual_classes = SEGMENTED if model_task(name) == "segmentation" else CLASSES
    size, classes, channels = (
        given or usual
        for given, usual in (
            (settings.image_size, PIXELS), (settings.num_classes, usual_classes), (settings.in_channels, CHANNELS),
        )
    )  # fmt: skip
    if not options.get("weights"):
        trained = "train it and give the run"
        if "weights" in model_options(name):
            trained = "give --model-options weights=imagenet, or weights=FILE, for trained ones"
        say(f"{name} has random weights; {trained}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model(name, in_channels=channels, num_classes=classes, image_size=size, **options)
    out = settings.out or Path("runs") / f"explain-{name}"
    if out.exists() and not out.is_dir():
        raise InputError(f"--out is {out}, which is a file; expected a folder.")
    names = tuple(map(str, range(classes)))
    return Subject(
        name, model.eval().to(device), RunDirectory(out, {}), names, size, channels, None, None, model_task(name)
    )


def _of_run(settings: ExplainSettings, device: torch.device) -> Subject:
    run = Run.open(settings.run)
    for option in _OF_A_MODEL:
        if getattr(settings, option):
            raise InputError(
                f"--{option.replace('_', '-')} is for a model by name, as in `glassnet explain vgg16`, but {run.path} "
                "is a run; leave it out."
            )
    made = run.manifest["model"]
    return Subject(
        name=str(run.path),
        model=run.model(device),
        kept=run,
        classes=run.classes,
        image_size=made["image_size"],
        in_channels=made["in_channels"],
        data=run.manifest["data"]["name"],
        test=lambda: run.dataset(settings.data_root).test,
        task=run.task.name,
    )


def _refuse_name(name: str) -> None:
    """Refuse a plain word that is no folder here and no model."""
    error = unknown_name("run or model", name, MODELS, noun="models")
    raise InputError(f"{error} A run is the path of a folder that `glassnet train` wrote.")
