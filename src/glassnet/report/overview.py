"""A run at a glance: its headline numbers, what they say in plain words, and several runs beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glassnet.report import numbers
from glassnet.report.records import mapping, part, text
from glassnet.report.results import confusions
from glassnet.report.tables import Table, table
from glassnet.run import RunDirectory


@dataclass(frozen=True)
class Headline:
    """One number that a reader looks for first."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Overview:
    """The head of a run's report."""

    model: str
    data: str
    headlines: tuple[Headline, ...]
    summary: tuple[str, ...]
    started: str


def overview(run: RunDirectory) -> Overview:
    """Collect what the head of a run's report says."""
    manifest = dict(run.manifest)
    metrics = part(manifest, "metrics")
    bounds = numbers.interval(metrics.get("test_accuracy_interval"))
    precision = "validation accuracy " + numbers.percent(metrics.get("validation_accuracy"))
    headlines = (
        Headline("Test accuracy", numbers.percent(metrics.get("test_accuracy")), f"95% interval {bounds}"),
        Headline("Test loss", numbers.decimal(metrics.get("test_loss"), 4), "mean cross-entropy, nats"),
        Headline("Parameters", numbers.count(part(manifest, "model").get("parameters")), "trainable numbers"),
        Headline("Training time", numbers.duration(manifest.get("seconds")), _where(manifest)),
        Headline("Kept epoch", numbers.count(metrics.get("epoch")), precision),
    )
    started = text(manifest.get("started"))
    zone = " UTC" if started.endswith(("+0000", "+00:00", "Z")) else ""
    started = started.replace("T", " ")[:16] + zone
    model, data = (text(part(manifest, key).get("name")) or numbers.DASH for key in ("model", "data"))
    return Overview(model, data, headlines, tuple(_summary(run, manifest)), started)


def comparison(runs: Sequence[RunDirectory]) -> Table:
    """Set the main numbers of several runs beside each other."""
    names = ("Run", "Model", "Data")
    measures = ("Parameters", "Epochs", "Seed", "Test accuracy", "95% interval", "Test loss", "Training time")
    return table("The runs of this report", names + measures, [_compared(run) for run in runs], words=(0, 1, 2))


def _compared(run: RunDirectory) -> list[str]:
    manifest, metrics = dict(run.manifest), run.metrics
    return [
        run.name,
        text(part(manifest, "model").get("name")) or numbers.DASH,
        text(part(manifest, "data").get("name")) or numbers.DASH,
        numbers.count(part(manifest, "model").get("parameters")),
        numbers.count(part(manifest, "settings").get("epochs")),
        text(manifest.get("seed")) or numbers.DASH,
        numbers.percent(metrics.get("test_accuracy")),
        numbers.interval(metrics.get("test_accuracy_interval")),
        numbers.decimal(metrics.get("test_loss"), 4),
        numbers.duration(manifest.get("seconds")),
    ]


def _where(manifest: dict[str, Any]) -> str:
    device, precision = (text(manifest.get(key)) for key in ("device", "precision"))
    return f"on {device or numbers.DASH} in {precision or numbers.DASH}"


def _summary(run: RunDirectory, manifest: dict[str, Any]) -> list[str]:
    data, model, metrics = (part(manifest, key) for key in ("data", "model", "metrics"))
    epochs = numbers.count(part(manifest, "settings").get("epochs"))
    sentences = [
        f"The network {text(model.get('name'))} learned from {numbers.count(data.get('train'))} images of "
        f"{text(data.get('name'))} in {epochs} passes; {numbers.count(data.get('validation'))} further images, "
        f"held out of the training, chose the weights after pass {numbers.count(metrics.get('epoch'))}."
    ]
    if run.has("evaluation/test.json"):
        return sentences + _judged(mapping(run, "evaluation/test.json"))
    if numbers.is_number(metrics.get("test_accuracy")):
        sentences.append(f"It labels {numbers.percent(metrics['test_accuracy'])} of the test images correctly.")
    return sentences


def _judged(test: dict[str, Any]) -> list[str]:
    images, accuracy = test.get("images"), test.get("accuracy")
    sentences = []
    if numbers.is_number(images) and numbers.is_number(accuracy):
        right = round(images * accuracy)
        sentences.append(
            f"Of {numbers.count(images)} test images that it never saw, it labels {numbers.count(right)} correctly and "
            f"{numbers.count(images - right)} wrongly: an accuracy of {numbers.percent(accuracy)}."
        )
    bounds = numbers.interval(test.get("accuracy_interval"))
    if bounds != numbers.DASH:
        sentences.append(f"A test of this size leaves room for chance: the 95% interval runs from {bounds}.")
    sentences += _confused(test)
    error = test.get("calibration_error")
    if numbers.is_number(error):
        points = numbers.decimal(100 * error, 2)
        sentences.append(f"Its stated confidence is off by {points} percentage points on average (calibration error).")
    return sentences


def _confused(test: dict[str, Any]) -> list[str]:
    """Say which confusion is the most frequent, and whether others are as frequent."""
    found = confusions(test)
    if not found:
        return []
    true, predicted, times, _ = found[0]
    alone = len(found) == 1 or found[1][2] < times
    often = {1: "once", 2: "twice"}.get(times, f"{times} times")
    which = "Its most frequent confusion" if alone else "Among its most frequent confusions"
    return [f"{which} is to take {true} for {predicted} ({often})."]
