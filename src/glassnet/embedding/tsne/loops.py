"""How the loops of t-SNE run: compiled once a machine, by threads in the same pieces however many threads there are."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

from numba import njit

from glassnet.console import say


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop by numba at its first call, and keep the machine code on disk for the next process.

    Sums may be taken in another order than written, which vector instructions need; the order is settled when the
    loop is compiled, so equal numbers give equal sums. NaN and infinity keep their meaning.
    """
    compile_loop = njit(nogil=True, fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy")
    loop = compile_loop(function)
    try:
        loop.enable_caching()
    except (AttributeError, RuntimeError):
        # There is no folder that can be written to, or numba is told to compile nothing: each process for itself.
        return loop
    cache_file = _cache_file(loop)
    if cache_file is not None:
        # numba stamps machine code with the loop's own file, and would go on using it when a loop that is called from
        # there, and so compiled into it, has changed in another file.
        cache_file._source_stamp = sources_stamp()
    return loop


def say_if_compiling(loop: Callable[..., Any]) -> None:
    """Tell that the next seconds go into compiling, unless a loop's machine code is at hand or on disk."""
    cache_file = _cache_file(loop)
    if not getattr(loop, "signatures", ()) and not (cache_file is not None and cache_file._load_index()):
        say("compiling t-SNE, which takes a few seconds the first time")


@cache
def sources_stamp() -> str:
    """Digest of all files that the machine code may have come from: those of this package."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _cache_file(loop: Callable[..., Any]) -> Any:
    """What numba knows of a loop's machine code on disk; None where it keeps none."""
    return getattr(getattr(loop, "_cache", None), "_cache_file", None)


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
