"""Work that a page asks for: one computation at a time per subject, shared by all who ask, ended when nobody does.

Two threads work for a subject. One takes the long jobs; the other the short ones of one image, which go first, and
between the steps of a t-SNE, where no model is held. The event loop only waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from glassnet.console import say, watched
from glassnet.errors import Cancelled, GlassnetError, WorkError, is_too_large
from glassnet.explorer.arrays import Arrays, Reply, encode
from glassnet.explorer.schemas import Answer
from glassnet.explorer.schemas import Job as JobAnswer

FORGOTTEN_SECONDS = 5.0
"""A job that nobody has asked for in this time is cancelled."""
SOON_SECONDS = 0.5
"""The same where one who waited for it has gone."""
FAILED_SECONDS = 3.0
"""A failure is remembered for so long, for all who wait for it; then it is tried again."""
KEPT_BYTES = 1 << 26
"""Results of one subject that are kept in memory, at most; the last one always is."""
KEPT_RESULTS = 500
Key = tuple[Hashable, ...]


@dataclass(frozen=True)
class Work:
    """What is to be done.

    Attributes:
        key: The same for the same result.
        what: A few words, such as "t-SNE of fc1".
        run: Does it.
        short: Whether it is of one image and goes before long ones.
    """

    key: Key
    what: str
    run: Callable[[], Arrays | Answer]
    short: bool = False


class Job:
    """Work that was asked for, and what came of it."""

    def __init__(self, work: Work) -> None:
        """Take the work; it has not begun. `pages` are those that ask for it, each with the time when it last did."""
        self.id, self.work = secrets.token_hex(8), work
        self.began = self.asked = time.monotonic()
        self.phase, self.done, self.total = "", 0, 0
        self.cancelled = False
        self.pages: dict[str, float] = {}
        self.reply: Reply | None = None
        self.error: Exception | None = None
        self.ended = 0.0
        self._lock = threading.Lock()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    @property
    def is_over(self) -> bool:
        """Whether there is a result or a failure."""
        return self.ended > 0

    @property
    def bytes_kept(self) -> int:
        """Bytes of its result."""
        return 0 if self.reply is None else len(self.reply.body)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for it or has asked for it lately."""
        return not self.cancelled and bool(self._waiters or time.monotonic() - self.asked < FORGOTTEN_SECONDS)

    @property
    def is_stale(self) -> bool:
        """Whether it failed so long ago that it is tried again."""
        return self.error is not None and time.monotonic() - self.ended > FAILED_SECONDS

    def step(self, what: str, done: float, total: float | None) -> None:
        """Note a step.

        Raises:
            Cancelled: The result is not wanted any more.
        """
        if what:
            self.phase, self.done, self.total = what, int(done), int(total or 0)
        if not self.is_wanted:
            raise Cancelled(f"{self.work.what} was cancelled.")

    def end(self, reply: Reply | None, error: Exception | None) -> None:
        """Set what came of it, and wake who waits; what it was made from, as what a page sent, is let go."""
        with self._lock:
            self.work = replace(self.work, run=_done)
            self.reply, self.error, self.ended = reply, error, time.monotonic()
            waiters, self._waiters = self._waiters, []
        for loop, waiter in waiters:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(_wake, waiter)

    async def wait(self, seconds: float) -> None:
        """Wait until it is over, at most so long."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if self.is_over:
                return
            self._waiters.append((loop, waiter))
        try:
            await asyncio.wait([waiter], timeout=seconds)
        finally:
            self.asked = time.monotonic()
            with self._lock:
                self._waiters = [one for one in self._waiters if one[1] is not waiter]

    def ask(self, page: str) -> None:
        """Note that a page asks for it."""
        self.asked = self.pages[page] = time.monotonic()

    def cancel(self, page: str) -> None:
        """Note that a page wants it no more; where no other one has asked for it lately, it ends."""
        self.pages.pop(page, None)
        lately = time.monotonic() - FORGOTTEN_SECONDS
        self.cancelled = not any(asked > lately for asked in self.pages.values())

    def leave(self) -> None:
        """Note that one who waited has gone: unless somebody else asks for it soon, it ends, or is not begun."""
        self.asked = min(self.asked, time.monotonic() - FORGOTTEN_SECONDS + SOON_SECONDS)

    def answer(self, queue: int) -> JobAnswer:
        """Say how far it is; `queue` jobs come before it."""
        what = f"{self.work.what}: {self.phase}" if self.phase else self.work.what
        seconds = round(time.monotonic() - self.began, 2)
        return JobAnswer(id=self.id, what=what, done=self.done, total=self.total, seconds=seconds, queue=queue)


def _done() -> Answer:
    raise AssertionError("a job that is over is not run again")


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Queue:
    """The jobs of one subject, and their last results."""

    def __init__(self) -> None:
        """Begin without jobs; the threads start with the first."""
        self._changed = threading.Condition()
        self._waiting: list[Job] = []
        self._running: dict[bool, Job | None] = {False: None, True: None}
        self._paused = self._closed = False
        self._results: OrderedDict[Key, Job] = OrderedDict()
        self._threads: list[threading.Thread] = []

    def ask(self, work: Work, page: str = "") -> Job:
        """Return the job of this work: one that is over, one that goes on, or a new one; `page` says who asks."""
        with self._changed:
            over = self._results.get(work.key)
            if over is not None and not over.is_stale:
                self._results.move_to_end(work.key)
                return over
            for job in self._jobs():
                if job.work.key == work.key and not job.cancelled:
                    job.ask(page)
                    return job
            job = Job(work)
            job.ask(page)
            self._waiting.append(job)
            self._start()
            self._changed.notify_all()
        return job

    def before(self, job: Job) -> int:
        """Count the jobs that come before one that waits; 0 for one that runs."""
        with self._changed:
            if job not in self._waiting:
                return 0
            order = sorted(self._waiting, key=lambda one: not one.work.short)  # stable: else as they came
            return order.index(job) + sum(one is not None for one in self._running.values())

    def cancel(self, job_id: str, page: str = "") -> bool:
        """Cancel a job for a page, and so altogether where no other page wants it; False where there is none."""
        with self._changed:
            for job in self._jobs():
                if job.id == job_id:
                    job.cancel(page)
                    self._changed.notify_all()
                    return True
        return False

    def close(self, *, seconds: float = 2.0) -> None:
        """Cancel all jobs and end the threads, after the steps that they are at."""
        with self._changed:
            self._closed = True
            for job in self._jobs():
                job.cancelled = True
            self._results.clear()
            self._changed.notify_all()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _jobs(self) -> list[Job]:
        return [*self._waiting, *(job for job in self._running.values() if job is not None)]

    def _start(self) -> None:
        if not self._threads and not self._closed:
            self._threads = [
                threading.Thread(target=self._work, args=(short,), daemon=True, name=f"explorer-{short}")
                for short in (False, True)
            ]
            for thread in self._threads:
                thread.start()

    def _work(self, short: bool) -> None:
        """Do the short or the long jobs, one after the other, until the queue is closed."""
        while True:
            with self._changed:
                while not self._closed and (job := self._take(short)) is None:
                    self._changed.wait()
                if self._closed:
                    return
            assert job is not None
            self._run(job)
            with self._changed:
                self._running[short] = None
                self._changed.notify_all()

    def _take(self, short: bool) -> Job | None:
        """Take the next job that may run now, if any; those that nobody wants any more are dropped."""
        for job in [one for one in self._waiting if not one.is_wanted]:
            self._waiting.remove(job)
            job.end(None, Cancelled(f"{job.work.what} was cancelled."))
        mine = [job for job in self._waiting if job.work.short == short]
        long = self._running[False]
        free = (long is None or self._paused) if short else not (long or self._running[True] or self._shorts())
        if not mine or not free or self._running[short] is not None:
            return None
        self._waiting.remove(mine[0])
        self._running[short] = mine[0]
        return mine[0]

    def _shorts(self) -> bool:
        return any(job.work.short for job in self._waiting)

    def _run(self, job: Job) -> None:
        reply, error = None, None
        try:
            with watched(lambda what, done, total, *, may_pause: self._step(job, what, done, total, may_pause)):
                reply = encode(job.work.run())
        except Exception as raised:  # whatever anybody's model raises
            error = without_frames(_as_sentence(raised, job.work.what))
        with self._changed:
            job.end(reply, error)
            if not isinstance(error, Cancelled) and not self._closed:
                self._keep(job)

    def _step(self, job: Job, what: str, done: float, total: float | None, may_pause: bool) -> None:
        job.step(what, done, total)
        if not may_pause or job.work.short:
            return
        with self._changed:
            self._paused = True
            self._changed.notify_all()
            while (self._shorts() or self._running[True]) and not self._closed:
                self._changed.wait(1.0)
            self._paused = False

    def _keep(self, job: Job) -> None:
        """Keep a result, and let the oldest go where they are too many or too large, and stale failures."""
        for key in [key for key, one in self._results.items() if one.is_stale]:
            del self._results[key]
        self._results[job.work.key] = job
        self._results.move_to_end(job.work.key)
        sizes = {key: one.bytes_kept for key, one in self._results.items()}
        for key in itertools.islice(list(sizes), len(sizes) - 1):
            if sum(sizes.values()) <= KEPT_BYTES and len(sizes) <= KEPT_RESULTS:
                break
            del self._results[key], sizes[key]


def without_frames(error: Exception) -> Exception:
    """Keep the sentence of an error alone: the frames that it came through hold images and whole outputs."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


def _as_sentence(error: Exception, what: str) -> Exception:
    """Turn whatever work raises into a sentence."""
    if isinstance(error, GlassnetError):
        return error
    if is_too_large(error):
        return WorkError(f"{what} failed: not enough memory; ask for fewer images or a smaller layer.")
    lines = str(error).strip().splitlines()
    said_by = f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
    say(f"glassnet: {what} failed: {said_by}")
    return WorkError(f"{what} failed: {said_by.rstrip('.')}.")
