"""Faithfulness is that of the maps that are kept, and says of which."""

import numpy as np
import pytest

from glassnet.analysis import analyse, stored
from glassnet.attribution.faithfulness import deletion_insertion
from glassnet.errors import InputError
from tiny_nets import ClassMeans, TinyNet

MAPS = {"images": "first:4", "layers": ("conv2",), "methods": ("gradcam",)}


def test_it_measures_the_maps_that_are_kept(subject):
    maps = analyse(subject, "attribution", **MAPS)
    analysis = analyse(subject, "faithfulness", attribution=MAPS)
    assert analysis.result.of == maps.name == "attribution/first4-conv2-gradcam"
    assert len(stored(subject, "attribution")) == 1
    (group,), (explained,) = analysis.result.groups, maps.result.groups
    expected = deletion_insertion(
        TinyNet(), explained.images, explained.maps["gradcam", "conv2"], explained.targets, seed=0
    )
    assert np.allclose(group.curves["gradcam", "conv2"].deletion, expected.deletion, atol=1e-6)
    assert np.allclose(group.curves["gradcam", "conv2"].insertion, expected.insertion, atol=1e-6)
    assert group.images == 4
    assert group.passes.keys() == {"gradcam"}
    assert [words.name for words in analysis.figures] == ["faithfulness-first", "sanity-first"]
    assert repr(analysis.result) == "MeasuredFaithfulness(of attribution/first4-conv2-gradcam: 4 first)"


def test_maps_that_are_not_there_are_made_and_another_seed_stands_beside(subject):
    first = analyse(subject, "faithfulness", attribution=MAPS)
    other = analyse(subject, "faithfulness", attribution=MAPS, seed=1)
    assert [one.name for one in stored(subject)] == ["attribution/first4-conv2-gradcam", first.name, other.name]


def test_it_is_resolved_as_the_attribution_is(make, tmp_path):
    subject = make(tmp_path, model=ClassMeans(), n=3)
    by_default = analyse(subject, "faithfulness", attribution={"layers": ("conv",), "methods": ("gradcam",)})
    assert by_default.request.attribution.images == "mixed:8"
    named = {"images": "mixed:8", "layers": ("conv",), "methods": ("gradcam",)}
    assert analyse(subject, "faithfulness", attribution=named).name == by_default.name


def test_it_is_refused_as_the_attribution_is(make):
    with pytest.raises(InputError, match="no method 'x'"):
        analyse(make(), "faithfulness", attribution={"methods": ("x",)})
