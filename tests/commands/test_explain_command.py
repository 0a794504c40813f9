import json

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

import glassnet as gn
from glassnet.attribution.faithfulness import share_inside
from glassnet.cli import run
from glassnet.commands.explain_numbers import text


def call(capsys, *words):
    code = run([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


def answer(capsys, *words):
    code, out, err = call(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_digits_have_the_share_inside_their_stroke(capsys, copy):
    (selected,) = answer(capsys, "explain", copy.path, "--images", "first:5")["explained"]
    mask = gn.stroke_mask(copy.dataset().test.images[:5])
    assert selected["mask"] == {"kind": "stroke", "threshold": 0.5, "area": pytest.approx(mask.mean())}
    kept = copy.load_arrays("attributions/first.npz")
    assert len(selected["measures"]) == 8
    for row in selected["measures"]:
        assert set(row) == {"method", "layer", "mask_share", "pointing_game"}
        shares = share_inside(kept[f"{row['method']}/{row['layer']}"], mask)
        assert row["mask_share"]["mean"] == pytest.approx(np.nanmean(shares))
        assert row["mask_share"]["images"] == np.isfinite(shares).sum()
    assert "sanity" not in selected
    assert "measures" not in answer(capsys, "explain", copy.path, "--mask", "none")["explained"][0]


def test_faithfulness_is_measured_drawn_and_printed_when_asked_for(capsys, copy):
    words = ["explain", copy.path, "--images", "first:3", "--layers", "last-conv", "--faithfulness"]
    (found,) = answer(capsys, *words)["explained"]
    assert found["figures"] == ["explain-first", "faithfulness-first", "sanity-first"]
    assert all(copy.has(f"figures/{name}.svg") for name in found["figures"])
    row = found["measures"][0]
    assert 0 < row["deletion"]["low"] <= row["deletion"]["mean"] <= row["deletion"]["high"] < 1
    assert {"insertion", "average_drop", "increase"} < row.keys()
    assert 0 < found["random_order"]["deletion"] < 1
    assert found["agreement"][0]["methods"] == ["gradcam", "guided_gradcam"]
    assert found["sanity"]["layers"][:2] == ["trained", "fc2"]
    assert set(found["sanity"]["passes"]) == {"gradcam", "guided_gradcam"}
    code, out, _ = call(capsys, *words)
    assert code == 0
    for heading in ("in mask", "deletion", "avg drop", "pixels in random order", "rank correlation", "map notices"):
        assert heading in out
    assert found == copy.load_json("attributions/first.json")


def test_one_image_has_means_and_no_intervals(capsys, copy):
    words = ["explain", copy.path, "--images", "first:1", "--layers", "last-conv", "--faithfulness"]
    (explained,) = answer(capsys, *words)["explained"]
    deletion = explained["measures"][0]["deletion"]
    assert 0 < deletion["mean"] < 1
    assert (deletion["low"], deletion["high"], deletion["images"]) == (None, None, 1)
    assert set(explained["sanity"]["passes"].values()) == {None}
    assert all(copy.has(f"figures/{name}.svg") for name in explained["figures"])
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert f"{deletion['mean']:.3f} [–]" in out


def test_a_verdict_that_the_images_do_not_settle_is_printed_as_undecided():
    step = {"mean": 0.63, "low": 0.41, "high": 0.82}
    sanity = {"rank_correlation": {"saliency": [step] * 3}, "passes": {"saliency": None}}
    row = {"method": "saliency", "layer": "input"}
    printed = text("first", {"measures": [row], "images": [0, 1], "sanity": sanity})
    assert printed.splitlines()[-1].endswith("undecided")


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    return tmp_path / "cat.png"


def test_a_model_by_name_explains_image_files(capsys, tmp_path, picture):
    model = gn.create_model("vgg_small", in_channels=3, num_classes=7, image_size=16)
    weights = tmp_path / "weights.safetensors"
    save_file(model.state_dict(), weights)
    words = ["--image-size", "16", "--num-classes", "7", "--images", picture, "--out", tmp_path / "out"]
    document = answer(capsys, "explain", "vgg_small", *words)
    assert (document["model"], document["out"]) == ("vgg_small", str(tmp_path / "out"))
    (found,) = document["explained"]
    assert found["images"][0]["label"] is None
    assert "measures" not in found  # no digits, no mask
    kept = np.load(tmp_path / "out" / "attributions" / "files.npz")
    assert kept["images"].shape == (1, 3, 16, 16)
    assert (tmp_path / "out" / "figures" / "explain-files.png").exists()
    code, _, said = call(capsys, "explain", "vgg_small", *words)
    assert code == 0
    assert "vgg_small has random weights; train it and give the run." in said
    again = answer(capsys, "explain", "vgg_small", *words)
    assert again["explained"][0]["images"] == found["images"]  # random weights are the same ones


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vgg61"], "no run or model 'vgg61'. Did you mean vgg"),
        (["no/such/run"], "no run at no/such/run"),
        (
            ["vgg_small", "--image-size", "16"],
            "--images is 'mixed:8', which names test images, but vgg_small",
        ),
        (["RUN", "--image-size", "16"], "--image-size is for a model by name"),
        (["RUN", "--model-options", "a=b"], "--model-options is for a model by name"),
        (["vgg_small", "--model-options", "weights=x"], "no option 'weights' in vgg_small"),
        (["vgg16", "--model-options", "weights=none.pth"], "the weights none.pth are missing"),
        (["vgg_small", "--image-size", "0"], "--image-size is 0, expected a number above 0"),
        (["vgg_small", "--images", "PICTURE", "--image-size", "16", "--out", "PICTURE"], "which is a file; expected a"),
    ],
)
def test_wrong_input_makes_one_sentence(capsys, copy, picture, words, message):
    named = {"RUN": copy.path, "PICTURE": picture}
    code, out, err = call(capsys, "explain", *(named.get(word, word) for word in words))
    assert (code, out) == (2, "")
    assert message in err
    assert err.strip().splitlines()[-1].startswith("glassnet: ")


def test_published_weights_are_not_fetched_offline(capsys, monkeypatch, tmp_path, picture):
    monkeypatch.setenv("GLASSNET_DATA", str(tmp_path / "none"))
    words = ["--model-options", "weights=imagenet", "--images", picture, "--out", tmp_path / "out"]
    code, _, err = call(capsys, "explain", "vgg16", *words)
    assert code == 2
    assert "GLASSNET_OFFLINE forbids downloads" in err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()
