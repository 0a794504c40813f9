"""Runs of schema 1, made by the last version that wrote them: opened, listed, reported without loss, never changed."""

import base64
import hashlib
import html
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import glassnet as gn
from glassnet.analysis import stored
from glassnet.cli.analysis import analyses
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.measures import MEASURES, interval, show, with_interval
from glassnet.run.store import Store
from glassnet.settings.analysis import AnalysesSettings
from glassnet.subject import Subject
from tiny_runs import save_bars, save_scans

FIXTURES = Path(__file__).parents[1] / "fixtures" / "run_schema_1"
RUNS = ("classification", "segmentation", "reconstruction")
NAMES = {
    "classification": {
        "evaluation/old-test",
        "features/old-fc1",
        "embedding/old-fc1-pca2",
        "embedding/old-fc1-pca3",
        "embedding/old-fc1-tsne2",
        "layers/old-layers",
        "attribution/old-mixed",
        "faithfulness/old-mixed",
        "attribution/old-selected",
    },
    "segmentation": {"evaluation/old-test", "attribution/old-mixed"},
    "reconstruction": {
        "evaluation/old-test",
        "features/old-mean",
        "embedding/old-mean-pca2",
        "embedding/old-mean-pca3",
        "embedding/old-mean-tsne2",
        "attribution/old-error",
        "attribution/old-latent-1",
    },
}


def copied(task, folder):
    """Copy a fixture, its weights older than its analyses, as they were made."""
    run = folder / task
    shutil.copytree(FIXTURES / task, run)
    os.utime(run / "model.safetensors", (0, 0))
    return run


@pytest.fixture
def run(tmp_path):
    return copied("classification", tmp_path)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """Each old run, its files before the report, and the page."""
    folder, before = tmp_path_factory.mktemp("old"), Path.cwd()
    os.chdir(folder)  # the runs name their images as they were named there
    try:
        save_scans(Path("scans"))
        save_bars(Path("bars"))
        made = {}
        for task in RUNS:
            run = copied(task, folder)
            files = digests(run)
            made[task] = (run, files, gn.report(run).read_text(encoding="utf-8"))
        yield made
    finally:
        os.chdir(before)


def digests(run):
    return {
        str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(run.rglob("*"))
        if file.is_file()
    }


def read(run, name):
    return json.loads((run / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("task", RUNS)
def test_an_old_run_opens_and_its_analyses_are_listed(task):
    run = Run.open(FIXTURES / task)
    assert run.manifest["schema_version"] == 1
    assert run.settings.copy_paste == 0.0  # "pasted" then
    assert sum(parameter.numel() for parameter in run.model().parameters()) == run.manifest["model"]["parameters"]
    answer = analyses(AnalysesSettings(run=FIXTURES / task))
    assert {row["name"] for row in answer.data["analyses"]} == NAMES[task]
    assert all(row["earlier_version"] for row in answer.data["analyses"])
    assert "old-… were made by an earlier version" in answer.text


@pytest.mark.parametrize("task", RUNS)
def test_every_old_result_is_typed(task):
    found = {one.name: one for one in stored(Subject.of_run(Run.open(FIXTURES / task)))}
    assert found.keys() == NAMES[task]
    old = read(FIXTURES / task, "evaluation/test.json")
    result = found["evaluation/old-test"].result
    for key in ("images", "loss", "accuracy", "mean_iou", "psnr", "negative_elbo"):
        assert getattr(result, key, None) == old.get(key)


def test_arrays_are_those_of_the_old_files(run):
    found = {one.name: one.result for one in stored(Subject.of_run(Run.open(run)))}
    with np.load(run / "attributions" / "wrong.npz") as maps:
        wrong = found["attribution/old-mixed"].groups[1]
        assert np.array_equal(wrong.maps["gradcam", "conv4"], maps["gradcam/conv4"])
        assert np.array_equal(wrong.images, maps["images"])
        old = read(run, "attributions/wrong.json")["images"]
        assert [found["evaluation/old-test"].probabilities.shape[1], *wrong.targets.tolist()] == [
            10,
            *(int(row["target"]) for row in old),
        ]
    with np.load(run / "features" / "fc1.npz") as rows, np.load(run / "embeddings" / "fc1-tsne2.npz") as points:
        embedded = found["embedding/old-fc1-tsne2"]
        assert np.array_equal(embedded.points, points["points"])
        assert np.array_equal(embedded.numbers, rows["indices"])
        assert np.array_equal(found["features/old-fc1"].features, rows["features"])


def test_a_curve_has_the_area_that_was_kept(run):
    (found,) = stored(Subject.of_run(Run.open(run)), "faithfulness")
    for group in found.result.groups:
        old = read(run, f"attributions/{group.name}.json")
        assert group.random.deletion_area.tolist() == [old["random_order"]["deletion"]]
        for row in old["measures"]:
            curves = group.curves[row["method"], row["layer"]]
            assert curves.insertion_area.tolist() == [row["insertion"]["mean"]]


def words(page):
    """Return the text of a page, without tags."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", page)))


def written(value, bounds=None, key=""):
    """Write an old number as the page does: an interval of one value is none."""
    low, high = bounds or (None, None)
    return show(key, value) if low == high else with_interval(key, value, (low, high))


def numbers(value, inside=""):
    """Yield every number of an old document that is a measure, as the page writes it."""
    if isinstance(value, list):
        for one in value:
            yield from numbers(one, inside)
    if not isinstance(value, dict):
        return
    for key, one in value.items():
        if isinstance(one, dict) and "mean" in one:
            yield written(one["mean"], (one["low"], one["high"]), key)
        elif isinstance(one, dict | list) and not key.endswith("_interval"):
            yield from numbers(one, key)
        elif key.endswith("_interval") and key.removesuffix("_interval") in MEASURES:
            yield interval(key.removesuffix("_interval"), one)
        elif key in MEASURES and one is not None:
            yield show(key, one)


SILENT = {
    "classification": set(),
    "segmentation": {"loss", "flipped/loss", "flipped/mean_accuracy", "flipped/boundary_f"},
    "reconstruction": {"loss", "negative_elbo_interval", "margin", "margin_interval"},
}
"""What neither the report of then nor that of now tells; `glassnet eval --json` has it."""


def without(document, silent):
    for one in [document, *document.get("baselines", ())]:
        for key in silent:
            part, _, name = key.rpartition("/")
            (one.get(part, {}) if part else one).pop(name, None)
    return document


@pytest.mark.parametrize("task", RUNS)
def test_every_number_of_the_old_files_is_in_the_report(reported, task):
    run, _, page = reported[task]
    text, checked = words(page), 0
    for file in [*run.glob("evaluation/*.json"), *run.glob("embeddings/**/*.json"), *run.glob("attributions/*.json")]:
        document = without(json.loads(file.read_text(encoding="utf-8")), SILENT[task])
        for picture in document.get("pictures", ()):
            picture["cluster_accuracy"] = picture.pop("accuracy")
        for number in numbers(document):
            assert number in text, f"{file.relative_to(run)}: {number}"
            checked += 1
    assert checked > {"classification": 130, "segmentation": 20, "reconstruction": 60}[task]


def test_randomised_weights_agreement_and_alignment_are_in_the_report(reported):
    run, _, page = reported["classification"]
    text = words(page)
    for name in ("correct", "wrong"):
        old = read(run, f"attributions/{name}.json")
        means = [*old["agreement"], *(s for steps in old["sanity"]["rank_correlation"].values() for s in steps[1:])]
        for one in means:
            assert written(one["mean"], (one["low"], one["high"]), "rank_correlation") in text
        assert f"{100 * old['mask']['area']:.1f}%" in text
    for row in read(run, "embeddings/comparison/cka.json")["matrix"]:
        assert all(show("cka", value) in text for value in row)


@pytest.mark.parametrize("task", RUNS)
def test_every_old_figure_is_in_the_report(reported, task):
    run, _, page = reported[task]
    described = html.unescape(page)
    for file in run.glob("figures/*.json"):
        assert json.loads(file.read_text())["alt"] in described
        picture = file.with_suffix(".png")
        assert not picture.exists() or base64.b64encode(picture.read_bytes()).decode() in page


@pytest.mark.parametrize("task", RUNS)
def test_a_report_changes_none_of_the_old_files(reported, task):
    run, files, _ = reported[task]
    assert digests(run).items() >= files.items()


@pytest.mark.parametrize("task", RUNS)
def test_what_is_there_is_not_made_again(reported, task):
    made = {entry.kind for entry in Store(reported[task][0]).entries() if not entry.elsewhere}
    assert made <= {"attribution", "examples"}  # maps of other layers than were asked for then


def test_the_same_settings_find_the_old_one_while_the_weights_are_no_newer(run):
    store = Store(run)
    settings = {"split": "test", "data": None, "flip": False, "precision": "fp32"}
    assert store.find("evaluation", settings, {"model": "x"}).name == "old-test"
    assert store.find("evaluation", settings | {"split": "train"}, {}) is None
    assert store.find("embedding", dict(store.entry("old-fc1-tsne2").settings), {}) is not None
    os.utime(run / "model.safetensors")
    assert store.find("evaluation", settings, {"model": "x"}) is None


def test_an_attribution_is_not_taken_for_one_of_known_precision(run):
    settings = dict(Store(run).entry("attribution/old-mixed").settings)
    assert "precision" not in settings
    assert Store(run).find("attribution", settings | {"precision": "fp32"}, {}) is None


def test_removing_one_removes_its_own_files_alone(run):
    before = digests(run)
    Store(run).remove("evaluation/old-test")
    gone = {"evaluation/test.json", "evaluation/test.npz"}
    gone |= {f"figures/{name}.{end}" for name in ("confusion-matrix", "worst-mistakes") for end in ("json", "png")}
    assert before.keys() - digests(run).keys() == gone
    assert digests(run).items() <= before.items()


def test_features_go_after_their_pictures_and_maps_with_their_faithfulness(run):
    store = Store(run)
    with pytest.raises(InputError, match=r"^features/old-fc1 was made by an earlier version and shares files with"):
        store.remove("features/old-fc1")
    with pytest.raises(InputError, match=r"shares files with attribution/old-mixed; remove that first"):
        store.remove("faithfulness/old-mixed")
    for name in (
        "embedding/old-fc1-pca2",
        "old-fc1-pca3",
        "old-fc1-tsne2",
        "features/old-fc1",
        "attribution/old-mixed",
    ):
        store.remove(name)
    assert {f"{one.kind}/{one.name}" for one in store.entries()} == {
        "evaluation/old-test",
        "layers/old-layers",
        "attribution/old-selected",
    }
    assert not list((run / "embeddings").glob("*.*"))
    assert not list((run / "figures").glob("sanity-*"))


def test_an_old_one_keeps_its_name(run):
    with pytest.raises(
        InputError, match=r"^evaluation/old-test was made by an earlier version .* cannot be renamed\.$"
    ):
        Store(run).rename("evaluation/old-test", "mine")


@pytest.mark.parametrize(
    ("file", "content", "lost"),
    [
        ("evaluation/test.json", "{", {"evaluation/old-test"}),
        ("evaluation/test.json", '{"split": "test"}', {"evaluation/old-test"}),
        ("embeddings/comparison/layers.json", "[]", {"layers/old-layers"}),
        ("attributions/selected.npz", "no zip", {"attribution/old-selected"}),
        ("attributions/correct.json", "null", {"attribution/old-mixed", "faithfulness/old-mixed"}),
    ],
)
def test_a_damaged_old_file_is_left_out_and_named_once(run, capsys, file, content, lost):
    (run / file).write_text(content)
    listed = {f"{one.kind}/{one.name}" for one in Store(run).entries()}
    left = {"attribution/old-wrong", "faithfulness/old-wrong"} if "correct" in file else set()
    assert listed == NAMES["classification"] - lost | left
    Store(run).entries()
    assert capsys.readouterr().err.count(str(run / file)) == 1


def test_damaged_arrays_are_named_with_what_to_do(run):
    (run / "embeddings" / "fc1-pca2.npz").write_bytes(b"PK")
    advice = r"--remove embedding/old-fc1-pca2` and make it again\.$"
    with pytest.raises(InputError, match=rf"fc1-pca2\.npz is damaged \(.*{advice}"):
        stored(Subject.of_run(Run.open(run)), "embedding")


def test_a_run_of_today_has_no_old_analyses(run):
    manifest = read(run, "run.json") | {"schema_version": 2}
    (run / "run.json").write_text(json.dumps(manifest))
    assert Store(run).entries() == []
