"""A grid: names of settings and model options, each with its values, and the cells that they span."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from glassnet.errors import InputError, unknown_name
from glassnet.models import model_options, parse_options
from glassnet.settings import ResolvedSettings, TrainSettings
from glassnet.settings.convert import OLD_NAMES, field_types, from_text, to_text

# What the grid itself decides, or what does not change a training.
NO_AXIS = ("task", "seed", "out", "resume", "model_options", "data_root", "device", "log")
LONGEST_NAME = 120


def parse_grid(groups: Iterable[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Read axes from words: NAME=VALUE begins an axis or adds to it, a word without = is one more value of it.

    So that neither the shell nor a value that holds commas or slashes needs quoting:
    `filters=16,16,16,16 32,32,64,64 learning_rate=0.003 0.01`.

    Args:
        groups: The words of each --grid.

    Raises:
        InputError: A group does not begin with NAME=VALUE, or a value is empty or given twice.
    """
    axes: dict[str, tuple[str, ...]] = {}
    for words in groups:
        name = ""
        for word in words or ("",):
            start, equals, rest = word.partition("=")
            name, value = (_axis(start), rest) if equals else (name, word)
            if not name or not value:
                raise InputError(f"--grid got '{word}', expected NAME=VALUE followed by more values, as in {_EXAMPLE}.")
            if value in axes.get(name, ()):
                raise InputError(f"--grid has {name}={value} twice; give each value once.")
            axes[name] = (*axes.get(name, ()), value)
    return axes


def _axis(word: str) -> str:
    name = word.replace("-", "_")
    return OLD_NAMES.get(name, name)


_EXAMPLE = "--grid filters=16,16,16,16 32,32,64,64 learning_rate=0.003 0.01"


def span(base: TrainSettings, axes: Mapping[str, Sequence[Any]]) -> list[TrainSettings]:
    """Give the settings of every cell: each combination of the axes' values put into the base settings.

    Args:
        base: Settings that no axis sets, with the names of data set and model.
        axes: Values by name.

    Raises:
        InputError: A name is no setting and no option of the models, or a value has the wrong type or range.
    """
    models = [to_text(model) for model in axes.get("model", [base.model])]
    for name, values in axes.items():
        _check_axis(name, values, models)
    # The model comes first, since the options that a cell can have are its model's.
    names = sorted(axes, key=lambda name: name != "model")
    combinations = itertools.product(*([to_text(value) for value in axes[name]] for name in names))
    return [_put(base, dict(zip(names, texts, strict=True))) for texts in combinations]


def _check_axis(name: str, values: Sequence[Any], models: Sequence[str]) -> None:
    fields = [field.name for field in dataclasses.fields(TrainSettings) if field.name not in NO_AXIS]
    options = dict.fromkeys(option for model in models for option in model_options(model))
    if name in NO_AXIS:
        hint = "use --seeds instead." if name == "seed" else "give it outside --grid, for all cells."
        hint = "name the option itself, as in filters=32,32,64,64." if name == "model_options" else hint
        raise InputError(f"'{name}' cannot be an axis of the grid: {hint}")
    if name not in fields and name not in options:
        raise unknown_name("setting or model option", name, [*fields, *options], noun="names")
    if isinstance(values, str) or not values:
        raise InputError(f"the axis {name} is {values!r}, expected a sequence of at least one value.")


def _put(base: TrainSettings, texts: Mapping[str, str]) -> TrainSettings:
    """Put values into settings, each by the type of its field or of the model's option."""
    hints = field_types(TrainSettings)
    fields = {
        name: from_text(text, hints[name], f"{name} on the grid") for name, text in texts.items() if name in hints
    }
    options = {name: text for name, text in texts.items() if name not in hints}
    unchanged = [word for word in base.model_options if word.partition("=")[0] not in options]
    words = (*unchanged, *(f"{name}={text}" for name, text in options.items()))
    settings = dataclasses.replace(base, **fields, model_options=words)
    parse_options(str(settings.model), settings.model_options)
    return settings


def value_of(settings: ResolvedSettings, name: str) -> Any:
    """Return a setting's value, or that of an option of the model (its default if not given); None if it has none."""
    if name in {field.name for field in dataclasses.fields(TrainSettings)}:
        return getattr(settings, name)
    model = settings.model
    return parse_options(model, settings.model_options).get(name, model_options(model).get(name))


def cell_name(values: Mapping[str, Any]) -> str:
    """Name a cell by its values so that every file system takes it."""
    name = "_".join(f"{key}={to_text(value)}" for key, value in values.items()) or "base"
    safe = re.sub(r"[^\w.,=+-]+", "-", name)
    if len(safe) > LONGEST_NAME:
        safe = f"{safe[: LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return safe
