"""Which images `glassnet explain` shows: by index, by rule, or from a file; never picked by eye."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor, nn

from glassnet.commands.subject import Subject
from glassnet.data import Split
from glassnet.data.pictures import SUFFIXES, read_pictures
from glassnet.errors import InputError
from glassnet.measuring import run_evaluation
from glassnet.models.inference import predict
from glassnet.rng import PerImageRNG
from glassnet.settings import ExplainSettings, TrainSettings
from glassnet.tasks import TASKS
from glassnet.tasks.segmentation.metrics import mean_iou_of

_RULES = ("first", "correct", "wrong", "mixed")


@dataclass(frozen=True)
class Selection:
    """Some images under one name, and by which rule they were taken."""

    name: str
    title: str
    rule: str
    images: UInt8[Tensor, "n channel height width"]
    labels: Int64[Tensor, " n"] | UInt8[Tensor, "n height width"] | None
    names: tuple[int | str, ...]


def select(subject: Subject, settings: ExplainSettings, precision: str) -> list[Selection]:
    """Return the images that --images asks for, as one or two groups.

    Raises:
        InputError: The words are no indices, no rule and no file, or an index is out of range; or they name test
            images of a model that has none.
    """
    words = "mixed:8" if settings.images is None else settings.images
    rule, _, count = words.partition(":")
    by_rule = rule in _RULES and count.isdecimal() and int(count) > 0
    if not by_rule and not all(word.strip().isdecimal() for word in words.split(",")):
        if words and Path(words).exists():
            return [_from_files(subject, Path(words))]
        raise InputError(
            f"--images is '{words}', expected indices as in 3,14,15, a rule as in correct:4, wrong:4, mixed:8 "
            "or first:8, or an image file or a folder of them."
        )
    if subject.test is None:
        raise InputError(
            f"--images is '{words}', which names test images, but {subject.name} is a model by name and has none; "
            "give an image file or a folder of them."
        )
    test = subject.test()
    if not by_rule:
        return [_by_index(test, [int(word) for word in words.split(",")])]
    if rule == "first":
        first = torch.arange(min(int(count), len(test)))
        return [_part(test, first, "first", "First images", "The first test images, not picked.")]
    if subject.task == "segmentation":
        return _by_overlap(test, subject, precision, rule, int(count))
    return _by_outcome(test, subject.model, precision, rule, int(count))


def _by_index(test: Split, indices: list[int]) -> Selection:
    if max(indices) >= len(test):
        raise InputError(f"--images names index {max(indices)}, expected 0 to {len(test) - 1}.")
    return _part(test, torch.tensor(indices), "selected", "Chosen images", "Test images chosen by index.")


def _by_outcome(test: Split, model: nn.Module, precision: str, rule: str, wanted: int) -> list[Selection]:
    """Take the first images that are classified correctly, or wrongly, or half of each."""
    hit = predict(model, test.take(slice(None))[0], precision=precision).argmax(dim=1) == test.targets
    groups = {"correct": hit, "wrong": ~hit} if rule == "mixed" else {rule: hit if rule == "correct" else ~hit}
    share = math.ceil(wanted / len(groups))
    return [
        _part(
            test,
            kept.nonzero().flatten()[:share],
            name,
            f"{name.capitalize()}ly classified images",
            f"The first {share} test images that are {name}ly classified, not picked.",
        )
        for name, kept in groups.items()
    ]


def _by_overlap(test: Split, subject: Subject, precision: str, rule: str, wanted: int) -> list[Selection]:
    """Take the images of highest mean IoU, or of lowest, or half of each."""
    watcher = TASKS[subject.task].val_stats(TrainSettings(), len(subject.classes))
    rng = PerImageRNG(0, "test")  # a segmentation draws none
    found = run_evaluation(subject.model, test, watcher, task=TASKS[subject.task], rng=rng, precision=precision)
    iou = mean_iou_of(found["counts"].numpy())
    order = torch.from_numpy(np.argsort(np.where(np.isnan(iou), np.inf, -iou), kind="stable"))
    order = order[: int((~np.isnan(iou)).sum())]
    groups = {"correct": ("Best", order), "wrong": ("Worst", order.flip(0))}
    chosen = groups if rule == "mixed" else {rule: groups[rule]}
    # Of few images fewer, or the worst would be among the best.
    share = min(math.ceil(wanted / len(chosen)), max(1, len(order) // len(chosen)))
    return [
        _part(
            test,
            kept[:share],
            name,
            f"{word} segmented images",
            f"The {share} test images of {'highest' if name == 'correct' else 'lowest'} mean IoU.",
        )
        for name, (word, kept) in chosen.items()
    ]


def _part(test: Split, indices: Tensor, name: str, title: str, rule: str) -> Selection:
    return Selection(name, title, rule, *test.take(indices), tuple(indices.tolist()))


def _from_files(subject: Subject, path: Path) -> Selection:
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path} holds no image files; expected some that end in {', '.join(sorted(SUFFIXES))}.")
    images = read_pictures(files, size=subject.image_size, channels=subject.in_channels, description="reading images")
    title = f"Images of {path.name}" if path.is_dir() else path.name
    return Selection("files", title, f"All images of {path.name}.", images, None, tuple(map(str, files)))
