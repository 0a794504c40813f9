"""How the training went and what the test found: curves, accuracy, calibration, classes, confusions, mistakes."""

from collections.abc import Callable
from typing import Any

from glassnet.report import numbers
from glassnet.report.inline import find_picture
from glassnet.report.other_images import Column, on_other_images
from glassnet.report.records import mapping, rows, task_name, text
from glassnet.report.tables import Table, strong, table
from glassnet.run import RunDirectory
from glassnet.tasks import TASKS

MATRIX_LIMIT = 26
"""With more classes a confusion matrix is no readable table; the most frequent confusions then stand for it."""
CONFUSIONS, MISTAKES = 12, 20
"""Rows of the tables of confusions and mistakes, at most."""
_OTHERS: tuple[Column, ...] = (
    ("Accuracy", lambda other: numbers.percent(other.get("accuracy"))),
    ("95% interval", lambda other: numbers.interval(other.get("accuracy_interval"))),
    ("Loss", lambda other: numbers.decimal(other.get("loss"), 4)),
)
"""What is shown of an evaluation on other images."""
_COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("train_loss", "Training loss", lambda value: numbers.decimal(value, 4)),
    ("train_accuracy", "Training accuracy", numbers.percent),
    ("validation_loss", "Validation loss", lambda value: numbers.decimal(value, 4)),
    ("validation_accuracy", "Validation accuracy", numbers.percent),
    ("validation_mean_iou", "Validation mean IoU", numbers.percent),
    ("train_kl", "Training KL", lambda value: numbers.decimal(value, 2)),
    ("validation_reconstruction", "Validation reconstruction", lambda value: numbers.decimal(value, 2)),
    ("validation_kl", "Validation KL", lambda value: numbers.decimal(value, 2)),
    ("validation_psnr", "Validation PSNR (dB)", lambda value: numbers.decimal(value, 2)),
    ("validation_ssim", "Validation SSIM", lambda value: numbers.decimal(value, 4)),
)
"""What of an epoch is shown where it was measured: key in the history, heading, way of writing."""
_BACKGROUND = {
    "validation_accuracy": "validation_background_accuracy",
    "validation_mean_iou": "validation_background_mean_iou",
}
"""What calling every pixel background scores in place of a segmentation, the same after every epoch: keys of both."""


def learning(run: RunDirectory) -> dict[str, Any] | None:
    """Collect what the section on learning curves shows; None where no epoch was recorded."""
    history = [row for row in run.history if isinstance(row, dict)] if run.has("metrics.jsonl") else []
    if not history:
        return None
    best = run.metrics.get("epoch")
    return {
        "best": numbers.count(best),
        "rule": TASKS[task_name(run)].checkpoint_rule,
        "epochs": len(history),
        "picture": find_picture(run, "learning-curves"),
        "table": _epochs(history, best),
    }


def _epochs(history: list[dict[str, Any]], best: Any) -> Table:
    measured = [(key, label, form) for key, label, form in _COLUMNS if any(key in row for row in history)]
    columns = ("Epoch", *(label for _, label, _ in measured), "Learning rate", "Time")
    cells = [
        (
            strong(f"{numbers.count(row.get('epoch'))} (kept)")
            if row.get("epoch") == best
            else numbers.count(row.get("epoch")),
            *(form(row.get(key)) for key, _, form in measured),
            numbers.decimal(row.get("learning_rate"), 5),
            numbers.duration(row.get("seconds")),
        )
        for row in history
    ]
    region = next((shown for key, shown in _REGION_LOSSES.items() if key in history[-1]), "")
    caption = (
        f"Each epoch: losses in nats{region and f' (the training’s with {region} added)'}, and what else was measured"
    )
    return table(caption, columns, cells, total=_all_background(history[-1], measured))


_REGION_LOSSES = {"train_dice": "Dice", "train_lovasz": "Lovász-softmax"}


def _all_background(row: dict[str, Any], shown: list[tuple[str, str, Callable[[Any], str]]]) -> list[str]:
    """Make the table's last row: what calling every pixel background scores; empty where nothing was segmented."""
    if not set(_BACKGROUND.values()) & row.keys():
        return []
    scored = [form(row.get(_BACKGROUND[key])) if key in _BACKGROUND else numbers.DASH for key, _, form in shown]
    return ["All background", *scored, numbers.DASH, numbers.DASH]


def evaluated(run: RunDirectory) -> dict[str, Any] | None:
    """Collect what the section on test results shows; None where the run was not evaluated.

    Raises:
        InputError: The evaluation is damaged.
    """
    if not run.has("evaluation/test.json"):
        return None
    test = mapping(run, "evaluation/test.json")
    classes = [text(row.get("class")) for row in rows(test, "per_class")]
    return {
        "numbers": _measured(test),
        "per_class": _per_class(test),
        "confusions": _confusions(test),
        "matrix": _matrix(test, classes),
        "confusion_picture": find_picture(run, "confusion-matrix"),
        "mistakes": _mistakes(run, classes),
        "mistakes_picture": find_picture(run, "worst-mistakes"),
        "others": on_other_images(run, _OTHERS),
    }


def _measured(test: dict[str, Any]) -> Table:
    cells = [
        ("Images", numbers.count(test.get("images")), "how many the model was tested on"),
        ("Accuracy", numbers.percent(test.get("accuracy")), "share of images with the right label; higher is better"),
        ("95% interval of the accuracy", numbers.interval(test.get("accuracy_interval")), "Wilson’s score interval"),
        ("Loss", numbers.decimal(test.get("loss"), 4), "mean cross-entropy in nats; lower is better"),
        (
            "Calibration error",
            numbers.percent(test.get("calibration_error")),
            "mean gap between stated confidence and accuracy; lower is better",
        ),
    ]
    where = " ".join(filter(None, (text(test.get("data")), text(test.get("split")))))
    return table(f"Results on {where or 'the test images'}", ("Measure", "Value", "Meaning"), cells, words=(0, 2))


def _per_class(test: dict[str, Any]) -> Table | None:
    found = rows(test, "per_class")
    columns = ("Class", "Images", "Precision", "Recall", "F1")
    cells = [
        (
            text(row.get("class")) or numbers.DASH,
            numbers.count(row.get("images")),
            *(numbers.percent(row.get(measure), 1) for measure in ("precision", "recall", "f1")),
        )
        for row in found
    ]
    return table("Precision, recall and their harmonic mean (F1) of each class", columns, cells) if found else None


def _counts(test: dict[str, Any]) -> list[list[Any]]:
    """Take the confusion matrix if it is square, rows = true class, columns = predicted."""
    matrix = test.get("confusion")
    square = isinstance(matrix, list) and all(isinstance(row, list) and len(row) == len(matrix) for row in matrix)
    return matrix if square and isinstance(matrix, list) else []


def confusions(test: dict[str, Any]) -> list[tuple[str, str, int, float]]:
    """List the confusions, most frequent first, as (true class, predicted class, images, share of the true class)."""
    matrix = _counts(test)
    classes = [text(row.get("class")) for row in rows(test, "per_class")]
    name = classes.__getitem__ if len(classes) == len(matrix) else str
    found = [
        (name(i), name(j), int(times), times / sum(filter(numbers.is_number, row)))
        for i, row in enumerate(matrix)
        for j, times in enumerate(row)
        if i != j and numbers.is_number(times) and times > 0
    ]
    return sorted(found, key=lambda confusion: -confusion[2])


def _confusions(test: dict[str, Any]) -> Table | None:
    found = confusions(test)[:CONFUSIONS]
    columns = ("True class", "Predicted class", "Images", "Share of the true class")
    cells = [(true, wrong, numbers.count(times), numbers.percent(share, 1)) for true, wrong, times, share in found]
    return table("The most frequent confusions", columns, cells, words=(0, 1)) if cells else None


def _matrix(test: dict[str, Any], classes: list[str]) -> Table | None:
    matrix = _counts(test)
    if not matrix or len(matrix) > MATRIX_LIMIT or len(classes) != len(matrix):
        return None
    columns = ("True class", *classes)
    cells = [(name, *map(numbers.count, row)) for name, row in zip(classes, matrix, strict=True)]
    return table("Confusion matrix in images: a row per true class, a column per predicted class", columns, cells)


def _mistakes(run: RunDirectory, classes: list[str]) -> Table | None:
    """List the wrong predictions with the highest probability, in the order of the figure."""
    if not run.has("evaluation/test.npz"):
        return None
    arrays = run.load_arrays("evaluation/test.npz")
    if not {"probabilities", "targets"} <= arrays.keys():
        return None
    probabilities, targets = arrays["probabilities"], arrays["targets"]
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    name = dict(enumerate(classes)).get
    worst = [i for i in (-confidence).argsort(kind="stable") if predicted[i] != targets[i]][:MISTAKES]
    cells = [
        (
            str(index),
            name(int(targets[index]), str(targets[index])),
            name(int(predicted[index]), str(predicted[index])),
            numbers.percent(float(confidence[index]), 1),
            numbers.percent(float(probabilities[index, targets[index]]), 1),
        )
        for index in worst
    ]
    columns = ("Test image", "True class", "Predicted", "Probability of predicted", "of true class")
    caption = "The wrong predictions that the model was most confident of"
    return table(caption, columns, cells, words=(0, 1, 2)) if cells else None
