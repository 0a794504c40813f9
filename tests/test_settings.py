import re
from pathlib import Path

import pytest

from glassnet import cli
from glassnet import settings as s
from glassnet.errors import InputError
from glassnet.parsing import parse
from glassnet.tasks import TASKS


@pytest.mark.parametrize(
    "value",
    [
        s.TrainSettings(model_options=("filters=8,8,8,8",), out=Path("runs/x"), image_size=32),
        s.ExplainSettings(run=Path("r"), layers=("conv1", "conv2"), methods=("gradcam",)),
        s.FeaturesSettings(run=Path("r"), clusters=None),
        s.FeaturesSettings(run=Path("r"), dims=(2, 3), perplexity=(5.0, 50.0), compare=("conv",), against=Path("s")),
        s.ReportSettings(run=Path("r")),
        s.ReproduceSettings(part="gradcam", runs=(Path("a"), Path("b/c"))),
    ],
)
def test_settings_survive_json(value):
    import json

    plain = json.loads(json.dumps(s.to_json(value)))
    assert s.from_json(type(value), plain) == value


def test_unknown_setting_is_named():
    with pytest.raises(InputError, match=r"no setting 'epoch' in TrainSettings\. Did you mean epochs"):
        s.from_json(s.TrainSettings, {"epoch": 3})


@pytest.mark.parametrize("name", ["data", "model"])
def test_a_name_that_is_no_text_is_refused(name):
    with pytest.raises(InputError, match=f"the setting {name} is 3, expected a name"):
        s.from_json(s.TrainSettings, {name: 3})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "--epochs is 0, expected a number above 0"),
        ({"batch_size": -1}, "--batch-size is -1"),
        ({"learning_rate": 0.0}, "--learning-rate is 0.0"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan"),
        ({"label_smoothing": 1.0}, "--label-smoothing is 1.0, expected at least 0 and below 1"),
        ({"weight_averaging": 1.5}, "--weight-averaging is 1.5"),
        ({"plain_epochs": 1.0}, "--plain-epochs is 1.0, expected at least 0 and below 1"),
        ({"small_epochs": 1.0}, "--small-epochs is 1.0, expected at least 0 and below 1"),
        ({"small_size": 0, "small_epochs": 0.5}, "--small-size is 0"),
        ({"small_size": 64}, "--small-size is of no use without --small-epochs; give a share"),
        ({"pasted": 1.1}, "--pasted is 1.1, expected a share from 0 to 1"),
        ({"pasted": float("nan")}, "--pasted is nan"),
        ({"pasted": 0.5, "augment": False}, "--pasted changes the training images, which --no-augment forbids"),
        ({"weight_decay": -0.1}, "--weight-decay is -0.1"),
        ({"validation": 0.0}, "--validation is 0.0, expected a share above 0 and below 1"),
        ({"image_size": 0}, "--image-size is 0"),
    ],
)
def test_impossible_training_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        s.TrainSettings(**options)


def test_impossible_sizes_of_other_commands_are_refused():
    with pytest.raises(InputError, match="--batch-size is 0"):
        s.EvalSettings(run=Path("r"), batch_size=0)
    with pytest.raises(InputError, match="--perplexity is -3"):
        s.FeaturesSettings(run=Path("r"), perplexity=(-3.0,))
    with pytest.raises(InputError, match="--num-classes is 0"):
        s.ModelsSettings(num_classes=0)
    with pytest.raises(InputError, match="--epochs is 0"):
        s.DemoSettings(epochs=0)


def test_a_preset_starts_the_settings_and_what_is_given_overrides_it():
    fast = s.TrainSettings.preset("fast", seed=3)
    assert (fast.epochs, fast.validation, fast.seed) == (5, 0.02, 3)
    parsed, _ = parse("train", cli.train, ["--preset", "fast", "--epochs", "8"])
    assert parsed == s.TrainSettings.preset("fast", epochs=8)  # 8, what the task would take, counts as given
    assert parse("train", cli.train, ["--preset=fast"])[0] == s.TrainSettings.preset("fast")
    assert parse("train", cli.train, ["--preset", "default"])[0] == s.TrainSettings()


def test_the_help_names_each_tasks_recipe(capsys):
    with pytest.raises(SystemExit):
        parse("train", cli.train, ["--help"])
    shown = " ".join(re.sub(r"[│╭╰─╮╯]", " ", capsys.readouterr().out).split())
    epochs = ", ".join(f"{task.recipe.epochs} for {name}" for name, task in TASKS.items())
    assert f"if not given, {epochs}" in shown
    rates = ", ".join(f"{task.recipe.learning_rate} for {name}" for name, task in TASKS.items())
    assert f"if not given, {rates}" in shown
    sizes = {name: task.recipe.batch_size for name, task in TASKS.items()}
    assert sizes["classification"] == sizes["reconstruction"]
    assert f"if not given, {sizes['segmentation']} for segmentation, else {sizes['classification']}" in shown
    assert {task.recipe.weight_averaging for task in TASKS.values()} == {0.995}
    assert "0.995 if not given" in shown


def test_the_help_names_each_tasks_data_set_and_model(capsys):
    with pytest.raises(SystemExit):
        parse("train", cli.train, ["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    usual = {name: task.defaults for name, task in TASKS.items()}
    assert f"if not given, {', '.join(f'{one.model} for {name}' for name, one in usual.items())}" in shown
    assert usual["classification"].data == usual["reconstruction"].data
    assert f"if not given, {usual['segmentation'].data} for segmentation, else {usual['classification'].data}" in shown
    assert f"--task {{{','.join(TASKS)}}}" in shown


def test_a_path_may_be_text_as_scripts_give_it():
    settings = s.TrainSettings(out="runs/first", data_root="data")
    assert (settings.out, settings.data_root) == (Path("runs/first"), Path("data"))
    assert s.ReproduceSettings(part="features", run="runs/first").run == Path("runs/first")
    assert s.ReproduceSettings(part="gradcam", runs=("a", "b")).runs == (Path("a"), Path("b"))
    with pytest.raises(InputError, match="--out is 3, expected a path"):
        s.TrainSettings(out=3)


def test_an_unknown_preset_is_named_with_the_choices():
    with pytest.raises(InputError, match=r"no preset 'slow'.* default, fast"):
        s.TrainSettings.preset("slow")
    with pytest.raises(InputError, match="invalid choice 'slow' for argument '--preset'"):
        parse("train", cli.train, ["--preset", "slow"])
