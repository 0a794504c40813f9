import os
import signal

import pytest

from glassnet.data.shards import workers
from glassnet.data.shards.workers import at_work
from glassnet.errors import InputError, WorkError


@pytest.fixture(params=["processes", "threads", "one"])
def kind(request, monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 1 if request.param == "one" else 3)
    if request.param == "threads":
        monkeypatch.setattr(workers, "can_fork", lambda: False)
    return request.param


def test_each_piece_is_done_once(kind):
    with at_work(lambda piece: (piece * piece, os.getpid()), 20) as answers:
        done = dict(answers)
    assert {piece: square for piece, (square, _) in done.items()} == {i: i * i for i in range(20)}
    elsewhere = {process for _, process in done.values()} - {os.getpid()}
    assert len(elsewhere) == (3 if kind == "processes" else 0)


def test_what_a_piece_raises_is_raised_here(kind):
    def work(piece):
        if piece == 5:
            raise InputError("piece 5 is no good.")
        return piece

    with pytest.raises(InputError, match=r"^piece 5 is no good\.$"), at_work(work, 20) as answers:
        list(answers)


def test_a_worker_that_is_killed_is_said(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 2)

    def work(piece):
        if piece == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return piece

    with pytest.raises(WorkError, match="a process that reads images was killed"), at_work(work, 20) as answers:
        list(answers)


def test_workers_end_with_the_block_and_are_prepared(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 2)
    prepared = []

    def begin(_context, count):
        return lambda: prepared.append(count)

    with at_work(lambda _piece: (os.getpid(), list(prepared)), 8, begin=begin) as answers:
        _, (process, seen) = next(answers)
    assert seen == [2]
    assert prepared == []  # which was done in the copies
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
