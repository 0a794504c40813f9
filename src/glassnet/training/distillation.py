"""Knowledge distillation: a network learns from the probabilities of trained ones as well as from the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from glassnet.building import memory_format
from glassnet.console import say_once
from glassnet.data import Dataset
from glassnet.data.fingerprint import check_fits
from glassnet.devices import autocast
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.run.training_files import tensors_digest
from glassnet.settings import ResolvedSettings

Logits = Float[Tensor, "n classes"]


def distillation_loss(
    logits: Logits, probabilities: Float[Tensor, "n classes"], temperature: float
) -> Float[Tensor, ""]:
    """T² KL(p || softmax(z / T)) in nats, averaged over the images.

    T² keeps the gradient's size, which falls with 1 / T² in the softmax.

    Hinton, Vinyals and Dean 2015, https://arxiv.org/abs/1503.02531, section 2.

    Args:
        logits: z, of the network that learns.
        probabilities: p, of the teachers at the same temperature.
        temperature: T; above 1 it brings out the classes that the teachers think less likely.
    """
    return F.kl_div((logits / temperature).log_softmax(dim=1), probabilities, reduction="batchmean") * temperature**2


@dataclass(frozen=True)
class Teachers:
    """Trained networks to learn from, in evaluation mode.

    Attributes:
        models: The networks, each with the memory format that its images take.
        weight: Share of the distillation loss in the whole loss; the labels' loss has the rest.
        temperature: By which the logits are divided before the softmax.
        precision: Of the networks' forward pass.
        digests: Of the runs' weights, in the order of the settings.
    """

    models: tuple[tuple[nn.Module, torch.memory_format], ...]
    weight: float
    temperature: float
    precision: str
    digests: tuple[str, ...]

    def probabilities(self, images: Tensor) -> Float[Tensor, "n classes"]:
        """Return the mean over the networks of softmax(logits / T); each gets a copy, which it may write into."""
        with torch.no_grad(), autocast(images.device, self.precision):
            outputs = [model(images.clone(memory_format=order)) for model, order in self.models]
        return torch.stack([(one.float() / self.temperature).softmax(dim=1) for one in outputs]).mean(dim=0)

    def mix(self, loss: Tensor, logits: Logits, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return (1 - weight) loss + weight `distillation_loss` for a batch, and the latter by itself."""
        taught = distillation_loss(logits, self.probabilities(images), self.temperature)
        return (1 - self.weight) * loss + self.weight * taught, taught.detach()


def find_teachers(settings: ResolvedSettings) -> list[Run]:
    """Open the runs that the settings name as teachers, before any data are loaded.

    Raises:
        InputError: One is no finished run, or one of another task.
    """
    runs = [Run.open(path) for path in settings.teachers]
    for run in runs:
        if "teachers" not in run.task.options:
            raise InputError(f"--teachers names {run.path}, a run for {run.task.name}, expected {settings.task}.")
    return runs


def load_teachers(
    runs: Sequence[Run],
    settings: ResolvedSettings,
    dataset: Dataset,
    now: Mapping[str, Any],
    *,
    device: torch.device,
    precision: str,
) -> Teachers | None:
    """Load the networks of runs to learn from; None where there are none.

    Args:
        runs: From `find_teachers`.
        settings: Of the training.
        dataset: What is trained on.
        now: Its fingerprint.
        device: Where to compute.
        precision: Of the networks' forward pass.

    Raises:
        InputError: One takes other images or classes than the data set has.
    """
    if not runs:
        return None
    for run in runs:
        check_fits(
            dataset,
            data=settings.data,
            of=f"the teacher {run.path}",
            channels=run.manifest["model"]["in_channels"],
            image_size=run.manifest["model"]["image_size"],
            classes=run.classes,
        )
        _say_what_it_saw(run, settings, now, apart=dataset.validation is not None)
    models = tuple((run.model(device), memory_format(run.manifest["model"])) for run in runs)
    digests = tuple(tensors_digest(run.weights()) for run in runs)
    return Teachers(models, settings.teacher_weight, settings.temperature, precision, digests)


def require_same_teachers(teachers: Teachers | None, before: Sequence[str], resumed: ResolvedSettings) -> None:
    """Refuse to continue a run with teachers whose weights have changed.

    Raises:
        InputError: They have.
    """
    now = teachers.digests if teachers else ()
    if len(before) != len(now):
        raise InputError(f"got {len(now)} teachers, but the training of {resumed.out} began with {len(before)}.")
    for path, old, new in zip(resumed.teachers, before, now, strict=True):
        if old != new:
            raise InputError(
                f"the teacher {path} has other weights than when the training of {resumed.out} began; restore it, or "
                "train a new run."
            )


def _say_what_it_saw(run: Run, settings: ResolvedSettings, now: Mapping[str, Any], *, apart: bool) -> None:
    """Say so where a teacher may have been trained on images that are held out or tested here.

    Args:
        run: The teacher.
        settings: Of the training.
        now: Fingerprint of what is trained on.
        apart: Whether the data set has validation images of its own, for every seed the same.
    """
    theirs = run.settings
    if run.manifest["data"].get("fingerprint", {}).get("train") != now.get("train"):
        say_once(
            f"the teacher {run.path} was trained on other images than those of this training, and may have seen some "
            "that are held out or tested here."
        )
    elif not apart and (theirs.seed, theirs.validation) != (settings.seed, settings.validation):
        say_once(
            f"the teacher {run.path} held out other images (seed {theirs.seed}, validation {theirs.validation:g}) than "
            f"this training (seed {settings.seed}, validation {settings.validation:g}), so it has seen some of the "
            "images that choose the epoch here; the test images are not affected."
        )
