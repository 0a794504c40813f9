"""The tutorial, followed from top to bottom in an empty folder: it leaves every analysis it made, all in one report."""

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import glassnet
from glassnet.analysis import stored
from glassnet.analysis.attribution import ATTRIBUTION
from glassnet.experiment import Run
from glassnet.measures import METHOD_TITLES
from glassnet.reports.layers import explained_words
from glassnet.run.store import Store
from glassnet.subject import Subject

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The folder in which every block was run as it stands, and what each printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    programs = folder / ".bin"  # what .venv/bin is to a reader
    programs.mkdir()
    for name, words in (("glassnet", "-m glassnet"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        (programs / name).chmod(0o755)
    places = {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(Path(glassnet.__file__).parents[1])}
    printed = []
    for language, block in BLOCKS:
        words = ["bash", "-euo", "pipefail", "-c", block] if language == "bash" else [str(programs / "python"), "-"]
        done = subprocess.run(
            words,
            input=None if language == "bash" else block,
            cwd=folder,
            env={**os.environ, **places},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout)
    return folder, "\n".join(printed)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_analysis_that_the_tutorial_makes_is_left(followed):
    folder, printed = followed
    made = set(re.findall(r"^\w+/\S+: (runs/\S+/analyses/\S+)$", printed, flags=re.MULTILINE))
    assert len([path for path in made if path.startswith("runs/first/")]) >= 13
    left = {
        str(entry.path.relative_to(folder)) for run in (folder / "runs").iterdir() for entry in Store(run).entries()
    }
    assert made <= left
    listed = subprocess.run(
        [sys.executable, "-m", "glassnet", "analyses", "runs/first", "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(glassnet.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    names = {one["name"] for one in json.loads(listed.stdout)["analyses"]}
    assert {path.partition("/analyses/")[2] for path in made if path.startswith("runs/first/")} <= names


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_of_them_are_in_the_one_report(followed):
    folder, _ = followed
    page = (folder / "runs" / "first" / "report.html").read_text()
    entries = Store(folder / "runs" / "first").entries()
    attributions = [entry for entry in entries if entry.kind == "attribution"]
    assert len(attributions) >= 6
    subject = Subject.of_run(Run.open(folder / "runs" / "first"))
    explained = stored(subject, "attribution")
    leading = [one for one in explained if not ATTRIBUTION.elsewhere(one.request)][-1]
    for one in explained:
        words = f"Also explained: {html.escape(explained_words(subject, one))}"
        assert one is leading or words in page, one.name
    for entry in attributions:
        for group in entry.result["groups"]:
            assert all(name in page for name in group["names"])
        assert all(METHOD_TITLES[method] in page for method in entry.result["methods"])
    embedded = [entry for entry in entries if entry.kind == "embedding"]
    assert {(entry.settings["layer"], entry.settings["method"]) for entry in embedded} == {
        ("fc1", "pca"), ("fc1", "tsne"), ("conv2", "pca"),
    }  # fmt: skip
    for entry in embedded:
        assert all(figure.title in page for figure in entry.figures), entry.name
    (compared,) = (entry for entry in entries if entry.kind == "layers")
    assert "The layers compared" in page
    assert all(figure.alt in page for figure in compared.figures)
    (faithful,) = (entry for entry in entries if entry.kind == "faithfulness")
    (measured,) = stored(subject, "faithfulness")
    assert measured.name == f"faithfulness/{faithful.name}"
    assert f"How faithful the maps are: {html.escape(explained_words(subject, measured))}" in page
    assert {entry.name for entry in entries if entry.kind == "evaluation"} == {"test", "train"}
    assert "mnist-sample (train, 4,000 images" in page


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_network_of_ones_own_has_a_report_too(followed):
    folder, _ = followed
    assert (folder / "runs" / "network-net-make" / "report.html").stat().st_size > 10_000
    assert (folder / "runs" / "photos-convnet-seed0" / "run.json").exists()


def test_every_option_in_the_prose_exists():
    from glassnet.cli import COMMANDS
    from glassnet.cli.parse import settings_of

    for command, words in re.findall(r"`glassnet (\w+)((?: [^`…]+)?)`", PAGE.read_text()):
        if command in COMMANDS:
            fields = settings_of(COMMANDS[command]).__dataclass_fields__
            for option in re.findall(r"--([\w-]+)", words):
                assert option.replace("-", "_") in fields, (command, option)
