"""A classifier's results drawn and told: confusions, mistakes, and where it looks for a class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from glassnet import figures
from glassnet.analysis.views import EvaluationView, Material, Views, wanted_of_classes
from glassnet.blocks import ConfusionMatrix, Gallery, Section
from glassnet.formats import count, decimal, percent
from glassnet.measures import MEASURES, interval, show, with_interval
from glassnet.method_titles import METHOD_TITLES
from glassnet.run.store import FigureWords, Plot
from glassnet.tables import Table, make_table
from glassnet.tasks.classification.explain import EXPLAIN
from glassnet.tasks.classification.result import Classification, ClassRow

MATRIX_LIMIT = 26
"""With more classes a confusion matrix is no readable table; the most frequent confusions then stand for it."""
CONFUSIONS = 12
MEASURED = ("accuracy", "loss", "calibration_error")


def _plots(view: EvaluationView, result: Classification) -> Iterable[Plot]:
    classes, wrong = view.subject.classes, len(result.wrong)
    yield Plot(
        figures.confusion_matrix(np.array(result.confusion), classes),
        FigureWords(
            name="confusion-matrix",
            title="Confusion matrix",
            alt=f"Table of true and predicted classes: {result.images:,} images, {wrong} off the diagonal.",
            caption="Rows are true classes, columns are predicted classes; each cell counts images.",
            lead="Everything off the diagonal is an error: read a row to see what the class is mistaken for.",
        ),
    )
    yield Plot(
        figures.worst_mistakes(
            lambda rows: view.split.take(torch.from_numpy(rows))[0].numpy(),
            result.targets,
            result.predicted,
            result.probabilities,
            classes,
        ),
        FigureWords(
            name="worst-mistakes",
            title="Worst mistakes",
            alt="The wrong predictions with the highest confidence, each with its true and predicted class.",
            caption=f"{wrong} of {result.images:,} images are misclassified; the most confident are shown.",
            lead="These are the wrong predictions that the network was most confident about.",
        ),
    )


def _predictions(view: EvaluationView, result: Classification) -> tuple[Sequence[str], list[Sequence[str]]]:
    classes, predicted = view.subject.classes, result.predicted
    rows: list[Sequence[str]] = [
        (
            view.label_of(row),
            classes[int(result.targets[row])],
            classes[int(predicted[row])],
            f"{result.probabilities[row, predicted[row]]:.6f}",
            view.part,
        )
        for row in range(result.images)
    ]
    return ("file" if view.split.files is not None else "image", "true", "predicted", "probability", "split"), rows


def _text(result: Classification) -> str:
    parts = ", ".join(
        (
            f"loss {show('loss', result.loss)}",
            f"accuracy {with_interval('accuracy', result.accuracy, result.accuracy_interval)}",
            f"calibration error {show('calibration_error', result.calibration_error)}",
        )
    )
    return f"{parts}\n\n{_per_class(result).text()}"


def _per_class(result: Classification) -> Table:
    keys = ("precision", "recall", "f1")
    named = _of_interest(result)
    rows = [(row.name, count(row.images), *(show(key, getattr(row, key)) for key in keys)) for row in named]
    others = len(result.per_class) - len(named)
    note = f"{count(others)} other classes have no image here and are never predicted." if others else ""
    return make_table("", ("class", "images", *(MEASURES[key].title for key in keys)), rows, words=(0,), note=note)


def _of_interest(result: Classification) -> list[ClassRow]:
    """Return all classes, or those that are true or predicted somewhere where there are many, as ImageNet's 1,000."""
    if len(result.per_class) <= MATRIX_LIMIT:
        return list(result.per_class)
    confusion = np.array(result.confusion)
    here = confusion.sum(axis=0) + confusion.sum(axis=1)
    return [row for row, images in zip(result.per_class, here, strict=True) if images]


def _tables(result: Classification) -> list[Table]:
    names = [row.name for row in result.per_class]
    measured = [
        (MEASURES[key].title, show(key, getattr(result, key)), MEASURES[key].meaning, MEASURES[key].better)
        for key in MEASURED
    ]
    tables = [
        make_table("Measures", ("Measure", "Value", "Meaning", "Better"), measured, words=(0, 2, 3)),
        _captioned(_per_class(result), "Precision, recall and their harmonic mean (F1) of each class"),
    ]
    confused = [
        (names[true], names[predicted], count(times), percent(times / max(1, sum(result.confusion[true])), 1))
        for true, predicted, times in result.confusions()[:CONFUSIONS]
    ]
    if confused:
        columns = ("True class", "Predicted class", "Images", "Fraction of the true class")
        tables.append(make_table("The most frequent confusions", columns, confused, words=(0, 1)))
    if len(names) <= MATRIX_LIMIT:
        rows = [(name, *map(count, row)) for name, row in zip(names, result.confusion, strict=True)]
        caption = "Confusion matrix (number of images): one row per true class, one column per predicted class"
        tables.append(make_table(caption, ("True class", *names), rows, words=(0,)))
    return tables


def _captioned(table: Table, caption: str) -> Table:
    return Table(caption, table.columns, table.rows, table.words, table.total, table.note, table.names)


MISTAKES, PER_CELL, CELLS, TYPICAL = 24, 4, 40, 20
"""Worst mistakes, images of a confusion, confusions and classes whose images are explained for the report, at most."""


def _shown(result: Classification) -> tuple[int, ...]:
    """Choose by rule: the worst mistakes, some of each confusion, and a typical image of each class."""
    rows = [int(row) for row in result.wrong[:MISTAKES]]
    for cell in list(_cells(result))[:CELLS]:
        rows += _cells(result)[cell][:PER_CELL]
    return tuple(dict.fromkeys([*rows, *_typical(result)]))


def _cells(result: Classification) -> dict[tuple[int, int], list[int]]:
    """Return the images of each confusion, the most confident first; the most frequent confusion first."""
    cells: dict[tuple[int, int], list[int]] = {(true, guess): [] for true, guess, _ in result.confusions()}
    for row in result.wrong.tolist():
        cells[int(result.targets[row]), int(result.predicted[row])].append(row)
    return cells


def _typical(result: Classification) -> list[int]:
    """Return for each class the correctly classified image of median confidence."""
    chosen = []
    for label in range(min(TYPICAL, result.probabilities.shape[1])):
        right = np.flatnonzero((result.targets == label) & (result.predicted == label))
        if len(right):
            order = right[np.argsort(result.probabilities[right, label], kind="stable")]
            chosen.append(int(order[len(order) // 2]))
    return chosen


def _results(material: Material) -> list[Section]:
    """The first sections of the report: what is confused, and where the network looks when it is."""
    result: Classification = material.evaluation.result
    classes = material.subject.classes
    known = set() if material.examples is None else set(material.examples.rows)
    cells = {cell: [row for row in rows if row in known] for cell, rows in _cells(result).items()}
    matrix = ConfusionMatrix(
        title="Confusion matrix",
        classes=classes,
        counts=np.array(result.confusion),
        examples={cell: rows for cell, rows in cells.items() if rows},
        lead="Coloured cells are mistakes; click one to see its images and where the network looked.",
    )
    sections = [Section("confusion", "Which classes are confused", (matrix,))]
    if material.examples is not None:
        sections.append(Section("mistakes", "Where it looks", tuple(_galleries(result, material, known))))
    return sections


def _galleries(result: Classification, material: Material, known: set[int]) -> Iterable[Gallery]:
    assert material.examples is not None
    how = f"{METHOD_TITLES.get(material.examples.method, material.examples.method)} at {material.examples.layer}"
    worst = tuple(int(row) for row in result.wrong[:6] if int(row) in known)
    if worst:
        yield Gallery(
            "Worst mistakes",
            worst,
            "The wrong predictions that the network was most confident about, and the places that support them.",
            f"{how} of the predicted class. Each map is scaled by its own largest value.",
        )
    typical = tuple(row for row in _typical(result) if row in known)
    if typical:
        yield Gallery(
            "A typical image of each class",
            typical,
            "What the network recognises a class by: for each class, the correctly classified image of median "
            "confidence.",
            f"{how}.",
            compact=True,
        )


def _headlines(metrics: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    bounds = interval("accuracy", metrics.get("test_accuracy_interval"))
    return (
        ("Test accuracy", show("accuracy", metrics.get("test_accuracy")), f"95% interval {bounds}"),
        ("Test loss", show("loss", metrics.get("test_loss")), "mean cross-entropy, nats"),
    )


def _epoch_note(metrics: Mapping[str, Any]) -> str:
    return f"validation accuracy {show('accuracy', metrics.get('validation_accuracy'))}"


def _summary(result: Classification) -> list[str]:
    """Say what the headlines and the confusion matrix do not: how many images that is, and how sure it is of them."""
    wrong = len(result.wrong)
    points = decimal(100 * result.calibration_error, 2)
    return [
        f"It classifies {count(result.images - wrong)} of {count(result.images)} images correctly and {count(wrong)} "
        "wrongly.",
        f"Its confidence differs from its accuracy by {points} percentage points on average (calibration error).",
    ]


def _curves(history: Sequence[Mapping[str, Any]], best: int) -> Any:
    return figures.learning_curves(history, best_epoch=best, of="images")


VIEWS = Views(
    complete=lambda _found, result: result,
    plots=_plots,
    predictions=_predictions,
    text=_text,
    tables=_tables,
    explain=EXPLAIN,
    wanted=wanted_of_classes,
    headlines=_headlines,
    epoch_note=_epoch_note,
    summary=_summary,
    comparison=(
        ("Test accuracy", lambda metrics: show("accuracy", metrics.get("test_accuracy"))),
        ("95% interval", lambda metrics: interval("accuracy", metrics.get("test_accuracy_interval"))),
        ("Test loss", lambda metrics: show("loss", metrics.get("test_loss"))),
    ),
    curves=_curves,
    example_rows=_shown,
    results=_results,
    history=(
        ("train_loss", "Training loss", MEASURES["loss"].show),
        ("train_accuracy", "Training accuracy", percent),
        ("validation_loss", "Validation loss", MEASURES["loss"].show),
        ("validation_accuracy", "Validation accuracy", percent),
    ),
)
