"""Several processes train as one would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed
from accelerate import Accelerator
from torch import nn

import glassnet as gn
from glassnet import cli
from glassnet.errors import WorkError
from glassnet.tasks import TASKS
from glassnet.training import distributed
from glassnet.training.distributed import synchronize_batchnorm
from tiny_runs import TINY, save_bars, tiny
from training.two_processes import all_first_steps

OPTIONS = ("filters=8,8,16,16", "hidden=64")
"""Enough to learn so well that three images in a thousand are many."""


def torchrun(script_or_module, *words, tmp_path):
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *script_or_module]
    return subprocess.run([*line, *words], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder of what two processes made, their run and their first steps, and what they printed."""
    folder, script = tmp_path_factory.mktemp("two"), Path(__file__).parent / "two_processes.py"
    words = ["train", "--model-options", *OPTIONS, "--epochs", "5", "--precision", "fp32"]
    done = torchrun([str(script)], str(folder), *words, "--out", str(folder / "run"), tmp_path=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_two_processes_train_the_same_run(two, tmp_path):
    folder, stdout = two
    assert stdout.count("test accuracy") == 1
    both = gn.Run.open(folder / "run")
    one = gn.train(tiny(tmp_path / "one", epochs=5, model_options=OPTIONS))
    assert both.manifest["processes"] == 2
    assert len(both.history) == 5
    # Rounding differs, so the weights drift apart; what is learned does not.
    assert abs(both.metrics["test_accuracy"] - one.metrics["test_accuracy"]) <= 0.003
    assert both.history[0]["train_loss"] == pytest.approx(one.history[0]["train_loss"], rel=1e-2)


def test_wrong_input_stops_all_processes_with_one_sentence(tmp_path):
    done = torchrun(["-m", "glassnet"], "train", "--data", "mnits", tmp_path=tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("no data set 'mnits'") == 1
    assert "glassnet/training" not in done.stderr  # no traceback of ours
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def first_steps(two):
    """What one process and two find in the first steps of each task."""
    folder, _ = two
    one = all_first_steps(Accelerator(cpu=True))
    return one, torch.load(folder / "steps.pt", weights_only=True)


@pytest.mark.parametrize("of", ["digits", "masks", "vae"])
def test_two_processes_average_the_gradients_that_one_would_have(first_steps, of):
    one, two = (steps[of]["gradients"] for steps in first_steps)
    assert len(one) == len(two) == 3
    for step, (a, b) in enumerate(zip(one, two, strict=True)):
        for name in a:
            scale = a[name].abs().max().item()
            difference = (a[name] - b[name]).abs().max().item()
            assert difference <= 1e-9 * scale, f"{name} in step {step}: {difference} of {scale}"


@pytest.mark.parametrize("of", ["digits", "masks"])
def test_two_processes_measure_what_one_would(first_steps, of):
    """Also one image, of which the second process has none; the masks' rows are those of a part of mapped tensors."""
    one, two = (steps[of] for steps in first_steps)
    assert two["means"] == pytest.approx(one["means"], rel=1e-6)  # accuracies are in single precision
    for whole, joined in zip(one["measured"], two["measured"], strict=True):
        assert whole.keys() == joined.keys()
        for key, value in whole.items():
            if key == "confusion":  # one a batch, and two processes have a batch each
                value, joined[key] = value.sum(dim=0), joined[key].sum(dim=0)
            torch.testing.assert_close(joined[key], value, msg=key)


def test_two_processes_remember_of_each_image_of_a_reconstruction_what_one_would(first_steps):
    one, two = (steps["vae"] for steps in first_steps)
    assert two["means"] == pytest.approx(one["means"], rel=1e-6)
    (whole,), (joined,) = one["measured"], two["measured"]
    for name in ("reconstruction", "kl", "psnr", "mse"):
        assert len(whole[name]) == 51  # 26 images and 25
        torch.testing.assert_close(joined[name], whole[name], rtol=1e-4, atol=1e-5, msg=name)
    joint, expected = (TASKS["reconstruction"].evaluate(records, ()) for records in (joined, whole))
    for name in ("images", "negative_elbo", "psnr_interval"):
        assert getattr(joint, name) == pytest.approx(getattr(expected, name), rel=1e-4), name
    for name in ("kl_per_dimension", "largest_deviation"):  # of sums that each batch adds
        assert getattr(joint.latent, name) == pytest.approx(getattr(expected.latent, name), rel=1e-4), name


@pytest.fixture
def one_process():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5, 5)])
def test_synchronized_batchnorm_alone_is_batchnorm(one_process, shape):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.BatchNorm1d(3) if len(shape) == 2 else nn.BatchNorm2d(3))
    nn.init.uniform_(plain[0].weight)
    common = synchronize_batchnorm(nn.Sequential(type(plain[0])(3)))
    common.load_state_dict(plain.state_dict())
    inputs = [torch.randn(shape, requires_grad=True) for _ in range(2)]
    inputs[1].data.copy_(inputs[0].data)
    weight = torch.randn(shape)
    outputs = [model(x) for model, x in zip((plain, common), inputs, strict=True)]
    torch.testing.assert_close(outputs[1], outputs[0])
    for output in outputs:
        (output * weight).sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    torch.testing.assert_close(common[0].weight.grad, plain[0].weight.grad)
    torch.testing.assert_close(common.state_dict(), plain.state_dict())
    plain.eval(), common.eval()
    torch.testing.assert_close(common(inputs[0]), plain(inputs[0]))


HERE = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE is 'abc', expected a number of processes"),
        ({"RANK": ""}, "RANK is '', expected 0 to 1 for WORLD_SIZE 2; use torchrun"),
        ({"RANK": "2"}, "RANK is '2', expected 0 to 1"),
        ({"MASTER_ADDR": ""}, "WORLD_SIZE is 2, but MASTER_ADDR is not set; start the processes with torchrun"),
        ({"MASTER_PORT": ""}, "WORLD_SIZE is 2, but MASTER_PORT is not set"),
        ({"MASTER_PORT": "x"}, "MASTER_PORT is 'x', expected a number from 1 to 65,535"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT is '70000', expected a number from 1 to 65,535"),
        ({"MASTER_ADDR": "nowhere.invalid"}, "MASTER_ADDR is 'nowhere.invalid', which is not known on this network"),
        ({}, "process 1 of 2 did not meet the others at 127.0.0.1:1 within 1 seconds; check that MASTER_ADDR"),
    ],
)
def test_processes_that_cannot_meet_are_told_why(monkeypatch, tmp_path, capsys, environment, message):
    monkeypatch.setattr(distributed, "MEETING_SECONDS", 1)
    for name, value in {**HERE, **environment}.items():
        monkeypatch.setenv(name, value)
    assert cli.run(["train", "--model-options", *TINY, "--out", str(tmp_path / "run")]) in (1, 2)
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"glassnet: {message}")]
    assert not (tmp_path / "run").exists()


def test_a_process_says_at_once_what_it_waits_for(monkeypatch, capsys):
    monkeypatch.setattr(distributed, "MEETING_SECONDS", 0.01)
    for name, value in {**HERE, "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WorkError, match="process 1 of 3 did not meet the others"):
        distributed.join_processes(torch.device("cpu"))
    assert "process 1 of 3: waiting for 2 other processes at 127.0.0.1:1\n" in capsys.readouterr().err


def test_a_rank_that_is_left_in_the_environment_changes_nothing(monkeypatch, tmp_path, capsys):
    for name, value in {"RANK": "1", "LOCAL_RANK": "3", "MASTER_ADDR": "nowhere.invalid"}.items():
        monkeypatch.setenv(name, value)
    small = ["--data", f"folder:{save_bars(tmp_path / 'bars')}", "--model-options", "filters=2,2,2,2", "hidden=4"]
    assert cli.run(["train", *small, "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    assert "test accuracy" in capsys.readouterr().out
