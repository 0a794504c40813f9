import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import small_parts
from glassnet.cli.training import reproduce
from glassnet.errors import InputError
from glassnet.reproduction import PARTS, whole
from glassnet.reproduction.whole import data as chosen_data
from glassnet.reproduction.whole.data import choose_data
from glassnet.reproduction.whole.plan import list_trainings, part_settings
from glassnet.settings.train import ReproduceSettings

REPORT = dict(PARTS)
"""The report's own parts, where others stand in for them."""
ASKED = ReproduceSettings(data="mnist-sample", seeds=(0, 1, 2))


@pytest.fixture(scope="module")
def small(pictures):
    with pytest.MonkeyPatch.context() as patch:
        small_parts.put_in(pictures)
        yield patch
        PARTS.clear()
        PARTS.update(REPORT)


@pytest.fixture(scope="module")
def done(small, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "all"
    return reproduce(replace(ASKED, out=out)), out


def test_one_folder_one_page_one_index(done):
    answer, out = done
    told = json.loads((out / "results.json").read_text())
    assert told == json.loads(json.dumps(dict(answer.data)))
    assert list(told["parts"]) == ["classification", "channels"]
    assert [one["status"] for one in told["plan"]["trainings"]] == ["to do"] * 3
    assert told["plan"]["estimate"]["training_seconds"] > 0
    (entry,) = told["index"]
    assert (entry["figure"], entry["report"], entry["basis"]) == ("1", 0.9955, "3 seeds")
    assert entry["difference"] == pytest.approx(entry["ours"] - 0.9955)
    page = (out / "report.html").read_text()
    for words in ("2 Multi-category classification", "0.9955", "Small networks learn", "Figure of channels"):
        assert words in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)  # it loads nothing
    assert "0.9955" in (out / "index.md").read_text()


def test_what_several_parts_need_is_trained_once(done):
    _, out = done
    assert sorted(path.parent.name for path in out.rglob("run.json")) == [f"small-seed{seed}" for seed in (0, 1, 2)]
    (first, *_) = list_trainings(dict.fromkeys(PARTS, ASKED), PARTS, out)
    assert (first.parts, first.figures, first.done) == (("classification", "channels"), ("1", "17"), None)


def test_what_is_finished_is_read_back(done, capsys):
    answer, out = done
    again = reproduce(replace(ASKED, out=out))
    err = capsys.readouterr().err
    assert "classification: already finished" in err
    assert "channels: already finished" in err
    assert "Trainings 0 s, as none is left to do" in err
    assert again.data["parts"] == answer.data["parts"]
    assert again.data["index"] == answer.data["index"]


@pytest.mark.parametrize("change", ["code", "run", "figure", "json"])
def test_a_part_of_other_code_or_runs_is_done_again(done, monkeypatch, capsys, change):
    _, out = done
    if change == "code":
        monkeypatch.setattr(whole, "code_digest", lambda _: "another")
    elif change == "run":
        monkeypatch.setattr(whole, "_started", lambda _: "later")
    elif change == "figure":
        (out / "figures" / "figure-classification.svg").unlink()
    else:
        (out / "classification.json").write_text('{"part": "classification"}')
    reproduce(replace(ASKED, out=out))
    assert "classification: already finished" not in capsys.readouterr().err
    assert (out / "figures" / "figure-classification.svg").exists()
    monkeypatch.undo()
    reproduce(replace(ASKED, out=out))  # as it was, for the other tests


def test_a_dry_run_writes_nothing(small, tmp_path):
    answer = reproduce(replace(ASKED, out=tmp_path / "none", dry_run=True))
    assert not (tmp_path / "none").exists()
    assert "Estimate: " in answer.text
    assert "from a few steps of each network on this machine" in answer.text
    assert [one["status"] for one in answer.data["trainings"]] == ["to do"] * 3


def test_runs_of_other_settings_are_refused_before_any_work(done, pictures, monkeypatch):
    _, out = done
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    monkeypatch.setattr(small_parts, "EPOCHS", 5)
    with pytest.raises(InputError, match=r"small-seed0 was trained with other settings \(epochs 3, expected 5\)"):
        reproduce(replace(ASKED, out=out))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def wait_for(file, lines=1):
    """Wait until a file has so many lines; the process that writes it is then in the midst of something."""
    for _ in range(6000):
        if file.exists() and len(file.read_bytes().splitlines()) >= lines:
            return
        time.sleep(0.02)
    pytest.fail(f"{file} did not come")


@pytest.mark.parametrize("kills", [[1], pytest.param([0, 1, 2], marks=pytest.mark.slow)])
def test_killed_it_does_nothing_twice(done, pictures, tmp_path, capsys, kills):
    """SIGKILL in the second training, or also in the first and after the first part; then to the end, here."""
    _, whole_out = done
    out = tmp_path / "killed"
    runs = [out / "training" / f"small-seed{seed}" for seed in range(3)]
    command = [sys.executable, small_parts.__file__, pictures, str(out)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    stamps = {}
    moments = ((runs[0] / "metrics.jsonl", 1), (runs[1] / "metrics.jsonl", 2), (out / "classification.json", 1))
    for file, lines in (moments[kill] for kill in kills):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        wait_for(file, lines)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert stamps.items() <= _stamps(out).items()
        stamps = _stamps(out)
    capsys.readouterr()
    reproduce(replace(ASKED, out=out))
    assert stamps.items() <= _stamps(out).items()
    assert ("classification: already finished" in capsys.readouterr().err) == (2 in kills)
    told, straight = (json.loads((one / "results.json").read_text()) for one in (out, whole_out))
    assert told["index"] == straight["index"]
    for name, part in straight["parts"].items():
        assert {key: told["parts"][name][key] for key in ("tables", "verdicts", "figures")} == {
            key: part[key] for key in ("tables", "verdicts", "figures")
        }


def _stamps(out):
    """When each finished run was written."""
    return {path: path.stat().st_mtime_ns for path in out.rglob("run.json")}


def test_seed_plan_and_data_of_each_part(tmp_path, monkeypatch):
    monkeypatch.setattr(chosen_data, "_read", lambda name, root, why: chosen_data.DataChoice(name, name, why, 9, 9, ""))
    monkeypatch.setattr(chosen_data, "is_offline", lambda: False)
    asked = ReproduceSettings(budget="quick", data_root=tmp_path)
    data = choose_data(asked, {"cifar10": "photos-sample"}, fetch=True)
    given = part_settings(asked, REPORT, data)
    assert given["classification"].seeds == (0, 1)
    assert given["segmentation"].seeds == given["reconstruction"].seeds == (0,)
    assert given["gradcam"].images == 500
    assert given["segmentation"].data == "voc-aug"
    assert given["reconstruction"].datasets == ("mnist", "photos-sample", "stanford_dogs")
    listed = list_trainings(given, REPORT, tmp_path / "out")
    own = [one for one in listed if one.training.settings.model == "convnet"]
    shared = [one for one in own if {"3", "12", "13", "14", "17"} <= set(one.figures)]
    assert [one.training.settings.seed for one in shared] == [0]
    assert shared[0].parts == ("classification", "features", "gradcam", "channels")
    assert {one.training.settings.epochs for one in own} == {1}
    assert {one.training.settings.epochs for one in listed if one.training.settings.model == "fcn8_small"} == {3, 8}
    figures = {figure for one in listed for figure in one.figures}
    assert figures >= {"1", "3", "4", "5", "7", "8", "11", "12", "13", "14", "15", "16", "17"}


def test_data_that_cannot_be_had_are_replaced_and_said(tmp_path, capsys):
    asked = ReproduceSettings(data_root=tmp_path)
    data = {one.wanted: one for one in choose_data(asked, {}, fetch=True)}
    assert {name: one.used for name, one in data.items()} == chosen_data.STAND_INS
    assert "mnist is not in" in data["mnist"].why
    assert "mnist is replaced by mnist-sample" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"this reproduction began with mnist, which is no longer available"):
        choose_data(asked, {"mnist": "mnist"}, fetch=True)


def test_a_dry_run_fetches_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(chosen_data, "is_offline", lambda: False)
    monkeypatch.setattr(chosen_data, "_read", lambda *_: pytest.fail("read"))
    data = choose_data(ReproduceSettings(data_root=tmp_path), {}, fetch=False)
    assert {one.why for one in data if one.used == "mnist"} == {"to be fetched"}
    assert next(one.train for one in data if one.used == "mnist") == 60_000


def test_a_damaged_plan_is_refused(small, tmp_path):
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(InputError, match=r"plan\.json is damaged \(it does not say which data are used\)"):
        reproduce(replace(ASKED, out=tmp_path))
    assert [path.name for path in Path(tmp_path).iterdir()] == ["plan.json"]


def test_a_busy_machine_is_said_with_the_time_that_it_would_take_alone(small, tmp_path, monkeypatch):
    plan = whole.make_plan(ASKED, tmp_path / "none", fetch=False)
    (kind,) = plan.rates
    plan = replace(
        plan,
        rates={kind: replace(plan.rates[kind], share=0.25)},
        trainings=tuple(replace(one, seconds=3600.0) for one in plan.trainings),
    )
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (9.0, 0, 0))
    assert "Trainings 3.0 h" in plan.estimate()
    assert "it is busy, 9 processes for 2 cores, and alone would take about 45 min" in plan.estimate()
    monkeypatch.setattr("os.getloadavg", lambda: (2.0, 0, 0))
    assert "busy" not in plan.estimate()
