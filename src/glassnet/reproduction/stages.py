"""Stages of a long reproduction: what is finished, from the same inputs, is read back instead of being done again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from glassnet.console import say
from glassnet.errors import InputError
from glassnet.run import RunDirectory


@dataclass(frozen=True)
class Stage:
    """What a stage gave: arrays by name, and numbers as JSON values."""

    arrays: Mapping[str, np.ndarray]
    numbers: Mapping[str, Any]


def stage(folder: RunDirectory, name: str, inputs: Mapping[str, Any], compute: Callable[[], Stage]) -> Stage:
    """Return what `compute` gives, from stages/NAME.npz and .json if it was computed before from the same inputs.

    The JSON file is written last, so that a stage that was killed has none and is done again.

    Args:
        folder: Holds the stages.
        name: Of the stage.
        inputs: All that decides the result, as JSON values.
        compute: Does the work.
    """
    kept, told = f"stages/{name}.npz", f"stages/{name}.json"
    before = _read(folder, told)
    if before.get("inputs") == dict(inputs) and folder.has(kept):
        say(f"{name}: finished before")
        return Stage(folder.load_arrays(kept), before["numbers"])
    say(f"{name}: at work")
    folder.file(told).unlink(missing_ok=True)  # or a stop between the two files would pair old numbers with new arrays
    result = compute()
    folder.save_arrays(kept, result.arrays)
    folder.save_json(told, {"inputs": dict(inputs), "numbers": dict(result.numbers)})
    return result


def _read(folder: RunDirectory, told: str) -> dict[str, Any]:
    """Read a stage's JSON; a file that is damaged counts as none, since the stage can be done again."""
    if not folder.has(told):
        return {}
    try:
        read = folder.load_json(told)
    except InputError:
        return {}
    return read if isinstance(read, dict) and isinstance(read.get("numbers"), dict) else {}
