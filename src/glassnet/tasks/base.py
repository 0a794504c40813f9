"""What a task is: all that training, evaluation and the report do not know by themselves of what a model learns.

`learn` of a task's folder holds a `Task`, which training needs; `views` holds its `Views`, which draw and tell what was
found. Views are loaded when they are asked for, so that a training loads neither figures nor attribution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from torch import Tensor

from glassnet.settings import TrainSettings
from glassnet.settings.train import Names, Recipe

if TYPE_CHECKING:
    from glassnet.analysis.views import Views

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
    """What a model learns.

    Attributes:
        name: Its key in TASKS, and its folder.
        options: Settings of the training that this task reads and not all others do.
        objective: (settings, targets of all training images in parts, number of classes) to the loss to train on; only
            a task that needs them reads the targets.
        test_stats: (settings, number of classes) to what is remembered of each batch that is tested.
        val_stats: The same where `measure` alone follows, as after each epoch, without what only `evaluate` needs.
        measure: Records to a few figures by name, "loss" among them; of the validation part, after each epoch.
        is_best: Whether an epoch's measures make it the reference, given those of the reference so far.
        should_checkpoint: Whether an epoch takes the place of the one saved, given its measures and the reference's.
        checkpoint_rule: Which epoch that saves, as words that follow "saved: ".
        result: The type of what `evaluate` gives.
        evaluate: (records, class names) to all that the report shows: a frozen dataclass.
        saved_metrics: Its fields that go into run.json as test_FIELD.
        required_metrics: Of those, what a run.json must have to be of any use.
        summary_line: The metrics of run.json as words, to be read after "MODEL on DATA: ".
        defaults: Data set and model where the settings do not name them.
        recipe: How a model is trained where the settings do not say it.
        output: What its models give, as `model_output` names it.
        target_dimensions: Of the targets of a batch: 1 for a class an image, 2 for a yes or no an image and label, 3
            for a class a pixel; 0 where labels do not matter.
        batch_size: Images per forward pass where nothing is learned, at most.
        corrupts: Whether the model is given changed images, with noise on them, as the settings say.
        compares_classes: Whether another data set must have the very classes of the model.
        labels_images: Whether an image has one class, by which points of an embedding are coloured.
        default_classes: Classes of a model by name, where nothing says how many.
        judged_by_accuracy: Whether a grid of its runs may be compared by accuracy.
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
    result: type
    evaluate: Callable[[Records, Sequence[str]], Any]
    saved_metrics: tuple[str, ...]
    required_metrics: tuple[str, ...]
    summary_line: Callable[[Mapping[str, Any]], str]
    defaults: Names
    recipe: Recipe
    output: str = "scores"
    target_dimensions: int = 1
    batch_size: int = 512
    corrupts: bool = False
    compares_classes: bool = True
    labels_images: bool = True
    default_classes: int = 1000
    judged_by_accuracy: bool = False

    def views(self) -> Views:
        """Load how the task's results are drawn and told."""
        views: Views = import_module(f"glassnet.tasks.{self.name}.views").VIEWS
        return views
