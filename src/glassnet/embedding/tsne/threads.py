"""Threads that share the rows of a loop, in the same pieces however many threads there are."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import TracebackType

PIECES = 16
THREADS_FROM_POINTS = 2_000


def thread_count(points: int) -> int:
    """Threads worth having for so many points: those that OMP_NUM_THREADS asks for, else one a core."""
    # A step of few points is so short that on a busy machine threads spend it waiting for each other.
    if points < THREADS_FROM_POINTS:
        return 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Team:
    """Threads for loops that release Python's lock; whoever opens it closes it, by `with`.

    Each loop is cut into the same PIECES, so sums over a piece, and then over the pieces in order, do not depend on
    the number of threads.
    """

    def __init__(self, threads: int) -> None:
        self.threads = max(1, min(threads, PIECES))
        self._pool = ThreadPoolExecutor(self.threads - 1) if self.threads > 1 else None

    def __enter__(self) -> "Team":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def each(self, work: Callable[[int, int], None]) -> None:
        """Call `work(first, last)` so that every piece first … last - 1 is done once."""
        bounds = [PIECES * thread // self.threads for thread in range(self.threads + 1)]
        spans = list(pairwise(bounds))
        waiting = [self._pool.submit(work, *span) for span in spans[1:]] if self._pool is not None else []
        work(*spans[0])
        for future in waiting:
            future.result()
