"""A Ray cluster, of other machines or started on this one, as workers that take tasks."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from glassnet.console import say
from glassnet.errors import InputError
from glassnet.scale.processes import cpus_here, pin
from glassnet.scale.workers import Workers

LOCALHOST = "127.0.0.1"
"""Where a cluster of this machine listens: else Ray takes an address that others can reach."""


def require_ray() -> None:
    """Refuse to go on where Ray is not installed.

    Raises:
        InputError: It is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise InputError("--engine ray needs Ray; install it with `pip install 'glassnet[ray]'`.")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # read on import: else lines of other trainings count as repeated


@contextlib.contextmanager
def open_workers(address: str | None, count: int | None, *, cpus: int, most: int, ahead: int = 0) -> Iterator[Workers]:
    """Join a cluster, or start one on this machine, and let its CPUs be workers; leave or stop it at the end.

    Args:
        address: "auto" or HOST:PORT; None to start one.
        count: How many work at once; None for as many as there are CPUs for.
        cpus: CPUs that each gets.
        most: Tasks that there are.
        ahead: Tasks that lie ready for each worker.

    Raises:
        InputError: The cluster cannot be reached, or has too few CPUs for one worker.
    """
    import ray
    from ray import exceptions

    wanted = min(count or max(1, cpus_here() // cpus), most)
    own = _join(address, cpus=wanted * cpus)
    before = _unwind_on_sigterm()
    # What is raised where a process, or the node that it is on, has died; never what a task raises.
    lost = (
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.LocalRayletDiedError,
        exceptions.OutOfMemoryError,
        exceptions.ObjectLostError,
    )
    try:
        room = int(ray.cluster_resources().get("CPU", 0) // cpus)
        if room < 1:
            raise InputError(
                f"the cluster has {ray.cluster_resources().get('CPU', 0):g} CPUs, but one worker needs {cpus}; give "
                "each worker fewer CPUs, or add nodes."
            )
        remote = ray.remote(num_cpus=cpus, max_retries=0)(compute)
        with Workers(lambda: RayWorker(remote, cpus), min(count or room, most), lost=lost, ahead=ahead) as workers:
            yield workers
    finally:
        if own:
            ray.shutdown()
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _unwind_on_sigterm() -> Any:
    """Let SIGTERM leave the blocks that stop what was started; return what it did before, None where it is as it was.

    Ray's own handler leaves the process in the middle of what it does, which then aborts.
    """
    if threading.current_thread() is not threading.main_thread():
        return None

    def leave(number: int, _frame: Any) -> None:
        raise SystemExit(128 + number)

    return signal.signal(signal.SIGTERM, leave)


def _join(address: str | None, *, cpus: int) -> bool:
    """Connect this process to a cluster; return whether it has to be left at the end."""
    import ray
    from ray.exceptions import RaySystemError, RpcError

    if ray.is_initialized():
        return False
    try:
        if address is None:
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                logging_level="ERROR",
                _node_ip_address=LOCALHOST,
            )
        else:
            if address != "auto":  # Ray itself would try for minutes
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), timeout=5).close()
            ray.init(address=address, logging_level="ERROR")
    except (OSError, OverflowError, RuntimeError, ValueError, RaySystemError, RpcError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).strip().splitlines()[0][:200].rstrip(".")
        raise InputError(
            f"no Ray cluster can be reached at --address {address or 'local'} ({reason}); start one with "
            "`ray start --head`, or leave --address out."
        ) from None
    cluster = "on this machine" if address is None else f"at {address}"
    say(f"Ray {ray.__version__} {cluster}: {ray.cluster_resources().get('CPU', 0):g} CPUs on {len(ray.nodes())} nodes")
    return True


def compute(cpus: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Compute a task in a process of Ray's, with as many threads as it has CPUs."""
    pin(cpus)
    return function(*arguments)


class RayWorker:
    """A place in the cluster: each of its tasks goes to whichever node has room."""

    def __init__(self, remote: Any, cpus: int) -> None:
        """Take the function `compute` as Ray's."""
        self._remote, self._cpus = remote, cpus
        self._open: dict[Future[Any], Any] = {}

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Compute a task as soon as a node has room for it."""
        reference = self._remote.remote(self._cpus, function, *arguments)
        future: Future[Any] = reference.future()
        self._open = {one: ref for one, ref in self._open.items() if not one.done()} | {future: reference}
        return future

    def close(self, *, kill: bool) -> None:
        """Let go of what is not done; `kill` also ends it."""
        import ray

        for future, reference in self._open.items():
            if kill and not future.done():
                ray.cancel(reference, force=True)
        self._open = {}


@dataclass(frozen=True)
class Shared:
    """Bytes that lie once in the cluster's store, and are fetched by whichever process needs them."""

    references: tuple[Any, ...]

    @classmethod
    def put(cls, content: bytes) -> Shared:
        """Store bytes; a reference inside a tuple is handed on as it is."""
        import ray

        return cls((ray.put(content),))

    def __call__(self) -> bytes:
        """Fetch them."""
        import ray

        content: bytes = ray.get(self.references[0])
        return content
