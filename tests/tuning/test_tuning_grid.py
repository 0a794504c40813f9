import dataclasses

import pytest

from glassnet.errors import InputError
from glassnet.settings import TrainSettings
from glassnet.settings.train import Names
from glassnet.training.resume import identity
from glassnet.tuning.grid import NO_AXIS, cell_name, parse_grid, span, value_of
from glassnet.tuning.plan import make_plan, named

BASE = TrainSettings(data="mnist-sample", model="convnet", model_options=("hidden=8",))


def test_words_to_axes():
    words = ("filters=8,8,8,8", "16,16,16,16", "learning-rate=0.003", "0.01")
    axes = {"filters": ("8,8,8,8", "16,16,16,16"), "learning_rate": ("0.003", "0.01")}
    assert parse_grid([words]) == axes
    assert parse_grid([words[:2], words[2:]]) == axes  # --grid given twice
    assert parse_grid([("data=folder:/a=b", "data=folder:/c,d")]) == {"data": ("folder:/a=b", "folder:/c,d")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("0.01",), "--grid got '0.01', expected NAME=VALUE followed by more values, as in --grid filters="),
        (("=3",), "--grid got '=3', expected NAME=VALUE"),
        (("epochs=",), "--grid got 'epochs=', expected NAME=VALUE"),
        ((), "--grid got '', expected NAME=VALUE"),
        (("epochs=1", "2", "1"), "--grid has epochs=1 twice; give each value once"),
    ],
)
def test_words_that_are_no_axes(words, message):
    with pytest.raises(InputError, match=message):
        parse_grid([words])


def test_every_combination_once():
    cells = span(BASE, {"filters": [(8, 8, 8, 8), "4,4,4,4"], "learning_rate": [0.1, "0.2"]})
    assert [(cell.learning_rate, value_of(cell, "filters")) for cell in cells] == [
        (0.1, (8, 8, 8, 8)),
        (0.2, (8, 8, 8, 8)),
        (0.1, (4, 4, 4, 4)),
        (0.2, (4, 4, 4, 4)),
    ]
    assert all(value_of(cell, "hidden") == 8 for cell in cells)
    assert span(BASE, {}) == [BASE]


def test_an_option_on_the_grid_goes_before_the_base_settings():
    (cell,) = span(BASE, {"hidden": [16]})
    assert cell.model_options == ("hidden=16",)


@pytest.mark.parametrize(
    "name", [f.name for f in dataclasses.fields(TrainSettings) if f.name not in (*NO_AXIS, "image_size")]
)
def test_every_setting_can_be_an_axis(name):
    """Each reads back its own default; a new setting of a type that the grid cannot read fails here."""
    (cell,) = span(BASE, {name: [getattr(BASE, name)]})
    assert cell == BASE


def test_types():
    (cell,) = span(BASE, {"image_size": ["32"], "augment": ["false"], "epochs": [3]})
    assert (cell.image_size, cell.augment, cell.epochs) == (32, False, 3)
    assert span(BASE, {"image_size": ["none"]})[0].image_size is None


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (
            {"filterz": ["1"]},
            r"no setting or model option 'filterz'. Did you mean filters\? The names are: data, .*hidden",
        ),
        ({"seed": [1, 2]}, "'seed' cannot be an axis of the grid: use --seeds instead"),
        ({"model_options": ["a=1"]}, "cannot be an axis of the grid: name the option itself, as in filters="),
        ({"out": ["x"]}, "'out' cannot be an axis of the grid: give it outside --grid"),
        ({"epochs": ["2.5"]}, "epochs on the grid is '2.5', expected a whole number or none"),
        ({"augment": ["yes"]}, "augment on the grid is 'yes', expected true or false"),
        ({"image_size": ["x"]}, "image_size on the grid is 'x', expected a whole number or none"),
        ({"learning_rate": ["nan"]}, "--learning-rate is nan, expected a finite number above 0"),
        ({"precision": ["fp8"]}, "precision on the grid is 'fp8', expected one of auto, fp32, bf16"),
        ({"filters": ["8,8,8,x"]}, "the model option filters is '8,8,8,x', expected a value like 32,32,64,64"),
        ({"model": ["convnet", "konvnet"]}, r"no model 'konvnet'. Did you mean convnet\?"),
        ({"epochs": []}, "the axis epochs is .*, expected a sequence of at least one value"),
        ({"epochs": "12"}, "the axis epochs is '12', expected a sequence"),
    ],
)
def test_what_is_wrong_is_refused(axes, message):
    with pytest.raises(InputError, match=message):
        span(BASE, axes)


def test_the_same_training_has_one_identity():
    spelled = dataclasses.replace(BASE, model_options=("hidden=8", "filters=32,32,64,64"), seed=5)
    assert identity(spelled) == identity(BASE)  # filters at their default
    assert identity(dataclasses.replace(BASE, learning_rate=0.5)) != identity(BASE)


def test_names_that_every_file_system_takes():
    assert cell_name({"filters": (8, 8), "augment": True}) == "filters=8,8_augment=true"
    assert cell_name({"data": "folder:/a b/c"}) == "data=folder-a-b-c"
    long = {"data": "x" * 200}
    assert len(cell_name(long)) == 120
    assert cell_name(long) != cell_name({"data": "x" * 199 + "y"})
    assert cell_name({}) == "base"


@pytest.mark.parametrize("names", [{"data": "digit-scenes", "model": "fcn8_small"}, {"data": "digit-scenes"}])
def test_a_grid_of_what_has_no_accuracy_is_refused(tmp_path, names):
    base = TrainSettings(**names)
    with pytest.raises(InputError, match="a grid compares accuracies, but fcn8_small on digit-scenes learns"):
        make_plan(base, {"dropout": [0.0, 0.1]}, tmp_path / "grid")


def test_a_grid_without_names_has_those_of_its_task_and_of_its_axis(tmp_path):
    plan = make_plan(TrainSettings(), {"model": ["convnet", "vgg_small"]}, tmp_path / "grid")
    assert (plan.base.data, plan.base.model) == ("mnist-sample", "convnet")
    found = {name: (cell.data, cell.model) for name, cell in plan.cells.items()}
    assert found == {
        "model=convnet": ("mnist-sample", "convnet"),
        "model=vgg_small": ("mnist-sample", "vgg_small"),
    }


def test_a_data_set_for_several_tasks_is_tuned_by_its_classification(tmp_path):
    base = TrainSettings(data="photos-sample", label_smoothing=0.1)
    assert named(base) == Names(data="photos-sample", model="convnet")
    plan = make_plan(base, {"filters": ["8,8,8,8", "4,4,4,4"]}, tmp_path / "grid")
    assert {cell.model for cell in plan.cells.values()} == {"convnet"}
    with pytest.raises(InputError, match="a grid compares accuracies, but fcn8_small on digit-scenes learns"):
        make_plan(TrainSettings(data="digit-scenes"), {"epochs": [1, 2]}, tmp_path / "grid")
