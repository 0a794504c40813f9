"""What a task's folder says of its results: how they are completed, drawn, put into words, explained and reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool
from torch import Tensor, nn

from glassnet.console import printable
from glassnet.data import Dataset, Split
from glassnet.errors import InputError, unknown_name
from glassnet.images import ImageRows
from glassnet.loggers.pictures import Picture, fixed_maps
from glassnet.models.layer_table import layer_table
from glassnet.models.layers import select_layers
from glassnet.rng import SplitName
from glassnet.run.store import Plot
from glassnet.settings import ResolvedSettings
from glassnet.subject import Part, Subject
from glassnet.tables import Table
from glassnet.tasks import Records

if TYPE_CHECKING:
    from glassnet.analysis.attribution import AttributionRequest
    from glassnet.analysis.base import Analysis, Context
    from glassnet.analysis.examples import Examples
    from glassnet.attribution import Explanation
    from glassnet.blocks import Section

Facts = Mapping[str, str | float | bool | None]
"""What is known of an explained image, by name: label, predicted, target, probability, correct, share, iou, score."""


@dataclass(frozen=True)
class EvaluationView:
    """A model that was run over images, for what the task adds to the result and draws of it.

    Attributes:
        subject: The model and where it came from.
        model: On its device, in evaluation mode.
        data: Name of the data set.
        dataset: The data set; None where there is none.
        split: The images.
        part: Their part.
        records: What the task remembered of each batch.
        precision: "fp32" or "bf16".
        memory: What the task's views made already, for those that come after.
    """

    subject: Subject
    model: nn.Module
    data: str
    dataset: Dataset | None
    split: Split
    part: Part
    records: Records
    precision: str
    memory: dict[str, Any] = field(default_factory=dict)

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """Return what was made under this key before, or make it."""
        if key not in self.memory:
            self.memory[key] = make()
        return self.memory[key]

    def label_of(self, row: int) -> str:
        """Name an image: by its file, or by its number in the part."""
        return image_name(self.split, row, self.part)


EPOCHS = "Each epoch: losses in nats, and other measures"
"""Caption of the table of epochs."""


def class_of(word: str, subject: Subject, others: Sequence[str]) -> int:
    """Turn a class, by name or by number, into its index.

    Raises:
        InputError: There is no such class; `others` are the further words that are understood.
    """
    if word in subject.classes:
        return subject.classes.index(word)
    if word.isdecimal() and int(word) < len(subject.classes):
        return int(word)
    raise unknown_name("target", word, (*others, *subject.classes), where=f" in {subject.name}", noun="targets")


def image_name(split: Split, row: int, part: str) -> str:
    """Name an image by its file, or as in "test image 23" where it has none."""
    return (
        printable(split.files[row], lines=False)
        if split.files is not None
        else f"{part} image {int(split.numbers[row])}"
    )


@dataclass(frozen=True)
class Group:
    """Some images that are explained together, and by which rule they were taken.

    Attributes:
        name: Short, as in "correct".
        title: As in "Correctly classified images".
        rule: One sentence.
        split: The images with their labels, numbers and files.
        labelled: Whether the labels mean anything.
        targets: The class explained for each image, where the group says it; else the task's `target` does.
    """

    name: str
    title: str
    rule: str
    split: Split
    labelled: bool = True
    targets: tuple[int, ...] | None = None

    @property
    def images(self) -> Tensor:
        """The images (n, channel, height, width)."""
        return self.split.images

    def name_of(self, row: int, part: str = "test") -> str:
        """Name an image by its file or number."""
        return image_name(self.split, row, part)


@dataclass(frozen=True, eq=False)
class Described:
    """What is said of explained images.

    Attributes:
        facts: Of each image.
        regions: The part of each image whose score is explained; None for the whole.
        note: A sentence on all of them; empty for none.
    """

    facts: tuple[Facts, ...]
    regions: Bool[np.ndarray, "n height width"] | None = None
    note: str = ""


@dataclass(frozen=True)
class ExplainViews:
    """How a task's predictions are explained.

    Attributes:
        images: Which images are taken where nothing else is asked.
        check: Refuses settings that mean nothing here.
        layers: The layers that a request means.
        select: Images by a rule that needs the model: (subject, rule, number, part, context, precision) to groups.
        rules: The rules that `select` knows.
        inputs: What the model is given for a group: the images, or the images with their noise.
        target: What `explain` takes as its target for a group.
        describe: Facts of each explained image.
        columns: The facts as a table shows them: key and heading.
        caption: One or two lines below an image, from its facts.
        classes: Whether what is explained is the score of a class, so that faithfulness can be measured by its
            probability.
        scores: What the scores of the classes are, as `faithfulness` takes it for `output`: "logits" of classes that
            exclude each other, or "sigmoid" where each label has a probability of its own.
        together: Whether the score is of all images of a group at once, which then make one batch.
        default_target: What is explained where nothing is asked for, which is then "predicted".
    """

    images: str
    check: Callable[[Subject, AttributionRequest], None]
    layers: Callable[[Subject, nn.Module, AttributionRequest], str | list[str]]
    select: Callable[[Subject, str, int, Part, Context, str], list[Group]]
    rules: tuple[str, ...]
    inputs: Callable[[Subject, Group, AttributionRequest], Tensor]
    target: Callable[[Subject, nn.Module, Group, AttributionRequest], Any]
    describe: Callable[[Subject, nn.Module, Group, AttributionRequest, Explanation], Described]
    columns: tuple[tuple[str, str], ...]
    caption: Callable[[Facts], str]
    classes: bool
    scores: Literal["logits", "sigmoid"] = "logits"
    together: bool = False
    default_target: str = "predicted"


@dataclass(frozen=True)
class Material:
    """What the first sections of a report are made from.

    Attributes:
        subject: What the report is of.
        evaluation: How good it is on its test images.
        examples: Some of these images with their last-layer maps; None where there are none.
    """

    subject: Subject
    evaluation: Analysis
    examples: Examples | None

    def name_of(self, row: int) -> str:
        """Name a test image by its file or number."""
        return image_name(self.subject.part("test"), row, "test")


@dataclass(frozen=True)
class Views:
    """All figures and texts of a task.

    Attributes:
        complete: Adds to the result what the records alone do not tell; given back as it is where there is nothing.
        plots: Figures of an evaluation.
        predictions: Header and rows of predictions.csv, an image a row; None where there is no label an image.
        text: An evaluation as text for the terminal, below its first line.
        tables: The evaluation's tables for the report.
        explain: How predictions are explained.
        wanted: What a report needs of a subject: kinds with their settings by field name.
        headlines: The main numbers: name, value, note.
        epoch_note: What the saved epoch came to on the validation part, from the metrics of run.json.
        summary: Sentences on the evaluation.
        comparison: Columns of the table of several runs: heading, and value from the metrics.
        curves: The learning curves' figure: (history, saved epoch).
        history: Columns of the table of epochs: key, heading, way of writing.
        history_caption: What that table shows, from all epochs.
        history_total: Cells of its last row by key, its name under "epoch", from the last epoch; empty for no such row.
        epoch_pictures: (held-out images, rows, settings) to what draws a model's work on these rows, for a logger.
        reads_training: Whether an evaluation measures by the training images, too, and is another where they are.
        network: Further figures of the network's layers.
        likelihood: (subject, model, images, their part; samples=, batch_size=, precision=) to how likely the model
            makes images, by codes that are drawn; None where a task has no such thing.
        given: (subject, images of a part, the part's name) to what the model is given of them, and to what its output
            is judged by, as `ablate` takes it: labels, or images; None where that is not known.
        example_rows: Places of the images that the report shows with their maps.
        example_targets: The class explained for each of them; what the task explains where none is asked for, if empty.
        results: The report's first sections, from the evaluation and these images; its tables and figures where None.
    """

    complete: Callable[[EvaluationView, Any], Any]
    plots: Callable[[EvaluationView, Any], Iterable[Plot]]
    predictions: Callable[[EvaluationView, Any], tuple[Sequence[str], list[Sequence[str]]] | None]
    text: Callable[[Any], str]
    tables: Callable[[Any], list[Table]]
    explain: ExplainViews
    wanted: Callable[[Subject], list[tuple[str, dict[str, Any]]]]
    headlines: Callable[[Mapping[str, Any]], tuple[tuple[str, str, str], ...]]
    epoch_note: Callable[[Mapping[str, Any]], str]
    summary: Callable[[Any], list[str]]
    comparison: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...]
    curves: Callable[[Sequence[Mapping[str, Any]], int], Any]
    epoch_pictures: Callable[[Split, Tensor, ResolvedSettings], Callable[[nn.Module], Picture]] = fixed_maps
    reads_training: bool = False
    network: Callable[[Mapping[str, Any]], Iterable[Plot]] = lambda _model: ()
    likelihood: Callable[..., Any] | None = None
    given: Callable[[Subject, Split, SplitName], tuple[Tensor | ImageRows, Tensor | None]] = lambda subject, split, _: (
        split.pixels,
        split.targets if subject.labelled else None,
    )
    example_rows: Callable[[Any], Sequence[int]] = lambda _result: ()
    example_targets: Callable[[Any], Sequence[int]] = lambda _result: ()
    results: Callable[[Material], Sequence[Section]] | None = None
    history: tuple[tuple[str, str, Callable[[Any], str]], ...] = field(default=())
    history_caption: Callable[[Sequence[Mapping[str, Any]]], str] = lambda _history: EPOCHS
    history_total: Callable[[Mapping[str, Any]], Mapping[str, str]] = lambda _last: {}


MANY_CONVOLUTIONS = 16
"""Of more, a report shows the maps of the last one at each size."""
FEWEST_POINTS = 30
"""Images without labels from which on a picture of points tells anything."""
OF_THE_INPUT: dict[str, Any] = {"layers": ("linear",), "methods": ("saliency", "input_x_gradient")}
"""Maps that a report shows of a network without a convolution."""


def wanted_of_classes(subject: Subject) -> list[tuple[str, dict[str, Any]]]:
    """Return what a report needs: the evaluation, the last hidden layer embedded, the convolutions explained.

    Without labels it needs the likeliest classes in place of the evaluation; few such images make no embedding.
    """
    layer, maps = last_hidden_layer(subject), _usual_maps(subject)
    if not subject.labelled:
        maps = maps | {"images": "first:4"}
        layer = layer if len(subject.part("test")) >= FEWEST_POINTS else None
    embedded = [
        ("embedding", {"layer": layer, "method": m, "dims": d}) for m, d in (("tsne", 2), ("pca", 2), ("pca", 3))
    ]
    measured = [("evaluation", {"split": "test", "data": None})] if subject.labelled else []
    if not subject.labelled and subject.task.views().explain.classes:
        measured = [("predictions", {"split": "test"})]
    return [*measured, *(embedded if layer else []), ("attribution", maps)]


def _usual_maps(subject: Subject) -> dict[str, Any]:
    """Return which maps a report shows: of the convolutions, or of the input where there is none."""
    try:
        names = select_layers(subject.model(), "conv")
    except InputError:
        return OF_THE_INPUT
    layers = ("conv",) if len(names) <= MANY_CONVOLUTIONS else _last_of_each_size(subject, names)
    return {"layers": layers, "methods": ("gradcam", "guided_gradcam")}


def _last_of_each_size(subject: Subject, names: Sequence[str]) -> tuple[str, ...]:
    """Return the last convolution at each size of the maps, from input to output; the last of all if unknown."""
    try:
        rows = layer_table(subject.model(), (1, *subject.image_shape))
    except InputError:
        return ("last-conv",)
    sizes = {row.name: row.output[1:] for row in rows if row.name in set(names) and row.output}
    last = {size: name for name, size in sizes.items()}
    return tuple(name for name in sizes if name in last.values()) or ("last-conv",)


def last_hidden_layer(subject: Subject) -> str | None:
    """Name the linear layer before the last, or the last convolution where there is none; None without either."""
    model = subject.model()
    for kind, place in (("linear", -2), ("conv", -1), ("linear", -1)):
        try:
            names = list(select_layers(model, kind))
        except InputError:
            continue
        if len(names) >= -place:
            return names[place]
    return None
