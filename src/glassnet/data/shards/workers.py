"""Work in as many processes as there are cores, where forking is safe; its results as they come.

A worker is a copy of this process (`fork`), which has what is to be done in its memory: only numbers go to it, and only
what it answers comes back. It ends when this process does, however that ends.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar, cast

from glassnet.errors import WorkError

Answer = TypeVar("Answer")
AHEAD = 2
"""Pieces that a worker has at once, so that it need not wait for this process."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def at_work(
    work: Callable[[int], Answer], pieces: int, *, begin: Callable[[Any, int], Callable[[], None]] | None = None
) -> Iterator[Iterator[tuple[int, Answer]]]:
    """Do the pieces 0, 1, 2 and so on in parallel, and yield an iterator over (piece, answer) as they are done.

    Workers are started before the block begins, since a thread of it may hold a lock that a copy of this process would
    wait for. On systems without a safe fork threads do the work.

    Args:
        work: Does a piece; what it raises is raised here.
        pieces: How many there are.
        begin: Given a context of `multiprocessing`'s and the number of workers, returns what each of them does first;
            not asked for where threads do the work.

    Raises:
        WorkError: A worker was killed, as one is that takes more memory than there is.
    """
    count = min(cores(), pieces)
    if count < 2 or not can_fork():
        with _threads(work, pieces, 1 if count < 2 else count) as answers:
            yield answers
        return
    crew = _Crew(work, count, begin)
    try:
        yield crew.answers(pieces)
    finally:
        crew.stop()


def can_fork() -> bool:
    """Tell whether a copy of this process can work: on Linux, and where it is no daemon of another pool."""
    return sys.platform == "linux" and not multiprocessing.current_process().daemon


@contextmanager
def _threads(work: Callable[[int], Answer], pieces: int, count: int) -> Iterator[Iterator[tuple[int, Answer]]]:
    pool = ThreadPoolExecutor(count)
    try:
        yield zip(range(pieces), pool.map(work, range(pieces)), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


class _Crew(Generic[Answer]):
    """Workers, each at the end of a pipe."""

    def __init__(
        self,
        work: Callable[[int], Answer],
        count: int,
        begin: Callable[[Any, int], Callable[[], None]] | None,
    ) -> None:
        context = multiprocessing.get_context("fork")
        first = begin(context, count) if begin else None
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            self._pipes.append(ours)
            process = context.Process(target=_serve, args=(theirs, list(self._pipes), work, first), daemon=True)
            with warnings.catch_warnings():  # of Python 3.12 on, that other threads' locks are copied, too
                warnings.filterwarnings("ignore", message=".*multi-threaded.*", category=DeprecationWarning)
                process.start()
            theirs.close()
            self._processes.append(process)

    def answers(self, pieces: int) -> Iterator[tuple[int, Answer]]:
        """Hand out the pieces and yield what comes back."""
        left = iter(range(pieces))
        for _ in range(AHEAD):
            for pipe in self._pipes:
                self._hand_out(pipe, left)
        done = 0
        while done < pieces:
            for pipe in cast("list[Connection]", wait(self._pipes)):
                try:
                    piece, answer, error = pipe.recv()
                except (EOFError, ConnectionError):
                    raise WorkError("a process that reads images was killed; is there too little memory?") from None
                if error is not None:
                    raise error
                self._hand_out(pipe, left)
                done += 1
                yield piece, answer

    def _hand_out(self, pipe: Connection, left: Iterator[int]) -> None:
        piece = next(left, None)
        if piece is not None:
            pipe.send(piece)

    def stop(self) -> None:
        """End the workers, whatever they are at."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
            process.close()


def _serve(
    pipe: Connection, others: Sequence[Connection], work: Callable[[int], Any], first: Callable[[], None] | None
) -> None:
    """Do pieces until the other end of the pipe is closed, by this process's parent or by its death."""
    gc.freeze()  # what this process was copied with is not looked through again and again
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in others:  # or the parent's ends would live on in its children
        other.close()
    if first is not None:
        first()
    try:
        while True:
            piece = pipe.recv()
            pipe.send(_answer(work, piece))
    except (EOFError, ConnectionError):
        pass


def _answer(work: Callable[[int], Any], piece: int) -> tuple[int, Any, Exception | None]:
    try:
        return piece, work(piece), None
    except Exception as error:
        return piece, None, error
