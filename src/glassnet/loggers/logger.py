"""What every logger logs of a training, and the pictures of an epoch: maps of fixed images, the confusion matrix."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, nn

from glassnet import figures
from glassnet.attribution.engine.targets import Target
from glassnet.attribution.explain import explain
from glassnet.console import say, say_once
from glassnet.display import drawable
from glassnet.errors import GlassnetError, InputError
from glassnet.figures.overlay import overlay
from glassnet.formats import is_number
from glassnet.images import Images
from glassnet.models.layers import LayerChoice
from glassnet.training.callbacks import EpochRecord, TrainingInfo

Picture = UInt8[np.ndarray, "height width 3"]
SIDE_PIXELS = 224
"""Longer side of a logged map."""
MOST_CLASSES = 40
"""Classes up to which a confusion matrix is drawn at each epoch."""
SCORED = ("classification", "multilabel")
"""Tasks whose models give a score a class, so that Grad-CAM of a class has a meaning without more."""


def needed(package: str, logger: str, install: str = "glassnet[loggers]") -> ModuleType:
    """Import a logger's library.

    Raises:
        InputError: It is not installed.
    """
    try:
        return import_module(package)
    except ImportError:
        library = package.partition(".")[0] if package != "torch.utils.tensorboard" else "tensorboard"
        raise InputError(f"{logger} needs {library}; install it with `pip install '{install}'`.") from None


class Logger:
    """A callback that logs a training: each service says how it takes numbers and pictures.

    Logged are the row of metrics.jsonl at each epoch, for few classes the confusion matrix of the held-out images, and
    Grad-CAM at the last convolution for a few of these, always the same, each for its own class.
    """

    def __init__(self, *, maps: int = 4) -> None:
        """Take how many held-out images have their maps logged; 0 for none."""
        self.maps = maps
        self._images: Tensor | None = None
        self._targets: Target = "predicted"
        self._classes: tuple[str, ...] = ()

    def on_start(self, info: TrainingInfo) -> None:
        """Begin, or go on; epochs that were trained but not logged any more, as the process ended, are added."""
        self._classes = info.classes
        if self.maps > 0 and info.task in SCORED and len(info.validation):
            rows = torch.linspace(0, len(info.validation) - 1, self.maps).long().unique()
            self._images, targets = info.validation.take(rows)
            self._targets = targets if targets.ndim == 1 else "predicted"
        logged = self.open(info)
        for row in info.history:
            if row["epoch"] > logged:
                self.numbers(_numbers(row), int(row["epoch"]))

    def on_epoch(self, record: EpochRecord) -> None:
        """Log an epoch's numbers and pictures."""
        self.numbers(_numbers(record.figures), record.epoch)
        for name, picture in self._pictures(record):
            self.picture(name, picture, record.epoch)
        self.flush()

    def on_end(self, metrics: Mapping[str, Any]) -> None:
        """Log the final metrics, and close."""
        self.close({name: float(value) for name, value in metrics.items() if is_number(value)})

    def open(self, info: TrainingInfo) -> int:
        """Open the log; return the last epoch that it holds of this training, 0 for none."""
        raise NotImplementedError

    def numbers(self, values: Mapping[str, float], epoch: int) -> None:
        """Log numbers by name."""
        raise NotImplementedError

    def picture(self, name: str, picture: Picture, epoch: int) -> None:
        """Log a picture."""
        raise NotImplementedError

    def flush(self) -> None:
        """Make sure that what was logged is not lost with the process."""

    def close(self, metrics: Mapping[str, float]) -> None:
        """Log the final metrics and close the log."""
        raise NotImplementedError

    def _pictures(self, record: EpochRecord) -> Iterator[tuple[str, Picture]]:
        if record.evaluate is not None and 1 < len(self._classes) <= MOST_CLASSES:
            counts = getattr(record.evaluate(), "confusion", None)
            if counts is not None:
                yield "confusion", confusion_picture(np.asarray(counts), self._classes, epoch=record.epoch)
        if self._images is not None:
            try:
                yield "maps", map_strip(record.model, self._images, target=self._targets)
            except GlassnetError as error:
                self._images = None
                say(f"no maps are logged of this training: {error}")


def map_strip(
    model: nn.Module,
    images: Images,
    *,
    target: Target = "predicted",
    layers: LayerChoice = "last-conv",
    method: str = "gradcam",
) -> Picture:
    """Draw images side by side, above, and below each its map at the last of the layers; the model stays as it is.

    Raises:
        InputError: As `glassnet.explain` says.
    """
    explanation = explain(model, images, target=target, layers=layers, methods=method)
    pictures = drawable(images)
    maps = [maps for (known, _), maps in explanation.maps.items() if known == method][-1]
    above = [figures.thumbnail(one, SIDE_PIXELS) for one in pictures]
    below = [overlay(one, values, size_pixels=SIDE_PIXELS) for one, values in zip(pictures, maps, strict=True)]
    return np.concatenate([np.concatenate(above, axis=1), np.concatenate(below, axis=1)])


def confusion_picture(counts: np.ndarray, classes: tuple[str, ...], *, epoch: int) -> Picture:
    """Draw a confusion matrix of the held-out images as an array."""
    figure = figures.confusion_matrix(counts, classes, title=f"Held-out images, epoch {epoch}")
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=100)
    return np.asarray(Image.open(written).convert("RGB"))


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """Name an epoch's figures as loggers group them: train/loss and validation/loss."""
    left_out = [name for name, value in row.items() if not is_number(value)]
    if left_out:
        say_once(f"not logged, since they are no finite numbers: {', '.join(left_out)}.")
    return {_grouped(name): float(value) for name, value in row.items() if is_number(value) and name != "epoch"}


def _grouped(name: str) -> str:
    part, _, rest = name.partition("_")
    return f"{part}/{rest}" if part in ("train", "validation") and rest else name
