"""One computation at a time, shared, interrupted by short ones where it may be, ended when nobody asks."""

import threading
import time
import weakref

import numpy as np
import pytest

from glassnet.console import progress, step
from glassnet.errors import Cancelled, InputError, WorkError
from glassnet.explorer import jobs
from glassnet.explorer.arrays import Arrays
from glassnet.explorer.jobs import Queue, Work
from glassnet.explorer.schemas import Names

NOTHING = Names(numbers=[], names=[])


@pytest.fixture
def queue():
    made = Queue()
    yield made
    made.close()


def over(job, seconds=10):
    """Wait, as a page does that asks again and again."""
    until = time.monotonic() + seconds
    while not job.is_over and time.monotonic() < until:
        job.asked = time.monotonic()
        time.sleep(0.005)
    assert job.is_over
    return job


class Long:
    """Work that goes on until it is told to end."""

    def __init__(self, *, may_pause):
        self.may_pause, self.ends, self.begun, self.steps = may_pause, threading.Event(), threading.Event(), 0

    def __call__(self):
        while not self.ends.is_set():
            self.steps += 1
            self.begun.set()
            step("steps", self.steps, 100, may_pause=self.may_pause)
            time.sleep(0.005)
        return NOTHING


def test_two_who_ask_for_one_thing_share_a_job(queue):
    calls, long = [], Long(may_pause=False)
    queue.ask(Work(("long",), "long", long))
    works = [Work(("same",), "work", lambda: calls.append(1) or NOTHING) for _ in range(5)]
    first, *others = [queue.ask(work) for work in works]
    assert all(one is first for one in others)
    assert queue.before(first) == 1
    long.ends.set()
    over(first)
    assert queue.ask(works[0]) is first
    assert calls == [1]


def test_short_work_runs_between_the_steps_of_what_may_pause(queue):
    long = Long(may_pause=True)
    job = queue.ask(Work(("long",), "t-SNE of fc1", long))
    assert long.begun.wait(5)
    there = []
    short = queue.ask(Work(("short",), "one image", lambda: there.append(long.steps) or NOTHING, short=True))
    over(short)
    assert not job.is_over
    answer = job.answer(0)
    assert (answer.what, answer.total) == ("t-SNE of fc1: steps", 100)
    long.ends.set()
    over(job)


def test_nothing_runs_beside_what_may_not_pause(queue):
    long = Long(may_pause=False)
    job = queue.ask(Work(("long",), "features", long))
    assert long.begun.wait(5)
    short = queue.ask(Work(("short",), "one image", lambda: NOTHING, short=True))
    time.sleep(0.1)
    assert not short.is_over
    long.ends.set()
    assert over(short).ended >= over(job).ended


def test_short_work_goes_before_long_work_that_waits(queue):
    order, long = [], Long(may_pause=False)
    queue.ask(Work(("first",), "first", long))
    assert long.begun.wait(5)
    waiting = [queue.ask(Work(("long", i), "long", lambda: order.append("long") or NOTHING)) for i in range(2)]
    short = queue.ask(Work(("short",), "short", lambda: order.append("short") or NOTHING, short=True))
    assert [queue.before(one) for one in (short, *waiting)] == [1, 2, 3]
    long.ends.set()
    for job in (*waiting, short):
        over(job)
    assert order == ["short", "long", "long"]


def test_what_nobody_asks_for_any_more_is_cancelled(queue, monkeypatch):
    monkeypatch.setattr(jobs, "FORGOTTEN_SECONDS", 0.1)
    long = Long(may_pause=False)
    job = queue.ask(Work(("long",), "features", long))
    waiting = queue.ask(Work(("other",), "other", lambda: NOTHING))
    waiting.asked = job.asked  # not a moment later, or it may still be begun
    assert long.begun.wait(5)
    until = time.monotonic() + 10
    while not (job.is_over and waiting.is_over) and time.monotonic() < until:
        time.sleep(0.01)
    assert isinstance(job.error, Cancelled)
    assert isinstance(waiting.error, Cancelled)
    again = queue.ask(Work(("long",), "features", lambda: NOTHING))
    assert over(again) is not job


def test_a_job_is_cancelled_by_its_name(queue):
    long = Long(may_pause=False)
    job = queue.ask(Work(("long",), "features", long))
    assert long.begun.wait(5)
    assert queue.cancel(job.id)
    over(job)
    assert isinstance(job.error, Cancelled)
    assert not queue.cancel(job.id)


def test_a_job_that_two_pages_want_goes_on_until_both_cancel_it(queue):
    long = Long(may_pause=False)
    work = Work(("long",), "t-SNE", long)
    job = queue.ask(work, "one page")
    assert queue.ask(work, "another") is job
    assert long.begun.wait(5)
    assert queue.cancel(job.id, "one page")
    steps = long.steps
    time.sleep(0.05)
    assert long.steps > steps
    assert queue.ask(work, "another") is job
    assert queue.cancel(job.id, "another")
    assert isinstance(over(job).error, Cancelled)


def test_a_page_that_has_not_asked_for_long_keeps_no_job(queue, monkeypatch):
    long = Long(may_pause=False)
    work = Work(("long",), "t-SNE", long)
    job = queue.ask(work, "closed long ago")
    job.pages["closed long ago"] -= jobs.FORGOTTEN_SECONDS
    queue.ask(work, "one page")
    assert queue.cancel(job.id, "one page")
    assert isinstance(over(job).error, Cancelled)


def test_progress_bars_end_work_that_is_not_wanted(queue):
    def work():
        with progress("reading", 10) as advance:
            for _ in range(10):
                advance()
                time.sleep(0.02)
        return NOTHING

    job = queue.ask(Work(("bar",), "data", work))
    time.sleep(0.05)
    assert job.answer(0).total == 10
    queue.cancel(job.id)
    assert isinstance(over(job).error, Cancelled)


def test_failures_are_sentences_and_are_tried_again(queue, monkeypatch, capsys):
    monkeypatch.setattr(jobs, "FAILED_SECONDS", 0.05)

    def breaks():
        raise RuntimeError("the layer broke\nin two")

    job = over(queue.ask(Work(("broken",), "maps of image 3", breaks)))
    assert isinstance(job.error, WorkError)
    assert str(job.error) == "maps of image 3 failed: RuntimeError: the layer broke."
    assert queue.ask(Work(("broken",), "maps", breaks)) is job
    time.sleep(0.1)
    assert queue.ask(Work(("broken",), "maps", breaks)) is not job

    def refuses():
        raise InputError("no such layer.")

    assert isinstance(over(queue.ask(Work(("refused",), "maps", refuses))).error, InputError)
    assert "maps of image 3 failed" in capsys.readouterr().err


def test_results_are_bounded(queue, monkeypatch):
    monkeypatch.setattr(jobs, "KEPT_BYTES", 10_000)
    monkeypatch.setattr(jobs, "KEPT_RESULTS", 20)
    large = Arrays({"values": np.zeros(1000, np.float32)})
    for i in range(6):
        over(queue.ask(Work((i,), "work", lambda: large)))
    assert sum(one.bytes_kept for one in queue._results.values()) <= 10_000
    for i in range(40):
        over(queue.ask(Work(("small", i), "work", lambda: NOTHING)))
    assert len(queue._results) <= 20
    huge = over(queue.ask(Work(("huge",), "work", lambda: Arrays({"values": np.zeros(10_000, np.float32)}))))
    assert (
        queue.ask(Work(("huge",), "work", lambda: NOTHING)) is huge
    )  # the last is always kept, or nobody would get it


class Sent:
    """What a page sends along."""


def test_what_a_page_sent_is_let_go_with_the_work(queue):
    def asks(key, fails):
        sent = Sent()

        def work():
            if fails:
                raise InputError(f"got {sent}")
            return NOTHING if sent else None

        return over(queue.ask(Work((key,), "maps", work))), weakref.ref(sent)

    until = time.monotonic() + 10
    for fails in (False, True):
        job, sent = asks(fails, fails)
        while sent() is not None and time.monotonic() < until:  # the thread lets go of it just after
            time.sleep(0.001)
        assert sent() is None
        assert (job.error is not None) == fails


def test_failures_are_forgotten(queue, monkeypatch):
    monkeypatch.setattr(jobs, "FAILED_SECONDS", 0.0)

    def breaks():
        raise InputError("no such layer.")

    for number in range(5):
        over(queue.ask(Work((number,), "maps", breaks)))
    assert len(queue._results) == 1
