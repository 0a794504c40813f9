"""What training and evaluation ask of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from glassnet.settings import TrainSettings
from glassnet.settings.train import Names, Recipe

Objective = Callable[[Any, Tensor, float], tuple[Tensor, Mapping[str, Tensor]]]
"""(output, targets, how far the training is, 0 to 1) to the mean loss of the batch, and other means by name.

The other means (accuracy, the terms of a sum) are detached; they go into metrics.jsonl as train_NAME.
"""

Records = dict[str, Tensor]
"""What is remembered of a part of the images, to be joined along the first dimension with that of all other parts."""

Normal = Callable[[tuple[int, ...]], Tensor]
"""A shape to standard normal numbers of that shape for each image of a batch, on the CPU: those of the image's own."""

Recorder = Callable[[Any, Tensor, Normal], Records]
"""(output, targets, random numbers) of a batch to its records.

They are small, so that outputs of a whole set need not be held. What is drawn comes from the numbers, so that a record
does not depend on batches, processes and devices.
"""

Measures = dict[str, float]


@dataclass(frozen=True)
class Task:
    """All that training, evaluation and the report do not know by themselves of what a model learns.

    Attributes:
        name: Its key in TASKS.
        options: Settings of the training that this task reads and not all others do.
        objective: (settings, targets of all training images in parts, number of classes) to the loss to train on; only
            a task that needs them reads the targets.
        test_stats: (settings, number of classes) to what is remembered of each batch that is measured.
        val_stats: The same where `measure` alone follows, as after each epoch, without what only `evaluate` needs.
        measure: Records to a few figures by name, "loss" among them; of the validation part, after each epoch.
        is_best: Whether an epoch's measures make it the yardstick, given those of the yardstick so far.
        should_checkpoint: Whether an epoch is kept in place of an earlier one, given its measures and the yardstick's.
        checkpoint_rule: What `should_checkpoint` keeps, to be read after "Kept is".
        evaluate: (records, class names) to all that the report shows, as JSON values.
        saved_metrics: Keys of these values that go into run.json as test_KEY.
        summary_line: The metrics of run.json as words, to be read after "MODEL on DATA: ".
        defaults: Data set and model where the settings do not name them.
        recipe: How a model is trained where the settings do not say it.
        batch_size: Images per forward pass where nothing is learned, at most.
    """

    name: str
    options: tuple[str, ...]
    objective: Callable[[TrainSettings, Iterable[Tensor], int], Objective]
    test_stats: Callable[[TrainSettings, int], Recorder]
    val_stats: Callable[[TrainSettings, int], Recorder]
    measure: Callable[[Records], Measures]
    is_best: Callable[[Mapping[str, float], Mapping[str, float]], bool]
    should_checkpoint: Callable[[Mapping[str, float], Mapping[str, float]], bool]
    checkpoint_rule: str
    evaluate: Callable[[Records, Sequence[str]], dict[str, Any]]
    saved_metrics: tuple[str, ...]
    summary_line: Callable[[Mapping[str, Any]], str]
    defaults: Names
    recipe: Recipe
    batch_size: int = 512
