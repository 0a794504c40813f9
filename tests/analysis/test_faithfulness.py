"""Faithfulness is that of the maps that are kept, and says of which."""

import numpy as np
import pytest
import torch

from glassnet.analysis import analyse, stored
from glassnet.attribution.faithfulness import deletion_insertion
from glassnet.errors import InputError
from tiny_nets import ClassMeans, TinyNet

pytestmark = pytest.mark.usefixtures("blank_figures")

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


@pytest.mark.parametrize("end", [torch.nn.Softmax(dim=1), torch.nn.Identity(), torch.nn.LogSoftmax(dim=1)])
def test_a_network_of_ones_own_may_end_in_a_softmax(make, tmp_path, end):
    """Its probabilities are taken as they stand, in the curves and in the words."""
    net = ClassMeans()
    subject = make(tmp_path, model=torch.nn.Sequential(net, end))
    asked = {"images": "first:4", "layers": ("0.conv",), "methods": ("gradcam",)}
    (group,) = analyse(subject, "faithfulness", attribution=asked).result.groups
    (explained,) = analyse(subject, "attribution", **asked).result.groups
    with torch.no_grad():
        expected = net(torch.from_numpy(explained.images).float() / 255).softmax(1)[range(4), explained.targets]
    np.testing.assert_allclose(group.curves["gradcam", "0.conv"].deletion[:, 0], expected, rtol=1e-4)
    np.testing.assert_allclose([facts["probability"] for facts in explained.facts], expected, rtol=1e-4)
