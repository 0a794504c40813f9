"""A run and its data fit each other: what was changed in a folder after the training is refused, or said."""

import dataclasses
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import glassnet as gn
from command_line import answer, call, refused
from glassnet import cli, console, run
from glassnet.analysis.base import Context
from glassnet.analysis.evaluation import EvaluationRequest, made_of
from glassnet.data.fingerprint import changes, check_classes_stay, fingerprint
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.files import read_json, write_json
from glassnet.subject import Subject
from glassnet.tasks.classification import views as classification_views
from tiny_runs import stops_after_an_epoch, tiny

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = {"model_options": ("filters=2,2,2,2", "hidden=4"), "epochs": 2, "validation": 0.25, "batch_size": 8}


def draw(file, level, random):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.clip(random.normal(level, 40, (8, 8)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    """Sixty pictures in three classes."""
    folder, random = tmp_path_factory.mktemp("data") / "shades", np.random.default_rng(0)
    for name, level in (("bright", 200), ("dark", 40), ("middle", 120)):
        for number in range(20):
            draw(folder / name / f"{number}.png", level, random)
    return folder


@pytest.fixture(scope="module")
def trained(shades, tmp_path_factory):
    return gn.train(tiny(tmp_path_factory.mktemp("runs") / "shades", data=f"folder:{shades}", **SMALL))


@pytest.fixture
def own(shades, tmp_path, monkeypatch):
    """The same folder, to be changed, and nothing said yet."""
    monkeypatch.setattr(console, "_printed", set())
    return shutil.copytree(shades, tmp_path / "shades")


def rename(folder):
    (folder / "bright").rename(folder / "light")


def rename_to_another_order(folder):
    (folder / "bright").rename(folder / "pale")


def add_a_class(folder):
    draw(folder / "white" / "0.png", 250, np.random.default_rng(1))
    draw(folder / "white" / "1.png", 250, np.random.default_rng(2))


def remove_a_class(folder):
    shutil.rmtree(folder / "middle")


def make_colourful(folder):
    for file in folder.rglob("*.png"):
        Image.fromarray(np.stack([np.asarray(Image.open(file)), *2 * [np.zeros((8, 8), np.uint8)]], -1)).save(file)


def remove_the_whole(folder):
    shutil.rmtree(folder)


def double(folder):
    for file in list(folder.rglob("*.png")):
        shutil.copy(file, file.with_name(f"again-{file.name}"))


def remove_half(folder):
    for number in range(10):
        for name in ("bright", "dark", "middle"):
            (folder / name / f"{number}.png").unlink()


def rename_files(folder):
    for file in list(folder.rglob("*.png")):
        file.rename(file.with_name(f"new-{file.name}"))


def swap_two(folder):
    """Put an image of one class into another, and one of that back, under each other's names."""
    one, other = folder / "dark" / "3.png", folder / "bright" / "3.png"
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def exchange_two(folder):
    (folder / "bright").rename(folder / "for-a-while")
    (folder / "dark").rename(folder / "bright")
    (folder / "for-a-while").rename(folder / "dark")


REFUSED = {
    exchange_two: "has the images of 'dark' now under 'bright', expected",
    rename: r"the classes light, dark, middle|the classes dark, light, middle",
    rename_to_another_order: "the classes dark, middle, pale; expected 1 and bright, dark, middle, as shades",
    add_a_class: "the classes bright, dark, middle, white; expected 1 and bright, dark, middle",
    remove_a_class: "the classes bright, dark; expected 1 and bright, dark, middle",
    make_colourful: "has 3 channels and the classes bright, dark, middle; expected 1 and",
    remove_the_whole: "does not exist",
}
NOTICED = {
    double: "48 images more to train on, 12 images more to test on",
    remove_half: "24 images fewer to train on, 6 images fewer to test on",
    rename_files: "other files to train on, other files to test on",
    swap_two: "other pixels to",
}


@pytest.mark.parametrize("change", REFUSED, ids=lambda one: one.__name__)
def test_data_of_other_classes_or_images_are_refused_by_all_that_reads_them(trained, own, change):
    change(own)
    with pytest.raises(InputError, match=REFUSED[change]):
        trained.dataset(own)
    subject = Subject.of_run(trained, data_root=own)
    for look in (subject.evaluate, lambda: subject.part("train"), lambda: subject.made_of("test")):
        with pytest.raises(InputError, match=REFUSED[change]):
            look()


COMMANDS = {
    "eval": (),
    "explain": ("--images", "2", "--layers", "conv4", "--methods", "gradcam"),
    "features": ("--layers", "fc1", "--methods", "pca", "--dims", "2"),
    "report": (),
}


@pytest.fixture(scope="module", autouse=True)
def _short_reports():
    """A report makes the evaluation only: the rest takes seconds, and is made of the same images."""
    whole = classification_views.VIEWS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classification_views, "VIEWS", dataclasses.replace(whole, wanted=lambda _: [("evaluation", {})]))
        yield


@pytest.fixture(scope="module")
def analysed(trained, tmp_path_factory):
    """A copy of the run whose data have been looked at before they change."""
    path = shutil.copytree(trained.path, tmp_path_factory.mktemp("analysed") / "shades")
    for command, words in COMMANDS.items():
        assert cli.run([command, str(path), *words]) == 0
    return path


def files_of(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("change", [*REFUSED, *NOTICED], ids=lambda one: one.__name__)
def test_no_command_gives_a_number_that_belongs_to_other_data(analysed, own, tmp_path, capsys, change, command):
    """Where the classes are others it is refused; where images are, the numbers are theirs, and it is said."""
    mine = shutil.copytree(analysed, tmp_path / "shades-run")
    before = files_of(mine)
    change(own)
    words = (command, mine, *COMMANDS[command], "--data-root", own)
    if (change, command) == (remove_the_whole, "report"):  # what was measured before is of the run's own data
        assert answer(capsys, *words)["data_changed"] == [None]
        assert f"{own} does not exist" in (mine / "report.html").read_text()
        assert {name: one for name, one in files_of(mine).items() if name != "report.html"}.items() <= before.items()
        return
    if change in REFUSED:
        assert re.search(REFUSED[change], refused(capsys, *words))
        assert files_of(mine) == before
        return
    got = answer(capsys, *words)
    told = got["data_changed"][0] if command == "report" else got["data_changed"]
    assert f"the data of shades-run have changed since the training: {NOTICED[change]}" in told
    assert before.items() <= {**files_of(mine), "report.html": before["report.html"]}.items()
    images = len(gn.load_dataset(f"folder:{own}").test)
    if command == "report":
        page = (mine / "report.html").read_text()
        assert told[1:] in page
        assert "played no part in either" not in page
        left_out = (
            "Left out, because they were made with images or weights that have changed since: evaluation/test, " in page
        )
        assert left_out == ("to test on" in told)
        assert f"{images} images" in page
        return
    code, out, _ = call(capsys, *words)
    assert (code, f"note: {told}" in out) == (0, True)
    assert f"{images} test images" in out or f"(test, {images} images)" in out or command == "explain"
    new = set(files_of(mine)) - set(before)  # an entry beside the one of the data as they were
    assert bool(new) == ("to test on" in told)


def test_the_own_folder_given_as_other_data_is_compared_with_that_of_the_training(
    trained, own, tmp_path, capsys, monkeypatch
):
    mine = shutil.copytree(trained.path, tmp_path / "shades-run")
    monkeypatch.chdir(own.parent)
    words = ("eval", mine, "--data-root", own, "--data", "folder:shades")
    assert answer(capsys, *words)["data_changed"] is None
    rename_files(own)
    assert NOTICED[rename_files] in answer(capsys, *words)["data_changed"]
    exchange_two(own)
    assert re.search(REFUSED[exchange_two], refused(capsys, *words))


def test_images_of_another_folder_that_were_learned_from_are_counted(trained, shades, tmp_path, capsys):
    mine = shutil.copytree(trained.path, tmp_path / "shades-run")
    other, random = tmp_path / "other", np.random.default_rng(5)
    for part in ("train", "test"):
        for name, level in (("bright", 200), ("dark", 40), ("middle", 120)):
            for number in range(3):
                draw(other / part / name / f"{number}.png", level, random)
    words = ("eval", mine, "--data", f"folder:{other}")
    assert answer(capsys, *words)["leak"] == 0
    for number, file in enumerate(trained.dataset().train.files[:2]):
        shutil.copy(shades / file, other / "test" / file.partition("/")[0] / f"copy-{number}.png")
    got = answer(capsys, *words)
    assert (got["leak"], got["data_changed"]) == (2, None)
    assert "note: 2 of these images are copies of images that shades-run was trained on" in call(capsys, *words)[1]
    assert "leak" not in answer(capsys, "eval", mine)


def test_an_evaluation_by_the_training_images_is_another_where_they_are(vae, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(console, "_printed", set())
    own = shutil.copytree(vae.settings.data.partition(":")[2], tmp_path / "bars")
    before = made_of(Subject.of_run(vae), EvaluationRequest(), Context())
    file = own / vae.dataset().train.files[0]
    Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    moved = Context(data_root=own)
    now = made_of(Subject.of_run(vae, data_root=own), EvaluationRequest(), moved)
    assert {key for key in before if before[key] != now[key]} == {"training"}
    as_other = made_of(Subject.of_run(vae), EvaluationRequest(data=f"folder:{own}"), Context())
    assert as_other["training"] == now["training"]
    assert "training" not in made_of(Subject.of_run(trained), EvaluationRequest(), Context())


def test_a_report_without_changed_data_leaves_nothing_out(analysed, own, tmp_path, capsys):
    mine = shutil.copytree(analysed, tmp_path / "shades-run")
    assert answer(capsys, "report", mine, "--data-root", own)["data_changed"] == [None]
    page = (mine / "report.html").read_text()
    assert "Left out" not in page
    assert "played no part in either" in page


def test_where_data_are_gone_what_was_measured_when_they_had_changed_is_left_out(analysed, own, tmp_path, capsys):
    mine = shutil.copytree(analysed, tmp_path / "shades-run")
    double(own)
    assert answer(capsys, "eval", mine, "--data-root", own)["analysis"] == "evaluation/test-2"
    remove_the_whole(own)
    answer(capsys, "report", mine, "--data-root", own)
    page = (mine / "report.html").read_text()
    assert "Left out, because they were made with images or weights that have changed since: evaluation/test-2." in page


@pytest.mark.parametrize("change", NOTICED, ids=lambda one: one.__name__)
def test_other_images_of_the_same_classes_are_said_once_and_are_another_analysis(trained, own, capfd, change):
    before = Subject.of_run(trained).made_of("test") | Subject.of_run(trained).made_of("train")
    assert "changed" not in capfd.readouterr().err
    change(own)
    subject = Subject.of_run(trained, data_root=own)
    subject.evaluate()
    Subject.of_run(trained, data_root=own).part("train")
    said = capfd.readouterr().err
    assert f"the data of shades have changed since the training: {NOTICED[change]}" in said
    assert said.count("have changed since the training") == 1
    assert [subject.made_of(part) for part in ("train", "test")] != [before] * 2


def test_data_that_have_only_moved_are_the_same(trained, own, capfd):
    subject = Subject.of_run(trained, data_root=own)
    assert subject.made_of("test") == Subject.of_run(trained).made_of("test")
    assert "changed" not in capfd.readouterr().err


def test_of_a_run_of_an_early_version_classes_and_counts_are_known(trained, own, tmp_path, capfd):
    old = shutil.copytree(trained.path, tmp_path / "old")
    manifest = read_json(old / "run.json")
    del manifest["data"]["fingerprint"], manifest["weights"]
    write_json(old / "run.json", manifest)
    Run.open(old).dataset(own)
    assert "changed" not in capfd.readouterr().err
    double(own)
    Run.open(old).dataset(own)
    assert "48 images more to train on, 12 images more to test on" in capfd.readouterr().err
    add_a_class(own)
    with pytest.raises(InputError, match="the classes bright, dark, middle, white; expected 1 and"):
        Run.open(old).dataset(own)


@pytest.fixture
def stopped(own, tmp_path, monkeypatch):
    """A training on the folder that was stopped after its first epoch."""
    with stops_after_an_epoch(monkeypatch):
        gn.train(tiny(tmp_path / "stopped", data=f"folder:{own}", **SMALL))
    return tmp_path / "stopped"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename_to_another_order, "the classes dark, middle, pale; expected 1 and bright, dark, middle, as .*stopped"),
        (add_a_class, "the classes bright, dark, middle, white; expected 1"),
        (remove_a_class, "the classes bright, dark; expected 1"),
        (
            double,
            r"since its training began \(48 images more to train on, 12 images more to test on\); restore",
        ),
        (exchange_two, "has the images of 'dark' now under 'bright', expected"),
        (remove_half, "24 images fewer to train on"),
        (rename_files, "other files to train on, other files to test on"),
        (swap_two, "other pixels to"),
        (rename, "the classes dark, light, middle; expected 1"),
        (make_colourful, r"other pixels to|3 channels"),
        (remove_the_whole, "does not exist"),
    ],
)
def test_no_training_goes_on_with_other_data(stopped, own, change, message):
    before = {file: file.read_bytes() for file in stopped.rglob("*") if file.is_file()}
    change(own)
    with pytest.raises(InputError, match=message):
        gn.train(gn.TrainSettings(resume=stopped))
    assert {file: file.read_bytes() for file in stopped.rglob("*") if file.is_file()} == before


def test_a_training_goes_on_with_data_that_have_moved(stopped, own, tmp_path):
    moved = own.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="does not exist"):
        gn.train(gn.TrainSettings(resume=stopped))
    finished = gn.train(gn.TrainSettings(resume=stopped, data_root=moved))
    assert finished.settings.data == f"folder:{moved}"
    assert finished.dataset().train.files == gn.load_dataset(f"folder:{moved}").train.files


def test_a_checkpoint_of_an_early_version_goes_on(stopped):
    saved = run.read_checkpoint(stopped)
    del saved["data"], saved["history"], saved["state"]["best_weights"]
    run.write_checkpoint(stopped, saved)
    finished = gn.train(gn.TrainSettings(resume=stopped))
    assert Run.open(finished.path).metrics == finished.metrics


@pytest.mark.parametrize(
    "names", ["ground\nsquare\n", "ground\nsquare\ncolumn\nmore\n", "ground\ncolumn\nsquare\n", None]
)
def test_masks_of_other_classes_are_refused(segmented, scans, tmp_path, names):
    own = shutil.copytree(scans, tmp_path / "scans")
    (own / "classes.txt").unlink()
    if names is not None:
        (own / "classes.txt").write_text(names.replace(" ", "\n"))
    with pytest.raises(InputError, match=r"and the classes .* expected 3 and ground, square, column|names 2"):
        segmented.dataset(own)


def test_masks_drawn_anew_are_said(segmented, scans, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(console, "_printed", set())
    own = shutil.copytree(scans, tmp_path / "scans")
    for file in (own / "masks").iterdir():
        mask = np.asarray(Image.open(file)).copy()
        mask[5:8, 5:8] = 2
        Image.fromarray(mask).save(file)
    segmented.dataset(own)
    assert "other labels to train on, other labels to test on" in capfd.readouterr().err


def test_of_very_many_pixels_some_are_read_and_of_the_targets_all(monkeypatch, shades):
    dataset = gn.load_dataset(f"folder:{shades}", image_size=8)
    whole = fingerprint(dataset)
    monkeypatch.setattr("glassnet.data.fingerprint._READ_BYTES", 8 * 8 * 12)
    some = fingerprint(dataset)
    assert changes(whole, some) == ["other pixels to train on"]  # every fourth image
    assert changes(some, fingerprint(dataset)) == []
    monkeypatch.setattr("glassnet.data.fingerprint._CHUNK_BYTES", 64)
    assert fingerprint(dataset) == some
    dataset.train.targets[1] = (dataset.train.targets[1] + 1) % 3
    assert changes(some, fingerprint(dataset)) == ["other labels to train on"]


def test_folders_exchanged_in_one_part_alone_are_refused(own, tmp_path):
    for part in ("train", "test"):
        shutil.copytree(own, tmp_path / "parts" / part)
    draw(tmp_path / "parts" / "test" / "bright" / "more.png", 200, np.random.default_rng(3))
    before = fingerprint(gn.load_dataset(f"folder:{tmp_path / 'parts'}"))
    check_classes_stay(before, before, data="these", of="a run")
    exchange_two(tmp_path / "parts" / "test")
    now = fingerprint(gn.load_dataset(f"folder:{tmp_path / 'parts'}"))
    with pytest.raises(InputError, match=REFUSED[exchange_two]):
        check_classes_stay(before, now, data="these", of="a run")
    check_classes_stay({"test": {"images": 61}}, now, data="these", of="a run of before")


def test_a_fingerprint_of_before_leaves_out_what_it_left_out(monkeypatch, shades):
    dataset = gn.load_dataset(f"folder:{shades}", image_size=8)
    early = {"targets": "classes", "train": {"images": 48}, "test": {"images": 12}}
    assert fingerprint(dataset, early) == fingerprint(dataset)
    monkeypatch.setattr("glassnet.data.fingerprint._EARLY_READ_BYTES", 8 * 8 * 24)
    sampled = fingerprint(dataset, early)
    assert "every" not in sampled["train"]
    dataset.train.targets[1] = (dataset.train.targets[1] + 1) % 3
    assert changes(sampled, fingerprint(dataset, sampled)) == []
    dataset.train.targets[2] = (dataset.train.targets[2] + 1) % 3
    assert changes(sampled, fingerprint(dataset, sampled)) == ["other labels to train on"]


def test_a_grid_compares_its_finished_runs_with_the_data(own, tmp_path):
    base = tiny(None, data=f"folder:{own}", **{**SMALL, "epochs": 1})
    axes = {"hidden": [4]}
    gn.tune(base, axes, seeds=(0,), out=tmp_path / "grid")
    add_a_class(own)
    with pytest.raises(InputError, match="the classes bright, dark, middle, white; expected 1 and bright,"):
        gn.tune(base, axes, seeds=(0, 1), out=tmp_path / "grid")
