"""A ranking is that of all images asked for together, and is kept as any analysis is."""

import numpy as np
import pytest

import glassnet as gn
from glassnet.analysis import analyse, stored
from glassnet.analysis.ranking import ranking_of
from glassnet.errors import InputError
from tiny_nets import ClassMeans


def test_it_is_the_librarys_ranking_of_the_same_images(subject):
    analysis = analyse(subject, "ranking", images="first:6", steps=5, seed=2)
    images = subject.part("test").images[:6]
    expected = gn.rank_layers(subject.model(), images, steps=5, seed=2)
    assert analysis.result.recommendation() == expected.recommendation()
    assert analysis.name == "ranking/first6-5-steps"
    assert analysis.request.attribution.methods == ("gradcam",)
    again = analyse(subject, "ranking", images="first:6", steps=5, seed=2)
    assert again.entry.path == analysis.entry.path
    assert repr(again.result) == repr(analysis.result)
    assert again.result.table() == analysis.result.table()


def test_images_that_are_not_named_are_the_first_hundred(subject):
    analysis = analyse(subject, "ranking", steps=2)
    assert analysis.request.attribution.images == "first:100"
    assert analysis.result.images == 24
    assert len(stored(subject, "attribution")) == 0


def test_groups_are_ranked_together(make, tmp_path):
    subject = make(tmp_path, n=9)
    analysis = analyse(subject, "ranking", images="mixed:6", steps=3)
    groups = analyse(subject, "attribution", images="mixed:6", methods=("gradcam",)).result.groups
    assert analysis.result.images == sum(len(group.names) for group in groups)


def test_it_follows_from_the_faithfulness_of_several_layers(make, tmp_path):
    subject = make(tmp_path, model=None, n=9)
    asked = {"images": "mixed:6", "layers": ("conv1", "conv2"), "methods": ("gradcam",), "mask": "stroke"}
    measured = analyse(subject, "faithfulness", attribution=asked)
    ranking = ranking_of(measured.result, seed=0)
    assert {one.layer for one in ranking.layers} == {"conv1", "conv2"}
    assert ranking.images == sum(group.images for group in measured.result.groups)
    assert "pointing_game" in ranking.best.numbers
    direct = analyse(subject, "ranking", attribution=asked)
    for one in ranking.layers:
        (other,) = [row for row in direct.result.layers if row.layer == one.layer]
        for name in ("insertion", "deletion", "faithfulness_gain"):
            np.testing.assert_allclose(one.numbers[name].values, other.numbers[name].values, atol=1e-6)
    single = analyse(subject, "faithfulness", attribution={**asked, "layers": ("conv2",)})
    assert ranking_of(single.result) is None


def test_methods_of_the_input_are_left_out_and_alone_refused(make):
    subject = make(model=ClassMeans())
    analysis = analyse(subject, "ranking", methods=("saliency", "layercam"), images="first:3", steps=2)
    assert {one.method for one in analysis.result.layers} == {"layercam"}
    with pytest.raises(InputError, match="saliency explains the input, not layers"):
        analyse(subject, "ranking", methods=("saliency",), images="first:3")
    with pytest.raises(InputError, match="no method 'x'"):
        analyse(subject, "ranking", methods=("x",), images="first:3")
