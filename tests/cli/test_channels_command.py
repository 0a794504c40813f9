"""`glassnet channels`: what it says of each layer, where the sheets lie, and what it refuses."""

import re

import numpy as np
import pytest
from PIL import Image

import glassnet as gn
from command_line import answer, call, refused
from glassnet.analysis import stored

FEW = ["--images", 200, "--ablation-images", 100, "--sheet", 2]


@pytest.fixture(scope="module")
def told(finished, tmp_path_factory):
    """A copy of a run, and what the command said of two of its layers, as text and as JSON."""
    import shutil

    from glassnet.cli import COMMANDS
    from glassnet.settings import ChannelsSettings

    path = shutil.copytree(finished.path, tmp_path_factory.mktemp("channels") / "run")
    settings = ChannelsSettings(run=path, layers=("conv1", "bn4"), images=200, ablation_images=100, sheet=2)
    return gn.Run.open(path), COMMANDS["channels"](settings)


def test_it_says_per_layer_what_is_selective_needed_and_dead(told):
    run, said = told
    (kept,) = stored(gn.Subject.of_run(run), "channels")
    result = kept.result
    assert re.search(r"conv1 +\d of 4 ", said.text)
    assert "Measured on 200 test images; removals, one channel at a time, on 100 of them." in said.text
    for layer, told_of in zip(result.channels, said.data["layers"], strict=True):
        assert told_of["layer"] == layer
        assert told_of["dead"] == list(result[layer].dead)
        assert [one["channel"] for one in told_of["selective"]] == result.selective(layer).tolist()
        assert [one["channel"] for one in told_of["needed"]] == result.needed(layer).tolist()
        for one in told_of["selective"]:
            assert one["selectivity"] == result[layer].selectivity[one["channel"]]
            assert one["selective_for"] == run.classes[result[layer].preferred[one["channel"]]]
            assert one["auroc"] == np.nanmax(result[layer].auroc[one["channel"]])
            assert one["lost"]["accuracy"] == result.ablations[layer].lost()[one["channel"]]
        found = result.agreement(layer)
        assert told_of["selectivity_and_cost"]["correlation"] == found.correlation
    assert (
        f"rank correlation of selectivity and the cost of removal, over all layers: {result.agreement().words}"
        in said.text
    )
    for layer in ("conv1", "bn4"):
        file = kept.entry.figure_file(f"channels-{layer}", "png")
        assert f"sheet: {file}" in said.text
        with Image.open(file) as picture:
            assert picture.width > 900


def test_dead_channels_are_named(told):
    run, said = told
    dead = stored(gn.Subject.of_run(run), "channels")[0].result["bn4"].dead
    if dead:
        assert f"dead in bn4, activated by no image: {', '.join(map(str, dead))}" in said.text
    else:
        assert "dead in" not in said.text


def test_asked_again_it_is_found(capsys, told):
    run, _ = told
    words = ["channels", run.path, "--layers", "conv1", "bn4", *FEW]
    found = answer(capsys, *words)
    assert found["channels"]["analysis"] == "channels/conv1+bn4-200-ablate100-sheet2"
    assert len(stored(gn.Subject.of_run(run), "channels")) == 1
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert "channels/conv1+bn4-200-ablate100-sheet2: " in out


def test_a_network_with_photographs_without_labels(capsys, tmp_path):
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(random.integers(0, 255, (40, 30, 3), np.uint8)).save(tmp_path / f"photos/{number}.png")
    (tmp_path / "net.py").write_text(
        "import torch\n\n\ndef make():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),"
        " torch.nn.Flatten(), torch.nn.Linear(4, 2))\n"
    )
    words = ["channels", f"{tmp_path}/net.py:make", "--data", f"folder:{tmp_path}/photos", "--image-size", 32]
    code, out, _ = call(capsys, *words, "--out", tmp_path / "kept", "--no-ablate")
    assert code == 0
    assert "selectivity" not in out
    assert f"sheet: {tmp_path}/kept/analyses/channels/conv-ablate0/channels-0.png" in out
    _, out, _ = call(capsys, *words, "--out", tmp_path / "kept")
    assert "The images have no labels, so the loss from removing a channel cannot be measured." in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "conv9"], "no layer 'conv9'"),
        (["--images", 0], "--images is 0"),
        (["--sheet", 0], "--sheet is 0"),
        (["--top", -1], "--top is -1"),
        (["--seed", -1], "--seed is -1"),
        (["--split", "half"], "--split"),
        (["--value", "one"], "--value"),
        (["--data", "folder:photos"], "--data is for a network without a run"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(capsys, finished, options, message):
    assert message in refused(capsys, "channels", finished.path, *options)


def test_a_run_that_is_not_there_is_refused(capsys, tmp_path):
    assert "no run at" in refused(capsys, "channels", tmp_path / "none")
