import itertools
import os
from concurrent.futures import BrokenExecutor, Future

import pytest

from glassnet.errors import InputError, WorkError
from glassnet.scale import processes
from glassnet.scale.workers import ATTEMPTS, Failure, Workers


class Inline:
    """A worker in this process; `dies` raises Died for a task, as the future of a dead process does."""

    def __init__(self, log):
        self.log, self.alive = log, True
        log.append("made")

    def submit(self, function, /, *arguments):
        future = Future()
        if not self.alive:
            raise BrokenExecutor("gone")
        try:
            future.set_result(function(*arguments))
        except BrokenExecutor as error:
            self.alive = False
            future.set_exception(error)
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self, *, kill):
        self.log.append("killed" if kill else "closed")


def dies():
    raise BrokenExecutor("killed by signal 9. See the manual")


@pytest.fixture
def log():
    return []


def opened(log, count=2, ahead=0):
    return Workers(lambda: Inline(log), count, lost=(BrokenExecutor,), ahead=ahead)


def test_each_item_comes_with_its_result_and_items_are_taken_when_needed(log):
    taken = []
    items = (taken.append(number) or number for number in itertools.count())
    with opened(log) as workers:
        results = workers.complete(items, lambda one: (abs, -one), name=str)
        some = [next(results) for _ in range(4)]
        assert sorted(some) == [(number, number) for number in range(4)]
        assert len(taken) <= 6
    assert log == ["made", "made", "closed", "closed"]


def test_a_task_whose_worker_dies_is_given_to_another_one(log, capsys):
    deaths = iter([True, True])

    def perhaps(value):
        if next(deaths, False):
            dies()
        return value

    with opened(log, count=1) as workers:
        assert list(workers.complete(["a"], lambda one: (perhaps, one), name=str)) == [("a", "a")]
    assert log == ["made", "killed", "made", "killed", "made", "closed"]
    assert capsys.readouterr().err.count("the worker of a died (killed by signal 9); another one continues it.") == 2


def test_a_task_that_kills_every_worker_is_given_up_and_the_others_go_on(log):
    with opened(log, count=1, ahead=1) as workers:
        tasks = {"bad": (dies,), **dict.fromkeys("cde", (abs, -1))}
        results = dict(workers.complete(tasks, lambda one: tasks[one], name=str))
    assert results.pop("bad") == Failure("lost", "its worker died 3 times, last with: killed by signal 9")
    assert results == dict.fromkeys("cde", 1)
    assert log.count("made") == ATTEMPTS + 1


def refuse(kind):
    raise kind("no, expected yes")


def test_errors_of_ours_are_results_and_others_end_it(log):
    with opened(log) as workers:
        tasks = {"input": (refuse, InputError), "work": (refuse, WorkError)}
        results = dict(workers.complete(tasks, lambda one: tasks[one], name=str))
    assert results == {kind: Failure(kind, "no, expected yes") for kind in tasks}
    assert {name: type(one.raised()) for name, one in results.items()} == {"input": InputError, "work": WorkError}
    with pytest.raises(ZeroDivisionError), opened(log) as workers:
        list(workers.complete([0], lambda one: (divmod, 1, one), name=str))
    assert log[-1] == "killed"


def test_processes_compute_with_their_threads_and_a_dead_one_is_replaced(capsys):
    import torch

    with processes.open_workers(2, cpus=1) as workers:
        tasks = {"threads": (torch.get_num_threads,), "variable": (os.getenv, "OMP_NUM_THREADS"), "dies": (os._exit, 9)}
        results = dict(workers.complete(tasks, lambda one: tasks[one], name=str))
    assert results["threads"] == 1
    assert results["variable"] == "1"
    assert results["dies"].kind == "lost"
    assert capsys.readouterr().err.count("the worker of dies died") == 2
