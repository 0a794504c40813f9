"""Train a run, go on with it, or open it: the same call gives the same run, however often it was stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from glassnet.errors import InputError
from glassnet.experiment import Run, read_settings, resolve
from glassnet.models import model_options, parse_options
from glassnet.run import read_checkpoint
from glassnet.settings import ResolvedSettings, TrainSettings
from glassnet.settings.convert import to_text
from glassnet.training.callbacks import Callback
from glassnet.training.train import train

# What does not change what is learned, but the seed, which is compared apart; options are compared one by one.
_IGNORED = ("seed", "out", "resume", "model_options", "data_root", "device", "log")


def train_or_resume(settings: TrainSettings, out: Path, *, callbacks: Sequence[Callback] = ()) -> Run:
    """Train a run in `out`, resume an unfinished run there, or open a finished one.

    Args:
        settings: What to train; `out` and `resume` are not used.
        out: The run directory.
        callbacks: Callbacks besides the loggers that the settings name.

    Raises:
        InputError: The run that is there, finished or not, was trained with other settings.
        WorkError: The loss became NaN or infinite.
    """
    finished, began = _there(settings, out)
    if finished is not None:
        return finished
    if began is not None:
        root = (
            None if ":" in began.data else settings.data_root
        )  # a path leads to the same folder, wherever the others are
        return train(TrainSettings(resume=out, device=settings.device, data_root=root), callbacks=callbacks)
    return train(dataclasses.replace(settings, out=out, resume=None), callbacks=callbacks)


def epochs_done(settings: TrainSettings, out: Path) -> int | None:
    """Return how many epochs of a training `out` holds: None where it is finished, 0 where it has not begun.

    Raises:
        InputError: The run that is there, finished or not, was trained with other settings.
    """
    finished, began = _there(settings, out)
    if finished is not None:
        return None
    return 0 if began is None else int(read_checkpoint(out)["state"]["epoch"])


def _there(settings: TrainSettings, out: Path) -> tuple[Run | None, ResolvedSettings | None]:
    """Return the finished run in `out`, and the settings of the run there, finished or not; None where there is none.

    Raises:
        InputError: It was trained with other settings.
    """
    finished = Run.open(out) if (out / "run.json").exists() else None
    began = finished.settings if finished else _settings_of_checkpoint(out)
    if began is not None and (differences := _differences(began, resolve(settings))):
        raise InputError(
            f"{out} was trained with other settings ({', '.join(differences)}); move it away, or give another --out."
        )
    return finished, began


def _settings_of_checkpoint(path: Path) -> ResolvedSettings | None:
    """Return the settings of an unfinished run; None where there is none."""
    if not (path / "checkpoint" / "state.pt").exists():
        return None
    return read_settings(read_checkpoint(path)["settings"], source=path)


def _differences(began: ResolvedSettings, wanted: ResolvedSettings) -> list[str]:
    """Say in which settings a run that is there is not the one that is wanted."""
    old, new = (identity(one) | {"seed": str(one.seed)} for one in (began, wanted))
    return [
        f"{name.replace('_', ' ')} {old.get(name, 'none')}, expected {new.get(name, 'none')}"
        for name in new | old
        if old.get(name) != new.get(name)
    ]


def identity(settings: ResolvedSettings) -> dict[str, str]:
    """Return all that decides what a training gives but its seed; options as spelled in full, defaults included.

    Two resolved settings with the same identity are one, however they were put.
    """
    fields = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    model = settings.model
    options = model_options(model) | parse_options(model, settings.model_options)
    decisive = {name: value for name, value in fields.items() if name not in _IGNORED}
    return {name: to_text(value) for name, value in (decisive | options).items()}
