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
    words = shlex.split(train_command(to_json(settings)))
    assert words[:2] == ["glassnet", "train"]
    assert tyro.cli(TrainSettings, args=words[2:], config=(tyro.conf.FlagCreatePairsOff,)) == settings


def test_the_command_names_what_differs_and_the_essentials():
    settings = to_json(resolve(TrainSettings(weight_decay=0.1, out=Path("runs/x"))))
    expected = "glassnet train --data mnist-sample --model convnet --epochs 8 --weight-decay 0.1 --seed 0"
    assert train_command(settings) == expected


def test_the_tables_hold_settings_versions_machine_and_data(run):
    content = provenance(run)
    settings = {row[0]: row[1:] for row in content["settings"].rows}
    assert settings["<code>label_smoothing</code>"] == ("0.1", "0.0")
    assert not settings.keys() & {"<code>loss</code>", "<code>noise</code>", "<code>low_res_epochs</code>"}
    assert settings["<code>augment</code>"] == ("no", "yes")
    assert not {"<code>out</code>", "<code>resume</code>"} & settings.keys()
    assert ("torch", "2.13.0") in content["versions"].rows
    assert ("Device", "cpu") in content["execution"].rows
    assert ("Cores", "2") in content["execution"].rows
    assert ("Image, channels × height × width in pixels", "1 × 28 × 28") in content["data"].rows
    assert ("Classes", "10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9") in content["data"].rows
