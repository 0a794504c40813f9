"""Training on masks: stopped in the middle of an epoch and resumed."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import glassnet as gn
from glassnet import run
from glassnet.errors import InputError
from glassnet.tasks.segmentation import learn as segmentation
from glassnet.training import loop


class KilledError(BaseException):
    """Ends a training wherever it stands, as a signal would: nothing in it may catch this to write something."""


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Bright squares on noise, with a void border: ten images of 16 by 16 pixels."""
    folder, random = tmp_path_factory.mktemp("data") / "scans", np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(10):
        mask = np.zeros((16, 16), np.uint8)
        mask[number // 2 + 1 : number // 2 + 7, 4:10] = 1
        mask[0] = 255
        pixels = random.integers(0, 90, (16, 16, 3)) + 140 * (mask[..., None] == 1)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    return folder


def settings(scans, out):
    """Dropout, averaging, class weights, augmentation and pasted objects: all that must go on where it stood."""
    return gn.TrainSettings(
        data=f"masks:{scans}", model="unet_small", model_options=("filters=4,8",), image_size=16, epochs=3,
        batch_size=2, plain_epochs=0.0, validation=0.2, loss="lovasz", class_weights=True, copy_paste=0.5,
        precision="fp32", out=out,
    )  # fmt: skip


def kill_in_epoch(monkeypatch, epoch):
    """End the training after the first batch of an epoch."""
    real, passes = loop.shuffled_batches, iter(range(1, epoch + 1))

    def batches(*arguments, **options):
        number = next(passes)
        for batch in real(*arguments, **options):
            yield batch
            if number == epoch:
                raise KilledError

    monkeypatch.setattr(loop, "shuffled_batches", batches)


def test_a_training_on_masks_that_was_killed_resumes_to_the_identical_weights(scans, tmp_path, monkeypatch):
    outlined, real = [], segmentation.metrics.boundary_counts
    monkeypatch.setattr(
        segmentation.metrics,
        "boundary_counts",
        lambda guess, masks, **options: outlined.append(len(masks)) or real(guess, masks, **options),
    )
    forked, fork = [], torch.random.fork_rng
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: forked.append(devices) or fork(devices))
    whole = gn.train(settings(scans, tmp_path / "whole"))
    assert forked
    assert not any(forked)  # a training on the CPU leaves all GPUs alone
    assert outlined == [2]  # those of the test images alone: after an epoch no figure needs them
    kill_in_epoch(monkeypatch, 2)
    with pytest.raises(KilledError):
        gn.train(settings(scans, tmp_path / "killed"))
    monkeypatch.undo()
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "tra')  # as if it had been killed while it wrote
    with pytest.raises(InputError, match="is an unfinished run; continue it with"):
        gn.Run.open(tmp_path / "killed")
    resumed = gn.train(gn.TrainSettings(resume=tmp_path / "killed"))
    one, other = whole.weights(), resumed.weights()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert resumed.metrics == whole.metrics
    assert [without_seconds(row) for row in resumed.history] == [without_seconds(row) for row in whole.history]


def without_seconds(row):
    return {key: value for key, value in row.items() if "seconds" not in key}


@pytest.mark.parametrize(("size", "sides"), [(None, [10, 10, 16]), (12, [12, 12, 16])])
def test_the_first_epochs_show_smaller_images(scans, tmp_path, monkeypatch, size, sides):
    seen, real = [], loop.shuffled_batches

    def batches(*arguments, **options):
        epoch = list(real(*arguments, **options))
        seen.append({(*images.shape[2:], *masks.shape[1:]) for images, masks in epoch})
        return iter(epoch)

    monkeypatch.setattr(loop, "shuffled_batches", batches)
    wanted = dataclasses.replace(settings(scans, tmp_path / "small"), low_res_epochs=0.7, low_res_size=size)
    trained = gn.train(wanted)
    assert seen == [{(side,) * 4} for side in sides]
    assert trained.manifest["model"]["image_size"] == 16
    assert trained.settings.low_res_size == size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low_res_size": 16}, "--low-res-size is 16, expected less than the image size of 16 pixels"),
        (
            {"low_res_size": 9},
            "smaller images of --low-res-epochs: image_size is 9, expected a multiple of 2.* Give a --low-res-size",
        ),
        (
            {"model": "fcn8_small", "model_options": (), "image_size": 32},
            "smaller images of --low-res-epochs: image_size is 16, expected",
        ),
    ],
)
def test_smaller_images_that_do_not_fit_are_refused_before_a_run_is_begun(scans, tmp_path, changes, message):
    wanted = dataclasses.replace(settings(scans, tmp_path / "no"), **{"low_res_epochs": 0.5, **changes})
    with pytest.raises(InputError, match=message):
        gn.train(wanted)
    assert not (tmp_path / "no").exists()


def test_objects_are_pasted_until_the_plain_epochs(scans, tmp_path, monkeypatch):
    seen, real = [], loop.shuffled_batches

    def batches(*arguments, **options):
        seen.append(options["copy_paste"])
        return real(*arguments, **options)

    monkeypatch.setattr(loop, "shuffled_batches", batches)
    trained = gn.train(dataclasses.replace(settings(scans, tmp_path / "pasted"), copy_paste=0.5, plain_epochs=0.4))
    assert seen == [0.5, 0.5, 0.0]
    assert trained.settings.copy_paste == 0.5


def test_nothing_is_pasted_where_no_mask_has_a_background(tmp_path, scans):
    folder = tmp_path / "full"
    shutil.copytree(scans, folder)
    for file in (folder / "masks").iterdir():
        mask = np.asarray(Image.open(file)).copy()
        Image.fromarray(np.where(mask == 0, 2, mask).astype(np.uint8)).save(file)
    (folder / "classes.txt").write_text("nothing\none\ntwo\n")
    with pytest.raises(InputError, match="--copy-paste takes class 0 for the background, which no training mask holds"):
        gn.train(settings(folder, tmp_path / "no"))
    assert not (tmp_path / "no").exists()


def test_pasted_objects_are_of_use_to_segmentation_alone():
    with pytest.raises(InputError, match="--copy-paste applies to segmentation only, not to classification"):
        gn.train(gn.TrainSettings(copy_paste=0.5, model="convnet"))


def test_smaller_images_are_of_use_to_segmentation_alone():
    with pytest.raises(InputError, match="--low-res-epochs applies to segmentation only, not to classification"):
        gn.train(gn.TrainSettings(low_res_epochs=0.5, model="convnet"))


LATER = (
    "loss", "class_weights", "noise", "beta", "kl_warmup", "binarize", "plain_epochs", "low_res_epochs",
    "low_res_size", "copy_paste",
)  # fmt: skip
"""Settings that runs written before segmentation came lack."""


def test_a_run_and_a_checkpoint_without_the_later_settings_are_read_with_their_defaults(scans, tmp_path, monkeypatch):
    usual = {key: getattr(gn.TrainSettings(), key) for key in LATER}
    kill_in_epoch(monkeypatch, 2)
    with pytest.raises(KilledError):
        gn.train(dataclasses.replace(settings(scans, tmp_path / "old"), **usual))
    monkeypatch.undo()
    saved = run.read_checkpoint(tmp_path / "old")
    old = {key: value for key, value in saved["settings"].items() if key not in LATER}
    assert len(old) == len(saved["settings"]) - len(LATER)
    run.write_checkpoint(tmp_path / "old", saved | {"settings": old})
    gn.train(gn.TrainSettings(resume=tmp_path / "old"))
    manifest = json.loads((tmp_path / "old" / "run.json").read_text())
    for key in LATER:
        del manifest["settings"][key]
    del manifest["data"]["leak"]
    (tmp_path / "old" / "run.json").write_text(json.dumps(manifest))
    opened = gn.Run.open(tmp_path / "old")
    assert {key: getattr(opened.settings, key) for key in LATER} == usual
    assert opened.model()(torch.rand(2, 3, 16, 16)).shape == (2, 2, 16, 16)
