"""benchmarks/reconstruction.py: trained denoisers on scikit-image's photographs, and the plain loop's loss."""

import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import glassnet as gn
from glassnet.denoising import DENOISERS

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import reconstruction
        import reconstruction_photographs

        yield reconstruction, reconstruction_photographs
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in ("reconstruction", "reconstruction_photographs", "results_file"):
            sys.modules.pop(name, None)


class Trained:
    """What is asked of a run, without a training; its network gives back what it is given."""

    def __init__(self, channels, data="cifar10"):
        self.settings = gn.TrainSettings(data=data, noise="gaussian:0.02-0.5")
        self.manifest = {"model": {"in_channels": channels, "name": "unet_denoiser"}}
        self.channels = channels

    def model(self):
        return gn.create_model(
            "unet_denoiser", in_channels=self.channels, image_size=32, filters=(2, 2), blocks=1
        ).eval()


@pytest.mark.parametrize(("channels", "file"), [(1, "camera.png"), (3, "astronaut.png")])
def test_a_network_is_measured_on_the_very_noise_of_the_others(benchmark, monkeypatch, capsys, channels, file):
    _, photographs = benchmark
    monkeypatch.setattr(photographs.gn.Run, "open", lambda _path: Trained(channels))
    monkeypatch.setattr(photographs, "CLASSICAL", {})
    found = photographs.measure_photographs([Path("run")], 0.1, most=1)
    (row,) = found["runs"]["run"]["photographs"].values()
    assert list(found["runs"]["run"]["photographs"]) == [file]
    # The last layer of a network that was never trained is 0: it gives the noisy image back.
    for way in ("network", "network, eight views"):
        assert row[way]["psnr"] == pytest.approx(row["noisy"]["psnr"], abs=1e-4)
    assert 20 < row["noisy"]["psnr"] < 21  # -20 log10 of a little less than 0.1, for clipping
    photographs.print_photographs(found)
    assert f"| {file} | {row['noisy']['psnr']:.2f} (" in capsys.readouterr().out


def test_a_denoiser_that_is_there_is_told_the_level(benchmark, monkeypatch):
    _, photographs = benchmark
    told = []
    monkeypatch.setattr(photographs.gn.Run, "open", lambda _path: Trained(1))
    monkeypatch.setattr(photographs, "CLASSICAL", {"median": 3})
    whole = DENOISERS["median"]
    monkeypatch.setitem(
        photographs.DENOISERS, "median",
        type(whole)("median", lambda images, level, strength: told.append((level, strength)) or images),
    )  # fmt: skip
    found = photographs.measure_photographs([Path("run")], 0.1, most=2)
    assert told == [(0.1, 3)] * 2
    assert list(found["runs"]["run"]["mean"]) == ["noisy", "median", "network", "network, eight views"]


def test_a_run_that_was_trained_on_them_is_refused(benchmark, monkeypatch):
    _, photographs = benchmark
    monkeypatch.setattr(photographs.gn.Run, "open", lambda _path: Trained(3, data="photos-sample"))
    with pytest.raises(SystemExit, match="run was trained on photos-sample, which holds these photographs"):
        photographs.measure_photographs([Path("run")], 0.1)


def test_the_plain_loop_trains_each_network(benchmark):
    script, _ = benchmark
    for name, options in (("vae_conv", ("latent=2", "hidden=4", "filters=2,4")), ("unet_denoiser", ("filters=2,2",))):
        torch.manual_seed(0)
        model = gn.create_model(name, in_channels=1, image_size=8, **script.parse_options(name, options))
        before = [weight.detach().clone() for weight in model.parameters()]
        script._step(model, torch.optim.AdamW(model.parameters(), lr=0.01), torch.rand(4, 1, 8, 8))
        assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_the_test_images_have_the_noise_and_the_figures_of_an_evaluation(benchmark, vae, tmp_path, monkeypatch, capsys):
    """The run's own noise is 0.3: what the evaluation measures there, the script measures too."""
    _, photographs = benchmark
    monkeypatch.delitem(DENOISERS, "bm3d")
    shutil.copytree(vae.path, tmp_path / "run")
    result = gn.Run.open(tmp_path / "run").evaluate()
    found = photographs.measure_test_images([tmp_path / "run"], 0.3, result.images)
    told = found["runs"][str(tmp_path / "run")]
    assert told["network"]["psnr"] == pytest.approx(result.psnr, rel=1e-5)
    for one in result.baselines:
        if one.name == "pca":
            continue
        assert told[one.title]["psnr"] == pytest.approx(one.psnr, rel=1e-5)
        assert told[one.title]["margins"] == pytest.approx({"network": one.margin}, rel=1e-4)  # a VAE has no views
        assert told[one.title]["margin_intervals"]["network"] == pytest.approx(one.margin_interval, rel=1e-3)
    photographs.print_test_images(found)
    assert f"| network | {result.psnr:.2f} |" in capsys.readouterr().out
    weak = photographs.measure_test_images([tmp_path / "run"], 0.05, 4)
    assert weak["runs"][str(tmp_path / "run")]["noisy input"]["psnr"] > told["noisy input"]["psnr"] + 10


def _pixels(file):
    with Image.open(file) as image:
        return np.asarray(image)


def test_squares_of_photographs_are_cut_from_them_at_their_own_size(tmp_path, monkeypatch, capsys):
    photographs = tmp_path / "data/voc2012/VOCdevkit/VOC2012/JPEGImages"
    photographs.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number, size in enumerate([(40, 30), (50, 33), (16, 60)]):  # the last is narrower than a square
        pixels = random.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photographs / f"{number}.jpg", quality=95)
    script = [str(BENCHMARKS / "photograph_crops.py"), "--data-root", str(tmp_path / "data")]
    monkeypatch.setattr(sys, "argv", [*script, "--out", str(tmp_path / "crops"), "--size", "24", "--each", "2"])
    runpy.run_path(script[0], run_name="__main__")
    assert "4 squares of 24 px from 3 photographs" in capsys.readouterr().out
    # The first of each twenty photographs is a test image, with all its squares.
    assert sorted(path.name for path in (tmp_path / "crops/grey/test/photograph").iterdir()) == ["0-0.png", "0-1.png"]
    assert sorted(path.name for path in (tmp_path / "crops/grey/train/photograph").iterdir()) == ["1-0.png", "1-1.png"]
    square, whole = map(_pixels, (tmp_path / "crops/colour/train/photograph/1-0.png", photographs / "1.jpg"))
    places = [(top, left) for top in range(33 - 23) for left in range(50 - 23)]
    assert any(np.array_equal(whole[top : top + 24, left : left + 24], square) for top, left in places)
    with Image.open(tmp_path / "crops/grey/train/photograph/1-0.png") as grey:
        assert grey.mode == "L"
    with pytest.raises(SystemExit):  # never into a folder that is there
        runpy.run_path(script[0], run_name="__main__")
    assert "already exists; give another --out" in capsys.readouterr().err
