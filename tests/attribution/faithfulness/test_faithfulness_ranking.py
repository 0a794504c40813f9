"""Layers ranked: by hand, against each layer measured by itself, and on a network whose best layer is known."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet.attribution.faithfulness import deletion_insertion, layers, pointing_game
from glassnet.attribution.faithfulness.ranking import ranked
from glassnet.errors import InputError
from tiny_nets import coloured, make_subject


class Shifting(nn.Module):
    """Says class 0 where an image is bright; what its second layer sees lies four pixels to the right of it."""

    def __init__(self):
        super().__init__()
        self.here, self.there = nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 1, 9, padding=4, bias=False)
        self.again = nn.Conv2d(1, 1, 1, bias=False)
        kernel = torch.zeros(1, 1, 9, 9)
        kernel[0, 0, 4, 0] = 1
        self.there.weight.data, self.here.weight.data = kernel, torch.ones(1, 1, 1, 1)
        self.again.weight.data = torch.ones(1, 1, 1, 1)

    def forward(self, x):
        total = self.there(self.again(self.here(x))).relu().sum(dim=(1, 2, 3))
        return torch.stack([total - 4, 4 - total], dim=1)


def patches(n, *, seed=0):
    """Images with a bright square of three by three in their left half, and a mask of it."""
    rng = np.random.default_rng(seed)
    images = torch.zeros(n, 1, 16, 16)
    for image, (row, column) in zip(images, rng.integers(1, 8, (n, 2)), strict=True):
        image[0, row : row + 3, column : column + 3] = 1
    return images, (images[:, 0] > 0.5).numpy()


def values_of(gain):
    gain = np.asarray(gain, dtype=float)
    return {"faithfulness_gain": gain, "insertion": (1 + gain) / 2, "deletion": (1 - gain) / 2}


def test_ranking_by_hand():
    rng = np.random.default_rng(1)
    base = rng.random(40) / 4
    values = {
        ("gradcam", "a"): values_of(base + 0.1),
        ("gradcam", "b"): values_of(base + 0.3 + 0.01 * rng.random(40)),
        ("gradcam", "c"): values_of(base + 0.2),
    }
    ranking = ranked(values, values_of(np.zeros(40)))
    assert [one.layer for one in ranking.layers] == ["b", "c", "a"]
    best = values["gradcam", "b"]["faithfulness_gain"]
    assert ranking.best.numbers["faithfulness_gain"].mean == pytest.approx(best.mean())
    assert ranking.runner_up == ("gradcam", "c")
    difference = best - values["gradcam", "c"]["faithfulness_gain"]
    assert ranking.margin.mean == pytest.approx(difference.mean())
    # Paired: the layers differ by 0.1 to 0.11 on each image, far less than images differ among themselves.
    assert 0.1 < ranking.margin.low < ranking.margin.mean < ranking.margin.high < 0.11
    spread = ranking.best.numbers["faithfulness_gain"]
    assert spread.high - spread.low > 5 * (ranking.margin.high - ranking.margin.low)
    assert ranking.clear
    assert ranking.alike == ()
    margin = ranking.margin
    assert ranking.recommendation() == (
        f"Look at b: of all layers measured, its Grad-CAM maps are the most faithful on 40 images. Insertion minus "
        f"deletion is {100 * spread.mean:.1f}% ({100 * spread.low:.1f} to {100 * spread.high:.1f}%), "
        f"{100 * margin.mean:.1f}% ({100 * margin.low:.1f} to {100 * margin.high:.1f}%) more than c."
    )


def test_layers_that_differ_by_chance_are_not_told_apart():
    rng = np.random.default_rng(0)
    values = {("gradcam", name): values_of(0.4 + 0.1 * rng.normal(size=30)) for name in "abc"}
    values["gradcam", "d"] = values_of(0.1 + 0.1 * rng.normal(size=30))
    ranking = ranked(values, values_of(np.zeros(30)))
    assert ranking.beats_random
    assert not ranking.clear
    assert len(ranking.alike) == 2
    assert "d" not in ranking.alike
    text = ranking.recommendation()
    assert text.startswith("No layer is clearly best on 30 images: insertion minus deletion is ")
    assert re.search(r"; nor is it clearly better than [abc]\.$", text)
    assert "not clearly best" in repr(ranking)


def test_equal_layers_and_a_margin_too_small_to_matter_are_no_recommendation():
    gain = np.linspace(0.3, 0.5, 20)
    same = ranked({("gradcam", "a"): values_of(gain), ("gradcam", "b"): values_of(gain)}, values_of(0 * gain))
    assert [one.layer for one in same.layers] == ["a", "b"]
    assert not same.clear
    tiny = {("gradcam", "a"): values_of(gain), ("gradcam", "b"): values_of(gain + 1e-6 * gain)}
    assert not ranked(tiny, values_of(0 * gain)).clear
    assert ranked(tiny, values_of(0 * gain), unit="score").clear


def test_what_does_not_beat_random_order_is_not_recommended():
    rng = np.random.default_rng(0)
    noise = {("gradcam", name): values_of(0.1 * rng.normal(size=30)) for name in "ab"}
    ranking = ranked(noise, values_of(0.1 * rng.normal(size=30)))
    assert not ranking.clear
    assert ranking.recommendation().startswith(
        "No layer's maps are clearly more faithful than pixels in random order on"
    )


def test_of_several_methods_the_next_is_at_another_layer():
    gain = np.linspace(0.3, 0.5, 20)
    values = {
        ("gradcam", "a"): values_of(gain),
        ("layercam", "a"): values_of(gain + 0.1 + gain / 100),
        ("gradcam", "b"): values_of(gain + 0.05),
        ("layercam", "b"): values_of(gain - 0.2),
    }
    ranking = ranked(values, values_of(0 * gain))
    assert [(one.method, one.layer) for one in ranking.layers][:3] == [
        ("layercam", "a"),
        ("gradcam", "b"),
        ("gradcam", "a"),
    ]
    assert ranking.runner_up == ("gradcam", "b")
    assert ranking.recommendation().endswith("more than Grad-CAM at b.")


def test_one_layer_and_one_image():
    one = ranked({("gradcam", "a"): values_of([0.4, 0.5])}, values_of([0.0, 0.05]))
    assert one.margin is None
    assert one.recommendation().startswith(
        "a is the only layer measured: insertion minus deletion of Grad-CAM is 45.0%"
    )
    single = ranked({("gradcam", "a"): values_of([0.4]), ("gradcam", "b"): values_of([0.2])}, values_of([0.0]))
    assert not single.clear
    assert "on 1 image:" in single.recommendation()
    with pytest.raises(InputError, match="got no maps to rank"):
        ranked({}, values_of([0.0]))


def test_the_layer_that_sees_where_the_class_is_comes_first():
    images, mask = patches(24)
    ranking = gn.rank_layers(Shifting(), images, layers=["here", "there"], mask=mask, steps=16)
    assert [one.layer for one in ranking.layers] == ["here", "there"]
    assert ranking.images == 24
    assert ranking.clear
    assert ranking.recommendation().startswith("Look at here: of all layers measured, its Grad-CAM maps are")
    first, second = (one.numbers for one in ranking.layers)
    assert (first["pointing_game"].mean, second["pointing_game"].mean) == (1, 0)
    assert first["pointing_game"].low < 1
    both = gn.rank_layers(Shifting(), images, steps=16)
    assert {both.layers[0].layer, both.layers[1].layer} == {"here", "again"}
    assert not both.clear
    assert "only " in both.recommendation()
    assert [cells[1] for cells in ranking.table().rows] == ["here", "there", ""]
    assert len(ranking.table().columns) == 6
    assert repr(ranking) == "LayerRanking(2 on 24 images: gradcam at here, clearly best)"
    assert "Look at here" in ranking._repr_html_()


def test_each_layer_is_measured_as_by_itself_however_few_at_once(monkeypatch):
    images, _ = coloured(9)
    model = make_subject().model()
    targets = [0, 1, 2] * 3
    options = {"target": targets, "methods": ("gradcam", "layercam"), "steps": 6, "seed": 3}
    whole = gn.rank_layers(model, images, **options)
    monkeypatch.setattr(layers, "MAP_BYTES", 1)
    few = gn.rank_layers(model, images, **options)
    assert len(whole.layers) == 4
    explanation = gn.explain(model, images, target=targets, methods=("gradcam", "layercam"))
    for one, other in zip(whole.layers, few.layers, strict=True):
        assert (one.method, one.layer) == (other.method, other.layer)
        maps = explanation[one.method, one.layer]
        curves = deletion_insertion(model, images, maps, targets, steps=6, seed=3)
        for ranking in (one, other):
            np.testing.assert_allclose(ranking.numbers["deletion"].values, curves.deletion_area, atol=1e-6)
            np.testing.assert_allclose(ranking.numbers["insertion"].values, curves.insertion_area, atol=1e-6)
            gain = curves.insertion_area - curves.deletion_area
            np.testing.assert_allclose(ranking.numbers["faithfulness_gain"].values, gain, atol=1e-6)
    flat = deletion_insertion(model, images, np.zeros((9, 12, 10)), targets, steps=6, seed=3)
    np.testing.assert_allclose(whole.random["deletion"].values, flat.deletion_area, atol=1e-6)


def test_how_scores_are_taken_is_said_once_for_all_layers(monkeypatch, capsys):
    monkeypatch.setattr(layers, "MAP_BYTES", 1)  # a layer at a time
    images, _ = patches(3)
    ranking = gn.rank_layers(nn.Sequential(Shifting(), nn.Softmax(dim=1)), images, steps=4)
    assert len(ranking.layers) > 1
    assert capsys.readouterr().err.count("the model's scores are treated as probabilities, ") == 1


def test_pointing_is_that_of_the_maps():
    images, mask = patches(6)
    ranking = gn.rank_layers(Shifting(), images, layers="there", mask=torch.from_numpy(mask), steps=4)
    maps = gn.explain(Shifting(), images, layers="there", methods="gradcam")["gradcam", "there"]
    np.testing.assert_array_equal(ranking.best.numbers["pointing_game"].values, pointing_game(maps, mask))


def test_a_callable_is_ranked_in_its_own_unit():
    images, _ = patches(12)
    ranking = gn.rank_layers(
        Shifting(), images, layers=["here", "there"], steps=8, target=lambda logits: 100 * logits[:, 0]
    )
    assert ranking.unit == "score"
    assert ranking.best.layer == "here"
    assert "%" not in ranking.recommendation()


def test_a_subject_has_images_of_its_own():
    subject = make_subject()
    ranking = gn.rank_layers(subject, steps=4)
    assert ranking.images == 24
    images = coloured(24)[0]
    assert gn.rank_layers(subject.model(), images, steps=4).recommendation() == ranking.recommendation()
    assert gn.rank_layers(subject, images[:5], steps=4).images == 5


def test_the_same_seed_gives_the_same_ranking():
    images, _ = patches(8)
    one, two = (gn.rank_layers(Shifting(), images, steps=4, seed=1) for _ in range(2))
    assert one.recommendation() == two.recommendation()
    assert dataclasses.asdict(one.margin)["mean"] == dataclasses.asdict(two.margin)["mean"]


def test_refuses_what_cannot_be_ranked():
    images, mask = patches(4)
    with pytest.raises(InputError, match="saliency explains the input, not layers, so there is nothing to rank"):
        gn.rank_layers(Shifting(), images, methods=("gradcam", "saliency"))
    with pytest.raises(InputError, match="images is missing, expected the images to rank the layers on"):
        gn.rank_layers(Shifting())
    with pytest.raises(InputError, match="mask is bool of shape"):
        gn.rank_layers(Shifting(), images, mask=mask[:2])
    with pytest.raises(InputError, match="no layer 'x'"):
        gn.rank_layers(Shifting(), images, layers="x")
    with pytest.raises(InputError, match="target has shape"):
        gn.rank_layers(Shifting(), images, target=[0, 1])
    with pytest.raises(InputError, match="one class per image"):
        gn.rank_layers(Shifting(), images, target=[[0, 1]])
    with pytest.raises(InputError, match="steps is 0"):
        gn.rank_layers(Shifting(), images, steps=0)
