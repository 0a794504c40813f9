"""What every logger logs of a training: an epoch's numbers, its confusion matrix, and pictures of fixed images."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from glassnet import figures
from glassnet.console import say, say_once
from glassnet.errors import GlassnetError, InputError
from glassnet.formats import is_number
from glassnet.loggers.pictures import Picture, fixed_pictures
from glassnet.training.callbacks import EpochRecord, TrainingInfo

MOST_CLASSES = 40
"""Classes up to which a confusion matrix is drawn at each epoch."""


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
    a picture of a few of these, always the same: Grad-CAM at the last convolution, each for its own class; of a
    segmentation image, truth and prediction; of a reconstruction what it is given, what it makes of it, the original.
    """

    def __init__(self, *, maps: int = 4) -> None:
        """Take how many held-out images are pictured; 0 for none."""
        self.maps = maps
        self._draw: Callable[[nn.Module], Picture] | None = None
        self._classes: tuple[str, ...] = ()

    def on_start(self, info: TrainingInfo) -> None:
        """Begin, or go on; epochs that were trained but not logged any more, as the process ended, are added."""
        self._classes = info.classes
        if self.maps > 0 and len(info.validation):
            self._draw = fixed_pictures(info, self.maps)
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
        if self._draw is not None:
            try:
                yield "maps", self._draw(record.model)
            except GlassnetError as error:
                self._draw = None
                say(f"no maps of this training are logged: {error}")


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
        say_once(f"not logged because they are not finite: {', '.join(left_out)}.")
    return {_grouped(name): float(value) for name, value in row.items() if is_number(value) and name != "epoch"}


def _grouped(name: str) -> str:
    part, _, rest = name.partition("_")
    return f"{part}/{rest}" if part in ("train", "validation") and rest else name
