import dataclasses
import importlib.util
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

import glassnet as gn
from glassnet import cli
from glassnet.errors import InputError
from glassnet.files import is_alive
from glassnet.scale import engines, trials
from glassnet.scale.workers import Failure
from torture.process import start

AXES = {"filters": [(2, 2, 2, 2), (3, 3, 3, 3)]}


def owner_of(path, epochs=1, seconds=60):
    """Wait until a run has done some epochs, and return the process that trains it."""
    for _ in range(seconds * 50):
        try:
            if (path / "metrics.jsonl").read_bytes().count(b"\n") >= epochs:
                return json.loads((path / "checkpoint" / "owner.json").read_text())["process"]
        except (OSError, ValueError):
            pass
        time.sleep(0.02)
    raise AssertionError(f"{path} was not trained")


def test_processes_give_the_table_of_the_local_engine_although_one_is_killed(base, tmp_path, numbers, capfd):
    base = dataclasses.replace(base, epochs=30)
    whole = gn.tune(base, AXES, seeds=(0,), out=tmp_path / "local")
    capfd.readouterr()
    out = tmp_path / "processes"
    path = out / "filters=3,3,3,3_seed=0"
    killer = threading.Thread(target=lambda: os.kill(owner_of(path, epochs=2), signal.SIGKILL))
    killer.start()
    result = gn.tune(base, AXES, seeds=(0,), out=out, engine="processes", workers=2)
    killer.join()
    assert json.dumps(numbers(result)) == json.dumps(numbers(whole))
    for one in ("filters=2,2,2,2_seed=0", path.name):
        weights = [gn.Run.open(folder / one).manifest["weights"] for folder in (out, whole.out)]
        assert weights[0] == weights[1]
    err = capfd.readouterr().err
    assert "the worker of filters=3,3,3,3, seed 0 died" in err
    assert err.count("[filters=3,3,3,3, seed 0] epoch 1/30:") == 1  # it went on, and did not begin anew
    assert "is finished, 2 of 2" in err
    gn.tune(base, AXES, seeds=(0,), out=out, engine="processes")
    assert "2 of 2 trainings are already finished" in capfd.readouterr().err


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_leaves_no_child(base, tmp_path, how):
    words = ["--data", base.data, "--model-options", "hidden=4", "--epochs", "5000", "--validation", "0.25"]
    words += ["--grid", "filters=2,2,2,2", "3,3,3,3", "--seeds", "0", "--out", str(tmp_path / "grid")]
    tuning = start("tune", *words, "--engine", "processes", "--workers", "2")
    try:
        owners = [owner_of(tmp_path / "grid" / f"filters={one}_seed=0") for one in ("2,2,2,2", "3,3,3,3")]
        assert tuning.number not in owners
        os.kill(tuning.number, how)
    except BaseException:
        tuning.kill()
        raise
    ended = tuning.wait(200)
    assert ended.code == (130 if how == signal.SIGINT else -signal.SIGTERM)
    if how == signal.SIGINT:
        assert "stopped after 0 of 2 trainings; run the same command to continue." in ended.text
    for _ in range(500):
        if not any(map(is_alive, owners)):
            break
        time.sleep(0.02)
    assert not any(map(is_alive, owners))


class Inline:
    """Workers in this process, whose results are given."""

    def __init__(self, results):
        self.results = results

    def complete(self, items, task, *, name):
        for item in items:
            function, *arguments = task(item)
            yield item, self.results.get(name(item)) or function(*arguments)


@pytest.fixture
def inline(monkeypatch):
    results = {}
    monkeypatch.setitem(engines.OPENERS, "processes", lambda *_: iter([Inline(results)]))
    return results


def test_what_is_lost_is_left_out_and_the_others_go_on(base, tmp_path, inline, capsys):
    inline["filters=2,2,2,2, seed 0"] = Failure("lost", "its worker died 3 times, last with: killed")
    inline["filters=2,2,2,2, seed 1"] = Failure("work", "the loss became nan")
    found = gn.tune(base, AXES, seeds=(0, 1), out=tmp_path / "grid", engine="processes")
    assert [cell.name for cell in found.cells] == ["filters=3,3,3,3"]
    err = capsys.readouterr().err
    lost = "filters=2,2,2,2, seed 0 is left out: its worker died 3 times, last with: killed; run the same command"
    assert f"{lost} to try it again.\n" in err
    assert "filters=2,2,2,2, seed 1 is left out: the loss became nan\n" in err
    assert "[filters=3,3,3,3, seed 1] epoch 2/2: train loss" in err


def test_wrong_input_in_a_worker_ends_the_grid(base, tmp_path, inline):
    inline["filters=3,3,3,3, seed 0"] = Failure("input", "the data are gone, expected a folder.")
    with pytest.raises(InputError, match="the data are gone"):
        gn.tune(base, AXES, seeds=(0,), out=tmp_path / "grid", engine="processes")


def test_the_local_engine_trains_with_the_threads_asked_for(base, tmp_path, monkeypatch):
    import torch

    seen = []
    monkeypatch.setattr(trials, "tune_grid", lambda *_, **__: seen.append(torch.get_num_threads()))
    gn.tune(base, AXES, out=tmp_path, trial_cpus=3)
    gn.tune(base, AXES, out=tmp_path)
    assert seen == [3, 1]
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "rey"}, "no engine 'rey'. Did you mean ray"),
        ({"workers": 2}, "--workers is 2, but the engine is local; add --engine processes or ray"),
        (
            {"engine": "processes", "address": "auto"},
            "--address is auto, but the engine is processes; add --engine ray",
        ),
        ({"engine": "ray", "address": "here"}, "--address is here, expected auto or HOST:PORT, as in 10.0.0.5:6379"),
        ({"engine": "processes", "workers": 0}, "the number of workers is 0, expected at least 1"),
        ({"trial_cpus": 0}, "the number of CPUs of a worker is 0, expected at least 1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(base, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        gn.tune(base, AXES, out=tmp_path / "grid", **options)
    assert not (tmp_path / "grid").exists()


def test_without_ray_the_command_says_how_to_install_it(base, tmp_path, capsys, monkeypatch):
    whole = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "ray" else whole(name, *rest))
    words = ["tune", "--data", base.data, "--grid", "epochs=1", "--out", str(tmp_path / "grid"), "--engine", "ray"]
    assert cli.run(words) == 2
    expected = "glassnet: --engine ray needs Ray; install it with `pip install 'glassnet[ray]'`.\n"
    assert capsys.readouterr().err.endswith(expected)
    assert not (tmp_path / "grid").exists()


def test_ray_is_imported_in_one_folder():
    root = Path(gn.__file__).parent
    words = ("import ray", "from ray")
    users = {
        file for file in root.rglob("*.py") for line in file.read_text().splitlines() if line.strip().startswith(words)
    }
    assert {file.parent for file in users} == {root / "scale" / "ray"}
