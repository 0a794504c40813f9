import json
import os
import shutil

import numpy as np
import pytest
import torch

from glassnet import run
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.files import atomic, read_json, write_json
from glassnet.run import RunDirectory

METRICS = {"epoch": 1, "test_loss": 1.0, "test_accuracy": 0.5, "test_accuracy_interval": [0.4, 0.6]}
SIZES = {"in_channels": 1, "num_classes": 2, "image_size": 8, "parameters": 6, "layers": []}
MANIFEST = {
    "schema_version": 1,
    "settings": {"data": "mnist-sample", "model": "convnet", "task": "classification"},
    "model": {"name": "convnet", "options": {}, **SIZES},
    "data": {"name": "mnist-sample", "classes": ["a", "b"], "train": 3, "validation": 1, "test": 2},
    "metrics": METRICS,
}


@pytest.fixture
def finished(tmp_path):
    path = tmp_path / "a-run"
    path.mkdir()
    run.write_weights(path, {"weight": torch.arange(6.0).view(2, 3)})
    run.append_history(path, {"epoch": 1, "train_loss": 0.5})
    write_json(path / "run.json", MANIFEST)
    return path


def test_a_finished_run_opens(finished):
    opened = RunDirectory.open(finished)
    assert opened.name == "a-run"
    assert opened.metrics == METRICS
    assert opened.history == [{"epoch": 1, "train_loss": 0.5}]
    assert torch.equal(opened.weights()["weight"], torch.arange(6.0).view(2, 3))


def test_a_run_of_before_has_its_settings_under_the_names_of_today(finished):
    old = {"pasted": 0.5, "small_epochs": 0.7, "small_size": 5}
    write_json(finished / "run.json", MANIFEST | {"settings": MANIFEST["settings"] | old})
    opened = Run.open(finished)
    assert opened.manifest["settings"] == MANIFEST["settings"] | {
        "copy_paste": 0.5, "low_res_epochs": 0.7, "low_res_size": 5,
    }  # fmt: skip
    assert (opened.settings.copy_paste, opened.settings.low_res_epochs, opened.settings.low_res_size) == (0.5, 0.7, 5)


def test_what_is_no_run_is_refused(tmp_path, finished):
    with pytest.raises(InputError, match=r"no run at .*nowhere; expected a run directory"):
        RunDirectory.open(tmp_path / "nowhere")
    (finished / "run.json").unlink()
    with pytest.raises(InputError, match=r"has no run\.json"):
        RunDirectory.open(finished)
    run.write_checkpoint(finished, {"settings": {}})
    with pytest.raises(InputError, match=r"is an unfinished run; continue it with `glassnet train --resume"):
        RunDirectory.open(finished)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"run\.json is damaged"),
        ("[]", "no schema_version"),
        ('{"schema_version": "1"}', "no schema_version"),
        ('{"schema_version": 3}', r"schema version 3, but this glassnet reads up to 2; upgrade with"),
        ('{"schema_version": true}', "no schema_version"),
        ('{"schema_version": -5}', "no schema_version"),
        ('{"schema_version": 1, "settings": {}}', r"lacks settings\.data, settings\.model, .*, metrics\.epoch"),
        ("\xff\xfe", "is damaged"),
    ],
)
def test_a_damaged_or_newer_manifest_is_refused(finished, text, message):
    (finished / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        RunDirectory.open(finished)


def test_damaged_files_are_named(finished):
    opened = RunDirectory.open(finished)
    weights = (finished / "model.safetensors").read_bytes()
    for damaged in (b"", b"\x00" * 20, weights[:-4]):
        (finished / "model.safetensors").write_bytes(damaged)
        with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
            RunDirectory.open(finished)
        with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
            opened.weights()
    opened.save_arrays("features/a.npz", {"x": np.arange(1000)})
    assert np.array_equal(opened.load_arrays("features/a.npz")["x"], np.arange(1000))
    whole = (finished / "features/a.npz").read_bytes()
    (finished / "features/a.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.npz is damaged"):
        opened.load_arrays("features/a.npz")
    with pytest.raises(InputError, match=r"b\.npz is missing"):
        opened.load_arrays("features/b.npz")
    kept = bytearray(whole)
    kept[len(kept) // 2] ^= 0xFF
    (finished / "features/a.npz").write_bytes(kept)
    with pytest.raises(InputError, match=r"a\.npz is damaged"):
        opened.load_arrays("features/a.npz")
    with pytest.raises(InputError, match="is outside the run"):
        opened.save_json("../elsewhere.json", {})
    (finished / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no model\.safetensors"):
        RunDirectory.open(finished)


def test_history_leaves_out_a_line_that_was_cut_and_refuses_a_damaged_one(finished):
    with (finished / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "tr')
    assert [row["epoch"] for row in run.read_history(finished)] == [1]
    run.truncate_history(finished, 0)
    assert run.read_history(finished) == []
    (finished / "metrics.jsonl").write_text('{"epoch": 1}\nnonsense\n{"epoch": 3}\n')
    with pytest.raises(InputError, match="damaged in line 2"):
        run.read_history(finished)
    (finished / "metrics.jsonl").write_text("3\n")
    with pytest.raises(InputError, match="damaged in line 1"):
        run.read_history(finished)
    with pytest.raises(InputError, match="damaged in line 1"):
        run.truncate_history(finished, 2)
    (finished / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2')
    with pytest.raises(InputError, match="has 1 of 2 epochs"):
        run.truncate_history(finished, 2)
    (finished / "metrics.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(InputError, match="damaged in line 1"):
        run.read_history(finished)
    (finished / "metrics.jsonl").unlink()
    with pytest.raises(InputError, match=r"metrics\.jsonl is missing"):
        run.read_history(finished)


def test_atomic_leaves_the_old_file_when_the_writer_fails(tmp_path):
    file = tmp_path / "deep" / "a.json"
    write_json(file, {"a": 1})

    def fail():
        with atomic(file) as temporary:
            temporary.write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail()
    assert read_json(file) == {"a": 1}
    assert [path.name for path in file.parent.iterdir()] == ["a.json"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_may_be_read_by_whom_the_umask_allows(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_json(tmp_path / "a.json", {"a": 1})
        run.write_weights(tmp_path, {"weight": torch.zeros(2)})
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "a.json": mode, "model.safetensors": mode,
    }  # fmt: skip


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_a_run_is_put_into_a_folder_of_its_own(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file is a file, expected a new or empty folder; give another --out"):
        run.create(tmp_path / "file", "name")
    with pytest.raises(InputError, match="is not empty; give another --out, or remove the folder"):
        run.create(tmp_path, "name")
    with pytest.raises(
        InputError, match=r"cannot make the run directory .*x \(File name too long\); give another --out"
    ):
        run.create(tmp_path / ("x" * 300), "name")
    with pytest.raises(InputError, match=r"cannot make the run directory .*file/deep \(Not a directory\)"):
        run.create(tmp_path / "file" / "deep", "name")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*file/below/a\.json .*; choose another place"):
        write_json(tmp_path / "file" / "below" / "a.json", {})
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        write_json(tmp_path / "folder", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    with pytest.raises(InputError, match="is damaged"):
        read_json(tmp_path / "folder")


def test_new_runs_are_numbered_and_never_overwrite(tmp_path, monkeypatch, finished):
    monkeypatch.chdir(tmp_path)
    assert [str(run.create(None, "demo")) for _ in range(3)] == ["runs/demo", "runs/demo-2", "runs/demo-3"]
    with pytest.raises(InputError, match="is not empty; give another --out"):
        run.create(finished, "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file, expected a new or empty folder"):
        run.create(tmp_path / "file", "x")
    with pytest.raises(InputError, match="cannot make the run directory"):
        run.create(tmp_path / "file" / "below", "x")


def test_checkpoints_hold_no_code_and_say_what_is_wrong(finished, tmp_path):
    unfinished = tmp_path / "other"
    unfinished.mkdir()
    with pytest.raises(InputError, match=r"state\.pt is missing; expected an unfinished run"):
        run.read_checkpoint(unfinished)
    run.write_checkpoint(unfinished, {"settings": {"epochs": 3}, "started": "now", "state": {"w": torch.ones(2)}})
    assert torch.equal(run.read_checkpoint(unfinished)["state"]["w"], torch.ones(2))
    with pytest.raises(InputError, match="is finished; there is nothing to resume"):
        run.read_checkpoint(finished)
    file = unfinished / "checkpoint" / "state.pt"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"state\.pt is damaged"):
        run.read_checkpoint(unfinished)
    for damaged in (b"", b"hello"):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=r"state\.pt is damaged"):
            run.read_checkpoint(unfinished)
    torch.save({}, file)
    with pytest.raises(InputError, match=r"state\.pt is damaged"):
        run.read_checkpoint(unfinished)
    torch.save({"settings": shutil.rmtree, "started": "now", "state": {}}, file)
    with pytest.raises(InputError, match=r"state\.pt is damaged"):
        run.read_checkpoint(unfinished)


def test_figures_are_saved_with_what_they_show(finished):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.add_subplot().plot([1, 2])
    RunDirectory.open(finished).save_figure("curve", figure, title="A curve", alt="It rises.", caption="From 1 to 2.")
    assert (finished / "figures/curve.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (finished / "figures/curve.svg").read_text()
    said = json.loads((finished / "figures/curve.json").read_text())
    assert said == {"title": "A curve", "alt": "It rises.", "caption": "From 1 to 2."}
