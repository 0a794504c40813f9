"""The model that a training begins with, what rebuilds it, and whether a model gives what a task needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from glassnet.console import say
from glassnet.data import Dataset, find_source
from glassnet.errors import InputError
from glassnet.images import first_weight, to_float
from glassnet.models import build_model, parse_options
from glassnet.models.inference import outputs, translate_torch_errors
from glassnet.models.memory_order import works_channels_last
from glassnet.models.references import Wanted, image_size_of, is_reference, load_reference, require_trainable, resolved
from glassnet.models.score_ends import last_operation
from glassnet.settings import ResolvedSettings
from glassnet.tasks import TASKS, Task


def resolve_reference(settings: ResolvedSettings) -> ResolvedSettings:
    """Return settings in which a reference has whole paths, and images the size that its network was made for.

    Raises:
        InputError: Weights are given for a model by name, or the reference leads nowhere.
    """
    if not is_reference(settings.model):
        if settings.weights is not None:
            raise InputError(
                f"--weights is for networks given by reference, such as net.py:make, but {settings.model} is a model "
                "name; leave it out."
            )
        return _probed(settings)
    require_trainable(settings.model)
    weights = None if settings.weights is None else settings.weights.expanduser().resolve()
    size = settings.image_size
    if size is None and find_source(settings.data, settings.data_root)[0].image_size is None:
        size = image_size_of(settings.model)
    return dataclasses.replace(settings, model=resolved(settings.model), weights=weights, image_size=size)


def _probed(settings: ResolvedSettings) -> ResolvedSettings:
    """Give the network by reference that a probe is of its whole path."""
    of = next((word.removeprefix("of=") for word in settings.model_options if word.startswith("of=")), "")
    if not is_reference(of):
        return settings
    words = tuple(f"of={resolved(of)}" if word == f"of={of}" else word for word in settings.model_options)
    return dataclasses.replace(settings, model_options=words)


def first_model(settings: ResolvedSettings, dataset: Dataset, task: Task) -> tuple[nn.Module, dict[str, Any]]:
    """Build the model with its first weights, and describe what rebuilds it.

    Random weights depend on the seed alone.

    Raises:
        InputError: It cannot be built, or does not give what the task needs.
    """
    sizes = {"in_channels": dataset.channels, "num_classes": len(dataset.classes), "image_size": dataset.image_size}
    if is_reference(settings.model):
        return _referred(settings, dataset, task, sizes)
    options = parse_options(settings.model, settings.model_options)
    description = {"name": settings.model, "options": options, **sizes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = build_model(description)
    probed = getattr(model, "reference", None)  # of a probe
    if probed:
        description |= {"probed": probed, "channels_last": _works_channels_last(model, dataset)}
    return model, description


def _works_channels_last(model: nn.Module, dataset: Dataset) -> bool:
    image, _ = dataset.train.take(slice(0, 1))
    return works_channels_last(model, to_float(image).to(first_weight(model)))


def _referred(
    settings: ResolvedSettings, dataset: Dataset, task: Task, sizes: Mapping[str, int]
) -> tuple[nn.Module, dict[str, Any]]:
    loaded = load_reference(
        settings.model,
        Wanted(sizes["in_channels"], sizes["image_size"], sizes["num_classes"], settings.weights),
        seed=settings.seed,
    )
    _require_output(loaded.module, loaded.name, dataset, task)
    in_order = _works_channels_last(loaded.module, dataset)
    about = {"name": loaded.name, "options": {}, "reference": loaded.record, "channels_last": in_order}
    return loaded.module, about | dict(sizes)


def memory_format(description: Mapping[str, Any]) -> torch.memory_format:
    """Return the order in which a described model's weights and images lie in memory: channels last, where it can."""
    return torch.channels_last if description.get("channels_last", True) else torch.contiguous_format


def _require_output(model: nn.Module, name: str, dataset: Dataset, task: Task) -> None:
    """Refuse a network that does not give what the task learns by, seen on one image."""
    image, _ = dataset.train.take(slice(0, 1))
    if not task.compares_classes:
        check_images_given_back(model, image, task)
        return
    scores, classes = count_scores(model, image, task), len(dataset.classes)
    if scores != classes:
        raise InputError(
            f"{name} distinguishes {scores} classes, but {dataset.name} has {classes}; let the function that makes it "
            f"take num_classes, or give a network for {classes}."
        )
    _require_logits(model, name, image, labels=task.target_dimensions == 2)


_PROBABILITIES = {"Softmax": "a softmax", "Sigmoid": "a sigmoid", "Hardsigmoid": "a hard sigmoid"}
_LOGARITHMS = {"LogSoftmax": "a log-softmax", "LogSigmoid": "a log-sigmoid"}


def _require_logits(model: nn.Module, name: str, image: Tensor, *, labels: bool) -> None:
    """Refuse a network whose scores the loss would put through a second softmax, or a second sigmoid.

    The softmax of log-probabilities is the probabilities; the sigmoid of them is not.
    """
    refused = _PROBABILITIES | _LOGARITHMS if labels else _PROBABILITIES
    end = refused.get(last_operation(model, image))
    if end is not None:
        raise InputError(
            f"{name} ends in {end} in evaluation mode, but the loss applies a {'sigmoid' if labels else 'softmax'} "
            "itself; leave that last step out, so that the network gives logits."
        )


def count_scores(model: nn.Module, image: Tensor, task: Task) -> int:
    """Count the classes that a model gives a score for, by one image.

    Raises:
        InputError: It gives something else than scores as the task has them.
    """
    with translate_torch_errors(model, image):
        (output,) = outputs(model, [image])
    dims = 4 if task.target_dimensions == 3 else 2
    if not isinstance(output, Tensor) or output.ndim != dims or len(output) != 1:
        raise InputError(
            f"the model gives {_described(output)} for an image, but {task.name} needs a score for each class."
        )
    return int(output.shape[1])


def usual_task(model: nn.Module, image: Tensor, targets: Tensor | None) -> str:
    """Return the first task that learns from such targets; without any, the one that the model is made for.

    A model that ends in a sigmoid for each of several classes gives several labels an image, any other one class. A
    single output that ends in a sigmoid is a binary classifier's.

    Raises:
        InputError: There is no task for such targets.
    """
    if targets is not None:
        return _learning_from(targets.ndim)
    if last_operation(model, image) not in ("Sigmoid", "LogSigmoid", "Hardsigmoid"):
        return _learning_from(1)
    try:
        several = count_scores(model, image, TASKS[_learning_from(2)]) > 1
    except InputError:  # it gives no table of scores, which is said later
        several = False
    if several:
        say(
            "the model ends in a sigmoid for each class, so several classes may apply to one image (multilabel); if "
            'only one does, pass task="classification".'
        )
    return _learning_from(2 if several else 1)


def _learning_from(dimensions: int) -> str:
    """Return the first task that learns from targets of so many dimensions.

    Raises:
        InputError: There is none.
    """
    for name, task in TASKS.items():
        if task.target_dimensions == dimensions:
            return name
    raise InputError(
        f"labels have {dimensions} dimensions, expected (n,), one class per image; (n, labels), 1 for each label of an "
        "image; or (n, height, width), one class per pixel."
    )


def check_images_given_back(model: nn.Module, image: Tensor, task: Task) -> None:
    """Refuse a model that gives no image back of the size that it was given.

    Raises:
        InputError: It gives something else.
    """
    with translate_torch_errors(model, image):
        (output,) = outputs(model, [image])
    given = output if isinstance(output, Tensor) else getattr(output, "images", None)
    if not isinstance(given, Tensor) or given.shape != image.shape:
        got = _described(output if given is None else given)
        raise InputError(
            f"the model gives {got} for an image of shape {tuple(image.shape)}, but {task.name} needs an image of the "
            "same shape."
        )


def _described(output: object) -> str:
    if isinstance(output, Mapping) and output:
        return (
            f"a {type(output).__name__} of {', '.join(map(str, output))} (wrap it in a module that returns one "
            f"tensor, as in model(images)[{next(iter(output))!r}])"
        )
    return f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"


def known_description(settings: ResolvedSettings) -> dict[str, Any] | None:
    """Describe the model before the data are loaded; None where their sizes are not known yet, or its source's are.

    Raises:
        InputError: There is no such model or option.
    """
    options = parse_options(settings.model, settings.model_options)
    if is_reference(settings.model):
        return None
    source, _ = find_source(settings.data, settings.data_root)
    size = settings.image_size or source.image_size
    if source.channels is None or source.classes is None or size is None:
        return None
    sizes = {"in_channels": source.channels, "num_classes": source.classes, "image_size": size}
    return {"name": settings.model, "options": options, **sizes}


def check_sizes(settings: ResolvedSettings, description: Mapping[str, Any]) -> int | None:
    """Refuse a size or option that the model cannot have, and return the size of the low-resolution epochs.

    Raises:
        InputError: The model cannot be built.
    """
    with torch.device("meta"):  # sizes without numbers, and no weights are fetched
        build_model(description)
    return low_res_size(settings, description)


def low_res_size(settings: ResolvedSettings, description: Mapping[str, Any]) -> int | None:
    """Return the side of the small images of the first epochs in pixels; None where there are no such epochs.

    Where the settings do not say it, it is the largest that the described model takes, of two thirds to a half of the
    whole.

    Raises:
        InputError: They would not be smaller, or the model cannot take them.
    """
    whole = description["image_size"]
    if not settings.low_res_epochs:
        return None
    if description.get("reference"):
        raise InputError(
            "--low-res-epochs needs a model name, because the model must accept every size, but "
            f"{description['name']} is a network given by reference; leave it out."
        )
    if settings.low_res_size is not None and settings.low_res_size >= whole:
        raise InputError(
            f"--low-res-size is {settings.low_res_size}, expected less than the image size of {whole} pixels."
        )
    choices = (
        [settings.low_res_size] if settings.low_res_size else list(range(whole * 2 // 3, (whole + 1) // 2 - 1, -1))
    )
    problem = f"there is no smaller size than {whole} pixels."
    for size in choices:
        try:
            with torch.device("meta"):
                build_model({**description, "image_size": size})
        except InputError as error:
            problem = str(error)
        else:
            return size
    raise InputError(
        f"the model cannot take the smaller images of --low-res-epochs: {problem} Give a --low-res-size that fits."
    )
