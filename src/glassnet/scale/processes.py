"""Workers that are processes of this machine, each with threads of its own, which end with the one that began them.

loky starts them: a clean interpreter each, which does not run the caller's script again as multiprocessing's spawn
does, and takes networks whose classes stand in a notebook. Each has an executor to itself, so that the death of one is
nothing to the others.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import Any

from glassnet.scale.workers import Workers

LOOK_SECONDS = 0.2
"""How often a worker looks whether its parent lives."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def open_workers(count: int, *, cpus: int, ahead: int = 0) -> Workers:
    """Return workers that are processes of this machine.

    Args:
        count: How many.
        cpus: Threads that each computes with.
        ahead: Tasks that lie ready for each.
    """
    return Workers(lambda: ProcessWorker(cpus), count, lost=(BrokenExecutor,), ahead=ahead)


def cpus_here() -> int:
    """Count the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ProcessWorker:
    """One process."""

    def __init__(self, cpus: int) -> None:
        """Prepare it; it starts with its first task."""
        from loky import ProcessPoolExecutor

        # The variables are set before the process loads torch, which else would start a thread a core.
        threads = dict.fromkeys(_THREADS, str(cpus))
        self._executor = ProcessPoolExecutor(
            max_workers=1, initializer=begin_worker, initargs=(os.getpid(), cpus), env=threads
        )

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Compute a task when those before it are done.

        Raises:
            BrokenExecutor: The process has died.
        """
        future: Future[Any] = self._executor.submit(function, *arguments)
        return future

    def close(self, *, kill: bool) -> None:
        """End the process; it is gone when this returns."""
        self._executor.shutdown(wait=True, kill_workers=kill)


def begin_worker(parent: int, cpus: int) -> None:
    """Make a new process a worker: it leaves Ctrl-C to its parent, and ends when that has ended in whatever way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    pin(cpus)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)  # whatever it is in the middle of: what it writes, it writes whole or not at all


def pin(cpus: int) -> None:
    """Let torch compute with so many threads, and keep what it frees, as the command line's own process does."""
    import torch

    from glassnet.devices import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(cpus)
