"""The layers compared: by images held out, and with another run."""

import shutil

import numpy as np
import pytest

from glassnet.analysis import analyse
from glassnet.analysis.layers import AlignedLayers
from glassnet.embedding import cka
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.models.features import extract_features
from tiny_nets import ClassMeans, TinyNet, coloured

pytestmark = pytest.mark.usefixtures("blank_figures")


def test_layers_go_from_input_to_output_and_are_scored_on_images_that_were_not_fitted(subject):
    analysis = analyse(subject, "layers")
    result = analysis.result
    assert [row.layer for row in result.rows] == ["conv1", "conv2", "fc1", "fc2"]
    assert [row.features for row in result.rows] == [4, 8, 6, 3]
    assert (result.fitted, result.scored, result.part) == (17, 7, "of the images")
    for row in result.rows:
        assert 0 <= row.probe_accuracy <= 1
        assert row.probe_accuracy * 7 == pytest.approx(round(row.probe_accuracy * 7))
    assert [words.name for words in analysis.figures] == ["layers", "cka"]


def test_alignment_is_that_of_the_scored_images(subject):
    (aligned,) = analyse(subject, "layers").result.alignments
    scored = np.sort(np.random.default_rng(0).permutation(24)[:7])
    rows = extract_features(TinyNet(), coloured(24)[0][scored], ["conv1", "conv2", "fc1", "fc2"])
    assert np.allclose(aligned.matrix, cka(rows, debiased=True).matrix, atol=1e-5, equal_nan=True)
    assert (aligned.against, aligned.images) == ("", 7)


def test_a_layer_that_tells_the_classes_apart_has_a_perfect_probe(make):
    (row,) = analyse(make(model=ClassMeans()), "layers", layers="conv").result.rows
    assert (row.probe_accuracy, row.knn_accuracy, row.nearest_mean_accuracy) == (1, 1, 1)


def test_two_runs_are_aligned(copy, tmp_path):
    shutil.copytree(copy.path, tmp_path / "other")
    other = Run.open(tmp_path / "other")
    analysis = analyse(copy, "layers", layers=("fc1", "fc2"), against=str(other.path), images=80)
    own, between = analysis.result.alignments
    assert (own.against, between.against) == ("", "other")
    assert np.allclose(np.diag(between.matrix), 1)  # it is the same network
    assert analysis.result.part == "training images"
    assert analysis.name == "layers/fc1+fc2-against-other"
    with pytest.raises(InputError, match="this run itself; give another run"):
        analyse(copy, "layers", against=str(copy.path))
    with pytest.raises(InputError, match="no run at"):
        analyse(copy, "layers", against=str(tmp_path / "nowhere"))


def test_what_cannot_be_compared_is_refused_before_any_work(make, tmp_path):
    subject = make(labelled=False)
    with pytest.raises(InputError, match="has images without labels, but comparing layers needs labels; give some"):
        analyse(subject, "layers")
    with pytest.raises(InputError, match="--against compares runs, but tiny is a network without a run; leave it out"):
        analyse(make(), "layers", against="runs/x")
    for n in (1, 2, 5):
        few = make(n=n)
        passes = few.model().passes
        with pytest.raises(
            InputError, match=r"images of . classes to fit and . to score; expected at least two classes, 3"
        ):
            analyse(few, "layers")
        assert few.model().passes == passes
    with pytest.raises(InputError, match="no layer 'fc9'"):
        analyse(make(), "layers", layers="fc9")


def test_the_most_alike_layers():
    matrix = np.array([[1, 0.2, 0.9], [0.2, 1, np.nan], [0.9, np.nan, 1]])
    names = ("a", "b", "c")
    assert AlignedLayers("", names, names, matrix, 9).most_alike() == ("a", "c", 0.9)
    assert AlignedLayers("other", names, names, matrix, 9).most_alike() == ("c", "c", 1.0)
    assert AlignedLayers("", names[:1], names[:1], matrix[:1, :1], 9).most_alike() is None
