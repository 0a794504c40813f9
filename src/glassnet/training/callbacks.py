"""What looks on while a model trains: three methods, called at the start, after each epoch, and at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from glassnet.console import say
from glassnet.data import Split
from glassnet.display import Shown
from glassnet.errors import GlassnetError, InputError, WorkError
from glassnet.settings import ResolvedSettings

METHODS = ("on_start", "on_epoch", "on_end")
"""What a callback must have."""


@dataclass(frozen=True, eq=False, repr=False)
class TrainingInfo(Shown):
    """What a callback receives before the first epoch, or before the next epoch of a resumed training.

    Attributes:
        path: The run directory.
        settings: The resolved settings.
        task: Name of the task.
        classes: Names of the classes.
        began: When the training first began, local time in ISO 8601; unchanged by --resume.
        history: The finished epochs, one row of metrics.jsonl each; empty for a new training.
        validation: The held-out images with their targets.
    """

    path: Path
    settings: ResolvedSettings
    task: str
    classes: tuple[str, ...]
    began: str
    history: tuple[Mapping[str, Any], ...]
    validation: Split


@dataclass(frozen=True, eq=False, repr=False)
class EpochRecord(Shown):
    """What a callback receives after an epoch, once the epoch is on disk.

    Attributes:
        epoch: Number of the epoch, from 1.
        figures: The epoch's row of metrics.jsonl, without the number.
        model: The model as it was validated, in evaluation mode; callbacks must not change it.
        evaluate: Returns what the task measures on the held-out images, such as a `Classification` with .confusion;
            None if the task does not keep enough of them after an epoch.
    """

    epoch: int
    figures: Mapping[str, float]
    model: nn.Module
    evaluate: Callable[[], Any] | None


class Callback(Protocol):
    """Observes a training; with several processes, only in the first one.

    A callback must not change the model's weights. It may draw random numbers and change the model's mode. If
    `on_start` raises, the training does not begin. If another method raises, a warning is printed, the callback is not
    called again, and the training continues. `on_end` is not called if the training is interrupted.
    """

    def on_start(self, info: TrainingInfo) -> None:
        """Called once, before the first epoch or after `len(info.history)` epochs of a resumed training."""

    def on_epoch(self, record: EpochRecord) -> None:
        """Called after each epoch."""

    def on_end(self, metrics: Mapping[str, Any]) -> None:
        """Called with the run's final metrics: those of the saved epoch on the held-out images and the test images."""


class Watchers:
    """The callbacks of one training, none of which can end it once it runs."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        """Take callbacks.

        Raises:
            InputError: One lacks a method.
        """
        for one in callbacks:
            missing = [name for name in METHODS if not callable(getattr(one, name, None))]
            if missing:
                raise InputError(
                    f"the callback {_name(one)} has no {' and no '.join(missing)}, expected the methods on_start, "
                    "on_epoch and on_end."
                )
        self._callbacks = list(callbacks)

    def __len__(self) -> int:
        """Count those that still look on."""
        return len(self._callbacks)

    def start(self, info: TrainingInfo) -> None:
        """Tell all that the training begins.

        Raises:
            WorkError: One cannot.
        """
        for one in self._callbacks:
            try:
                one.on_start(info)
            except GlassnetError:
                raise
            except Exception as error:
                raise WorkError(
                    f"the callback {_name(one)} cannot start ({_words(error)}), so nothing was trained; fix it, or "
                    "leave it out."
                ) from error

    def epoch(self, record: EpochRecord) -> None:
        """Tell all of an epoch."""
        self._tell("on_epoch", record)

    def end(self, metrics: Mapping[str, Any]) -> None:
        """Tell all of the final metrics."""
        self._tell("on_end", metrics)

    def _tell(self, method: str, what: Any) -> None:
        for one in list(self._callbacks):
            try:
                getattr(one, method)(what)
            except Exception as error:  # whatever anybody's code raises: hours of training are worth more
                self._callbacks.remove(one)
                what_failed = f"the callback {_name(one)} failed in {method} ({_words(error)})"
                say(f"warning: {what_failed}; it will not be called again, and the training continues.")


def _name(callback: object) -> str:
    return type(callback).__name__


def _words(error: Exception) -> str:
    """Return an error's first line."""
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0][:200]}"
