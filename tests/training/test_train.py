import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import glassnet as gn
from glassnet import run
from glassnet.errors import InputError, WorkError
from glassnet.experiment import resolve
from glassnet.tasks import TASKS

TINY = ("filters=4,4,8,8", "hidden=16")


def tiny(out, **options):
    return gn.TrainSettings(**{"model_options": TINY, "epochs": 2, "precision": "fp32", "out": out, **options})


def command(out, *words):
    options = ["--model-options", *TINY, "--epochs", "4", "--precision", "fp32"]
    return [sys.executable, "-m", "glassnet", "train", *options, "--out", str(out), *words]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return gn.train(tiny(tmp_path_factory.mktemp("runs") / "a"))


def test_a_run_tells_how_it_was_made_and_how_good_it_is(trained):
    manifest = trained.manifest
    assert trained.settings == resolve(tiny(trained.path))
    assert (manifest["device"], manifest["precision"], manifest["processes"]) == ("cpu", "fp32", 1)
    assert manifest["versions"]["torch"] == torch.__version__
    assert {k: manifest["data"][k] for k in ("train", "validation", "test")} == {
        "train": 3600,
        "validation": 400,
        "test": 1000,
    }
    assert [row["epoch"] for row in trained.history] == [1, 2]
    assert trained.metrics["test_accuracy"] > 0.8
    assert manifest["model"]["parameters"] == sum(p.numel() for p in trained.model().parameters())


def test_the_kept_weights_are_those_of_the_best_validated_epoch(trained):
    losses = [row["validation_loss"] for row in trained.history]
    errors = [row["validation_loss_error"] for row in trained.history]
    lowest = losses.index(min(losses))
    assert trained.metrics["epoch"] == 1 + max(
        i for i, loss in enumerate(losses) if loss <= min(losses) + errors[lowest]
    )
    test = trained.dataset().test
    with torch.inference_mode():
        logits = trained.model()(test.images.float() / 255)
    assert (logits.argmax(1) == test.targets).double().mean().item() == pytest.approx(trained.metrics["test_accuracy"])


def test_the_model_normalises_by_the_training_images(trained):
    images = trained.dataset().train.images / 255
    model = trained.model()
    assert model.normalize.mean.item() == pytest.approx(images.mean().item(), rel=1e-4)
    assert model.normalize.std.item() == pytest.approx(images.std(correction=0).item(), rel=1e-4)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(trained, tmp_path):
    torch.manual_seed(999)  # what the caller's generator stands at must not matter, and must stay
    before = torch.get_rng_state()
    again = gn.train(tiny(tmp_path / "again"))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(trained.weights().values(), again.weights().values(), strict=True))
    other = gn.train(tiny(tmp_path / "other", seed=1, epochs=1))
    assert not torch.equal(trained.weights()["conv1.weight"], other.weights()["conv1.weight"])


def wait_for_epoch(path, process):
    """Wait until the first epoch is written, then into the middle of the next."""
    deadline = time.monotonic() + 120
    while not (path / "metrics.jsonl").exists() or not (path / "metrics.jsonl").read_text().count("\n"):
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_identical_weights(tmp_path):
    whole = subprocess.run(command(tmp_path / "whole"), capture_output=True, text=True, check=True)
    assert "test accuracy" in whole.stdout
    process = subprocess.Popen(command(tmp_path / "killed"), stderr=subprocess.DEVNULL)
    wait_for_epoch(tmp_path / "killed", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(InputError, match="is an unfinished run; continue it with"):
        gn.Run.open(tmp_path / "killed")
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "tra')  # as if it had been killed while it wrote
    resume = [sys.executable, "-m", "glassnet", "train", "--resume", str(tmp_path / "killed"), "--json"]
    resumed = subprocess.run(resume, capture_output=True, text=True, check=True)
    assert json.loads(resumed.stdout)["metrics"] == gn.Run.open(tmp_path / "whole").metrics
    one, other = gn.Run.open(tmp_path / "whole").weights(), gn.Run.open(tmp_path / "killed").weights()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert timeless_history(tmp_path / "killed") == timeless_history(tmp_path / "whole")


def timeless_history(path):
    """What each epoch came to, without the seconds that it took."""
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in gn.Run.open(path).history]


def heed_interrupts():
    """As a terminal starts a process: a shell's background job would hand on that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.slow
def test_control_c_leaves_a_resumable_run(tmp_path):
    process = subprocess.Popen(command(tmp_path / "run"), stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    wait_for_epoch(tmp_path / "run", process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "continue with `glassnet train --resume" in said
    assert "Traceback" not in said
    resumed = gn.train(gn.TrainSettings(resume=tmp_path / "run"))
    assert len(resumed.history) == 4


def test_a_lost_training_stops_and_says_what_to_try(tmp_path):
    with pytest.raises(WorkError, match=r"the loss became \S+ in epoch 1 by step \d+, expected a finite number; lower"):
        gn.train(tiny(tmp_path / "lost", learning_rate=1e30))
    assert not (tmp_path / "lost" / "run.json").exists()


def test_a_training_lost_in_its_last_step_is_noticed_and_not_kept(tmp_path):
    with pytest.raises(WorkError, match="the loss became nan in epoch 1 after its last step"):
        gn.train(tiny(tmp_path / "lost", learning_rate=1e30, batch_size=5000, epochs=1))
    assert not (tmp_path / "lost" / "metrics.jsonl").read_text()
    assert not (tmp_path / "lost" / "model.safetensors").exists()


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A run that was stopped in its second epoch."""
    module = sys.modules["glassnet.training.train"]  # the package's name `train` is the function
    epochs = iter([module._train_epoch])

    def once(*arguments):
        for epoch in epochs:
            return epoch(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_train_epoch", once)
    with pytest.raises(KeyboardInterrupt):
        gn.train(tiny(tmp_path / "stopped"))
    monkeypatch.undo()
    return tmp_path / "stopped"


def test_a_stopped_run_says_how_to_go_on_and_keeps_when_it_began(stopped, capsys):
    began = run.read_checkpoint(stopped)["started"]
    resumed = gn.train(gn.TrainSettings(resume=stopped, device="cpu"))
    assert resumed.manifest["started"] == began
    assert [row["epoch"] for row in resumed.history] == [1, 2]


def test_a_damaged_checkpoint_and_a_lost_history_are_refused(stopped):
    (stopped / "metrics.jsonl").rename(stopped / "away")
    with pytest.raises(InputError, match=r"metrics\.jsonl has 0 of 1 epochs; restore it"):
        gn.train(gn.TrainSettings(resume=stopped))
    (stopped / "away").rename(stopped / "metrics.jsonl")
    saved = run.read_checkpoint(stopped)
    run.write_checkpoint(stopped, {**saved, "settings": {**saved["settings"], "epochs": "many"}})
    with pytest.raises(InputError, match=r"the setting epochs is 'many', expected a whole number"):
        gn.train(gn.TrainSettings(resume=stopped))
    run.write_checkpoint(stopped, {**saved, "state": {"model": {}}})
    with pytest.raises(InputError, match=r"the checkpoint of .* does not fit its settings"):
        gn.train(gn.TrainSettings(resume=stopped))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "mnits"}, "no data set 'mnits'"),
        ({"model": "convnte"}, "no model 'convnte'"),
        ({"model_options": ("filter=3",)}, "no option 'filter' in convnet"),
        ({"device": "tpu"}, "the device is 'tpu', expected auto, cpu or cuda"),
        ({"precision": "fp8"}, "the precision is 'fp8', expected auto, fp32 or bf16"),
        ({"validation": 0.0001}, "leaves an empty part"),
    ],
)
def test_wrong_input_writes_nothing(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        gn.train(tiny(tmp_path / "none", **options))
    assert not (tmp_path / "none").exists()


def test_a_resumed_run_keeps_its_settings(trained, tmp_path):
    with pytest.raises(InputError, match=r"--epochs cannot be given with --resume"):
        gn.train(gn.TrainSettings(resume=trained.path, epochs=9))
    with pytest.raises(InputError, match="is finished; there is nothing to resume"):
        gn.train(gn.TrainSettings(resume=trained.path))
    with pytest.raises(InputError, match=r"state\.pt is missing"):
        gn.train(gn.TrainSettings(resume=tmp_path))


def test_no_run_is_overwritten(trained):
    with pytest.raises(InputError, match="is not empty; give another --out"):
        gn.train(tiny(trained.path))


@pytest.mark.parametrize(
    "options", [{"precision": "bf16"}, {"weight_averaging": 0.0}, {"augment": False}, {"label_smoothing": 0.1}]
)
def test_each_option_trains_and_changes_the_weights(trained, tmp_path, options):
    other = gn.train(tiny(tmp_path / "run", **{**options, "epochs": 1, "batch_size": 400}))
    plain = gn.train(tiny(tmp_path / "plain", epochs=1, batch_size=400))
    assert not torch.equal(other.weights()["conv1.weight"], plain.weights()["conv1.weight"])
    assert other.history[0]["train_accuracy"] > 0.2


@pytest.mark.parametrize(
    ("epochs", "options", "augmented"),
    [
        (8, {}, [0, 1, 2, 3, 4, 5]),
        (5, {}, [0, 1, 2, 3]),
        (1, {}, [0]),
        (3, {}, [0, 1, 2]),
        (10, {"plain_epochs": 0.7}, [0, 1, 2]),
        (4, {"plain_epochs": 0.5}, [0, 1]),
        (2, {"plain_epochs": 0.0}, [0, 1]),
        (3, {"augment": False}, []),
    ],
)
def test_the_last_epochs_show_images_as_they_are(tmp_path, monkeypatch, epochs, options, augmented):
    seen = []

    def batches(split, *, augmentation, **rest):
        seen.append(augmentation)
        return iter([(torch.rand(8, 1, 28, 28), torch.arange(8))])

    monkeypatch.setattr(importlib.import_module("glassnet.training.train"), "shuffled_batches", batches)
    gn.train(tiny(tmp_path / "run", epochs=epochs, validation=0.01, **options))
    assert seen == ["digits" if epoch in augmented else "none" for epoch in range(epochs)]


def test_damaged_weights_and_another_models_weights_are_refused(trained, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(trained.path, copy)
    manifest = json.loads((copy / "run.json").read_text())
    manifest["model"]["options"]["hidden"] = 17
    (copy / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"model\.safetensors does not fit convnet"):
        gn.Run.open(copy).model()
    manifest["model"]["options"]["hidden"] = "x"
    (copy / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="the model's description is damaged"):
        gn.Run.open(copy).model()
    manifest["settings"]["epochs"] = "many"
    (copy / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"the setting epochs is 'many', expected a whole number"):
        _ = gn.Run.open(copy).settings


def torchrun(script_or_module, *words, tmp_path):
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *script_or_module]
    return subprocess.run([*line, *words], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)


@pytest.mark.slow
def test_two_processes_train_the_same_run(tmp_path):
    options = ("filters=8,8,16,16", "hidden=64")  # enough to learn so well that three images in a thousand are many
    words = ["train", "--model-options", *options, "--epochs", "6", "--precision", "fp32"]
    words += ["--out", str(tmp_path / "two")]
    done = torchrun(["-m", "glassnet"], *words, tmp_path=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == 1
    two = gn.Run.open(tmp_path / "two")
    one = gn.train(tiny(tmp_path / "one", epochs=6, model_options=options))
    assert two.manifest["processes"] == 2
    assert len(two.history) == 6
    # Rounding differs, so the weights drift apart; what is learned does not.
    assert abs(two.metrics["test_accuracy"] - one.metrics["test_accuracy"]) <= 0.003
    assert two.history[0]["train_loss"] == pytest.approx(one.history[0]["train_loss"], rel=1e-2)


@pytest.mark.slow
def test_wrong_input_stops_all_processes_with_one_sentence(tmp_path):
    done = torchrun(["-m", "glassnet"], "train", "--data", "mnits", tmp_path=tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("no data set 'mnits'") == 1
    assert "glassnet/training" not in done.stderr  # no traceback of ours
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def first_steps(tmp_path_factory):
    """What one process and two find in the first steps of each task."""
    folder, script = tmp_path_factory.mktemp("steps"), Path(__file__).parent / "first_gradients.py"
    done = torchrun([str(script)], str(folder / "two.pt"), tmp_path=folder)
    assert done.returncode == 0, done.stderr
    subprocess.run([sys.executable, str(script), str(folder / "one.pt")], check=True)
    return tuple(torch.load(folder / f"{name}.pt", weights_only=True) for name in ("one", "two"))


@pytest.mark.slow
@pytest.mark.parametrize("of", ["digits", "masks", "vae"])
def test_two_processes_average_the_gradients_that_one_would_have(first_steps, of):
    one, two = (found[of]["gradients"] for found in first_steps)
    assert len(one) == len(two) == 3
    for step, (a, b) in enumerate(zip(one, two, strict=True)):
        for name in a:
            scale = a[name].abs().max().item()
            difference = (a[name] - b[name]).abs().max().item()
            assert difference <= 1e-9 * scale, f"{name} in step {step}: {difference} of {scale}"


@pytest.mark.slow
@pytest.mark.parametrize("of", ["digits", "masks"])
def test_two_processes_measure_what_one_would(first_steps, of):
    """Also one image, of which the second process has none; the masks' rows are those of a part of mapped tensors."""
    one, two = (found[of] for found in first_steps)
    assert two["means"] == pytest.approx(one["means"], rel=1e-6)  # accuracies are in single precision
    for whole, joined in zip(one["measured"], two["measured"], strict=True):
        assert whole.keys() == joined.keys()
        for key, value in whole.items():
            if key == "confusion":  # one a batch, and two processes have a batch each
                value, joined[key] = value.sum(dim=0), joined[key].sum(dim=0)
            torch.testing.assert_close(joined[key], value, msg=key)


@pytest.mark.slow
def test_two_processes_remember_of_each_image_of_a_reconstruction_what_one_would(first_steps):
    one, two = (found["vae"] for found in first_steps)
    assert two["means"] == pytest.approx(one["means"], rel=1e-6)
    (whole,), (joined,) = one["measured"], two["measured"]
    for name in ("reconstruction", "kl", "psnr", "mse"):
        assert len(whole[name]) == 51  # 26 images and 25
        torch.testing.assert_close(joined[name], whole[name], rtol=1e-4, atol=1e-5, msg=name)
    told, expected = (TASKS["reconstruction"].evaluate(records, ()) for records in (joined, whole))
    for name in ("images", "negative_elbo", "psnr_interval"):
        assert told[name] == pytest.approx(expected[name], rel=1e-4), name
    for name in ("kl_per_dimension", "largest_deviation"):  # of sums that each batch adds
        assert told["latent"][name] == pytest.approx(expected["latent"][name], rel=1e-4), name
