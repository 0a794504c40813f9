from dataclasses import replace
from types import SimpleNamespace

import pytest

import tiny_voc
from glassnet.errors import InputError
from glassnet.experiment import Run, resolve
from glassnet.reproduction.part import open_folder
from glassnet.reproduction.segmentation import CLEAN, evaluations, segmentation, trainings
from glassnet.reproduction.segmentation.evaluations import (
    LEAKY,
    Evaluations,
    classes_table,
    measures_table,
    training_of,
    training_settings,
)
from glassnet.run import write_checkpoint
from glassnet.settings import to_json
from glassnet.settings.train import ReproduceSettings
from glassnet.tasks import TASKS
from glassnet.training import epochs_done, train_or_resume


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    root = tiny_voc.lay_out(tmp_path_factory.mktemp("data"))
    return ReproduceSettings(
        part="segmentation", epochs=1, seeds=(0,), models=("unet_small",), data_root=root, precision="fp32"
    )


@pytest.fixture(scope="module")
def done(asked, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "seg"
    return segmentation(asked, out), out


def train(settings, model, out):
    one = training_of(settings, model, "voc-aug", seed=0, out=out)
    return train_or_resume(one.settings, one.path)


def test_the_list_of_trainings_is_what_was_trained(done, asked):
    _, out = done
    listed = trainings(asked, out)
    assert {path.parent for path in out.rglob("run.json")} == {one.path for one in listed}
    assert [epochs_done(one.settings, one.path) for one in listed] == [None] * 4


def test_tables_have_the_reports_number_and_the_background_beside_ours(done):
    made, _ = done
    table, classes = made.tables
    rows = {row[:2]: row for row in table.rows}
    assert set(rows) == {
        ("fcn8_small", "voc-aug"),
        ("unet_small", "voc-aug"),
        ("fcn8_small", "voc-aug-union"),
        ("fcn8_small", "voc-aug-union-clean"),
    }
    assert rows["fcn8_small", "voc-aug-union"][3] == "0.7800"
    assert rows["unet_small", "voc-aug"][3] == rows["fcn8_small", "voc-aug"][3] == "–"  # another network, another split
    assert float(rows["fcn8_small", "voc-aug"][6]) == pytest.approx(0.5, abs=0.1)  # half of each mask is background
    for value, bounds in ((4, 5), (7, 8)):
        low, high = map(float, rows["fcn8_small", "voc-aug"][bounds].split(" to "))
        assert low <= float(rows["fcn8_small", "voc-aug"][value].split()[0]) <= high
    assert len(classes.rows) == 21


def test_both_tables_are_of_the_same_evaluation(done, asked):
    """Not of the training's own test, which may be in another precision."""
    made, out = done
    run, tests = Run.open(out / "training" / "fcn8_small-voc-aug-seed0"), Evaluations(asked, open_folder(out))
    (row,) = [row for row in made.tables[0].rows if row[:2] == ("fcn8_small", "voc-aug")]
    values = {"pixel_accuracy": 0.1234, "mean_iou": 0.2345, "boundary_f": None}
    evaluated = tests.evaluated(run)
    assert row[7] == f"{evaluated.mean_iou:.4f}"
    tests.evaluated = lambda _run: replace(evaluated, **values)
    (row,) = measures_table({("fcn8_small", "voc-aug"): [run]}, tests).rows
    assert (row[4], row[7], row[10]) == ("0.1234 (1)", "0.2345", "–")


def test_the_leaking_split_alone_has_people_and_no_leak_to_judge(asked, tmp_path):
    made = segmentation(replace(asked, data="voc-aug-union", models=()), tmp_path / "out")
    assert [row[:2] for row in made.tables[0].rows] == [("fcn8_small", "voc-aug-union")]
    assert any(note.startswith("The leak is measured with --data voc-aug") for note in made.notes)
    assert any(note.startswith("The verdicts on people") for note in made.notes)


def test_figures_notes_and_verdicts(done):
    made, out = done
    assert [figure.name for figure in made.figures] == ["figure-4", "figure-5"]
    assert all((out / "figures" / f"{name}.png").exists() for name in ("figure-4", "figure-5"))
    assert any("2 images are in both the training and the test part" in note for note in made.notes)
    assert any("2 test images of voc-aug-union took part in the training" in note for note in made.notes)
    assert any("the test images choose nothing, except for voc-aug-union, see below." in note for note in made.notes)
    assert any("8 images to learn from and voc-aug-union-clean has 6" in note for note in made.notes)
    assert any("Validation saved epoch 1 of the one and 1 of the other" in note for note in made.notes)
    each = ("fcn8_small", "voc-aug"), ("unet_small", "voc-aug"), *(("fcn8_small", split) for split in (LEAKY, CLEAN))
    passes = ", ".join(f"{model} for 1 epoch on {where}" for model, where in each)
    assert any(f"Seeds 0; {passes}; trained in fp32 on cpu, tested in fp32." in note for note in made.notes)
    leak, _, *people = made.verdicts
    assert leak.interval is not None
    assert leak.interval[0] <= leak.effect <= leak.interval[1]
    assert len(people) == 4


def test_finished_runs_are_not_trained_again_and_others_not_taken(done, asked, monkeypatch):
    made, out = done
    monkeypatch.setattr("glassnet.training.resume.train", lambda settings: pytest.fail("trained again"))
    assert segmentation(asked, out).tables == made.tables
    others = ReproduceSettings(
        part="segmentation", epochs=2, seeds=(0,), models=("unet_small",), data_root=asked.data_root
    )
    with pytest.raises(
        InputError,
        match=r"with other settings \(epochs 1, expected 2, precision fp32, expected auto\); move it away, or give",
    ):
        segmentation(others, out)


def test_a_run_of_another_option_is_not_taken(asked, tmp_path, monkeypatch):
    """Also of options that the name does not tell, as a user's own training with --loss dice in its place."""
    settings = replace(resolve(training_settings(asked, "fcn8_small", "voc-aug", 0)), loss="dice")
    (tmp_path / "training" / "fcn8_small-voc-aug-seed0").mkdir(parents=True)
    (tmp_path / "training" / "fcn8_small-voc-aug-seed0" / "run.json").write_text("{}")
    monkeypatch.setattr(Run, "open", lambda path: SimpleNamespace(settings=settings))
    with pytest.raises(InputError, match="was trained with other settings"):
        train(asked, "fcn8_small", tmp_path)
    monkeypatch.setattr(Run, "open", lambda path: SimpleNamespace(settings=replace(settings, loss="cross-entropy")))
    assert train(asked, "fcn8_small", tmp_path).settings.seed == 0


def test_an_unfinished_run_of_other_settings_is_not_gone_on_with(asked, tmp_path, monkeypatch):
    path = tmp_path / "training" / "unet_small-voc-aug-seed0"
    wanted = resolve(training_settings(asked, "unet_small", "voc-aug", 0))
    for changes, goes_on in (({"batch_size": 64}, False), ({"seed": 1}, False), ({}, True)):
        write_checkpoint(path, {"settings": to_json(replace(wanted, **changes)), "started": "", "state": {}})
        monkeypatch.setattr("glassnet.training.resume.train", lambda settings, **_: settings.resume)
        if goes_on:
            assert train(asked, "unet_small", tmp_path) == path
        else:
            with pytest.raises(InputError, match="unet_small-voc-aug-seed0 was trained with other settings"):
                train(asked, "unet_small", tmp_path)


def test_a_test_is_done_once_on_the_device_and_data_that_were_asked_for(done, asked, monkeypatch, tmp_path):
    _, out = done
    run = Run.open(out / "training" / "fcn8_small-voc-aug-seed0")
    tests, again = (Evaluations(asked, open_folder(tmp_path)) for _ in range(2))
    devices = []
    monkeypatch.setattr(
        "glassnet.reproduction.segmentation.evaluations.choose_device", lambda name: devices.append(name) or "cpu"
    )
    assert tests.records(run) is tests.records(run)
    assert all((again.records(run)[name] == rows).all() for name, rows in tests.records(run).items())
    assert devices == [asked.device]
    assert tests.dataset(run) is tests.dataset(run)


@pytest.mark.parametrize(("given", "taken"), [("mnist", "voc-aug"), ("mnist-sample", "digit-scenes")])
def test_data_of_other_parts_stand_for_this_ones(tmp_path, given, taken):
    first = trainings(ReproduceSettings(part="segmentation", data=given), tmp_path)[0]
    assert (first.settings.model, first.settings.data) == ("fcn8_small", taken)


def test_a_network_for_another_task_is_refused_before_the_first_training(asked, tmp_path, monkeypatch):
    monkeypatch.setattr("glassnet.reproduction.segmentation.train_or_resume", lambda *_: pytest.fail("trained"))
    with pytest.raises(InputError, match="convnet is a model for classification"):
        segmentation(replace(asked, models=("convnet",)), tmp_path / "out")


def test_the_leak_takes_one_training_a_split(asked, tmp_path):
    listed = trainings(replace(asked, models=(), seeds=(4, 2)), tmp_path)
    told = [(one.settings.data, one.settings.seed) for one in listed]
    assert told == [("voc-aug", 4), ("voc-aug", 2), ("voc-aug-union", 2), ("voc-aug-union-clean", 2)]


def test_each_network_is_trained_for_the_epochs_that_it_needs(monkeypatch):
    published = training_settings(ReproduceSettings(), "fcn8_small", "voc-aug", 0)
    assert (published.epochs, published.plain_epochs) == (100, 0.06)
    assert (published.low_res_epochs, published.copy_paste) == (0.7, 0.5)
    split = training_settings(ReproduceSettings(), "fcn8_small", "voc-aug-union", 0)
    assert (split.epochs, split.plain_epochs, split.low_res_epochs, split.copy_paste) == (36, 0.2, 0, 0)
    quick = training_settings(ReproduceSettings(budget="quick"), "fcn8_small", "voc-aug", 0)
    assert (quick.epochs, quick.low_res_epochs) == (8, 0.7)
    assert training_settings(ReproduceSettings(), "unet_small", "voc-aug", 0).epochs == 24
    monkeypatch.setattr(evaluations, "EPOCHS", {"unet_small": 5})
    monkeypatch.setattr(evaluations, "USUAL_EPOCHS", 3)
    settings = training_settings(ReproduceSettings(), "unet_small", "voc-aug", 2)
    assert (settings.epochs, settings.seed, settings.data) == (5, 2, "voc-aug")
    assert settings.plain_epochs == evaluations.PLAIN
    other = resolve(training_settings(ReproduceSettings(), "unet_small", "digit-scenes", 2))
    assert (other.epochs, other.plain_epochs) == (TASKS["segmentation"].recipe.epochs, 0.25)
    assert training_settings(ReproduceSettings(), "fcn8_small", "voc-aug-union", 2).epochs == 3
    assert training_settings(ReproduceSettings(epochs=9), "unet_small", "voc-aug", 2).epochs == 9


def test_a_class_is_told_by_its_mean_over_seeds(done, asked):
    """Two networks stand for two seeds of one."""
    made, out = done
    runs = [Run.open(out / "training" / f"{model}-voc-aug-seed0") for model in ("fcn8_small", "unet_small")]
    tests = Evaluations(asked, open_folder(out))
    row = classes_table({"both": runs}, tests).rows[0]
    first, second = (tests.evaluated(run).per_class[0].iou for run in runs)
    mean, deviation = (first + second) / 2, abs(first - second) / 2**0.5
    assert row[0] == "background"
    assert row[4].startswith(f"{mean:.3f} ± {deviation:.3f} [")
    assert made.tables[1].rows[0][4].startswith(f"{first:.3f} [")
