"""The engines: what each of them is called, and how its workers are opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from glassnet.errors import InputError
from glassnet.scale import processes
from glassnet.scale.workers import Workers
from glassnet.settings.engine import check_engine


@dataclass(frozen=True)
class Engine:
    """Where to compute.

    Attributes:
        name: "local" for this process, "processes" for others of this machine, "ray" for a Ray cluster.
        workers: How many work at once; None for as many as the CPUs allow.
        address: A Ray cluster: "auto", or HOST:PORT; None for one that is started on this machine.
        cpus: Threads of each worker, and CPUs that Ray keeps for it.
    """

    name: str = "local"
    workers: int | None = None
    address: str | None = None
    cpus: int = 1

    def __post_init__(self) -> None:
        """Refuse what there is not, before anything is computed.

        Raises:
            InputError: The engine does not exist or is not installed, an option is not one of its own, or a number is
                below 1.
        """
        check_engine(self.name, self.workers, self.address)
        for name, value in (("workers", self.workers), ("CPUs of a worker", self.cpus)):
            if value is not None and value < 1:
                raise InputError(f"the number of {name} is {value}, expected at least 1.")
        if self.name == "ray":
            from glassnet.scale.ray import require_ray

            require_ray()


def _of_processes(engine: Engine, most: int, ahead: int) -> Iterator[Workers]:
    count = engine.workers or max(1, processes.cpus_here() // engine.cpus)
    with processes.open_workers(min(count, most), cpus=engine.cpus, ahead=ahead) as workers:
        yield workers


def _of_ray(engine: Engine, most: int, ahead: int) -> Iterator[Workers]:
    from glassnet.scale.ray import open_workers

    with open_workers(engine.address, engine.workers, cpus=engine.cpus, most=most, ahead=ahead) as workers:
        yield workers


OPENERS: dict[str, Callable[[Engine, int, int], Iterator[Workers]]] = {"processes": _of_processes, "ray": _of_ray}


@contextmanager
def open_workers(engine: Engine, *, most: int, ahead: int = 0) -> Iterator[Workers]:
    """Open an engine's workers, and close them after the block.

    Args:
        engine: Any but "local".
        most: Tasks that there are; no more workers are started.
        ahead: Tasks that lie ready for each worker besides the one it computes.

    Raises:
        InputError: The cluster cannot be reached, or has too few CPUs for one worker.
    """
    yield from OPENERS[engine.name](engine, most, ahead)
