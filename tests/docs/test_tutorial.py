"""The tutorial, followed from top to bottom in an empty folder: it leaves every analysis it made, all in one report."""

import contextlib
import html
import io
import re
import shlex
from pathlib import Path

import pytest

from command_line import answer
from glassnet.analysis import stored
from glassnet.analysis.attribution import ATTRIBUTION
from glassnet.cli import run
from glassnet.experiment import Run
from glassnet.method_titles import METHOD_TITLES
from glassnet.reports.layers import explained_words
from glassnet.run.store import Store
from glassnet.subject import Subject
from small_data import IMAGES

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def follow(language, block):
    """Run a block as it stands, and return what it prints; commands run in this process, which has torch loaded."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if language == "python":
            exec(compile(block, "a block of the tutorial", "exec"), {"__name__": "__main__"})
        for line in block.splitlines() if language == "bash" else ():
            program, *words = shlex.split(line, comments=True)
            assert program == "glassnet"
            assert run(words) == 0, line
    return printed.getvalue()


@pytest.mark.timeout(600)
def test_the_tutorial_leaves_every_analysis_that_it_makes_all_in_one_report(tmp_path, monkeypatch, capsys, small_data):
    monkeypatch.chdir(tmp_path)
    printed = "".join(follow(*block) for block in BLOCKS)
    every_analysis_is_left(printed, capsys)
    all_of_them_are_in_the_one_report(Path("runs/first"))
    assert Path("runs/network-net-make/report.html").stat().st_size > 10_000
    assert Path("runs/photos-convnet-seed0/run.json").exists()


def every_analysis_is_left(printed, capsys):
    made = set(re.findall(r"^\w+/\S+: (runs/\S+/analyses/\S+)$", printed, flags=re.MULTILINE))
    first = {path.partition("/analyses/")[2] for path in made if path.startswith("runs/first/")}
    assert len(first) >= 13
    assert made <= {str(entry.path) for folder in Path("runs").iterdir() for entry in Store(folder).entries()}
    assert first <= {one["name"] for one in answer(capsys, "analyses", "runs/first")["analyses"]}


def all_of_them_are_in_the_one_report(folder):
    page = (folder / "report.html").read_text()
    entries = Store(folder).entries()
    attributions = [entry for entry in entries if entry.kind == "attribution"]
    assert len(attributions) >= 6
    subject = Subject.of_run(Run.open(folder))
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
    assert f"mnist-sample (train, {IMAGES['train']} images" in page


def test_every_option_in_the_prose_exists():
    from glassnet.cli import COMMANDS
    from glassnet.cli.parse import settings_of

    for command, words in re.findall(r"`glassnet (\w+)((?: [^`…]+)?)`", PAGE.read_text()):
        if command in COMMANDS:
            fields = settings_of(COMMANDS[command]).__dataclass_fields__
            for option in re.findall(r"--([\w-]+)", words):
                assert option.replace("-", "_") in {*fields, "help_all"}, (command, option)
