"""What an evaluation has found, and how each task draws and tells it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import nn

from glassnet.data import Dataset, Split
from glassnet.experiment import Run
from glassnet.tasks import Records


@dataclass(frozen=True)
class Evaluated:
    """A run measured on a part of a data set.

    Attributes:
        run: The run, which keeps what is drawn.
        model: Its model on the device, in evaluation mode.
        dataset: What it was measured on.
        split: The part.
        split_name: Its name.
        records: What the task remembered of each batch.
        result: What the task's `evaluate` made of them, as JSON values.
        suffix: Ends the names of figures; empty for the run's own test images.
        precision: "fp32" or "bf16".
    """

    run: Run
    model: nn.Module
    dataset: Dataset
    split: Split
    split_name: Literal["train", "test"]
    records: Records
    result: dict[str, Any]
    suffix: str
    precision: str


@dataclass(frozen=True)
class Shown:
    """How a task's evaluation is kept, drawn and told.

    Attributes:
        arrays: What goes into the .npz beside the numbers.
        draw: Draws the figures into the run, and may add to the result what the report needs to know of them.
        text: What the command prints.
    """

    arrays: Callable[[Evaluated], Mapping[str, np.ndarray]]
    draw: Callable[[Evaluated], None]
    text: Callable[[Evaluated], str]
