"""`glassnet explain` on a run of classification: what is explained, measured, printed, kept and refused."""

import numpy as np
import pytest
from PIL import Image

import glassnet as gn
from command_line import answer, call, refused
from glassnet.analysis import analyse
from glassnet.analysis.faithfulness import MeasuredFaithfulness
from glassnet.attribution.faithfulness import share_inside
from glassnet.cli.analysis import NOTICES, _not_counted
from glassnet.measures import show
from glassnet.run.store import Store
from glassnet.stats import mean_ci


def maps_of(run, name):
    """Return the arrays of the one group of an attribution, by what they are."""
    arrays = Store(run.path).entry(f"attribution/{name}").arrays
    return {key.removeprefix("groups/0/").removeprefix("maps/"): value for key, value in arrays.items()}


def test_explain_keeps_maps_numbers_and_figures(capsys, copy):
    explained = answer(capsys, "explain", copy.path, "--images", "3,1,2", "--target", "7")["explained"]
    (group,) = explained["groups"]
    assert explained["layers"] == ["conv1", "conv2", "conv3", "conv4"]
    assert group["numbers"] == [3, 1, 2]
    assert group["names"] == ["test image 3", "test image 1", "test image 2"]
    assert {facts["target"] for facts in group["facts"]} == {"7"}
    kept = maps_of(copy, "3,1,2-7")
    images = copy.dataset().test.images[[3, 1, 2]]
    expected = gn.explain(copy.model(), images, target=7)
    np.testing.assert_allclose(kept["gradcam @ conv4"], expected["gradcam", "conv4"], rtol=1e-5, atol=1e-7)
    assert kept["guided_gradcam @ conv1"].shape == (3, 1, 28, 28)
    probabilities = copy.model()(images / 255).softmax(1)[:, 7]
    assert [facts["probability"] for facts in group["facts"]] == pytest.approx(probabilities.tolist(), rel=1e-4)
    folder = copy.path / "analyses" / "attribution" / "3,1,2-7"
    assert explained["path"] == str(folder)
    assert {"maps-chosen.png", "maps-chosen.svg"} <= {path.name for path in folder.iterdir()}
    svg = (folder / "maps-chosen.svg").read_text()
    assert all(f">why 7? p(7) = {show('probability', facts['probability'])}<" in svg for facts in group["facts"])


def test_explain_takes_the_first_right_and_the_first_wrong_images(capsys, copy):
    words = ["--images", "mixed:4", "--methods", "gradcam", "--layers", "last-conv"]
    explained = answer(capsys, "explain", copy.path, *words)["explained"]
    right, wrong = explained["groups"]
    assert (right["name"], wrong["name"]) == ("correct", "wrong")
    test = copy.dataset().test
    hit = copy.model()(test.images / 255).argmax(1) == test.targets
    assert right["numbers"] == hit.nonzero().flatten()[:2].tolist()
    assert wrong["numbers"] == (~hit).nonzero().flatten()[:2].tolist()
    assert [facts["correct"] for facts in right["facts"] + wrong["facts"]] == [True, True, False, False]
    assert explained["layers"] == ["conv4"]


def test_explain_reads_a_users_own_images_and_keeps_those_before(capsys, copy, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for index in range(2):
        pixels = copy.dataset().test.images[index, 0].numpy()
        Image.fromarray(pixels).convert("RGB").save(folder / f"digit-{index}.png")
    words = ["--layers", "last-conv"]
    (own,) = answer(capsys, "explain", copy.path, "--images", folder, *words)["explained"]["groups"]
    assert own["names"] == ["digit-0.png", "digit-1.png"]
    assert [facts.get("label") for facts in own["facts"]] == [None, None]
    (same,) = answer(capsys, "explain", copy.path, "--images", "0,1", *words)["explained"]["groups"]
    assert [a["predicted"] for a in own["facts"]] == [a["predicted"] for a in same["facts"]]
    answer(capsys, "explain", copy.path, "--images", folder / "digit-1.png", *words)
    answer(capsys, "explain", copy.path, "--images", folder / "digit-1.png", "--methods", "saliency")
    made = [entry.name for entry in Store(copy.path).entries("attribution")]
    assert made == ["mine-last-conv", "0,1-last-conv", "digit-1.png-last-conv", "digit-1.png-saliency"]
    code, out, _ = call(capsys, "explain", copy.path, "--images", folder, *words)
    assert code == 0
    assert "digit-0.png" in out


def test_training_images_are_explained(capsys, copy):
    words = ["--split", "train", "--images", "first:2", "--layers", "last-conv", "--methods", "gradcam"]
    (group,) = answer(capsys, "explain", copy.path, *words, "--name", "learned")["explained"]["groups"]
    assert group["names"] == ["train image 0", "train image 1"]
    images = copy.dataset().train.images[:2]
    np.testing.assert_array_equal(maps_of(copy, "learned")["images"], images)


def test_digits_have_the_share_inside_their_stroke(capsys, copy):
    words = ["explain", copy.path, "--images", "first:5"]
    explained = answer(capsys, *words)["explained"]
    (group,) = explained["groups"]
    mask = gn.stroke_mask(copy.dataset().test.images[:5])
    kept = maps_of(copy, "first5")
    np.testing.assert_array_equal(kept["mask"], mask)
    assert explained["threshold"] == 0.5
    assert len(group["inside"]) == 8
    for key, measures in group["inside"].items():
        assert set(measures) == {"mask_share", "pointing_game"}
        shares = share_inside(kept[key], mask)
        assert measures["mask_share"]["mean"] == pytest.approx(np.nanmean(shares))
        assert measures["mask_share"]["count"] == np.isfinite(shares).sum()
    assert [entry.kind for entry in Store(copy.path).entries()] == ["attribution"]
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert f"a uniform map has {100 * mask.mean():.1f}% of its attribution in it" in out
    (unmasked,) = answer(capsys, *words, "--mask", "none")["explained"]["groups"]
    assert unmasked["mask"] is None
    assert not any(unmasked["inside"].values())


def test_faithfulness_is_measured_drawn_and_printed_when_asked_for(capsys, copy):
    words = ["explain", copy.path, "--images", "first:3", "--layers", "last-conv", "--faithfulness"]
    document = answer(capsys, *words)
    measured = document["faithfulness"]
    (group,) = measured["groups"]
    entry = Store(copy.path).entry(measured["analysis"])
    assert [words.name for words in entry.figures] == ["faithfulness-first", "sanity-first"]
    assert all(entry.figure_file(one.name, "svg").exists() for one in entry.figures)
    assert measured["of"] == document["explained"]["analysis"]
    numbers = group["numbers"]["gradcam @ conv4"]
    assert 0 < numbers["deletion"]["low"] <= numbers["deletion"]["mean"] <= numbers["deletion"]["high"] < 1
    assert {"insertion", "average_drop", "increase"} < numbers.keys()
    assert list(group["agreement"]) == ["gradcam @ guided_gradcam @ conv4"]
    assert group["sanity"]["layers"][:2] == ["trained", "fc2"]
    assert set(group["passes"]) == {"gradcam", "guided_gradcam"}
    result = analyse(copy, "faithfulness", attribution=analyse(copy, "attribution", images="first:3",
                     layers="last-conv").request).result  # fmt: skip
    assert isinstance(result, MeasuredFaithfulness)
    random = result.groups[0].random.deletion_area.mean()
    assert 0 < random < 1
    code, out, _ = call(capsys, *words)
    assert code == 0
    for heading in ("in mask", "avg drop", "rank correlation", "map notices", "Grad-CAM and Guided"):
        assert out.count(heading) == 1, heading
    for heading in ("a uniform map has", "First images", "deletion  ", "pixels in random order: deletion "):
        assert heading in out
    assert "pixels in random order: deletion " in out
    assert answer(capsys, *words) == document  # what is kept is given back


def test_one_image_has_means_and_no_intervals(capsys, copy):
    words = ["explain", copy.path, "--images", "first:1", "--layers", "last-conv", "--faithfulness"]
    measured = answer(capsys, *words)["faithfulness"]
    deletion = measured["groups"][0]["numbers"]["gradcam @ conv4"]["deletion"]
    assert 0 < deletion["mean"] < 1
    assert (deletion["low"], deletion["high"], deletion["count"]) == (None, None, 1)
    assert set(measured["groups"][0]["passes"].values()) == {None}
    entry = Store(copy.path).entry(measured["analysis"])
    assert all(entry.figure_file(one.name, "svg").exists() for one in entry.figures)
    code, out, _ = call(capsys, *words)
    assert code == 0
    (row,) = [
        row for row in out.splitlines() if row.startswith("Grad-CAM ") and f" {100 * deletion['mean']:.1f}%" in row
    ]
    assert " to " not in row
    assert [row.split()[-1] for row in out.splitlines() if "Grad-CAM " in row][-2:] == ["undecided"] * 2


def test_a_verdict_that_the_images_do_not_settle_is_printed_as_undecided():
    assert NOTICES == {True: "yes", False: "no", None: "undecided"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--images", "some"], "--images is 'some', expected indices such as 3,14,15"),
        (["--images", "²"], "--images is '²', expected"),
        (["--images", "wrong:0"], "--images is 'wrong:0', expected"),
        (["--images", "5000"], "--images contains index 5000, expected 0 to 999"),
        (["--images", "missing.jpg"], "--images is missing.jpg, which does not exist"),
        (["--images", "EMPTY"], "holds no image files; expected some that end in"),
        (["--images", "BROKEN"], "broken.png"),
        (["--layers", "conv9"], "no layer 'conv9' in"),
        (["--methods", "gradcma"], "no method 'gradcma'. Did you mean gradcam"),
        (["--target", "eleven"], "no target 'eleven' in"),
        (["--target", "²"], "no target '²' in"),
        (["--images", "FILE", "--target", "label"], "--target is label, but these images have no labels"),
        (["--image-size", "16"], "--image-size is for a network without a run"),
        (["--model-options", "a=b"], "--model-options is for a network without a run"),
        (["--num-classes", "3"], "--num-classes is for a network without a run"),
        (["--out", "elsewhere"], "--out is for a network without a run"),
        (["--name", "a/b"], "'a/b' cannot name an analysis"),
    ],
)
def test_wrong_input_makes_one_sentence_and_writes_nothing(capsys, copy, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    Image.new("L", (28, 28)).save(tmp_path / "black.png")
    places = {"EMPTY": tmp_path / "empty", "BROKEN": tmp_path / "broken.png", "FILE": tmp_path / "black.png"}
    before = sorted(copy.path.rglob("*"))
    assert message in refused(capsys, "explain", copy.path, *(places.get(word, word) for word in words))
    assert sorted(copy.path.rglob("*")) == before


def test_layers_are_ranked_printed_and_kept_when_asked_for(capsys, copy):
    words = ["explain", copy.path, "--images", "first:4", "--rank-layers"]
    document = answer(capsys, *words)
    ranking = document["ranking"]
    assert [entry.kind for entry in Store(copy.path).entries()] == ["attribution", "ranking"]
    assert sorted(row["layer"] for row in ranking["layers"]) == ["conv1", "conv2", "conv3", "conv4"]
    assert {row["method"] for row in ranking["layers"]} == {"gradcam"}
    gains = [row["numbers"]["faithfulness_gain"]["mean"] for row in ranking["layers"]]
    assert gains == sorted(gains, reverse=True)
    assert ranking["images"] == 4
    assert "on 4 images" in ranking["recommendation"]
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert " ".join(ranking["recommendation"].split()) in " ".join(out.split())
    assert "pixels in random order" in out
    assert "ranking/first4" in out
    asked = answer(capsys, "explain", copy.path, "--images", "first:2", "--layers", "last-conv")
    assert "ranking" not in asked


def test_means_over_fewer_images_than_the_heading_says_are_named():
    inside = {
        ("gradcam", "conv2"): {"mask_share": mean_ci(np.array([0.5, np.nan]))},
        ("gradcam", "conv4"): {"mask_share": mean_ci(np.array([0.5, 0.25]))},
    }
    (told,) = _not_counted(inside, 2)
    assert told == "of 2 images, fewer count where a map has no positive value or no mask: Grad-CAM at conv2 1"
    assert list(_not_counted({("gradcam", "conv4"): inside["gradcam", "conv4"]}, 2)) == []
