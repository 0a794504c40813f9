"""What every entry of TASKS keeps: it trains on what it takes by itself, and all that follows understands it."""

import csv
import dataclasses
import functools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import glassnet as gn
from glassnet.analysis import Context, analyse
from glassnet.attribution import METHODS
from glassnet.blocks import Page
from glassnet.data import DATASETS, find_source
from glassnet.data import load_dataset as load
from glassnet.defaults import learned_by
from glassnet.measures import MEASURES
from glassnet.models import MODELS
from glassnet.reports.assemble import ReportAnalyses, run_report
from glassnet.reports.page import render
from glassnet.run.codec import decode, encode
from glassnet.settings import TrainSettings
from glassnet.subject import Subject
from glassnet.tasks import TASKS
from glassnet.tasks.explored import UNKNOWN, explored
from small_data import make_small

SOURCE = Path(gn.__file__).parent
PAGE = (Path(__file__).parents[2] / "docs" / "extending" / "task.md").read_text(encoding="utf-8")
FILES = re.findall(r"^\| `([\w.]+)` \|", PAGE.partition("## The files\n")[2], re.MULTILINE)
"""What the folder of a task holds, as docs/extending/task.md lists it."""


@functools.cache
def few(name, **options):
    """Load a few images of a data set."""
    whole = load(name, **options)
    train, test = (part.subset(torch.arange(n)) for part, n in ((whole.train, 64), (whole.test, 12)))
    return dataclasses.replace(whole, train=train, test=test, leak=0)


@pytest.fixture(scope="module", params=TASKS)
def run(request, tmp_path_factory):
    """A task's own model after one epoch on a few images of its own data set."""
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch.setitem)
        patch.setattr("glassnet.experiment.load_dataset", few)
        out = tmp_path_factory.mktemp("tasks") / request.param
        yield gn.train(
            TrainSettings(task=request.param, image_size=32, epochs=1, batch_size=32, precision="fp32", out=out)
        )


def test_a_task_is_a_folder_and_a_line():
    folders = {path.parent.name for path in (SOURCE / "tasks").glob("*/__init__.py")}
    assert folders == set(TASKS)
    assert {"learn.py", "result.py", "views.py", "report.html.j2"} <= set(FILES)
    for name, task in TASKS.items():
        assert task.name == name
        assert all((SOURCE / "tasks" / name / file).is_file() for file in FILES)


def test_no_other_place_names_a_task():
    """Neither a comparison nor a list of all tasks, of which a new one would have to know."""
    files = [path for path in SOURCE.rglob("*.py") if "tasks" not in path.relative_to(SOURCE).parts]
    names = "|".join(TASKS)
    forbidden = re.compile(rf'task == |task\.name ==|task != |task\.name !=|Literal\["(?:{names})"')
    assert [str(path) for path in files if forbidden.search(path.read_text())] == []


@pytest.mark.parametrize("name", TASKS)
def test_what_a_task_says_of_itself_exists(name):
    task, fields = TASKS[name], {field.name for field in dataclasses.fields(TASKS[name].result)}
    assert set(task.options) <= {field.name for field in dataclasses.fields(TrainSettings)}
    known = fields | set(dir(task.result))
    assert {"images", "loss"} <= known
    assert set(task.required_metrics) <= set(task.saved_metrics) <= known
    assert dataclasses.is_dataclass(task.result)
    assert task.result.__dataclass_params__.frozen
    assert name in learned_by(task.defaults.model)
    source, where = find_source(task.defaults.data)
    assert name in source.learnable(where)
    assert source.find(where), "its data set needs no download"
    assert any(name in source.tasks for source in DATASETS.values())
    assert any(name in learned_by(model) for model in MODELS)


@pytest.mark.parametrize("name", TASKS)
def test_what_the_explorer_says_of_a_task_exists(name):
    said, task = explored(name), TASKS[name]
    assert said is not UNKNOWN
    assert said.views[0] != "training"
    assert len(set(said.views)) == len(said.views)
    assert {"image", "network", "training"} <= set(said.views)
    assert set(said.headlines) <= set(task.saved_metrics) & set(MEASURES)
    assert set(said.without_methods) <= set(METHODS)
    assert (said.label_of == "pixel") == (task.target_dimensions == 3)
    assert (said.label_of == "labels") == (task.target_dimensions == 2)


@pytest.mark.parametrize("name", ["detection", "", "base", "segmentation.learn", "../classification"])
def test_of_a_task_of_a_later_version_the_explorer_shows_the_network(name):
    assert explored(name).views == ("network",)


def test_what_the_explorer_says_needs_no_torch():
    code = "import sys; from glassnet.tasks.explored import explored; explored('segmentation'); "
    subprocess.run([sys.executable, "-c", f"{code} assert 'torch' not in sys.modules"], check=True)


def test_a_run_is_opened_and_told(run):
    again = gn.Run.open(run.path)
    task = again.task
    assert again.settings.task == task.name
    assert all(f"test_{key}" in again.metrics for key in task.required_metrics)
    assert re.search(r"\d", task.summary_line(again.metrics))
    views = task.views()
    assert all(value for _, value, _ in views.headlines(again.metrics))
    assert views.epoch_note(again.metrics)
    assert all(isinstance(show(again.metrics), str) for _, show in views.comparison)
    assert isinstance(views.curves(again.history, 1), Figure)
    shown = [key for key, _, _ in views.history]
    assert {"train_loss", "validation_loss"} <= set(shown)
    assert all(write(again.history[0].get(key)) for key, _, write in views.history)


def test_an_evaluation_is_kept_listed_and_read_again(run):
    analysis = analyse(run, "evaluation")
    result, views = analysis.result, run.task.views()
    assert isinstance(result, run.task.result)
    assert result.images == 12
    assert result.loss == pytest.approx(run.metrics["test_loss"], rel=1e-3)
    document, arrays = encode(result)
    again = decode(run.task.result, document, arrays, source="here")
    assert str(encode(again)[0]) == str(document)
    assert all(np.array_equal(encode(again)[1][key], value, equal_nan=True) for key, value in arrays.items())
    assert "\n" not in repr(result)
    assert analysis.figures
    assert all(words.title and words.alt and words.lead for words in analysis.figures)
    table = analysis.entry.path / "predictions.csv"
    if table.exists():
        rows = list(csv.DictReader(table.read_text().splitlines()))
        assert len(rows) == 12
        assert next(iter(rows[0])) in ("file", "image")
        assert {row["split"] for row in rows} == {"test"}
    assert views.text(result)
    assert all(re.fullmatch(r"[^\n]+[.:]", line) for line in views.summary(result))
    tables = views.tables(result)
    assert tables
    assert all(len(row) == len(one.columns) for one in tables for row in one.rows)


def test_each_rule_of_images_is_explained(run):
    explain = run.task.views().explain
    for rule in explain.rules:
        asked = {"images": f"{rule}:2", "layers": ("last-conv",), "methods": ("gradcam",)}
        try:
            groups = analyse(run, "attribution", **asked).result.groups
        except gn.InputError as error:
            assert re.search("there is nothing to explain: no image is .*; choose other images", str(error))  # noqa: PT017
            continue
        for group in groups:
            assert len(group.names) == len(group.facts) == len(group.images) > 0
            assert all(isinstance(explain.caption(facts), str) for facts in group.facts)
            assert {key for key, _ in explain.columns} <= set(group.facts[0])
            assert all(np.isfinite(maps).all() for maps in group.maps.values())


def test_faithfulness_is_measured_or_refused_in_a_sentence(run):
    if not run.task.views().explain.classes:
        with pytest.raises(gn.InputError, match="--faithfulness needs the score of a class for the whole image, but"):
            analyse(run, "faithfulness")


def test_a_report_is_put_together(run):
    views, subject, context = run.task.views(), Subject.of_run(run), Context()
    wanted = [kind for kind, _ in views.wanted(subject)]
    assert (wanted[0], wanted[-1]) == ("evaluation", "attribution")
    asked = {"images": "first:2", "layers": ("last-conv",), "methods": ("gradcam",)}
    made = [analyse(subject, "evaluation", context=context), analyse(subject, "attribution", context=context, **asked)]
    page = run_report(ReportAnalyses(subject, made, {}, context))
    assert page.headlines[0].value
    assert len(page.summary) > 1
    titles = [section.title for section in page.sections]
    assert len(titles) == len(set(titles)) > 3
    assert "How these numbers were made" in titles
    rows, targets = (tuple(choose(made[0].result)) for choose in (views.example_rows, views.example_targets))
    assert [example.id for example in page.examples] == list(rows)
    assert len(set(rows)) == len(rows)
    assert len(targets) in (0, len(rows))
    html = render(Page((page,)))
    assert html.count("<section") >= len(titles)


def test_measures_of_results_have_titles(run):
    saved = [key for key in run.task.saved_metrics if isinstance(run.metrics.get(f"test_{key}"), float)]
    assert saved
    assert set(saved) <= set(MEASURES)
