"""What the channels of a layer have learned, as the page gets it: the numbers of the command's analysis."""

import numpy as np
import pytest

import glassnet as gn
from glassnet.analysis import analyse
from tiny_nets import ClassMeans, coloured, make_subject


@pytest.fixture(scope="module")
def kept(page):
    """The analysis of the command, which is kept in the run."""
    run = gn.Run.open(page.subjects.get(page.first).path)
    return analyse(run, "channels", layers=("conv3", "conv4"), images=200, ablation_images=60, figures=False)


def test_what_the_command_kept_is_shown(page, kept):
    layer, lost = kept.result["conv4"], kept.result.ablations["conv4"]
    arrays, meta = page.arrays("layer-channels?layer=conv4")
    assert meta["entry"] == kept.name
    assert (meta["channels"], meta["images"], meta["lost_images"]) == (len(layer), 200, 60)
    numbers = gn.Run.open(page.subjects.get(page.first).path).dataset().test.numbers.numpy()
    assert np.array_equal(arrays["numbers"], numbers[layer.top_images])
    for name, values in {
        "active": layer.active,
        "activations": layer.top_activations,
        "selectivity": layer.selectivity,
        "class_means": layer.rectified_means,
        "auroc": layer.auroc,
        "lost": lost.lost(),
    }.items():
        assert np.allclose(arrays[name], values, equal_nan=True), name
    assert arrays["order"].tolist() == layer.order().tolist()
    assert (meta["lost"], meta["lost_is_share"]) == ("accuracy", True)
    assert meta["baseline"] == pytest.approx(lost.baseline["accuracy"])
    first = int(lost.order()[0])
    bounds = lost.interval(first) or (np.nan, np.nan)
    assert np.allclose([arrays["lost_low"][first], arrays["lost_high"][first]], bounds, equal_nan=True)


def test_a_frame_is_what_the_channel_sees_where_it_is_highest(page, kept):
    arrays, _ = page.arrays("layer-channels?layer=conv4")
    assert np.array_equal(arrays["boxes"], kept.result["conv4"].boxes)
    left, top, right, bottom = arrays["boxes"][0].T
    assert ((left >= 0) & (left < right) & (right <= 28) & (top >= 0) & (top < bottom) & (bottom <= 28)).all()


def test_what_is_not_there_is_measured_and_kept_for_the_command(page, kept):
    run = gn.Run.open(page.subjects.get(page.first).path)
    _, meta = page.arrays("layer-channels?layer=conv1")
    assert meta["entry"] not in ("", kept.name)
    found = analyse(run, "channels", layers=("conv1",), figures=False)
    assert found.name == meta["entry"]
    assert found.entry.browsed


def test_channels_that_tell_classes_apart_without_a_mistake(pages):
    """Three channels, each the mean of a colour: the class of that colour is what each prefers and detects."""
    shown = pages(make_subject(model=ClassMeans()))
    arrays, meta = shown.arrays("layer-channels?layer=conv")
    assert arrays["preferred"].tolist() == [0, 1, 2]
    assert arrays["auroc"].diagonal().tolist() == [1, 1, 1]
    images, labels = coloured(24)
    expected = (images.max(axis=(2, 3)) / 255).T  # channels, images
    for channel in range(3):
        assert set(labels[arrays["numbers"][channel][:8]]) == {channel}
        assert arrays["activations"][channel, 0] == pytest.approx(expected[channel].max(), abs=1e-6)
    assert meta["baseline"] == 1
    assert (arrays["lost"] > 0).all()
    assert meta["entry"] == ""


def test_pictures_are_made_where_they_are_asked_for(pages):
    shown = pages(make_subject(model=ClassMeans()))
    arrays, _ = shown.arrays("layer-channels?layer=conv&pictures=true", seconds=200)
    assert sorted(arrays["pictured"].tolist()) == [0, 1, 2]
    assert arrays["pictures"].shape[:2] == (3, 3)
    strongest = arrays["pictures"].reshape(3, 3, -1).max(axis=2)[np.arange(3), arrays["pictured"]]
    assert (strongest > 200).all()  # each is bright in its own colour, brighter than any image
    assert (arrays["multiple"] > 1).all()


def test_a_layer_that_is_not_there_is_named(page):
    answer = page.ask("layer-channels?layer=conv99")
    assert answer.status_code == 400
    assert "no layer 'conv99'" in answer.json()["error"]
