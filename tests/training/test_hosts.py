"""Two hosts, here two agents of torchrun that meet on the loopback, train as two processes of one host do."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import psutil
import pytest
import torch

import glassnet as gn
from glassnet import cli
from glassnet.errors import InputError, WorkError
from glassnet.training import distributed
from tiny_runs import save_bars

RUN = (sys.executable, "-m", "torch.distributed.run")
SMALL = ("--image-size", "8", "--model-options", "filters=2,2,2,2", "hidden=4", "--batch-size", "16")


def words(folder, out, epochs):
    """What all agents run: the smallest training of bars and posts."""
    where = ("--data", f"folder:{folder / 'bars'}", "--out", str(folder / out))
    return ("-m", "glassnet", "train", *where, *SMALL, "--precision", "fp32", "--epochs", str(epochs))


def start(folder, *line):
    here = {"PYTHONPATH": os.pathsep.join(sys.path), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*RUN, *line],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **here},
        cwd=folder,
    )


def two_agents(folder, out, epochs):
    """Start the agents of two hosts with a process each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = ("--rdzv-backend", "c10d", "--rdzv-id", out, "--rdzv-endpoint", f"127.0.0.1:{port}")
    here = ("--nnodes", "2", "--nproc-per-node", "1", "--local-addr", "127.0.0.1", *meeting)
    return [start(folder, *here, *words(folder, out, epochs)) for _ in range(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosts")
    save_bars(folder / "bars")
    return folder


@pytest.fixture(scope="module")
def hosts(folder):
    """The run of two agents, beside which two processes of one trained theirs."""
    agents = two_agents(folder, "two", 3)
    agents.append(start(folder, "--standalone", "--nproc-per-node", "2", *words(folder, "one", 3)))
    for agent in agents:
        _, said = agent.communicate(timeout=120)
        assert agent.returncode == 0, said
    return gn.Run.open(folder / "two")


def history(run, *, most=None):
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in run.history][:most]


@pytest.mark.slow
def test_two_hosts_train_the_run_that_one_would(folder, hosts):
    one = gn.Run.open(folder / "one")
    assert hosts.manifest["processes"] == one.manifest["processes"] == 2
    assert history(hosts) == history(one)
    assert hosts.metrics == one.metrics
    for name, weights in one.weights().items():
        assert torch.equal(hosts.weights()[name], weights), name


@pytest.mark.slow
def test_when_a_host_is_lost_the_run_goes_on_with_one_process(folder, hosts, capsys):
    staying, lost = two_agents(folder, "lost", 60)
    lines = folder / "lost" / "metrics.jsonl"
    while not lines.exists() or lines.read_text().count("\n") < 3:
        assert staying.poll() is None
        time.sleep(0.02)
    for process in [*psutil.Process(lost.pid).children(recursive=True), psutil.Process(lost.pid)]:
        process.kill()
    lost.communicate()
    _, said = staying.communicate(timeout=100)
    assert staying.returncode != 0
    assert said.count(f"another process was lost; continue with `glassnet train --resume {folder / 'lost'}`, with") == 1
    assert "glassnet/training" not in said  # no traceback of ours
    before = [json.loads(line) for line in lines.read_text().splitlines()]
    assert cli.run(["train", "--resume", str(folder / "lost")]) == 0
    run = gn.Run.open(folder / "lost")
    assert run.manifest["processes"] == 1
    assert [row["epoch"] for row in run.history] == list(range(1, 61))
    done = history(run, most=3)
    assert done == [{k: v for k, v in row.items() if "seconds" not in k} for row in before[:3]]
    # Dropout and augmentation draw by process, so it is no longer the same run to the digit.
    assert run.history[-1]["train_loss"] < done[0]["train_loss"] - 0.05


def everywhere(monkeypatch, path, seen):
    monkeypatch.setattr(distributed, "SEEING_SECONDS", 0.3)
    monkeypatch.setattr(distributed, "gather_object", lambda here: [*here, seen])
    distributed.require_everywhere(SimpleNamespace(num_processes=2), path)


def test_a_folder_that_another_host_does_not_see_is_refused(monkeypatch, tmp_path):
    everywhere(monkeypatch, tmp_path, True)
    message = r"2 of 2 processes cannot see .*nowhere, expected a folder that all hosts can see; give --out on a shared"
    with pytest.raises(InputError, match=message):
        everywhere(monkeypatch, tmp_path / "nowhere", False)
    with pytest.raises(InputError, match="1 of 2 processes cannot see"):
        everywhere(monkeypatch, tmp_path, False)
    distributed.require_everywhere(SimpleNamespace(num_processes=1), tmp_path / "nowhere")


def test_it_waits_for_a_shared_disk_to_show_what_is_new(monkeypatch, tmp_path):
    began = time.monotonic()
    threading.Timer(0.1, (tmp_path / "late").mkdir).start()
    everywhere(monkeypatch, tmp_path / "late", True)
    assert time.monotonic() - began >= 0.1
    assert (tmp_path / "late").is_dir()


def test_only_errors_of_a_connection_say_that_a_process_was_lost(monkeypatch, tmp_path, capsys):
    lost, other = RuntimeError("[gloo/pair.cc:537] Read error: Connection reset by peer"), RuntimeError("no such layer")
    distributed.check_lost(lost, tmp_path)  # alone, nobody was
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    for error in (other, WorkError("gloo")):
        distributed.check_lost(error, tmp_path)
    with pytest.raises(WorkError, match="another process was lost; continue with `glassnet train --resume"):
        distributed.check_lost(lost, tmp_path)
    assert capsys.readouterr().err.startswith("glassnet: another process was lost")
