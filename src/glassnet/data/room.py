"""The memory that images take while they are decoded: so few large ones at once that there is enough."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

DECODED_BYTES = 512 << 20
"""What images that are decoded at the same time may take together; one that takes more is decoded alone."""


def taken(size: int) -> AbstractContextManager[None]:
    """Take so many bytes while a block runs; what asks for more than is left waits until others are done."""
    return _room.taken(size)


class _Room:
    """The memory that is left for decoding; what asks for more waits until others are done."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._taken = 0

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Take so many bytes while the block runs; alone, more than there are."""
        with self._free:
            self._free.wait_for(lambda: not self._taken or self._taken + size <= DECODED_BYTES)
            self._taken += size
        try:
            yield
        finally:
            with self._free:
                self._taken -= size
                self._free.notify_all()


class _Turns:
    """The memory that a process among several may take by itself; for more it waits for its turn."""

    def __init__(self, turn: AbstractContextManager[Any], share: int) -> None:
        self._turn, self._share = turn, share

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Take so many bytes while the block runs: its share, or all that it needs while no other process does so."""
        with self._turn if size > self._share else nullcontext():
            yield


_room: _Room | _Turns = _Room()


def share(context: Any, processes: int) -> Callable[[], None]:
    """Divide the memory for decoding among processes; return what each of them calls first.

    Args:
        context: Of `multiprocessing`.
        processes: How many there will be.
    """
    turn = context.Lock()

    def first() -> None:
        global _room
        _room = _Turns(turn, DECODED_BYTES // processes)

    return first
