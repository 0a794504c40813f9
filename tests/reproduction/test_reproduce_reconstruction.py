import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from glassnet import create_model
from glassnet.denoising import DENOISERS, Denoiser
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.reproduction import reconstruction as part
from glassnet.reproduction.claims import CLAIMS
from glassnet.reproduction.reconstruction import plan
from glassnet.reproduction.reconstruction.comparison import judge, summary_table
from glassnet.reproduction.reconstruction.measures import Measurements, margins, measure, nearest
from glassnet.run import RunDirectory
from glassnet.settings.train import ReproduceSettings
from glassnet.training import epochs_done

TINY = {
    "autoencoder_fc": plan.Planned(("latent=4",), 1, 0.01),
    "vae_conv": plan.Planned(("latent=2", "spatial=true", "filters=2,4"), 1, 0.01),
    "vae_deep": plan.Planned(("latent=2", "filters=2,4", "depth=1"), 1, 0.01),
}


@pytest.fixture(scope="module")
def settings():
    return ReproduceSettings(
        part="reconstruction", datasets=("mnist-sample",), seeds=(0, 1), epochs=1, precision="fp32"
    )


@pytest.fixture(scope="module")
def done(settings, pictures, tmp_path_factory):
    """The part on pictures of 12 pixels a side, under the name of the digits' sample."""
    with pytest.MonkeyPatch.context() as patch:
        digits = dataclasses.replace(plan.DENOISING["mnist-sample"], data=pictures, networks=TINY)
        patch.setitem(plan.DENOISING, "mnist-sample", dataclasses.replace(digits, image_size=12))
        bound = plan.TrainSettings(
            data=pictures, model="vae_conv", model_options=("latent=2", "hidden=4"), image_size=12
        )
        patch.setattr(plan, "bounds", lambda _: [plan.Bound("grey", bound)])
        patch.delitem(DENOISERS, "bm3d")
        out = tmp_path_factory.mktemp("reproduced") / "reconstruction"
        yield part.reconstruction(settings, out), out


@pytest.fixture
def trained_list(done, settings):
    _, out = done
    return plan.trainings(settings, out)


def test_the_list_of_trainings_is_what_was_trained(done, trained_list):
    _, out = done
    assert {path.parent for path in out.rglob("run.json")} == {one.path for one in trained_list}
    assert [epochs_done(one.settings, one.path) for one in trained_list] == [None] * 7
    assert {figure for one in trained_list for figure in one.figures} == set()  # the sample stands for no figure


def test_every_network_stands_beside_every_baseline(done):
    made, out = done
    summary, table, above, bound = made.tables
    titles = [row[0] for row in table.rows]
    assert titles[:3] == ["autoencoder_fc", "vae_conv", "vae_deep"]
    assert titles[3] == "noisy input"
    assert "PCA, 4 components" in titles
    assert "PCA, 18 components" in titles  # the map of 2 x 3 x 3
    assert [row[-1] for row in table.rows[:4]] == ["2", "2", "2", "–"]
    assert [row[2] for row in table.rows[:4]] == ["4", "18", "18", "–"]
    assert above.columns[1:4] == ("autoencoder_fc", "vae_conv", "vae_deep")
    assert [row[0] for row in above.rows] == titles[3:]
    (row,) = summary.rows
    assert row[1] in TINY
    assert "to non-local means" in row[3]
    claims = [verdict.claim.partition(" on folder")[0] for verdict in made.verdicts[-2:]]
    assert claims == [CLAIMS["all-beat"], CLAIMS["best-clear"]]
    assert bound.rows[0][2] == "grey"
    assert bound.note.startswith("Seed 0;")
    assert not any("no bottleneck" in note for note in made.notes)  # 4 and 18 numbers for 144 pixels
    assert json.dumps(made.to_json(), allow_nan=False)
    assert [figure.name for figure in made.figures][:3] == [
        "figure-6", "folder-autoencoder_fc", "folder-vae_conv",
    ]  # fmt: skip
    assert all((out / "figures" / f"{figure.name}.png").exists() for figure in made.figures)
    assert ">3136<" in (out / "figures" / "figure-6.svg").read_text()  # of the network for digits, which none was here


def test_what_needs_no_network_is_measured_once_for_all_networks(done):
    _, out = done
    stages = sorted(path.stem for path in (out / "stages").glob("*.json") if not path.stem.startswith("quality"))
    assert stages == ["denoisers-folder-seed0", "pca-18-folder-seed0", "pca-4-folder-seed0"]


def test_a_denoiser_that_was_installed_since_is_measured(done, settings, monkeypatch):
    made, out = done
    (path,) = (out / "training").glob("*autoencoder_fc-seed0")
    runs = {"autoencoder_fc": {0: Run.open(path)}}
    before = {path: path.stat().st_mtime_ns for path in (out / "stages").iterdir()}
    monkeypatch.delitem(DENOISERS, "bm3d", raising=False)
    measure(RunDirectory(out, {}), runs, settings)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())  # all was finished before
    monkeypatch.setitem(DENOISERS, "new", Denoiser("new one", lambda noisy, _deviation, _strength: noisy * 0))
    found = measure(RunDirectory(out, {}), runs, settings)
    assert "new one" in found.baselines
    changed = [path.name for path, time in before.items() if path.stat().st_mtime_ns != time]
    assert sorted(changed) == ["denoisers-folder-seed0.json", "denoisers-folder-seed0.npz"]
    assert "new one" not in json.dumps(made.to_json())


def test_a_run_of_other_settings_is_refused(done, settings):
    _, out = done
    (path,) = (out / "training").glob("*bound0*")
    base = plan.TrainSettings(
        model="vae_conv",
        model_options=("latent=2", "hidden=4"),
        image_size=12,
        data=str(Run.open(path).settings.data),
    )
    one = plan.training_of(base, dataclasses.replace(settings, epochs=7), seed=0, path=path, figure="")
    with pytest.raises(
        InputError, match=r"other settings \(.*epochs 1, expected 7.*\); move it away, or give another --out"
    ):
        epochs_done(one.settings, one.path)


def test_names_that_are_not_planned_for(settings):
    with pytest.raises(InputError, match=r"no data set 'cifar100' in this part\. Did you mean cifar10"):
        plan.chosen(dataclasses.replace(settings, datasets=("cifar100",)))
    with pytest.raises(InputError, match=r"no network 'vae' in the report's section 4"):
        plan.networks(dataclasses.replace(settings, models=("vae",)))
    with pytest.raises(InputError, match="--data is cifar10, but --datasets also names data sets"):
        plan.chosen(dataclasses.replace(settings, data="cifar10"))
    assert [one.data for one in plan.chosen(dataclasses.replace(settings, data="cifar10", datasets=()))] == ["cifar10"]
    assert [one.data for one in plan.chosen(dataclasses.replace(settings, datasets=()))] == list(plan.REPORTED)


@pytest.mark.parametrize(
    ("data", "title"), [("mnist", "MNIST"), ("cifar10", "CIFAR-10"), ("stanford_dogs", "Stanford Dogs")]
)
def test_the_documentation_tells_how_each_network_is_trained(data, title):
    page = (Path(__file__).parents[2] / "docs" / "results" / "reconstruction.md").read_text()
    (row,) = [line for line in page.splitlines() if re.match(rf"\| {title}, \d+ px ", line)]
    _, noise, *told = row.strip("| ").split(" | ")
    planned = plan.DENOISING[data]
    assert noise == f"Gaussian {planned.noise.partition(':')[2]}, clipped"
    for text, name in zip(told, plan.NETWORKS, strict=True):
        one = planned.networks[name]
        beta = "" if name == "autoencoder_fc" else f", beta {one.beta:g}"
        assert text.endswith(f"{beta}, {one.epochs} epochs")
        assert re.search(r"\d+", text)[0] in re.search(r"latent=(\d+)", " ".join(one.options)).groups()


def measured(levels, classical=20.0):
    """Networks whose PSNR on 50 images lies around a level for each seed, beside one denoiser."""
    random = np.random.default_rng(0)

    def of(level):
        return {name: random.normal(level, 0.1, 50) for name in ("psnr", "ssim", "mse")}

    networks = {name: {seed: of(x + 0.01 * seed) for seed in range(3)} for name, x in levels.items()}
    return Measurements(networks, {}, {"noisy input": of(13.0), "median filter (3)": of(classical)}, ())


def test_the_order_is_supported_or_refuted():
    digits = plan.DENOISING["mnist"]
    right = judge(digits, measured({"autoencoder_fc": 21.0, "vae_conv": 23.0, "vae_deep": 25.0}), seed=0)
    assert [v.supported for v in right] == ["supported"] * 9
    assert right[0].figure == "7"
    assert right[0].effect == pytest.approx(1.0, abs=0.05)
    assert "median filter (3)" in right[0].decided
    by_psnr, by_ssim, whole = right[2:5]
    assert (by_psnr.claim, by_ssim.claim) == (f"{whole.claim}, by PSNR", f"{whole.claim}, by SSIM")
    assert by_psnr.effect == pytest.approx(2.0, abs=0.1)
    assert by_psnr.interval[0] < by_psnr.effect < by_psnr.interval[1]
    assert "test PSNR in dB" in by_psnr.decided
    assert "test SSIM" in by_ssim.decided
    assert whole.decided == "all 2 parts are supported"
    wrong = judge(digits, measured({"autoencoder_fc": 24.0, "vae_conv": 23.0, "vae_deep": 22.0}), seed=0)
    assert [v.supported for v in wrong][2:] == ["refuted"] * 6 + ["supported"]


def test_one_seed_is_judged_image_by_image():
    """Paired: a difference that is small beside the images' own spread is found."""
    random = np.random.default_rng(1)
    images = random.normal(20, 3, 50)
    one = dict.fromkeys(("psnr", "ssim", "mse"), images)
    other = {name: images + random.normal(0.2, 0.1, 50) for name in ("psnr", "ssim", "mse")}
    found = Measurements({"vae_conv": {4: one}, "vae_deep": {4: other}}, {}, {"noisy input": constant(*[9.0] * 50)}, ())
    by_psnr, _, whole = judge(plan.DENOISING["stanford_dogs"], found, seed=0)[1:4]
    assert by_psnr.effect == pytest.approx((other["psnr"] - images).mean())
    assert 0.15 < by_psnr.interval[0] < by_psnr.interval[1] < 0.25
    assert by_psnr.claim.endswith("on stanford_dogs, by PSNR, of one training each")
    assert "test PSNR in dB over 50 images, bootstrap" in by_psnr.decided
    assert whole.supported == "supported"
    assert whole.claim.endswith("on stanford_dogs, of one training each")


def test_what_the_report_has_no_figure_of_is_given_none():
    levels = {"autoencoder_fc": 21.0, "vae_conv": 23.0, "vae_deep": 25.0}
    figures = {
        name: [v.figure for v in judge(plan.DENOISING[name], measured(levels), seed=0)] for name in plan.DENOISING
    }
    assert figures["mnist"] == ["7", "8", *["8"] * 3, *["–"] * 4]
    assert figures["stanford_dogs"] == ["11", *["–"] * 7]
    assert figures["mnist-sample"] == figures["photos-sample"] == ["–"] * 7


def test_a_margin_is_taken_on_the_images_that_both_have():
    # one baseline has only the first two images, on which all are easy
    easy = {name: np.array([30.0, 30.0, 10.0, 10.0]) for name in ("psnr", "ssim", "mse")}
    hard = {name: np.array([32.0, 34.0, 12.0, 10.0]) for name in ("psnr", "ssim", "mse")}
    few = {name: np.array([29.0, 29.0]) for name in ("psnr", "ssim", "mse")}
    found = Measurements({"vae_conv": {0: easy, 1: hard}}, {}, {"slow": few, "quick": easy}, ())
    above = margins(found, "vae_conv")
    np.testing.assert_allclose(above["slow"], [2.0, 3.0])
    np.testing.assert_allclose(above["quick"], [1.0, 2.0, 1.0, 0.0])
    assert nearest(above)[0] == "quick"  # although the mean of "slow", 29 dB, is the higher one


def test_failing_is_being_below_a_denoiser():
    photographs = plan.DENOISING["cifar10"]
    failed = judge(photographs, measured({"autoencoder_fc": 18.0}), seed=0)
    assert [(v.supported, v.figure) for v in failed] == [("supported", "9"), ("refuted", "–")]
    assert "fails" in failed[0].claim
    fine, above = judge(photographs, measured({"autoencoder_fc": 22.0}), seed=0)
    assert (fine.supported, above.supported) == ("refuted", "supported")


def constant(*psnr):
    return {name: np.array(psnr) for name in ("psnr", "ssim", "mse")}


def test_the_best_network_and_the_smallest_margin_by_hand():
    # of two images: vae_conv 26 and 28 dB over two seeds, autoencoder_fc 24.5 and 20.5, non-local means 25 and 22
    networks = {
        "autoencoder_fc": {0: constant(24.5, 20.5)}, "vae_conv": {0: constant(25.0, 27.0), 1: constant(27.0, 29.0)},
    }  # fmt: skip
    found = Measurements(
        networks, {}, {"noisy input": constant(20.0, 20.0), "non-local means (0.5)": constant(25, 22)}, ()
    )
    digits = plan.DENOISING["mnist"]
    (row,) = summary_table([(digits, found)]).rows
    assert row[:3] == ("mnist", "vae_conv", "27.00")
    assert row[3].startswith("+3.50 [+1.00, +6.00] to non-local means (0.5)")
    assert row[4].startswith("-1.00 [-1.50, -0.50]: autoencoder_fc to non-local means (0.5)")
    every, clear = judge(digits, found, seed=0)[-2:]
    assert (every.supported, every.effect) == ("refuted", -1.0)
    assert "autoencoder_fc to non-local means (0.5), the smallest" in every.decided
    assert (clear.claim, clear.effect) == (f"{CLAIMS['best-clear']} on mnist", 2.5)  # 3.5 less the 1 dB asked for
    assert "of vae_conv to non-local means (0.5), less 1 dB" in clear.decided


def test_a_map_of_four_channels_is_a_bottleneck_for_digits():
    for name in ("vae_conv", "vae_deep"):
        with torch.device("meta"):
            model = create_model(name, in_channels=1, image_size=28, spatial=True, latent=4)
            output = model(torch.empty(2, 1, 28, 28))
        assert model.latent_shape == output.mean.shape[1:] == (4, 7, 7)  # 196 numbers for 784 pixels
        assert output.logits.shape == (2, 1, 28, 28)
