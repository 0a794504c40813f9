"""What a report says before all else of a subject: its main numbers, what it learned from, when it was trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from glassnet.analysis import Analysis
from glassnet.blocks import Headline
from glassnet.formats import count, duration
from glassnet.models.pretrained import imagenet_classes
from glassnet.subject import Subject


def about(subject: Subject, metrics: Mapping[str, Any]) -> tuple[Headline, ...]:
    """Say how large the network is, and how long and how far it was trained."""
    parameters = sum(parameter.numel() for parameter in subject.model().parameters())
    numbers: tuple[Headline, ...] = (Headline("Parameters", count(parameters), "learned numbers"),)
    if subject.run is None and not subject.labelled:
        images = Headline("Images", count(len(subject.part("test"))), "without labels")
        numbers = (Headline("Classes", count(len(subject.classes)), "that it distinguishes"), *numbers, images)
    if subject.run is None:
        return numbers
    manifest = subject.run.manifest
    epochs = f"{count(metrics.get('epoch'))} of {count(subject.run.settings.epochs)}"
    where = f"on {manifest.get('device')} in {manifest.get('precision')}"
    return (
        *numbers,
        Headline("Training time", duration(manifest.get("seconds")), where),
        Headline("Saved epoch", epochs, subject.task.views().epoch_note(metrics)),
    )


def summary(subject: Subject, evaluation: Analysis | None) -> Iterator[str]:
    """Say what the network learned from, and how good it is."""
    if subject.run is not None:
        data = subject.run.manifest["data"]
        yield (
            f"The network was trained on {count(data['train'])} images; {count(data['validation'])} held-out images "
            "chose the epoch whose weights were saved. "
            f"{_held_out(data)}{('' if subject.data_changed else _tested(data))}".rstrip()
        )
    elif getattr(subject.model(), "class_names", None) == imagenet_classes():
        yield "It was trained on photographs of ImageNet’s 1,000 classes."
    if evaluation is not None:
        yield from subject.task.views().summary(evaluation.result)
    elif not subject.labelled:
        yield "The images have no labels, so right and wrong cannot be told apart."


def _held_out(data: Mapping[str, Any]) -> str:
    leak = data.get("validation_leak") or 0
    are = "of them is a copy" if leak == 1 else "of them are copies"
    return f"{count(leak)} {are} of training images, so validation figures are too good. " if leak else ""


def _tested(data: Mapping[str, Any]) -> str:
    leak = data.get("leak") or 0
    if not leak:
        return "The test images played no part in either."
    are = "is a copy of one" if leak == 1 else "are copies"
    return f"Of the {count(data['test'])} test images {count(leak)} {are} of these, so test figures are too good."


def when(subject: Subject) -> str:
    """Say when the training began; nothing of a network without a run."""
    if subject.run is None:
        return ""
    started = str(subject.run.manifest.get("started", ""))
    zone = " UTC" if started.endswith(("+0000", "+00:00", "Z")) else ""
    return started.replace("T", " ")[:16] + zone
