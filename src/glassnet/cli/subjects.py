"""What a command is about: a run, a model by name, or a user's own network with a folder of images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glassnet.analysis import Analysis, Context
from glassnet.cli import Answer
from glassnet.console import say
from glassnet.defaults import learned_by
from glassnet.devices import choose_device, choose_precision
from glassnet.errors import InputError, unknown_name
from glassnet.experiment import Run
from glassnet.files import writable_target
from glassnet.models import MODELS, create_model, model_options, parse_options
from glassnet.models.references import FORMS, Reference, Wanted, is_reference, load_reference
from glassnet.run.store import slug
from glassnet.settings.analysis import EvalSettings, NetworkSettings, ReportSettings
from glassnet.subject import Subject
from glassnet.tasks import TASKS

PIXELS, CHANNELS = 224, 3
"""ImageNet's, which published weights were trained for."""
_OF_A_NETWORK = ("model_options", "weights", "image_size", "num_classes", "in_channels")


def open_subject(settings: NetworkSettings, name: Path, *, images: str | None, out: Path | None = None) -> Subject:
    """Open the run at a path, or build the network of that name with the images that are given.

    Args:
        settings: What a network without a run needs.
        name: Path of a run, name of a model, or a network by reference.
        images: Path of the images of a network; a run has its own.
        out: Folder that keeps a network's analyses.

    Raises:
        InputError: It is neither, or options do not fit it.
    """
    text = str(name)
    if not _is_network(name):
        if name.suffix == ".py" and name.is_file():
            raise InputError(
                f"{text} is a Python file; name the function in it that makes the network, as in {text}:factory."
            )
        if not name.exists() and name.name == text:
            _refuse_name(text)
        return _of_run(settings, name, out)
    if images is None:
        raise InputError(
            f"{text} is a network without a run, so it needs images; give some, as in --data folder:photos."
        )
    return _of_network(settings, text, images, out)


def open_subjects(settings: ReportSettings) -> list[Subject]:
    """Open the runs and networks of one report; where there is a network, the options of networks mean it alone.

    Raises:
        InputError: As `open_subject` says.
    """
    names, of_runs = dict.fromkeys(settings.run), settings
    if any(map(_is_network, names)):
        usual: dict[str, Any] = {one.name: one.default for one in dataclasses.fields(settings)}
        of_runs = dataclasses.replace(settings, **{option: usual[option] for option in (*_OF_A_NETWORK, "data")})
    return [open_subject(settings if _is_network(name) else of_runs, name, images=settings.data) for name in names]


def _is_network(name: Path) -> bool:
    """Tell whether a word of the command line is no run's path, but a model by name or by reference."""
    return not name.is_dir() and (str(name) in MODELS or is_reference(str(name)))


def _of_run(settings: NetworkSettings, path: Path, out: Path | None) -> Subject:
    run = Run.open(path)
    options = (*_OF_A_NETWORK, *(() if isinstance(settings, EvalSettings) else ("data",)))
    given = [option for option in options if getattr(settings, option, None)] + (["out"] if out else [])
    if given:
        raise InputError(
            f"--{given[0].replace('_', '-')} is for a network without a run, as in `glassnet explain vgg16`, but "
            f"{run.path} is a run; leave it out."
        )
    return Subject.of_run(run, data_root=settings.data_root, skip_damaged=settings.skip_damaged)


def _of_network(settings: NetworkSettings, name: str, images: str, out: Path | None) -> Subject:
    if is_reference(name):
        model: nn.Module | Reference = (loaded := _referred(settings, name))
        task, short, size, channels = None, loaded.name, loaded.image_size, loaded.in_channels
    else:
        if settings.weights is not None:
            raise InputError(
                f"--weights is for networks given by reference, such as net.py:make, but {name} is a model name; if "
                "it takes weights, give them as --model-options weights=FILE."
            )
        (model, task), short, size, channels = _by_name(settings, name), name, None, None
    where = out or Path("runs") / f"network-{slug([short])}"
    writable_target(where, folder=True, read_only=out is None)
    if (where / "run.json").exists():
        raise InputError(f"--out is {where}, which is a run of another network; give another folder.")
    return Subject(
        model,
        images.removeprefix("folder:"),
        name=short,
        model_name=None if is_reference(name) else name,
        task=task,
        size=settings.image_size or size or PIXELS,
        channels=settings.in_channels or channels or CHANNELS,
        skip_damaged=settings.skip_damaged,
        out=where,
    )


def _referred(settings: NetworkSettings, name: str) -> Reference:
    if settings.model_options:
        raise InputError(
            f"--model-options are for models given by name, but {name} is given by reference; leave them out."
        )
    wanted = Wanted(settings.in_channels, settings.image_size, settings.num_classes, settings.weights)
    loaded = load_reference(name, wanted, seed=0)
    return dataclasses.replace(loaded, module=loaded.module.to(choose_device(settings.device)))


def _by_name(settings: NetworkSettings, name: str) -> tuple[torch.nn.Module, str]:
    options, task = parse_options(name, settings.model_options), learned_by(name)[0]
    if not options.get("weights"):
        trained = "train it and give the run"
        if "weights" in model_options(name):
            trained = "give --model-options weights=imagenet, or weights=FILE, for trained ones"
        say(f"{name} has random weights; {trained}.")
    count = settings.num_classes or TASKS[task].default_classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model(
            name,
            in_channels=settings.in_channels or CHANNELS,
            num_classes=count,
            image_size=settings.image_size or PIXELS,
            **options,
        )
    return model.eval().to(choose_device(settings.device)), task


def context_of(settings: NetworkSettings, *, batch_size: int = 512) -> Context:
    """Return what the analyses of one command share."""
    return Context(choose_device(settings.device), settings.data_root, batch_size)


def precision_of(settings: NetworkSettings) -> str:
    """Return the precision to compute in."""
    return choose_precision(settings.precision, choose_device(settings.device))


def _refuse_name(name: str) -> None:
    """Refuse a plain word that is no folder here and no model."""
    error = unknown_name("run or model", name, MODELS, noun="models")
    raise InputError(
        f"{error} A run is a folder written by `glassnet train`; a network of someone else's is "
        f"{'; '.join(FORMS.values())}."
    )


def answer_about(subject: Subject, text: str, data: Mapping[str, Any]) -> Answer:
    """Return what a command found, and with it how the subject's data have changed since the training."""
    changed = subject.data_changed
    note = f"\n\nnote: {changed}" if changed else ""
    return Answer(text + note, {**data, "data_changed": changed or None})


def kept_at(done: Sequence[Analysis]) -> str:
    """Say where the analyses of a command lie."""
    return "\n".join(f"{one.name}: {one.entry.path}" for one in done if one.entry)
