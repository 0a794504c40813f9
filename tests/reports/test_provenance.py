import dataclasses
import shlex
from pathlib import Path

import pytest
import tyro

from glassnet.experiment import resolve
from glassnet.reports.provenance import provenance, train_command
from glassnet.settings import TrainSettings, to_json

CHANGED = [
    TrainSettings(),
    TrainSettings(data="folder:my cats & dogs", epochs=3, seed=7),
    TrainSettings(model_options=("filters=16,16,32,32", "dropout=0.5"), augment=False, image_size=32),
    TrainSettings(learning_rate=1e-4, label_smoothing=0.1, data_root=Path("some where"), precision="bf16"),
]


@pytest.mark.parametrize("settings", CHANGED)
def test_the_command_gives_back_the_settings(settings):
    resolved = resolve(settings)
    words = shlex.split(train_command(to_json(resolved)))
    assert words[:2] == ["glassnet", "train"]
    again = tyro.cli(TrainSettings, args=words[2:], config=(tyro.conf.FlagCreatePairsOff,))
    assert resolve(again) == resolved


def test_the_command_names_what_differs_and_the_essentials():
    settings = to_json(resolve(TrainSettings(weight_decay=0.1, out=Path("runs/x"))))
    expected = "glassnet train --data mnist-sample --model convnet --epochs 8 --weight-decay 0.1 --seed 0"
    assert train_command(settings) == expected


def test_the_command_of_a_run_by_steps_names_the_epochs_that_they_came_to():
    settings = to_json(dataclasses.replace(resolve(TrainSettings(steps=400)), epochs=7))
    assert "--epochs 7" in train_command(settings)
    assert "--steps" not in train_command(settings)


def test_the_tables_hold_settings_versions_machine_and_data(finished):
    command, *found = provenance(finished)
    assert "glassnet train --data mnist-sample --model convnet" in command.sentences[0]
    tables = {table.caption: table.rows for table in found}
    settings = {row[0]: row[1:] for row in tables["Settings of the training, and their defaults"]}
    assert settings["<code>epochs</code>"] == ("3", "8")
    assert settings["<code>precision</code>"] == ("fp32", "auto")
    assert settings["<code>augment</code>"] == ("yes", "yes")
    assert not settings.keys() & {"<code>loss</code>", "<code>noise</code>", "<code>low_res_epochs</code>"}
    assert not {"<code>out</code>", "<code>resume</code>"} & settings.keys()
    versions, execution = tables["Software versions"], tables["How the run was computed"]
    assert ("torch", finished.manifest["versions"]["torch"]) in versions
    assert ("Device", "cpu") in execution
    assert ("Cores", str(finished.manifest["machine"]["cores"])) in execution
    assert ("Image size: channels × height × width in pixels", "1 × 28 × 28") in tables["The data"]
    assert ("Classes", "10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9") in tables["The data"]
