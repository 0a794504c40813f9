"""Workers that take tasks one after another; a task whose worker dies is given to another one, a few times."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from glassnet.console import say
from glassnet.errors import GlassnetError, InputError, WorkError

ATTEMPTS = 3
"""How often a task is begun, at most: one that kills every worker must not do so for ever."""

Item = TypeVar("Item")
Task = tuple[Any, ...]
"""A function that other processes can import, and its arguments."""


class Worker(Protocol):
    """A process, of this machine or of another one, that computes one task after the other."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Compute a task when those before it are done."""

    def close(self, *, kill: bool) -> None:
        """End the process, also in the middle of a task if `kill`; it is gone when this returns."""


@dataclass(frozen=True)
class Failure:
    """Why a task has no result; as plain words, since not every error can be sent between processes.

    Attributes:
        kind: "input", "work", or "lost" where its worker died each time.
        message: One sentence.
    """

    kind: str
    message: str

    def raised(self) -> GlassnetError:
        """Return the error that it stands for."""
        return InputError(self.message) if self.kind == "input" else WorkError(self.message)


def guarded(function: Callable[..., Any], *arguments: Any) -> Any:
    """Compute a task in a worker; an error that glassnet foresaw becomes a `Failure`."""
    try:
        return function(*arguments)
    except InputError as error:
        return Failure("input", str(error))
    except GlassnetError as error:
        return Failure("work", str(error))


@dataclass
class _Slot:
    """A place for a worker, which is made when it is first needed, and anew when it has died."""

    worker: Worker | None = None
    load: int = 0


class Workers:
    """A number of workers, to be closed by leaving the block: gently, or at once where an error leaves it.

    Args:
        make: Starts a worker.
        count: How many work at once.
        lost: Errors that mean that a worker has died.
        ahead: Tasks that lie ready for each worker besides the one it computes.
    """

    def __init__(
        self, make: Callable[[], Worker], count: int, *, lost: tuple[type[BaseException], ...], ahead: int = 0
    ) -> None:
        self._make, self._lost, self._most = make, lost, 1 + ahead
        self._slots = [_Slot() for _ in range(count)]

    def __enter__(self) -> Self:
        """Begin; no worker is started yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End all workers."""
        for slot in self._slots:
            if slot.worker is not None:
                slot.worker.close(kill=kind is not None)

    def complete(
        self, items: Iterable[Item], task: Callable[[Item], Task], *, name: Callable[[Item], str]
    ) -> Iterator[tuple[Item, Any]]:
        """Compute a task for each item, and yield each with its result as soon as that is there.

        Args:
            items: Taken one by one when a worker is free, so that there may be any number.
            task: Makes an item's task, anew for every attempt.
            name: What an item is called in a message.

        Yields:
            The item, and what its function returned, or a `Failure`.
        """
        waiting, again = iter(items), deque[tuple[Item, int]]()
        running: dict[Future[Any], tuple[Item, int, _Slot, Worker]] = {}
        while True:
            while (slot := min(self._slots, key=lambda one: one.load)).load < self._most:
                following = again.popleft() if again else next(((item, 1) for item in waiting), None)
                if following is None:
                    break
                future, worker = self._submit(slot, task(following[0]))
                running[future] = (*following, slot, worker)
            if not running:
                return
            done = wait(running, return_when=FIRST_COMPLETED).done
            for future in [one for one in running if one in done]:  # in the order in which they were begun
                item, attempt, slot, worker = running.pop(future)
                slot.load -= 1
                if not isinstance(error := future.exception(), self._lost):
                    yield item, future.result()
                    continue
                self._discard(slot, worker)
                if attempt < ATTEMPTS:
                    say(f"the worker of {name(item)} died ({_first_line(error)}); another one continues it.")
                    again.append((item, attempt + 1))
                else:
                    yield item, Failure("lost", f"its worker died {ATTEMPTS} times, last with: {_first_line(error)}")

    def _submit(self, slot: _Slot, task: Task) -> tuple[Future[Any], Worker]:
        """Give a task to a slot's worker, and to a new one where that has died while it had nothing to do."""
        function, *arguments = task
        for _ in range(ATTEMPTS):
            if slot.worker is None:
                slot.worker = self._make()
            try:
                future = slot.worker.submit(guarded, function, *arguments)
            except self._lost:
                self._discard(slot, slot.worker)
                continue
            slot.load += 1
            return future, slot.worker
        raise WorkError(f"{ATTEMPTS} workers died before their first task; check the free memory of this machine.")

    def _discard(self, slot: _Slot, worker: Worker) -> None:
        """Let a dead worker's slot be empty, unless a new one has it already."""
        if slot.worker is worker:
            slot.worker = None
            worker.close(kill=True)


def _first_line(error: BaseException | None) -> str:
    """Return what an error says first, without its last full stop."""
    words = (str(error).strip() or type(error).__name__).splitlines()[0]
    return words.partition(". ")[0].rstrip(".")[:200]
