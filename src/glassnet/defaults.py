"""What settings leave open: task, data set, model and recipe follow from what they do name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from glassnet.console import say_once
from glassnet.data import DATASETS, OF_A_PATH, find_source
from glassnet.errors import InputError, unknown_name
from glassnet.models import MODELS, model_options, model_output, models_giving
from glassnet.models.probe import Probe
from glassnet.models.references import image_size_of, is_reference
from glassnet.settings import ResolvedSettings, TrainSettings
from glassnet.tasks import TASKS


def fill(settings: TrainSettings) -> ResolvedSettings:
    """Return the settings with all that follows from the task, and with the task itself.

    A task that is not named is the first that the data set is for and the model can learn; without a data set the first
    that the model can learn, without a model the first that the data set is for; without both the first of all. Data
    set, model and recipe are the task's where they are not named.

    Raises:
        InputError: A name is unknown; or task, model, data set and the options of a task do not fit each other.
    """
    learnable = _learnable(settings)
    task = _task_of(settings, learnable)
    _require_fit(settings, task, learnable)
    _refuse_options(settings, task, learnable)
    given = {field.name: getattr(settings, field.name) for field in dataclasses.fields(TrainSettings)}
    named = {name: value for name, value in given.items() if value is not None}
    usual: dict[str, Any] = dataclasses.asdict(TASKS[task].defaults) | dataclasses.asdict(TASKS[task].recipe)
    usual |= _recipe_of(usual | named, settings)
    return ResolvedSettings(**usual | named | _fitted_at_once(settings, (usual | named)["model"]) | {"task": task})


FINE_TUNING = {"batch_size": 32, "learning_rate": 0.002, "weight_averaging": 0.98, "backbone_rate": 0.1}
"""Recipe of a network that begins with trained weights: they know most of what is needed, and are easily lost."""
FINE_TUNING_STEPS, FINE_TUNING_EPOCHS = 400, 12
"""As many steps, but no more passes, which a small set would learn by heart."""
_ANY_EPOCHS = 1_000_000


def _recipe_of(names: Mapping[str, Any], settings: TrainSettings) -> dict[str, Any]:
    """Return how a network is trained that is not like the others: one with trained weights, or one that is fitted.

    Raises:
        InputError: Both epochs and steps are given.
    """
    if settings.epochs is not None and settings.steps is not None and not isinstance(settings, ResolvedSettings):
        raise InputError(
            f"--epochs {settings.epochs} and --steps {settings.steps} both say how long to train; give one of them."
        )
    recipe: dict[str, Any] = {"epochs": _ANY_EPOCHS} if settings.steps is not None else {}
    name, model = names["model"], MODELS.get(names["model"])
    own = {key: getattr(model, key, None) for key in ("learning_rate", "batch_size")}
    recipe |= {key: value for key, value in own.items() if value is not None}
    at_once = getattr(model, "fits_at_once", False)
    if not at_once and is_pretrained(name, settings.model_options, settings.weights):
        recipe |= FINE_TUNING
        if settings.epochs is None and settings.steps is None:
            recipe |= {"epochs": FINE_TUNING_EPOCHS, "steps": FINE_TUNING_STEPS}
    elif is_reference(name) and settings.backbone_rate is None:
        say_once(
            f"{name} is trained as if its weights were random; if its code loads pretrained weights, give "
            f"--backbone-rate 0.1 and --learning-rate {FINE_TUNING['learning_rate']}."
        )
    size = _probed_size(settings.model_options) if at_once else getattr(model, "pretrained_pixels", None)
    source, _ = find_source(names["data"], settings.data_root)
    if size and source.image_size is None and settings.image_size is None and (recipe.get("backbone_rate") or at_once):
        recipe["image_size"] = size
    return recipe


_AT_ONCE = {
    **{"epochs": 1, "steps": None, "weight_averaging": 0.0, "freeze": (), "layer_decay": 1.0},
    **{"teachers": (), "teacher_weight": 0.9, "temperature": 2.0},
}
"""What a model that is fitted at once has in place of settings of a training step by step."""
_OF_STEPS = (*(*_AT_ONCE, "batch_size", "learning_rate", "weight_decay", "backbone_rate", "augment", "plain_epochs"),)


def _fitted_at_once(settings: TrainSettings, model: str) -> dict[str, Any]:
    """Return what such a model has in place of what was given, and say what is of no use to it."""
    if not getattr(MODELS.get(model), "fits_at_once", False):
        return {}
    usual = {field.name: field.default for field in dataclasses.fields(TrainSettings)}
    given = [name for name in _OF_STEPS if getattr(settings, name) not in (usual[name], _AT_ONCE.get(name))]
    if given and not isinstance(settings, ResolvedSettings):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        say_once(
            f"{model} is fitted in one go, not step by step, so {options} {'has' if len(given) < 2 else 'have'} no "
            "effect."
        )
    return _AT_ONCE


def _probed_size(options: Iterable[str]) -> int:
    """Return the side of the images that a probed network was made for."""
    of = next((word.removeprefix("of=") for word in options if word.startswith("of=")), "")
    return (image_size_of(of) if is_reference(of) else None) or Probe.pretrained_pixels


def is_pretrained(model: str, options: Iterable[str], weights: Path | None = None) -> bool:
    """Tell whether a model has trained weights: its options, as NAME=VALUE, ask for them, or a hub or a file has them.

    What the code of a user's own network loads is not known.
    """
    if is_reference(model):
        return weights is not None or model.startswith(("hf:", "timm:"))
    return "weights" in model_options(model) and any(
        word.startswith("weights=") and word != "weights=" for word in options
    )


def _learnable(settings: TrainSettings) -> tuple[str, ...]:
    """Return what can be learned on the data set, the usual task first; every task where none is named."""
    if settings.data is None:
        return tuple(TASKS)
    source, where = find_source(settings.data, settings.data_root)
    return source.learnable(where)


def learned_by(model: str) -> tuple[str, ...]:
    """Return the tasks that a model can learn: those that make use of what it gives; of a reference, that may be any.

    Raises:
        InputError: There is no such model.
    """
    if is_reference(model):
        return tuple(TASKS)
    return tuple(name for name, task in TASKS.items() if task.output == model_output(model))


def models_for(task: str) -> list[str]:
    """List the models that can learn a task."""
    return models_giving(TASKS[task].output)


def _task_of(settings: TrainSettings, learnable: tuple[str, ...]) -> str:
    if settings.task is not None and settings.task not in TASKS:
        raise unknown_name("task", settings.task, TASKS, noun="tasks")
    if settings.task is not None:
        return settings.task
    able = tuple(TASKS) if settings.model is None else learned_by(settings.model)
    return next((one for one in learnable if one in able), able[0])


def _require_fit(settings: TrainSettings, task: str, learnable: tuple[str, ...]) -> None:
    """Refuse a model or a data set that is not for the task, by the names that the user gave."""
    able = (task,) if settings.model is None else learned_by(settings.model)
    if task not in able:
        raise InputError(
            f"{settings.model} is a model for {' and '.join(able)}, not for --task {task}; models for that are "
            f"{_listed(models_for(task))}; name one with --model."
        )
    if task in learnable:
        return
    kinds, fitting = " and ".join(learnable), _listed(_datasets_for(task))
    if settings.model is None:
        raise InputError(
            f"{settings.data} is a data set for {kinds}, not for --task {task}; data sets for that are {fitting}; "
            "name one with --data."
        )
    models = _listed(dict.fromkeys(name for one in learnable for name in models_for(one)))
    raise InputError(
        f"{settings.model} is a model for {task}, but {settings.data} is a data set for {kinds}; models for "
        f"{settings.data} are {models}, and data sets for {settings.model} are {fitting}."
    )


def _datasets_for(task: str) -> list[str]:
    """List the data sets for a task as --data takes them."""
    return [
        f"{name}:PATH" if name in (*OF_A_PATH, "hf") else name for name, one in DATASETS.items() if task in one.tasks
    ]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _refuse_options(settings: TrainSettings, task: str, learnable: tuple[str, ...]) -> None:
    """Refuse an option of another task; where the task was not chosen, say which one to choose for it."""
    for name, default in _task_options().items():
        if name in TASKS[task].options or getattr(settings, name) == default:
            continue
        readers = [one for one, other in TASKS.items() if name in other.options]
        chosen = settings.task is not None or settings.model is not None
        others = [] if chosen else [one for one in readers if one in learnable]
        remedy = f", or give --task {' or '.join(others)}" if others else ""
        raise InputError(
            f"--{name.replace('_', '-')} applies to {' and '.join(readers)} only, not to {task}; leave it out{remedy}."
        )


def _task_options() -> dict[str, Any]:
    """Return the settings that only some tasks read, with their defaults."""
    owned = {name for task in TASKS.values() for name in task.options}
    return {field.name: field.default for field in dataclasses.fields(TrainSettings) if field.name in owned}
