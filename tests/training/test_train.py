import dataclasses
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

import glassnet as gn
from command_line import answer
from glassnet import run
from glassnet.errors import InputError
from glassnet.experiment import resolve
from glassnet.training.train import default_name
from tiny_runs import TINY, stops_after_an_epoch, tiny


def words(out, *more):
    options = ["--model-options", *TINY, "--epochs", "4", "--precision", "fp32"]
    return ["train", *options, "--out", str(out), *more]


def command(*arguments):
    return [sys.executable, "-m", "glassnet", *arguments]


def test_a_run_tells_how_it_was_made_and_how_good_it_is(finished):
    manifest = finished.manifest
    assert finished.settings == resolve(tiny(finished.path))
    assert (manifest["device"], manifest["precision"], manifest["processes"]) == ("cpu", "fp32", 1)
    assert manifest["versions"]["torch"] == torch.__version__
    assert {k: manifest["data"][k] for k in ("train", "validation", "test")} == {
        "train": 3600,
        "validation": 400,
        "test": 1000,
    }
    assert [row["epoch"] for row in finished.history] == [1, 2, 3]
    assert finished.metrics["test_accuracy"] > 0.8
    assert manifest["model"]["parameters"] == sum(p.numel() for p in finished.model().parameters())


def test_the_kept_weights_are_those_of_the_best_validated_epoch(finished):
    losses = [row["validation_loss"] for row in finished.history]
    errors = [row["validation_loss_error"] for row in finished.history]
    lowest = losses.index(min(losses))
    assert finished.metrics["epoch"] == 1 + max(
        i for i, loss in enumerate(losses) if loss <= min(losses) + errors[lowest]
    )
    test = finished.dataset().test
    with torch.inference_mode():
        logits = finished.model()(test.images.float() / 255)
    assert (logits.argmax(1) == test.targets).double().mean().item() == pytest.approx(finished.metrics["test_accuracy"])


def test_the_model_normalises_by_the_training_images(finished):
    images = finished.dataset().train.images / 255
    model = finished.model()
    assert model.normalize.mean.item() == pytest.approx(images.mean().item(), rel=1e-4)
    assert model.normalize.std.item() == pytest.approx(images.std(correction=0).item(), rel=1e-4)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(finished, tmp_path):
    torch.manual_seed(999)  # what the caller's generator stands at must not matter, and must stay
    before = torch.get_rng_state()
    again = gn.train(tiny(tmp_path / "again"))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(finished.weights().values(), again.weights().values(), strict=True))
    other = gn.train(tiny(tmp_path / "other", seed=1, epochs=1))
    assert not torch.equal(finished.weights()["conv1.weight"], other.weights()["conv1.weight"])


def wait_for_epoch(epoch, path, process):
    """Wait until an epoch is written, then into the middle of the next."""
    deadline = time.monotonic() + 120
    while not (path / "metrics.jsonl").exists() or (path / "metrics.jsonl").read_text().count("\n") < epoch:
        assert process.poll() is None, "the training ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.05)


@pytest.fixture(scope="module")
def whole_and_loaded(tmp_path_factory):
    """The run that nothing stopped, made in a process of its own; and what that loaded."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    listed = [sys.executable, "-X", "importtime", *command(*words(out))[1:]]
    done = subprocess.run(listed, capture_output=True, text=True, check=True)
    assert "test accuracy" in done.stdout
    return gn.Run.open(out), {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


@pytest.fixture(scope="module")
def whole(whole_and_loaded):
    return whole_and_loaded[0]


def test_a_training_loads_nothing_that_it_does_not_use(whole_and_loaded):
    """Each would take a tenth of a second at least."""
    loaded = whole_and_loaded[1]
    assert {"torch", "accelerate"} <= loaded
    assert not loaded & {"requests", "sklearn", "matplotlib.pyplot", "numba"}


def assert_same_training(resumed, whole):
    one, other = whole.weights(), resumed.weights()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert timeless_history(resumed) == timeless_history(whole)


def timeless_history(run):
    """What each epoch came to, without the seconds that it took."""
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in run.history]


def heed_interrupts():
    """As a terminal starts a process: a shell's background job would hand on that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_run_that_is_killed_and_then_interrupted_resumes_to_the_identical_weights(whole, tmp_path, capsys):
    out = tmp_path / "run"
    process = subprocess.Popen(command(*words(out)), stderr=subprocess.DEVNULL)
    wait_for_epoch(1, out, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(InputError, match="is an unfinished run; continue it with"):
        gn.Run.open(out)
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "tra')  # as if it had been killed while it wrote
    resume = command("train", "--resume", str(out))
    process = subprocess.Popen(resume, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    wait_for_epoch(2, out, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert "continue with `glassnet train --resume" in stderr
    assert "Traceback" not in stderr
    assert len((out / "metrics.jsonl").read_text().splitlines()) < 4
    assert answer(capsys, "train", "--resume", out)["metrics"] == whole.metrics
    resumed = gn.Run.open(out)
    assert len(resumed.history) == 4
    assert_same_training(resumed, whole)


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A run that was stopped in its second epoch."""
    with stops_after_an_epoch(monkeypatch):
        gn.train(tiny(tmp_path / "stopped", epochs=2))
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


def test_a_resumed_run_keeps_its_settings(finished, tmp_path):
    with pytest.raises(InputError, match=r"--epochs cannot be given with --resume"):
        gn.train(gn.TrainSettings(resume=finished.path, epochs=9))
    with pytest.raises(InputError, match="is finished; there is nothing to resume"):
        gn.train(gn.TrainSettings(resume=finished.path))
    with pytest.raises(InputError, match=r"state\.pt is missing"):
        gn.train(gn.TrainSettings(resume=tmp_path))


def test_no_run_is_overwritten(finished):
    with pytest.raises(InputError, match="is not empty; give another --out"):
        gn.train(tiny(finished.path))


ONE_EPOCH = {"epochs": 1, "batch_size": 400}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run of one epoch, to compare others with."""
    return gn.train(tiny(tmp_path_factory.mktemp("runs") / "plain", **ONE_EPOCH))


@pytest.mark.parametrize(
    "options", [{"precision": "bf16"}, {"weight_averaging": 0.0}, {"augment": False}, {"label_smoothing": 0.1}]
)
def test_each_option_trains_and_changes_the_weights(plain, tmp_path, options):
    other = gn.train(tiny(tmp_path / "run", **{**options, **ONE_EPOCH}))
    assert not torch.equal(other.weights()["conv1.weight"], plain.weights()["conv1.weight"])
    assert other.history[0]["train_accuracy"] > 0.2


def test_a_training_in_bf16_tests_as_an_evaluation_does(tmp_path):
    trained = gn.train(tiny(tmp_path / "run", precision="bf16", **ONE_EPOCH))
    exact, rounded = (gn.evaluate(trained, precision=one, device="cpu") for one in ("fp32", "bf16"))
    assert trained.manifest["precision"] == "bf16"
    assert trained.metrics["test_accuracy"] == exact.accuracy
    assert trained.metrics["test_loss"] == pytest.approx(exact.loss, rel=1e-6)
    assert rounded.loss != pytest.approx(exact.loss, rel=1e-6)  # or nothing was compared


@pytest.fixture
def photos(tmp_path):
    """Twelve pictures of 8 by 8 pixels in a folder with a space in its name."""
    root, random = tmp_path / "My dogs", np.random.default_rng(0)
    for name in ("big", "small"):
        (root / name).mkdir(parents=True)
        for number in range(6):
            Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(root / name / f"{number}.png")
    return root


def test_a_run_on_a_folder_is_named_after_it(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = tiny(None, model_options=("filters=2,2,2,2", "hidden=4"), epochs=1, validation=0.4, batch_size=4)
    for data, root in ((f"folder:{photos}", None), ("folder:My dogs", None), ("folder", photos)):
        gn.train(dataclasses.replace(small, data=data, data_root=root))
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "my-dogs-convnet-seed0",
        "my-dogs-convnet-seed0-2",
        "my-dogs-convnet-seed0-3",
    ]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("mnist-sample", "mnist-sample"),
        ("stanford_dogs", "stanford_dogs"),
        ("folder:/a/Käfer (2024)/", "käfer-2024"),
        ("masks:../x/v1.2_final", "v1-2-final"),
        ("folder:/", "folder"),
        ("folder:/a/--", "folder"),
    ],
)
def test_the_names_of_runs(data, name):
    task = "segmentation" if data.startswith("masks") else "classification"
    model = "unet_small" if data.startswith("masks") else "convnet"
    settings = resolve(gn.TrainSettings(data=data, task=task, model=model, seed=3))
    assert default_name(settings) == f"{name}-{model}-seed3"


def test_damaged_weights_and_another_models_weights_are_refused(copy):
    folder = copy.path
    manifest = json.loads((folder / "run.json").read_text())
    manifest["model"]["options"]["hidden"] = 17
    (folder / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"model\.safetensors does not fit convnet"):
        gn.Run.open(folder).model()
    manifest["model"]["options"]["hidden"] = "x"
    (folder / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="the model's description is damaged"):
        gn.Run.open(folder).model()
    manifest["settings"]["epochs"] = "many"
    (folder / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"the setting epochs is 'many', expected a whole number"):
        _ = gn.Run.open(folder).settings
