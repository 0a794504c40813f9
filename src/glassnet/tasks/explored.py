"""What the explorer must know of a task before torch is loaded: each task's folder says it in its explored.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np

ViewName = Literal[
    "embedding",
    "image",
    "edit",
    "mistakes",
    "channels",
    "network",
    "training",
    "segmentation",
    "reconstruction",
    "compare",
]
LabelOf = Literal["image", "labels", "pixel", "none"]
Column = np.ndarray
LEAST = 1e-12
"""Of a probability whose logarithm is taken."""


@dataclass(frozen=True, eq=False)
class Columns:
    """An entry an image, in the part's order; -1 and NaN where there is none.

    Attributes:
        predicted: Class, int32 (n,).
        confidence: Probability of it (n,).
        loss: In nats (n,).
        quality: The measure that `named` is (n,).
        named: Its key in MEASURES; empty for none.
        wrong: Images that are predicted wrongly; None where that means nothing.
    """

    predicted: Column
    confidence: Column
    loss: Column
    quality: Column
    named: str = ""
    wrong: int | None = None


@dataclass(frozen=True)
class Explored:
    """What is said of a task before torch is loaded.

    Attributes:
        views: Those that it has; the first is opened first.
        columns: What an evaluation found, as JSON values and arrays, to one value an image.
        label_of: What has a class, where there are labels: the image, each pixel of it, or the image several.
        targets: What can be explained besides classes by name, the usual one first.
        headlines: Keys of the main numbers, in run.json as test_KEY.
        without_methods: Attribution methods that mean nothing here.
    """

    views: tuple[ViewName, ...]
    columns: Callable[[Mapping[str, Any], Mapping[str, Column]], Columns]
    label_of: LabelOf = "image"
    targets: tuple[str, ...] = ()
    headlines: tuple[str, ...] = ()
    without_methods: tuple[str, ...] = ()


def no_columns(count: int, **known: Any) -> Columns:
    """Return columns of which only some are known."""
    empty = {name: np.full(count, np.nan, np.float32) for name in ("confidence", "loss", "quality")}
    return Columns(**{"predicted": np.full(count, -1, np.int32), **empty, **known})


UNKNOWN = Explored(views=("network",), columns=lambda result, _arrays: no_columns(int(result.get("images", 0))))
"""Of a task that this version does not know."""


def explored(task: str) -> Explored:
    """Return what is said of a task, by its name as run.json has it."""
    if not task.isidentifier():
        return UNKNOWN
    place = f"glassnet.tasks.{task}"
    try:
        found: Explored = import_module(f"{place}.explored").EXPLORED
    except ModuleNotFoundError as error:
        if error.name not in (place, f"{place}.explored"):
            raise
        return UNKNOWN
    return found
