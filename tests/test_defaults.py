from dataclasses import asdict

import pytest

from glassnet.data import find_source
from glassnet.defaults import fill, learned_by, models_for
from glassnet.errors import InputError
from glassnet.experiment import build, resolve
from glassnet.models import MODELS
from glassnet.settings import TrainSettings
from glassnet.tasks import TASKS


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("classification", "mnist-sample", "convnet")),
        ({"task": "classification"}, ("classification", "mnist-sample", "convnet")),
        ({"task": "segmentation"}, ("segmentation", "digit-scenes", "fcn8_small")),
        ({"task": "reconstruction"}, ("reconstruction", "mnist-sample", "vae_conv")),
        ({"data": "mnist-sample"}, ("classification", "mnist-sample", "convnet")),
        ({"data": "folder:photos"}, ("classification", "folder:photos", "convnet")),
        ({"data": "digit-scenes"}, ("segmentation", "digit-scenes", "fcn8_small")),
        ({"data": "voc-aug"}, ("segmentation", "voc-aug", "fcn8_small")),
        ({"data": "masks:scans"}, ("segmentation", "masks:scans", "fcn8_small")),
        ({"data": "photos-sample"}, ("reconstruction", "photos-sample", "vae_conv")),
        ({"model": "vgg_small"}, ("classification", "mnist-sample", "vgg_small")),
        ({"model": "unet_small"}, ("segmentation", "digit-scenes", "unet_small")),
        ({"model": "vae_deep"}, ("reconstruction", "mnist-sample", "vae_deep")),
        ({"model": "vae_deep", "data": "cifar10"}, ("reconstruction", "cifar10", "vae_deep")),
        ({"model": "convnet", "data": "photos-sample"}, ("classification", "photos-sample", "convnet")),
        ({"task": "reconstruction", "data": "cifar10"}, ("reconstruction", "cifar10", "vae_conv")),
        ({"task": "segmentation", "model": "unet_small"}, ("segmentation", "digit-scenes", "unet_small")),
    ],
)
def test_what_is_not_named_follows_from_what_is(given, expected):
    found = fill(TrainSettings(**given))
    usual = TASKS[found.task].recipe
    assert (found.task, found.data, found.model) == expected
    assert {name: getattr(found, name) for name in asdict(usual)} == asdict(usual)
    assert fill(found) == found


@pytest.mark.parametrize("name", TASKS)
def test_the_defaults_of_a_task_fit_it(name):
    usual = TASKS[name].defaults
    assert name in find_source(usual.data)[0].tasks
    assert name in learned_by(usual.model)


def test_a_model_learns_every_task_that_makes_use_of_its_output():
    for model in MODELS:
        assert [name for name in TASKS if model in models_for(name)] == list(learned_by(model))
    assert all(learned_by(model) for model in MODELS)
    assert learned_by("unet_small") == ("segmentation",)


def test_the_parts_of_a_training_are_those_of_the_defaults():
    parts = build(resolve(TrainSettings(task="reconstruction")))
    assert (parts.dataset.name, parts.description["name"]) == ("mnist-sample", "vae_conv")
    assert parts.task is TASKS["reconstruction"]


def test_a_default_on_a_folder_is_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve(TrainSettings(data="masks:scans")).data == f"masks:{tmp_path / 'scans'}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"task": "segmentation", "data": "mnist-sample"},
            "^mnist-sample is a data set for classification and reconstruction, not for --task segmentation; data sets "
            "for that are digit-scenes, voc-aug, .*, masks:PATH; name one with --data.$",
        ),
        (
            {"task": "classification", "data": "digit-scenes"},
            "^digit-scenes is a data set for segmentation, not for --task classification; data sets for that are mni",
        ),
        (
            {"task": "reconstruction", "model": "convnet"},
            f"^convnet is a model for {' and '.join(learned_by('convnet'))}, not for --task reconstruction; models for "
            "that are autoencoder_fc, unet_denoiser, vae_conv, vae_deep; name one with --model.$",
        ),
        (
            {"model": "vae_conv", "data": "digit-scenes"},
            "^vae_conv is a model for reconstruction, but digit-scenes is a data set for segmentation; models for "
            "digit-scenes are fcn8_small, .*, and data sets for vae_conv are mnist, .*, folder:PATH.$",
        ),
        ({"task": "detection"}, f"^no task 'detection'.* The tasks are: {', '.join(TASKS)}.$"),
        ({"model": "konvnet"}, r"^no model 'konvnet'\. Did you mean convnet\?"),
        ({"task": "segmentation", "data": "mnst"}, "^no data set 'mnst'. Did you mean mnist"),
        ({"data": "masks"}, "^'masks' has no path: give masks:PATH"),
    ],
)
def test_what_does_not_fit_is_said_by_the_names_that_were_given(given, message):
    with pytest.raises(InputError, match=message):
        fill(TrainSettings(**given))


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({}, "leave it out, or give --task reconstruction."),
        ({"data": "cifar10"}, "leave it out, or give --task reconstruction."),
        ({"data": "digit-scenes"}, "leave it out."),
        ({"task": "classification"}, "leave it out."),
        ({"model": "convnet"}, "leave it out."),
    ],
)
def test_an_option_of_a_task_that_was_not_chosen_says_how_to_choose_it(given, remedy):
    with pytest.raises(InputError, match=f"^--noise applies to reconstruction only, not to .*; {remedy}$"):
        fill(TrainSettings(noise="gaussian:0.3", **given))
