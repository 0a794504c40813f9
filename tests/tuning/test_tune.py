import dataclasses
import json
import shutil

import pytest

import glassnet as gn
from glassnet import training
from glassnet.cli.training import describe_grid
from glassnet.errors import InputError, WorkError
from glassnet.experiment import resolve
from glassnet.stats import paired_t
from glassnet.training import loop
from glassnet.tuning import tune

AXES = {"filters": [(2, 2, 2, 2), (3, 3, 3, 3)]}
NAMES = ["filters=2,2,2,2", "filters=3,3,3,3"]


@pytest.fixture(scope="module")
def tuned(base, tmp_path_factory):
    return tune(base, AXES, seeds=(0, 1, 2), out=tmp_path_factory.mktemp("grids") / "a")


@pytest.fixture
def copied(tuned, tmp_path):
    """The same grid's folder, to be written to."""
    return shutil.copytree(tuned.out, tmp_path / "grid")


@pytest.fixture
def trainings(monkeypatch):
    """The settings of each training that is begun; `stop_at` interrupts or fails one of them."""
    begun, train = [], training.train

    def watched(settings, **how):
        begun.append(settings)
        if len(begun) == watched.stop_at:
            watched.stopping(train, settings)
        return train(settings, **how)

    watched.stop_at, watched.begun = 0, begun
    monkeypatch.setattr("glassnet.training.resume.train", watched)
    return watched


def test_each_cell_and_seed_is_an_ordinary_run(tuned, base):
    folders = sorted(path.name for path in tuned.out.iterdir() if path.is_dir() and path.name != "figures")
    assert folders == [f"{name}_seed={seed}" for name in NAMES for seed in (0, 1, 2)]
    cell = tuned.cell(filters=(3, 3, 3, 3))
    assert cell is tuned.cell(filters="3,3,3,3")
    assert [path.name for path in cell.runs] == [f"{NAMES[1]}_seed={seed}" for seed in (0, 1, 2)]
    for seed, path in zip(cell.seeds, cell.runs, strict=True):
        run = gn.Run.open(path)
        options = ("hidden=4", "filters=3,3,3,3")
        assert run.settings == resolve(dataclasses.replace(base, seed=seed, out=path, model_options=options))
        assert run.metrics["validation_accuracy"] == cell.validation_accuracy[seed]
        assert run.metrics["test_loss"] == cell.test_loss[seed]
        assert run.manifest["model"]["parameters"] == cell.parameters


def test_the_choice_is_made_on_validation_and_the_test_is_paired(tuned):
    best, other = tuned.cells
    assert tuned.best is best
    ranks = [(sum(c.validation_accuracy), -sum(c.validation_loss)) for c in tuned.cells]
    assert ranks == sorted(ranks, reverse=True)
    assert tuned.differences == {
        best.name: None,
        other.name: paired_t(other.validation_accuracy, best.validation_accuracy),
    }


def test_what_is_written(tuned):
    told = json.loads((tuned.out / "tuning.json").read_text())
    assert told == json.loads(json.dumps(tuned.to_json()))
    assert told["best"] == tuned.best.name
    assert [cell["seeds"] for cell in told["cells"]] == [[0, 1, 2]] * 2
    mean = sum(tuned.best.test_accuracy) / 3
    assert told["cells"][0]["test_accuracy"]["mean"] == pytest.approx(mean)
    assert set(told["cells"][1]["difference_from_best"]) == {"mean", "low", "high", "p", "adjusted_p", "pairs", "real"}
    for suffix in ("png", "svg", "json"):
        assert (tuned.out / "figures" / f"tuning.{suffix}").stat().st_size > 100


def test_finished_runs_are_not_trained_again_and_new_cells_and_seeds_are_added(copied, tuned, base, trainings):
    again = tune(base, AXES, seeds=(0, 1, 2), out=copied)
    assert not trainings.begun
    assert [cell.test_loss for cell in again.cells] == [cell.test_loss for cell in tuned.cells]
    more = tune(base, {"filters": ["3,3,3,3"], "learning_rate": [0.01, 0.02]}, seeds=(0, 3), out=copied)
    # 0.01 is the base's own rate, so that cell is the one that is there
    begun = [(s.seed, s.learning_rate) for s in trainings.begun]
    assert begun == [(0, 0.02), (3, 0.01), (3, 0.02)]
    assert more.axes == ("filters", "learning_rate")
    assert {(cell.name, cell.seeds) for cell in more.cells} == {
        (NAMES[0], (0, 1, 2)),
        (NAMES[1], (0, 1, 2, 3)),
        (f"{NAMES[1]}_learning_rate=0.02", (0, 3)),
    }
    assert more.best.name == NAMES[1]  # the one with most seeds
    assert more.cell(filters="2,2,2,2").values["learning_rate"] == 0.01
    with pytest.raises(InputError, match=r"2 cells have filters=3,3,3,3, expected one; the cells are: filters=3"):
        more.cell(filters="3,3,3,3")
    assert "Only settings with the most seeds can be chosen." in describe_grid(more).text


def test_an_interrupted_grid_goes_on_to_the_same_result(base, tuned, tmp_path, trainings, capfd):
    trainings.stop_at, trainings.stopping = 2, interrupted
    axes, out = {"filters": AXES["filters"][1:], "hidden": [4, 5]}, tmp_path / "grid"
    with pytest.raises(KeyboardInterrupt):
        tune(base, axes, seeds=(0, 1), out=out)
    assert "stopped in training 2 of 4; run the same command to continue." in capfd.readouterr().err
    assert not (out / "tuning.json").exists()
    stopped = out / f"{NAMES[1]}_hidden=5_seed=0"
    assert not (stopped / "run.json").exists()
    whole = tune(base, axes, seeds=(0, 1), out=out)
    assert [(s.resume, s.seed) for s in trainings.begun[2:]] == [(stopped, 0), (None, 1), (None, 1)]
    assert whole.cell(hidden=4).test_loss == tuned.cell(filters="3,3,3,3").test_loss[:2]
    assert whole.cell(hidden=5).seeds == (0, 1)


def interrupted(train, settings):
    """Train, but stop at the end of the first epoch, before it is written down."""

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_write_epoch", stop)
        train(settings)


def test_a_run_killed_before_its_first_checkpoint_is_begun_anew(copied, base, trainings):
    path = copied / f"{NAMES[0]}_seed=1"
    shutil.rmtree(path)
    (path / "checkpoint").mkdir(parents=True)
    (path / "checkpoint" / ".state.pt.1.tmp.pt").write_bytes(b"half")
    tune(base, AXES, seeds=(0, 1, 2), out=copied)
    assert [settings.out for settings in trainings.begun] == [path]


def test_a_training_that_is_lost_is_left_out(base, tmp_path, trainings, capfd):
    def fail(_train, settings):
        settings.out.mkdir()
        (settings.out / "checkpoint").mkdir()
        raise WorkError("the loss became nan")

    trainings.stop_at, trainings.stopping = 1, fail
    found = tune(base, AXES, seeds=(0, 1), out=tmp_path / "grid")
    assert "filters=2,2,2,2, seed 0 is left out: the loss became nan" in capfd.readouterr().err
    assert found.best.name == NAMES[1]
    assert (found.cells[1].seeds, found.cells[1].unfinished) == ((1,), (0,))
    text = describe_grid(found).text
    assert "1 of 2" in text
    assert "At least 2 seeds per setting are needed to tell" in text


def test_nothing_came_to_an_end(base, tmp_path, monkeypatch):
    def fail(settings, **_):
        raise WorkError("the loss became nan")

    monkeypatch.setattr("glassnet.training.resume.train", fail)
    with pytest.raises(WorkError, match=r"no training of the grid in .*grid finished; lower learning_rate"):
        tune(base, AXES, seeds=(0,), out=tmp_path / "grid")


@pytest.mark.parametrize(
    ("changes", "axes", "message"),
    [
        (
            {"epochs": 2},
            AXES,
            r"holds a grid with other settings \(epochs 1, got 2\); give another --out, or put epochs on",
        ),
        ({"model_options": ("hidden=5",)}, AXES, r"other settings \(hidden 4, got 5\)"),
        ({"model_options": ("hidden=4",)}, {"epochs": [1]}, r"\(filters 2,2,2,2, got default\)"),
    ],
)
def test_other_base_settings_in_the_same_folder_are_refused(copied, base, trainings, changes, axes, message):
    before = (copied / "grid.json").read_text()
    with pytest.raises(InputError, match=message):
        tune(dataclasses.replace(base, **changes), axes, out=copied)
    assert not trainings.begun
    assert (copied / "grid.json").read_text() == before


def test_what_the_grid_sets_itself_may_differ_in_the_base(copied, base, trainings):
    tune(dataclasses.replace(base, learning_rate=0.5), AXES | {"learning_rate": [0.01]}, out=copied)
    assert not trainings.begun


@pytest.mark.parametrize(
    ("axes", "seeds", "message"),
    [
        ({"filters": ["2,2,2,2", "2,2,2"]}, (0,), r"filters is \(2, 2, 2\), expected four positive numbers"),
        ({"filterz": ["2"]}, (0,), "no setting or model option 'filterz'"),
        ({"data": ["mnits"]}, (0,), "no data set 'mnits'"),
        (AXES, (0, 0), "--seeds is 0 0, expected distinct whole numbers"),
        (AXES, (), "--seeds is empty, expected distinct whole numbers"),
        (AXES, (-1,), "--seeds is -1, expected distinct whole numbers from 0"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is(base, tmp_path, trainings, axes, seeds, message):
    with pytest.raises(InputError, match=message):
        tune(base, axes, seeds=seeds, out=tmp_path / "grid")
    assert not trainings.begun
    assert not (tmp_path / "grid").exists()


def test_a_folder_that_is_no_grids(base, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"is not empty and not the folder of a grid \(it has no grid.json\); give"):
        tune(base, AXES, out=tmp_path)
    (tmp_path / "grid.json").write_text('{"base": {}}')
    with pytest.raises(InputError, match=r"grid.json is damaged \(KeyError\('cells'\)\); restore it"):
        tune(base, AXES, out=tmp_path)


def test_a_run_that_is_not_what_its_name_says_is_refused(copied, base):
    shutil.rmtree(copied / f"{NAMES[1]}_seed=2")
    (copied / f"{NAMES[0]}_seed=2").rename(copied / f"{NAMES[1]}_seed=2")
    with pytest.raises(InputError, match=r"seed=2 was not trained with the settings in its name; move it away"):
        tune(base, AXES, out=copied)


def test_a_name_is_numbered_on_where_signs_are_lost(base, tmp_path, shapes):
    root = shapes.removeprefix("folder:")
    for name in ("a b", "a?b"):
        shutil.copytree(root, tmp_path / name)
    data = [f"folder:{tmp_path / name}" for name in ("a b", "a?b")]
    found = tune(base, {"data": data}, seeds=(0,), out=tmp_path / "grid")
    first, second = sorted(cell.name for cell in found.cells)
    assert second == f"{first}-2"
