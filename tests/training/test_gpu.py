"""What only a machine with a GPU can show; skipped elsewhere. GLASSNET_TEST_DEVICE=cpu tries the tests themselves."""

import os

import numpy as np
import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet.attribution import METHODS
from glassnet.data.batches import shuffled_batches
from glassnet.devices import autocast
from glassnet.tasks.reconstruction.importance import log_weights, summed_up
from tiny_runs import save_bars, save_scans, stops_after_an_epoch, tiny, tiny_segmentation, tiny_vae

DEVICE = os.environ.get("GLASSNET_TEST_DEVICE", "cuda")
OF_ATTENTION = ("attention_rollout", "attention_relevance", "legrad")
"""Methods that a network of convolutions does not have."""
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="torch sees no GPU"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return gn.train(tiny(tmp_path_factory.mktemp("gpu") / "run", device=DEVICE, precision="bf16"))


def close(here, there, share):
    np.testing.assert_allclose(here, there, rtol=share, atol=share * max(np.abs(there).max(), 1e-12))


def test_the_main_job_runs_on_a_gpu_and_agrees_with_the_cpu(tmp_path):
    run = gn.train(gn.TrainSettings(epochs=3, device=DEVICE, out=tmp_path / "run"))
    assert (run.manifest["device"], run.manifest["precision"]) == (DEVICE, "bf16")
    images = run.dataset().test.images[:64]
    here, on_cpu = (gn.explain(run.model(device), images, target=3) for device in (DEVICE, "cpu"))
    for key, values in on_cpu.maps.items():
        close(here[key], values, 1e-3)
    features = [gn.extract_features(run.model(device), images, ["fc1"])["fc1"] for device in (DEVICE, "cpu")]
    close(*features, 1e-4)


def test_a_training_in_bf16_learns_and_keeps_its_weights_in_fp32(trained):
    assert trained.manifest["precision"] == "bf16"
    losses = [row["train_loss"] for row in trained.history]
    assert losses[-1] < losses[0]
    for name, value in trained.weights().items():
        assert value.dtype == torch.float32 or not value.is_floating_point(), name
        assert torch.isfinite(value).all(), name


def test_a_training_repeats_bit_for_bit_and_so_does_one_that_goes_on(trained, tmp_path, monkeypatch):
    again = gn.train(tiny(tmp_path / "again", device=DEVICE, precision="bf16"))
    with stops_after_an_epoch(monkeypatch):
        gn.train(tiny(tmp_path / "stopped", device=DEVICE, precision="bf16"))
    resumed = gn.train(gn.TrainSettings(resume=tmp_path / "stopped"))
    for run in (again, resumed):
        for name, value in trained.weights().items():
            assert torch.equal(value, run.weights()[name]), name


def test_an_evaluation_is_the_cpu_s(trained):
    here, there = (trained.evaluate(device=device) for device in (DEVICE, "cpu"))
    assert here.loss == pytest.approx(there.loss, rel=1e-4)
    assert abs(here.accuracy - there.accuracy) * here.images <= 1


def test_a_segmentation_and_a_reconstruction_train(tmp_path):
    scans, bars = save_scans(tmp_path / "scans"), save_bars(tmp_path / "bars")
    for settings in (tiny_segmentation(scans, tmp_path / "a"), tiny_vae(bars, tmp_path / "b", kl_warmup=0.0)):
        options = {**vars(settings), "device": DEVICE, "precision": "bf16"}
        run = gn.train(gn.TrainSettings(**options))
        losses = [row["train_loss"] for row in run.history]
        assert losses[-1] < losses[0]
        assert run.manifest["device"] == DEVICE


def test_batches_are_cut_on_the_device_and_are_the_cpu_s():
    part = gn.load_dataset("mnist-sample").train.subset(torch.arange(64))
    batches = [
        list(
            shuffled_batches(
                part.to(device), batch_size=16, generator=torch.Generator().manual_seed(0), device=device,
                augmentation="digits",
            )
        )
        for device in (torch.device(DEVICE), torch.device("cpu"))
    ]  # fmt: skip
    assert len(batches[0]) == 4
    for (here, labels), (there, expected) in zip(*batches, strict=True):
        assert here.device.type == labels.device.type == DEVICE
        assert torch.equal(labels.cpu(), expected)
        close(here.cpu().numpy(), there.numpy(), 1e-4)


def test_fp32_is_no_tf32():
    """With 10 bits of mantissa the share would be about 1e-3."""
    generator = torch.Generator().manual_seed(0)
    layer, images = nn.Conv2d(64, 64, 3, bias=False), torch.rand(2, 64, 32, 32, generator=generator)
    exact = nn.functional.conv2d(images.double(), layer.weight.detach().double())
    with torch.no_grad(), autocast(torch.device(DEVICE), "fp32"):
        here = layer.to(DEVICE)(images.to(DEVICE)).cpu().double()
    assert float((here - exact).abs().max() / exact.abs().max()) < 1e-5


@pytest.mark.parametrize("method", [name for name in METHODS if name not in OF_ATTENTION])
def test_every_method_repeats_and_agrees_with_the_cpu(trained, method):
    images = trained.dataset().test.images[:4]
    here, again, there = (
        gn.explain(trained.model(device), images, target=3, methods=method, layers=["conv2", "conv4"])
        for device in (DEVICE, DEVICE, "cpu")
    )
    assert here.maps.keys() == there.maps.keys()
    for key, values in there.maps.items():
        np.testing.assert_array_equal(here.maps[key], again.maps[key])
        close(here.maps[key], values, 5e-3)


@pytest.mark.parametrize("name", ["vgg16", "resnet_small", "efficientnet_lite0"])
def test_features_of_every_layer_repeat_and_agree_with_the_cpu(name):
    torch.manual_seed(0)
    model = gn.create_model(name, in_channels=3, num_classes=5, image_size=64).eval()
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    there = gn.extract_features(model, images, ["conv", "linear"])
    model = model.to(DEVICE)
    here, again = (gn.extract_features(model, images, ["conv", "linear"]) for _ in range(2))
    for layer, values in there.items():
        np.testing.assert_array_equal(here[layer], again[layer])
        close(here[layer], values, 1e-3)


def test_a_likelihood_by_importance_sampling_is_the_cpu_s(vae):
    model, images = vae.model("cpu").eval(), vae.dataset().test.images[:3].float() / 255
    found = {}
    for device in ("cpu", DEVICE):
        with torch.no_grad():
            output = model.to(device)(images.to(device))
            one = output._replace(mean=output.mean[:1], log_variance=output.log_variance[:1])
            weights = log_weights(one, images[:1].to(device), 100, torch.Generator().manual_seed(0))
        found[device] = summed_up(weights)
    assert found[DEVICE] == pytest.approx(found["cpu"], rel=1e-4)


def test_a_denoiser_repeats_and_agrees_with_the_cpu():
    torch.manual_seed(0)
    model = gn.create_model("unet_denoiser", in_channels=3, image_size=32).eval()
    torch.nn.init.normal_(model.tail.weight, std=0.05)
    images = torch.rand(3, 3, 37, 50, generator=torch.Generator().manual_seed(1))
    there = gn.predict(model, images)
    model = model.to(DEVICE)
    here, again = gn.predict(model, images), gn.predict(model, images)
    assert torch.equal(here, again)
    close(here.numpy(), there.numpy(), 1e-4)


@pytest.mark.skipif(DEVICE != "cuda", reason="memory of a GPU")
def test_nothing_stays_on_the_gpu_after_an_analysis(trained):
    model, images = trained.model(DEVICE), trained.dataset().test.images[:64]
    gn.explain(model, images, target=3)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(3):
        gn.explain(model, images, target=3)
        gn.extract_features(model, images, ["conv", "linear"])
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() <= before + 2**20
