"""Where to train many models or process many images: the engine options of `features`, and all of `glassnet tune`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, get_args

from tyro.conf import Fixed, Suppress, UseAppendAction

from glassnet.errors import InputError, unknown_name
from glassnet.settings.convert import positive
from glassnet.settings.train import TrainSettings

_ADDRESS = re.compile(r"\S+:\d+")
EngineName = Literal["local", "processes", "ray"]


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What computes: this process, several processes on this machine, or a Ray cluster."""

    engine: EngineName = "local"
    """What computes: this process, several processes on this machine, or a Ray cluster (`pip install
    'glassnet[ray]'`)."""
    workers: int | None = None
    """With --engine processes or ray: number of parallel workers. Default: as many as the CPUs allow."""
    address: str | None = None
    """With --engine ray: address of the cluster as HOST:PORT, or auto for the cluster this machine belongs to. Default:
    start a cluster on this machine and stop it at the end."""

    def __post_init__(self) -> None:
        """Refuse options that the engine has no use for."""
        check_engine(self.engine, self.workers, self.address)
        positive(self, "workers")


def check_engine(engine: str, workers: int | None, address: str | None) -> None:
    """Refuse an engine that does not exist, and options that it has no use for.

    Raises:
        InputError: There is no such engine, or it has no use for an option.
    """
    if engine not in get_args(EngineName):
        raise unknown_name("engine", engine, get_args(EngineName), noun="engines")
    if workers is not None and engine == "local":
        raise InputError(f"--workers is {workers}, but the engine is local; add --engine processes or ray.")
    if address is not None and engine != "ray":
        raise InputError(f"--address is {address}, but the engine is {engine}; add --engine ray.")
    if address not in (None, "auto") and not _ADDRESS.fullmatch(str(address)):
        raise InputError(f"--address is {address}, expected auto or HOST:PORT, as in 10.0.0.5:6379.")


@dataclass(frozen=True, kw_only=True)
class TuneSettings(TrainSettings, EngineSettings):
    """Train every combination of some settings with several seeds, and test which differences are real."""

    RARE: ClassVar[tuple[str, ...]] = (*TrainSettings.RARE, "freeze", "log", "precision", "address", "trial_cpus")
    grid: UseAppendAction[tuple[tuple[str, ...], ...]] = ()
    """A setting or model option as NAME=VALUE, followed by more values: filters=8,8,8,8 16,16,16,16. (required)"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds to train each combination with."""
    trial_cpus: int | None = None
    """Threads per training, and CPUs that Ray reserves for it. Default: 1, or all CPUs with --engine local."""
    out: Path | None = None
    """Folder for the runs; runs already in it are continued or reused. Default: runs/tune-DATA-MODEL."""
    seed: Suppress[Fixed[int]] = 0
    """Not used: --seeds gives the seeds."""
    resume: Suppress[Fixed[Path | None]] = None
    """Not used: a grid continues by itself."""

    def __post_init__(self) -> None:
        """Refuse what no grid could use."""
        super().__post_init__()
        EngineSettings.__post_init__(self)
        positive(self, "trial_cpus")
        if not self.grid:
            raise InputError(
                "--grid is missing, expected at least one axis, as in --grid filters=16,16,16,16 32,32,64,64."
            )
