from dataclasses import asdict
from pathlib import Path

import pytest

from glassnet import cli
from glassnet import settings as s
from glassnet.cli.parse import parse
from glassnet.errors import InputError
from glassnet.settings.convert import from_text
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


def test_settings_of_old_runs_are_read_under_the_names_of_today():
    old = {"pasted": 0.5, "small_epochs": 0.7, "small_size": 64}
    assert s.from_json(s.TrainSettings, old) == s.TrainSettings(copy_paste=0.5, low_res_epochs=0.7, low_res_size=64)


def test_an_old_option_is_understood_and_named(capsys):
    words = ["--small-epochs", "0.5", "--small-size=64", "--pasted=0.2"]
    parsed, _ = parse("train", cli.train, words)
    assert parsed == s.TrainSettings(copy_paste=0.2, low_res_epochs=0.5, low_res_size=64)
    assert capsys.readouterr().err.splitlines() == [
        "glassnet: --small-epochs is now called --low-res-epochs; the old name will be removed in the next version.",
        "glassnet: --small-size is now called --low-res-size; the old name will be removed in the next version.",
        "glassnet: --pasted is now called --copy-paste; the old name will be removed in the next version.",
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": "3"}, "the setting epochs is '3', expected a whole number or none"),
        ({"batch_size": True}, "the setting batch_size is True, expected a whole number or none"),
        ({"augment": 1}, "the setting augment is 1, expected true or false"),
        ({"loss": "hinge"}, "the setting loss is 'hinge', expected one of cross-entropy, dice, lovasz"),
        ({"seed": None}, "the setting seed is None, expected a whole number"),
        (
            {"model_options": ["a=1", 3]},
            r"model_options is \['a=1', 3\], expected a list whose values are each a name",
        ),
        ({"out": 3}, "the setting out is 3, expected a path or none"),
    ],
)
def test_a_setting_of_the_wrong_type_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        s.from_json(s.TrainSettings, values)


def test_a_setting_that_is_missing_is_named():
    with pytest.raises(InputError, match="the settings lack run; EvalSettings needs all of its values"):
        s.from_json(s.EvalSettings, {})


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3", int, 3),
        ("none", int | None, None),
        ("1e-3", float, 0.001),
        ("True", bool, True),
        ("8,8", tuple[int, ...], (8, 8)),
    ],
)
def test_text_becomes_a_value_of_its_type(text, kind, value):
    read = from_text(text, kind, "it")
    assert (read, type(read)) == (value, type(value))
    assert value is None or from_text(s.to_text(value), kind, "it") == value


def test_text_of_the_wrong_type_is_refused():
    with pytest.raises(InputError, match=r"^filters is '8,x', expected a list whose values are each a whole number\.$"):
        from_text("8,x", tuple[int, ...], "filters")


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
        ({"low_res_epochs": 1.0}, "--low-res-epochs is 1.0, expected at least 0 and below 1"),
        ({"low_res_size": 0, "low_res_epochs": 0.5}, "--low-res-size is 0"),
        ({"low_res_size": 64}, "--low-res-size is of no use without --low-res-epochs; give a share"),
        ({"copy_paste": 1.1}, "--copy-paste is 1.1, expected a share from 0 to 1"),
        ({"copy_paste": float("nan")}, "--copy-paste is nan"),
        ({"copy_paste": 0.5, "augment": False}, "--copy-paste changes the training images, which --no-augment forbids"),
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


@pytest.fixture
def help_of_train(capsys):
    """What is shown, as one line; and which tasks take a value, by an option's name: {"epochs": {8: [name, ...]}}."""
    with pytest.raises(SystemExit):
        parse("train", cli.train, ["--help-all"])
    taken = {}
    for name, task in TASKS.items():
        for option, value in {**asdict(task.defaults), **asdict(task.recipe)}.items():
            taken.setdefault(option, {}).setdefault(value, []).append(name)
    return " ".join(capsys.readouterr().out.split()), taken


@pytest.mark.parametrize("option", ["data", "model", "epochs", "batch_size", "learning_rate"])
def test_the_help_names_what_each_task_takes(help_of_train, option):
    shown, taken = help_of_train
    assert len(taken[option]) > 1
    listed = ", ".join(f"{value} for {' and '.join(names)}" for value, names in taken[option].items())
    assert f"Default: {listed}" in shown


def test_the_help_names_what_all_tasks_take_once_and_the_tasks(help_of_train):
    shown, taken = help_of_train
    assert list(taken["weight_averaging"]) == [0.995]
    assert "0 uses the raw weights. Default: 0.995." in shown
    assert "that of the task" not in shown
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
