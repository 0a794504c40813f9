"""A run at a glance: its headline numbers, what they say in plain words, and several runs beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glassnet.report import glance_classification as classification
from glassnet.report import glance_reconstruction as reconstruction
from glassnet.report import glance_segmentation as segmentation
from glassnet.report import numbers
from glassnet.report.glance import Glance, Headline
from glassnet.report.records import mapping, part, task_name, text
from glassnet.report.tables import Table, table
from glassnet.run import RunDirectory

SHOWN: dict[str, Glance] = {
    "classification": classification.GLANCE,
    "segmentation": segmentation.GLANCE,
    "reconstruction": reconstruction.GLANCE,
}
"""What a reader looks for first, by the run's task."""


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
    metrics = _metrics(run)
    found = SHOWN[task_name(run)]
    headlines = (
        *found.headlines(metrics),
        Headline("Parameters", numbers.count(part(manifest, "model").get("parameters")), "trainable numbers"),
        Headline("Training time", numbers.duration(manifest.get("seconds")), _where(manifest)),
        Headline("Kept epoch", numbers.count(metrics.get("epoch")), found.kept(metrics)),
    )
    started = text(manifest.get("started"))
    zone = " UTC" if started.endswith(("+0000", "+00:00", "Z")) else ""
    started = started.replace("T", " ")[:16] + zone
    model, data = (text(part(manifest, key).get("name")) or numbers.DASH for key in ("model", "data"))
    return Overview(model, data, headlines, tuple(_summary(run, manifest)), started)


def comparison(runs: Sequence[RunDirectory]) -> Table:
    """Set the main numbers of several runs beside each other."""
    names = ("Run", "Model", "Data")
    labels = tuple(dict.fromkeys(label for run in runs for label, *_ in SHOWN[task_name(run)].columns))
    columns = (*names, "Parameters", "Epochs", "Seed", *labels, "Training time")
    return table("The runs of this report", columns, [_compared(run, labels) for run in runs], words=(0, 1, 2))


def _compared(run: RunDirectory, labels: Sequence[str]) -> list[str]:
    manifest, metrics = dict(run.manifest), _metrics(run)
    shown = {label: form(metrics.get(key)) for label, key, form in SHOWN[task_name(run)].columns}
    return [
        run.name,
        text(part(manifest, "model").get("name")) or numbers.DASH,
        text(part(manifest, "data").get("name")) or numbers.DASH,
        numbers.count(part(manifest, "model").get("parameters")),
        numbers.count(part(manifest, "settings").get("epochs")),
        text(manifest.get("seed")) or numbers.DASH,
        *(shown.get(label, numbers.DASH) for label in labels),
        numbers.duration(manifest.get("seconds")),
    ]


def _metrics(run: RunDirectory) -> dict[str, Any]:
    """Return the run's metrics, those of the test images as they were evaluated, where they were.

    A training tests in its own precision and an evaluation in fp32 by default: their last digits differ, and a report
    that took one number from here and the next from there would contradict itself.
    """
    metrics = part(dict(run.manifest), "metrics")
    if not run.has("evaluation/test.json"):
        return metrics
    return metrics | {f"test_{key}": value for key, value in mapping(run, "evaluation/test.json").items()}


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
        return sentences + SHOWN[task_name(run)].judged(mapping(run, "evaluation/test.json"))
    return sentences + SHOWN[task_name(run)].glanced(metrics)
