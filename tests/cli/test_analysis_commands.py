"""`glassnet eval`, `report` and `analyses` on a run of classification."""

import csv
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from command_line import answer, call, refused
from glassnet.analysis import analyse
from glassnet.run.store import Store
from tiny_runs import replace_weights

pytestmark = pytest.mark.usefixtures("blank_figures")

HEADINGS = ("What it distinguishes", "Layer by layer", "Settings and versions")


def save_digits(folder, split, per_class):
    """Save some images of a part as a folder with train and test in it, a sub-folder for each class."""
    for index, target in enumerate(split.targets.tolist()):
        if (split.targets[:index] == target).sum() < per_class:
            for part in ("train", "test"):
                (folder / part / str(target)).mkdir(parents=True, exist_ok=True)
                Image.fromarray(split.images[index, 0].numpy()).save(folder / part / str(target) / f"{index}.png")


def test_eval_measures_what_scikit_learn_measures(capsys, copy):
    document = answer(capsys, "eval", copy.path)
    kept = analyse(copy, "evaluation").result
    predicted = kept.probabilities.argmax(axis=1)
    assert document["accuracy"] == pytest.approx(accuracy_score(kept.targets, predicted))
    assert document["accuracy"] == pytest.approx(copy.metrics["test_accuracy"])
    exact = kept.probabilities.astype(float)
    exact /= exact.sum(axis=1, keepdims=True)  # float32 rounds the sum
    assert document["loss"] == pytest.approx(log_loss(kept.targets, exact), rel=1e-4)
    assert document["confusion"] == confusion_matrix(kept.targets, predicted).tolist()
    low, high = document["accuracy_interval"]
    assert low < document["accuracy"] < high
    assert [row["images"] for row in document["per_class"]] == [100] * 10
    folder = copy.path / "analyses" / "evaluation" / "test"
    assert document["path"] == str(folder)
    assert json.loads((folder / "analysis.json").read_text())["result"].items() <= document.items()
    assert sorted(path.name for path in folder.iterdir()) == [
        "analysis.json", "arrays.npz", "confusion-matrix.png", "confusion-matrix.svg", "predictions.csv",
        "worst-mistakes.png", "worst-mistakes.svg",
    ]  # fmt: skip


def test_eval_prints_numbers_with_intervals_and_a_row_for_each_class(capsys, copy):
    code, out, _ = call(capsys, "eval", copy.path)
    assert code == 0
    first, *lines = out.splitlines()
    assert first.startswith("run on mnist-sample (test, 1,000 images): loss ")
    assert f"accuracy {100 * copy.metrics['test_accuracy']:.2f}% (" in first
    assert [line.split()[0] for line in lines if line[:1].isdigit()] == [str(digit) for digit in range(10)]
    assert out.endswith(f"evaluation/test: {copy.path}/analyses/evaluation/test\n")


def test_eval_again_gives_back_what_is_kept_and_other_settings_another_entry(capsys, copy):
    first = answer(capsys, "eval", copy.path)
    file = copy.path / "analyses" / "evaluation" / "test" / "analysis.json"
    stamp = file.stat().st_mtime_ns
    assert answer(capsys, "eval", copy.path) == first
    assert answer(capsys, "eval", copy.path, "--split", "train", "--name", "learned")["images"] == 4000
    assert file.stat().st_mtime_ns == stamp
    assert sorted(path.name for path in file.parents[1].iterdir()) == ["learned", "test"]
    assert "has an analysis evaluation/learned with other settings" in refused(
        capsys, "eval", copy.path, "--precision", "bf16", "--name", "learned"
    )


def test_eval_on_a_set_that_does_not_fit(capsys, copy, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (30, 30), (number * 50, 0, 0)).save(tmp_path / "photos" / name / f"{number}.png")
    sentence = refused(capsys, "eval", copy.path, "--data", f"folder:{tmp_path / 'photos'}")
    assert "has 3 channels and the classes cat, dog; expected 1 and 0, 1, 2" in sentence


def test_eval_on_another_folder_stays_inside_the_run_and_names_its_files(capsys, copy, tmp_path):
    folder = tmp_path / "sub" / ".." / "digits"
    (tmp_path / "sub").mkdir()
    save_digits(folder, copy.dataset().test, 2)
    outside = {path for path in tmp_path.rglob("*") if copy.path not in path.parents}
    document = answer(capsys, "eval", copy.path, "--data", f"folder:{folder}")
    assert document["images"] == 20
    assert {path for path in tmp_path.rglob("*") if copy.path not in path.parents} == outside
    (entry,) = Store(copy.path).entries("evaluation")
    assert "/" not in entry.name
    assert entry.name.endswith("-test")
    rows = list(csv.DictReader((entry.path / "predictions.csv").read_text().splitlines()))
    assert {row["file"] for row in rows} == {f"test/{p.parent.name}/{p.name}" for p in folder.glob("test/*/*")}
    assert [row["true"] for row in rows] == [row["file"].split("/")[-2] for row in rows]


def test_flip_is_of_no_use_to_a_classifier(capsys, copy):
    assert "--flip applies to segmentation only, not to classification" in refused(capsys, "eval", copy.path, "--flip")
    assert not (copy.path / "analyses").exists()


def test_a_run_on_a_small_folder_works_from_anywhere(capsys, tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    for level, name in ((40, "dark"), (200, "light")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(25):
            pixels = random.integers(level, level + 50, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    words = ["--model-options", "filters=4,4,4,4", "hidden=2", "--image-size", "16", "--epochs", "2", "--out", "run"]
    assert call(capsys, "train", "--data", "folder:photos", *words)[0] == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, _, err = call(capsys, "report", tmp_path / "run")  # ten test images, two units in fc1
    assert code == 0, err
    made = [entry.name for entry in Store(tmp_path / "run").entries("embedding")]
    assert sorted(name.split("-")[0] for name in made) == ["pca2", "tsne2"]
    (tmp_path / "photos").rename(tmp_path / "moved")
    assert call(capsys, "eval", tmp_path / "run")[0] == 2
    assert call(capsys, "eval", tmp_path / "run", "--data-root", tmp_path / "moved")[0] == 0


def test_report_does_what_is_missing_and_changes_nothing_that_is_there(capsys, reported_copy, tmp_path):
    copy = reported_copy
    (copy.path / "report.html").unlink()
    for kind in ("evaluation", "attribution"):  # the embeddings stay: they take longest
        shutil.rmtree(copy.path / "analyses" / kind)
    answer(capsys, "explain", copy.path, "--images", "correct:1", "--methods", "gradcam")
    answer(capsys, "features", copy.path, "--layers", "conv1", "--images", "200", "--methods", "pca", "--dims", "2")
    before = {path: path.stat().st_mtime_ns for path in copy.path.rglob("*") if path.is_file()}
    page = tmp_path / "elsewhere" / "page.html"
    assert answer(capsys, "report", copy.path, "--out", page) == {
        "run": str(copy.path), "runs": [str(copy.path)], "report": str(page), "data_changed": [None],
    }  # fmt: skip
    html = page.read_text()
    assert all(name in html for name in HEADINGS), re.findall("<h[23].*", html)
    assert not (copy.path / "report.html").exists()
    assert before == {path: path.stat().st_mtime_ns for path in before}
    kinds = {entry.kind for entry in Store(copy.path).entries()}
    assert {"evaluation", "embedding", "attribution"} <= kinds
    stamps = {path: path.stat().st_mtime_ns for path in (copy.path / "analyses").rglob("*")}
    code, out, _ = call(capsys, "report", copy.path)
    assert (code, out) == (0, f"report: {copy.path / 'report.html'}\n")
    assert stamps == {path: path.stat().st_mtime_ns for path in (copy.path / "analyses").rglob("*")}
    assert (copy.path / "report.html").read_text() == html
    assert "expected a file, as in" in refused(capsys, "report", copy.path, "--out", tmp_path)


def test_report_of_two_runs_compares_them(capsys, reported_copy, tmp_path):
    copy = reported_copy
    shutil.copytree(copy.path, tmp_path / "second")
    document = answer(capsys, "report", copy.path, tmp_path / "second", "--out", tmp_path / "both.html")
    assert document["runs"] == [str(copy.path), str(tmp_path / "second")]
    html = (tmp_path / "both.html").read_text()
    assert "The runs in this report" in html
    assert "second" in html


def test_report_of_nothing_is_refused(capsys, tmp_path):
    assert "no run at" in refused(capsys, "report", tmp_path / "none")


def test_analyses_are_listed_renamed_and_removed(capsys, copy):
    code, out, _ = call(capsys, "analyses", copy.path)
    assert (code, out) == (0, f"{copy.path} holds no analyses yet; `glassnet report {copy.path}` makes some.\n")
    assert answer(capsys, "analyses", copy.path) == {"analyses": []}
    answer(capsys, "eval", copy.path)
    answer(capsys, "eval", copy.path, "--split", "train")
    listed = answer(capsys, "analyses", copy.path)["analyses"]
    assert [one["name"] for one in listed] == ["evaluation/test", "evaluation/train"]
    assert listed[1]["settings"]["split"] == "train"
    assert listed[0]["path"] == str(copy.path / "analyses" / "evaluation" / "test")
    code, out, _ = call(capsys, "analyses", copy.path)
    assert code == 0
    assert "evaluation/train" in out
    assert "split train" in out
    code, out, _ = call(capsys, "analyses", copy.path, "--rename", "train", "learned")
    assert (code, out) == (0, "renamed train to evaluation/learned\n")
    assert answer(capsys, "eval", copy.path, "--split", "train")["analysis"] == "evaluation/learned"
    assert answer(capsys, "analyses", copy.path, "--remove", "learned") == {"removed": "evaluation/learned"}
    assert [one["name"] for one in answer(capsys, "analyses", copy.path)["analyses"]] == ["evaluation/test"]
    assert sorted(path.name for path in (copy.path / "analyses" / "evaluation").iterdir()) == ["test"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["NOWHERE"], "no run at"),
        (["RUN", "--remove", "tset"], "no analysis 'tset' in"),
        (["RUN", "--remove", "tset"], "The analyses are: evaluation/test."),
        (["RUN", "--rename", "test", "../up"], "'../up' cannot name an analysis, expected up to 100 letters"),
        (["RUN", "--rename", "test", "test"], "evaluation/test already exists in"),
        (["RUN", "--remove", "test", "--rename", "test", "new"], "--remove and --rename cannot be given together"),
    ],
)
def test_what_analyses_refuses(capsys, copy, tmp_path, words, message):
    answer(capsys, "eval", copy.path)
    places = {"RUN": copy.path, "NOWHERE": tmp_path / "nowhere"}
    before = sorted(copy.path.rglob("*"))
    assert message in refused(capsys, "analyses", *(places.get(word, word) for word in words))
    assert sorted(copy.path.rglob("*")) == before


def test_weights_that_changed_make_another_entry(capsys, copy):
    first = answer(capsys, "eval", copy.path)
    weights = copy.weights()
    weights["fc2.bias"][3] += 100  # whatever the image, it is a 3
    replace_weights(copy.path, weights)
    second = answer(capsys, "eval", copy.path)
    assert (first["analysis"], second["analysis"]) == ("evaluation/test", "evaluation/test-2")
    assert second["accuracy"] == pytest.approx(0.1)


def test_a_report_of_a_run_that_may_only_be_read_is_written_elsewhere(capsys, copy, tmp_path, monkeypatch):
    real = os.access  # root may write anywhere, but on a disk that is mounted for reading
    monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(copy.path) and real(path, mode))
    before = sorted(copy.path.rglob("*"))
    sentence = refused(capsys, "report", copy.path)
    assert sentence.endswith("the report cannot be written there; give another file, as in --out report.html.")
    assert "making" not in sentence
    copy.path.chmod(0o555)
    try:
        code, _, err = call(capsys, "report", copy.path, "--out", tmp_path / "page.html")
    finally:
        copy.path.chmod(0o755)
    assert code == 0, err
    assert f"{copy.path} is read-only, so the analyses are not saved." in err
    assert sorted(copy.path.rglob("*")) == before
    html = (tmp_path / "page.html").read_text()
    assert all(name in html for name in HEADINGS), re.findall("<h[23].*", html)
    assert "left out" not in err


def test_what_the_explorer_made_is_summed_up_and_removed_at_once(capsys, copy):
    analyse(copy, "evaluation")
    for image in (0, 1):
        analyse(copy, "attribution", figures=False, images=image, layers="conv4", methods="gradcam")
    code, out, _ = call(capsys, "analyses", copy.path)
    assert code == 0
    rows = [line for line in out.splitlines() if "browsed  " in line]
    assert len(rows) == 1
    assert "attribution, browsed" in rows[0]
    assert "2 made by the explorer" in rows[0]
    assert "`--remove browsed` removes the others" in out
    listed = answer(capsys, "analyses", copy.path)["analyses"]
    assert [one["browsed"] for one in listed] == [False, True, True]
    assert answer(capsys, "analyses", copy.path, "--remove", "browsed") == {"removed": "browsed", "analyses": 2}
    assert [one["name"] for one in answer(capsys, "analyses", copy.path)["analyses"]] == ["evaluation/test"]
    _, out, _ = call(capsys, "analyses", copy.path, "--remove", "browsed")
    assert out == "removed 0 analyses that the explorer made\n"
