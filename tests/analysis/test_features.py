"""Features: rows as `extract_features` gives them, several layers in one pass, and more than memory on the disk."""

import numpy as np
import pytest
import torch

from glassnet.analysis import analyse
from glassnet.analysis import features as features_module
from glassnet.analysis.features import FeaturesRequest, image_labels, prepare
from glassnet.errors import InputError
from glassnet.models.features import extract_features
from tiny_nets import TinyNet, coloured


def test_features_are_those_of_the_layer(subject):
    result = analyse(subject, "features", layer="conv2").result
    expected = extract_features(TinyNet(), coloured(24)[0], ["conv2"])["conv2"]
    assert np.allclose(result.features, expected, atol=1e-6)
    assert result.features.dtype == np.float32
    assert result.labels.tolist() == [0, 1, 2] * 8
    assert result.numbers.tolist() == list(range(24))
    assert result.files is None
    assert repr(result) == "Features(conv2: 24 images, 8 numbers each)"


def test_fewer_images_are_drawn_by_seed_with_their_numbers(subject):
    first = analyse(subject, "features", layer="fc1", images=9).result
    assert sorted(first.labels.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    whole = analyse(subject, "features", layer="fc1").result
    assert np.allclose(first.features, whole.features[first.numbers], atol=1e-6)
    other = analyse(subject, "features", layer="fc1", images=9, seed=1)
    assert other.result.numbers.tolist() != first.numbers.tolist()
    assert other.name == "features/fc1-9-seed1"


def test_several_layers_take_one_pass(subject, context):
    request = FeaturesRequest("conv1")
    before = subject.model().passes  # of 24 images, and of two more, which are traced
    prepare(subject, ["conv1", "conv2", "fc1"], request, context)
    assert subject.model().passes - before == 26
    for layer in ("conv1", "conv2", "fc1"):
        analyse(subject, "features", layer=layer, context=context)
    prepare(subject, ["fc1"], request, context)
    assert subject.model().passes - before == 26
    prepare(subject, ["fc1", "fc2"], request, context)  # only what is missing
    assert subject.model().passes - before == 52


def test_many_images_stream_to_the_disk_and_are_mapped(subject, make, monkeypatch, context):
    expected = analyse(make(), "features", layer="fc1").result.features
    monkeypatch.setattr(features_module, "STREAMED_FROM_IMAGES", 20)
    analysis = analyse(subject, "features", layer="fc1", context=context)
    assert isinstance(analysis.result.features, np.memmap)
    assert (analysis.entry.path / "features.npy").exists()
    again = analyse(subject, "features", layer="fc1").result.features
    assert isinstance(again, np.memmap)
    assert np.allclose(again, expected, atol=1e-6)
    embedded = analyse(subject, "embedding", layer="fc1", method="pca", context=context).result
    assert embedded.points.shape == (24, 2)


def test_the_streamed_files_go_with_what_they_were_made_for(make, monkeypatch, tmp_path):
    monkeypatch.setattr(features_module, "STREAMED_FROM_IMAGES", 20)
    subject = make(tmp_path / "new")  # a folder that is not there yet
    analyse(subject, "features", layer="fc1")
    assert [one.name for one in (tmp_path / "new/analyses/features").iterdir()] == ["fc1"]
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    bare = analyse(make(), "features", layer="fc1")
    assert isinstance(bare.result.features, np.memmap)
    assert np.isfinite(bare.result.features).all()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_images_without_labels_have_features(make):
    result = analyse(make(labelled=False), "features", layer="fc1").result
    assert result.labels.tolist() == [3] * 24  # no class
    assert result.features.shape == (24, 6)


def test_a_run_has_features_of_its_training_images(copy):
    test = analyse(copy, "features", layer="fc1", images=50)
    train = analyse(copy, "features", layer="fc1", images=50, split="train")
    assert (test.name, train.name) == ("features/fc1-50", "features/fc1-train-50")
    assert train.result.features.shape == test.result.features.shape
    assert not np.allclose(train.result.features, test.result.features)


def test_an_unknown_layer_is_refused(subject):
    with pytest.raises(InputError, match="no layer 'fc9' in TinyNet"):
        analyse(subject, "features", layer="fc9")


def test_one_class_an_image():
    assert image_labels(torch.tensor([2, 0])).tolist() == [2, 0]
    several = torch.tensor([[0, 1, 1], [1, 0, 0], [0, 0, 0]], dtype=torch.uint8)
    assert image_labels(several).tolist() == [1, 0, 3]  # the first; one more than the last for none
