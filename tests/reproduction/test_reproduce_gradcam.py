import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import glassnet as gn
from glassnet.attribution.faithfulness import share_inside
from glassnet.cli.training import reproduce
from glassnet.errors import InputError
from glassnet.models.layers import select_layers
from glassnet.models.vgg import VGG16, VGG19
from glassnet.reproduction import gradcam as part
from glassnet.reproduction import trainings
from glassnet.reproduction.claims import CLAIMS, higher_in_images
from glassnet.reproduction.gradcam import judge
from glassnet.reproduction.gradcam.maps import PLACES, GradcamMaps, PlaceMaps, random_roundness, rectified, roundness
from glassnet.settings.train import ReproduceSettings


@pytest.fixture(scope="module")
def narrow():
    """VGG with few filters, which trains in a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VGG16, "blocks", ((4,) * 2, (4,) * 2, (8,) * 3, (8,) * 3, (8,) * 3))
        patch.setattr(VGG19, "blocks", ((4,) * 2, (4,) * 2, (8,) * 4, (8,) * 4, (8,) * 4))
        yield


@pytest.fixture(scope="module")
def runs(narrow, tmp_path_factory):
    """Small runs of the three networks on real digits."""
    out, made = tmp_path_factory.mktemp("runs"), []
    small = {"convnet": ("filters=4,4,8,8", "hidden=8"), "vgg16": ("hidden=8",), "vgg19": ("hidden=8",)}
    for name, options in small.items():
        size = None if name == "convnet" else 32
        made.append(
            gn.train(
                gn.TrainSettings(
                    model=name, model_options=options, image_size=size, epochs=1, batch_size=512, learning_rate=0.003,
                    precision="fp32", augment=False, validation=0.5, out=out / name,
                )
            )
        )  # fmt: skip
    return tuple(run.path for run in made)


@pytest.fixture(scope="module")
def done(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("reproduced") / "gradcam"
    return reproduce(ReproduceSettings(part="gradcam", runs=runs, images=60, out=out)), out


def test_figures_tables_and_verdicts_of_three_runs(done):
    answer, out = done
    told = json.loads((out / "gradcam.json").read_text())
    assert [figure["name"] for figure in told["figures"]] == [
        "figure-15", "figure-16", "figure-17", "networks", "stroke-share", "stroke-share-convolution",
    ]  # fmt: skip
    # A network stays in the figure of shares where one of its layers has none.
    assert all("vgg16, vgg19" in figure["alt"] for figure in told["figures"][4:])
    assert all((out / "figures" / f"{f['name']}.{s}").exists() for f in told["figures"] for s in ("png", "svg"))
    assert [len(told["stroke_share"][name]) for name in ("vgg16", "vgg19", "convnet")] == [13, 16, 4]
    sides = [row["side_pixels"] for row in told["stroke_share"]["vgg16"]]
    assert sides == [32] * 2 + [16] * 2 + [8] * 3 + [4] * 3 + [2] * 3
    assert len(told["tables"][0]["rows"]) == 33
    last = [row[1] for row in told["tables"][1]["rows"]]
    assert last == [
        "features.28", "features.34", "conv4", "conv4, averaged to 2 px",
        "features.29", "features.35", "relu4", "relu4, averaged to 2 px",
    ]  # fmt: skip
    assert len(told["verdicts"]) == 2 * (1 + 2 + 2 * 4 + 2) + 3
    assert json.dumps(dict(answer.data))
    for words in (
        "uniform map",
        "fixed before any result of these networks was seen",
        "The report's network looks at the stroke",
    ):
        assert words in (out / "gradcam.txt").read_text()
        assert words in (out / "gradcam.md").read_text()


def test_shares_are_those_of_the_library(done, runs):
    _, out = done
    run = gn.Run.open(runs[0])
    kept = np.load(out / "stages" / "gradcam-convnet.npz")
    test = run.dataset().test
    found = gn.explain(run.model(), test.images[:4], layers="relu[1-4]")
    np.testing.assert_allclose(kept["gradcam/relu2"], found["gradcam", "relu2"], rtol=1e-5, atol=1e-7)
    row = json.loads((out / "gradcam.json").read_text())["stroke_share"]["convnet"][2]
    for told, place, layer in ((row, "convolution", "conv3"), (row["relu"], "ReLU", "relu3")):
        assert told["layer"] == layer
        shares = kept[f"shares/{place}"][2]
        assert told["images"] == np.isfinite(shares).sum()
        assert told["mean"] == pytest.approx(np.nanmean(shares))
    uniform = share_inside(np.ones_like(kept["mask"], dtype=float), kept["mask"])
    np.testing.assert_allclose(uniform, kept["mask"].mean(axis=(1, 2)))


def test_what_is_finished_is_not_done_again(done, runs, monkeypatch):
    answer, out = done
    monkeypatch.setattr("glassnet.reproduction.gradcam.maps.explain", None)
    monkeypatch.setattr(part, "plot_gradcam", lambda *_: [])
    again = reproduce(ReproduceSettings(part="gradcam", runs=runs, images=60, out=out))
    assert {k: v for k, v in again.data.items() if k != "figures"} == {
        k: v for k, v in answer.data.items() if k != "figures"
    }


def test_other_code_measures_again(runs, tmp_path, monkeypatch, capsys):
    asked = ReproduceSettings(part="gradcam", runs=runs[:1], images=10, out=tmp_path)
    for code, told in (("a", "running"), ("a", "already finished"), ("b", "running")):
        monkeypatch.setattr(
            "glassnet.reproduction.gradcam.maps.code_digest", lambda *packages, code=code: f"{code} {packages}"
        )
        reproduce(asked)
        assert f"gradcam-convnet: {told}" in capsys.readouterr().err
    assert "b ('attribution', 'reproduction')" in (tmp_path / "stages" / "gradcam-convnet.json").read_text()


def test_one_run_alone_has_its_figure_and_the_verdict_that_needs_no_other(runs, tmp_path):
    told = reproduce(ReproduceSettings(part="gradcam", runs=runs[:1], images=10, out=tmp_path)).data
    assert told["figures"][0]["name"] == "figure-17"
    mainly = "The report's network looks mainly at the stroke"
    places = ", at the convolution", ", at its ReLU", ""
    assert [verdict["claim"] for verdict in told["verdicts"]] == [mainly + place for place in places]
    vgg = reproduce(ReproduceSettings(part="gradcam", runs=runs[1:2], images=10, out=tmp_path)).data
    assert vgg["verdicts"] == []


def _looks(*shares):
    """An own network whose maps have such a share inside the stroke, at the convolution and at its ReLU."""
    noise = np.random.default_rng(0).normal(0, 0.01, (1, 50))
    last = np.random.default_rng(1).random((50, 4, 4), dtype=np.float32)
    at = {p: PlaceMaps(("a",), s + noise, np.array([4]), last) for p, s in zip(PLACES, shares, strict=True)}
    run = SimpleNamespace(manifest={"model": {"name": "convnet"}})
    return {"convnet": GradcamMaps(run, {"mask": np.ones((50, 8, 8), dtype=bool)}, at)}


def test_a_claim_is_decided_only_where_convolution_and_relu_agree():
    for shares, expected in (((0.8, 0.8), "supported"), ((0.2, 0.8), "undecided"), ((0.2, 0.2), "refuted")):
        *places, whole = judge(_looks(*shares), seed=0)
        assert [v.supported for v in places] == ["supported" if s > 0.5 else "refuted" for s in shares]
        assert (whole.claim, whole.supported) == ("The report's network looks mainly at the stroke", expected)


def test_the_whole_claim_needs_the_stroke_at_vggs_resolution_too():
    networks = _looks(0.2, 0.2)
    networks["vgg16"] = replace(networks["convnet"], run=SimpleNamespace(manifest={"model": {"name": "vgg16"}}))
    (whole,) = (v for v in judge(networks, seed=0) if v.claim == CLAIMS["attention"] + ", at VGG's resolution")
    assert whole.supported == "refuted"


@pytest.mark.parametrize("name", ["vgg16", "vgg19", "convnet"])
def test_every_convolution_has_the_relu_that_follows_it(narrow, name):
    model = gn.create_model(name, in_channels=1, num_classes=10, image_size=32)
    pairs = rectified(model)
    assert list(pairs) == select_layers(model, "conv")
    if name == "convnet":
        assert pairs == {f"conv{n}": f"relu{n}" for n in range(1, 5)}
    else:
        assert all(int(relu[9:]) == int(layer[9:]) + 1 for layer, relu in pairs.items())


def test_without_runs_the_three_networks_are_trained(monkeypatch, tmp_path):
    asked = []

    monkeypatch.setattr(trainings, "tune", lambda base, axes, *, seeds, out: asked.append((axes, seeds, out)))
    monkeypatch.setattr(trainings.Run, "open", lambda path: path)
    settings = ReproduceSettings(part="gradcam", seed=3)
    opened = part._trained(settings, tmp_path)
    listed = part.trainings(settings, tmp_path)
    assert opened == [one.path for one in listed]
    assert [(axes, seeds, out.name) for axes, seeds, out in asked] == [
        ({}, (3,), "training"),
        ({"model": ["vgg16"], "image_size": [32], "learning_rate": [0.0005]}, (3,), "vgg16"),
        ({"model": ["vgg19"], "image_size": [32], "learning_rate": [0.0005]}, (3,), "vgg19"),
    ]
    told = [(one.settings.model, one.settings.image_size, one.settings.seed, one.figures) for one in listed]
    assert told == [("convnet", None, 3, ("17",)), ("vgg16", 32, 3, ("15",)), ("vgg19", 32, 3, ("16",))]


def test_wrong_runs_are_refused(runs, network, tmp_path):
    def refused(match, **given):
        with pytest.raises(InputError, match=match):
            part.gradcam(ReproduceSettings(part="gradcam", **given), tmp_path / "out")

    refused("is another run of convnet, expected one run each of vgg16 or vgg19 or convnet", runs=(runs[0], runs[0]))
    refused("expected mnist or mnist-sample, and the same data for all runs", runs=(network.path,))
    refused("--data is cifar10, but only digits have a stroke; expected mnist or mnist-sample", data="cifar10")
    refused("no run at", runs=(tmp_path / "none",))
    assert not (tmp_path / "out").exists()


def test_a_disc_is_round_and_a_stroke_is_not():
    rows, columns = np.indices((33, 33))
    disc = ((rows - 16) ** 2 + (columns - 16) ** 2 < 80).astype(float)
    stroke = (np.abs(columns - 16) <= 1).astype(float)
    faint = disc + 0.4 * (rows >= 0)  # below half of the maximum nothing counts
    found = roundness(np.stack([disc, stroke, faint, np.zeros((33, 33)), np.ones((33, 33))]))
    assert found[0] == found[2] == 1
    # The disc of 99 pixels has radius 5.6; a line 3 wide is covered for 11 of its 33 rows.
    assert found[1] == pytest.approx(11 / 33, abs=0.04)
    assert np.isnan(found[3:]).all()  # neither zeros nor the whole frame have a shape
    ring = disc * ((rows - 16) ** 2 + (columns - 16) ** 2 > 50)
    assert roundness(ring[None])[0] < 0.1


def test_maps_of_few_pixels_are_round_by_chance():
    chance = {side: random_roundness(side, (32, 32)) for side in (2, 4, 14)}
    assert chance[2] > chance[4] > chance[14]
    assert chance[2] == pytest.approx(0.83, abs=0.03)
    assert chance[14] == pytest.approx(0.55, abs=0.03)


def test_random_maps_are_no_circle_however_few_their_pixels():
    draws, mask = np.random.default_rng(3), np.ones((300, 32, 32), dtype=bool)
    networks = {}
    for name, side in (("vgg16", 2), ("convnet", 14)):
        maps = PlaceMaps(("a",), np.full((1, 300), 0.6), np.array([side]), draws.random((300, side, side), np.float32))
        networks[name] = GradcamMaps(
            SimpleNamespace(manifest={"model": {"name": name}}), {"mask": mask}, dict.fromkeys(PLACES, maps)
        )
    verdicts = {v.claim: v for v in judge(networks, seed=0)}
    for place in ("the convolution", "its ReLU"):
        for claim in (CLAIMS["vgg-round"], CLAIMS["vgg-circle"]):
            assert verdicts[f"VGG16's maps {claim}, at {place}"].supported == "undecided"
    rows, columns = np.indices((32, 32))
    discs = np.stack([((rows - 16) ** 2 + (columns - 16) ** 2 < 80).astype(np.float32)] * 300)
    discs[::2, 16:24, 16] = 0  # not all images are alike
    round_ones = PlaceMaps(("a",), np.full((1, 300), 0.6), np.array([32]), discs)
    networks["vgg16"] = replace(networks["vgg16"], at=dict.fromkeys(PLACES, round_ones))
    found = [v for v in judge(networks, seed=0) if "circle than" in v.claim or "rounder" in v.claim]
    assert {v.supported for v in found if "resolution" not in v.claim} == {"supported"}


def test_a_difference_over_images_decides_without_those_that_have_none():
    values = np.r_[np.random.default_rng(0).normal(0.1, 0.1, 200), np.nan]
    up, down = (higher_in_images("A", "17", sign * values, measure="x", seed=0) for sign in (1, -1))
    assert (up.supported, down.supported) == ("supported", "refuted")
    assert up.effect == pytest.approx(np.nanmean(values))
    assert up.decided == "difference of x over 200 images, bootstrap"
    assert higher_in_images("A", "17", values - np.nanmean(values), measure="x", seed=0).supported == "undecided"
    none = higher_in_images("A", "17", np.full(3, np.nan), measure="x", seed=0)
    assert (none.supported, none.effect, none.interval) == ("undecided", None, None)
