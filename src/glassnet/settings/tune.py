"""What `glassnet tune` is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Fixed, Suppress, UseAppendAction

from glassnet.errors import InputError
from glassnet.settings.train import TrainSettings


@dataclass(frozen=True, kw_only=True)
class TuneSettings(TrainSettings):
    """Train every combination of some settings with several seeds, and test which differences are real."""

    grid: UseAppendAction[tuple[tuple[str, ...], ...]] = ()
    """A setting or model option as NAME=VALUE, followed by its other values: filters=8,8,8,8 16,16,16,16. (required)"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds that each combination is trained with."""
    out: Path | None = None
    """Folder for the runs; runs in it are continued or reused; default runs/tune-DATA-MODEL."""
    seed: Suppress[Fixed[int]] = 0
    """Not used: --seeds gives the seeds."""
    resume: Suppress[Fixed[Path | None]] = None
    """Not used: a grid continues by itself."""

    def __post_init__(self) -> None:
        """Refuse what no grid could use."""
        super().__post_init__()
        if not self.grid:
            raise InputError(
                "--grid is missing, expected at least one axis, as in --grid filters=16,16,16,16 32,32,64,64."
            )
