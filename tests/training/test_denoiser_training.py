"""unet_denoiser from training to report, on pictures of twelve pixels."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

import glassnet as gn
from glassnet.analysis import analyse
from glassnet.denoising import DENOISERS
from glassnet.errors import InputError
from glassnet.experiment import resolve
from glassnet.explorer.reconstructed import reconstruct, strengths
from glassnet.subject import Subject
from tiny_runs import save_bars, tiny_vae

SMALL = ("filters=4,8", "blocks=1")


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    return save_bars(tmp_path_factory.mktemp("data") / "bars")


def settings(bars, out, **changes):
    options = {"model": "unet_denoiser", "model_options": SMALL, "kl_warmup": 0.0, "noise": "gaussian:0.02-0.5"}
    return tiny_vae(bars, out, **{**options, "epochs": 3, **changes})


@pytest.fixture(scope="module")
def trained(bars, tmp_path_factory):
    return gn.train(settings(bars, tmp_path_factory.mktemp("runs") / "denoiser"))


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    monkeypatch.delitem(DENOISERS, "bm3d")
    shutil.copytree(trained.path, tmp_path / "run")
    return gn.Run.open(tmp_path / "run")


def test_it_trains_on_its_psnr_with_its_own_rate(trained):
    assert trained.settings.learning_rate == 0.001
    losses = [row["train_loss"] for row in trained.history]
    assert losses[-1] < losses[0]
    row = trained.history[-1]
    assert row["validation_loss"] == pytest.approx(-row["validation_psnr"], abs=1e-3)
    assert "validation_kl" not in row


def test_its_own_rate_and_batches_are_defaults_that_may_be_changed():
    own = gn.TrainSettings(model="unet_denoiser", data="photos-sample", noise="gaussian:0.1")
    assert (resolve(own).learning_rate, resolve(own).batch_size) == (0.001, 32)
    other = dataclasses.replace(own, learning_rate=0.004, batch_size=64)
    assert (resolve(other).learning_rate, resolve(other).batch_size) == (0.004, 64)
    assert resolve(dataclasses.replace(own, model="vae_conv")).batch_size == 128  # that of the task


def test_it_is_measured_told_and_drawn(run):
    made = analyse(run, "evaluation")
    result = made.result
    assert result.loss == pytest.approx(-result.psnr, abs=1e-3)
    assert (result.likelihood, result.latent, result.negative_elbo) == (None, None, None)
    assert any("Each image has its own noise level (gaussian:0.02-0.5)" in one for one in result.left_out)
    assert any("PCA is left out: the network has no code" in one for one in result.left_out)
    assert [figure.name for figure in made.figures] == ["reconstructions"]


def test_with_one_level_it_stands_beside_the_denoisers(bars, tmp_path, monkeypatch):
    monkeypatch.delitem(DENOISERS, "bm3d")
    run = gn.train(settings(bars, tmp_path / "run", noise="gaussian:0.2", epochs=1))
    assert {one.name for one in run.evaluate().baselines} == {"noisy", "median", "nonlocal_means"}


def test_features_maps_and_report(run):
    assert run.features("middle.0.conv2").result.features.shape[1] == 8
    explained = run.explain(target="error", images="first:2", layers=("head",)).result
    assert explained.groups[0].maps
    page = run.report().read_text()
    assert "trained on negative PSNR" in page
    assert "Loss" in page


def test_the_explorer_offers_the_range_and_single_levels(run):
    subject = Subject.of_run(run)
    offered = strengths(subject)
    assert offered[:3] == ["none", "gaussian:0.02-0.5", "gaussian:0.1"]
    split = subject.part("test").subset(torch.tensor([1]))
    made = [reconstruct(subject, subject.model(), split, "test", noise, name="one") for noise in offered]
    assert all(one.output.shape == (1, 12, 12) and np.isfinite(one.loss) for one in made)
    assert not np.array_equal(made[2].output, made[5].output)
    assert made[0].noisy_psnr is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": "none"}, "unet_denoiser learns to remove noise, but --noise is none"),
        ({"beta": 0.1}, "--beta weights a KL term, but UNetDenoiser has none"),
        ({"kl_warmup": 0.5}, "--kl-warmup weights a KL term, but UNetDenoiser has none"),
    ],
)
def test_settings_without_effect_are_refused(bars, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        gn.train(settings(bars, tmp_path / "run", **change))
    assert not (tmp_path / "run").exists()


def test_a_rate_that_is_given_is_taken(bars, tmp_path):
    asked = dataclasses.replace(settings(bars, tmp_path / "run", epochs=1), learning_rate=0.01)
    assert gn.train(asked).settings.learning_rate == 0.01
