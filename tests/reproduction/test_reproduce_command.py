import dataclasses
from pathlib import Path

import pytest

from glassnet.cli import training as command
from glassnet.errors import InputError
from glassnet.reproduction import PARTS, Part
from glassnet.settings.train import ReproduceSettings


def test_an_unknown_part_names_the_choices():
    with pytest.raises(
        InputError,
        match=r"no part of the report 'feature'. Did you mean features\?.*classification, segmentation, reco",
    ):
        command.reproduce(ReproduceSettings(part="feature"))


@pytest.mark.parametrize(
    ("part", "given", "message"),
    [
        (
            "features",
            {"models": ("convnet",)},
            "--models applies to classification, segmentation, reconstruction only, not to features",
        ),
        ("features", {"seeds": (1, 2)}, "--seeds applies to .* only, not to features"),
        ("classification", {"run": Path("x")}, "--run applies to features, channels only, not to classification"),
        ("gradcam", {"datasets": ("mnist",)}, "--datasets applies to reconstruction only, not to gradcam"),
        ("classification", {"seed": 3}, "--seed applies to .* only, not to classification"),
        (None, {"models": ("convnet",)}, "--models is convnet, but all parts share their networks; name a part"),
        (None, {"run": Path("x")}, "--run is x, but all parts share their networks"),
        (None, {"data": "cifar10"}, "--data is cifar10, expected mnist or mnist-sample when all parts are reproduced"),
        (None, {"seed": 7}, "--seed is 7, expected one of the --seeds 0 1 2, so that one training"),
    ],
)
def test_an_option_that_the_part_does_not_read_is_refused(part, given, message, monkeypatch):
    monkeypatch.setenv("GLASSNET_OFFLINE", "1")
    with pytest.raises(InputError, match=message):
        command.reproduce(ReproduceSettings(part=part, **given))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": (1, 1)}, "--seeds is 1 1, expected different numbers"),
        ({"seeds": (-1,)}, "--seeds is -1"),
        ({"epochs": 0}, "--epochs is 0, expected a number above 0"),
        ({"seed": -1}, "--seed is -1"),
        ({"run": Path("x"), "epochs": 3}, "cannot be given with --run: the run is trained already"),
    ],
)
def test_settings_out_of_range(given, message):
    with pytest.raises(InputError, match=message):
        ReproduceSettings(part="features", **given)


def test_no_run_there(tmp_path):
    with pytest.raises(InputError, match="no run at"):
        command.reproduce(ReproduceSettings(part="features", run=tmp_path / "none", out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_every_part_says_what_it_is():
    names = {field.name for field in dataclasses.fields(ReproduceSettings)}
    assert all(isinstance(part, Part) and part.about and set(part.options) <= names for part in PARTS.values())
