"""Pictures of features stand beside each other, each measured as the library measures it."""

import contextlib
import dataclasses
from importlib.util import find_spec

import numpy as np
import pytest
from torch import nn

from glassnet import embedding
from glassnet.analysis import analyse, stored
from glassnet.analysis.base import load
from glassnet.analysis.embedding import EMBEDDING
from glassnet.embedding import cluster, embed, quality
from glassnet.errors import InputError
from tiny_nets import ClassMeans


class Constant(nn.Module):
    """Gives the same for every image."""

    def __init__(self):
        super().__init__()
        self.conv1, self.fc1 = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
        nn.init.zeros_(self.conv1.weight)

    def forward(self, images):
        return self.fc1(self.conv1(images).mean(dim=(2, 3)))


@contextlib.contextmanager
def pca_in_place_of(method):
    """UMAP and PaCMAP compile for ten seconds in each process, in tests/embedding; what is kept of them is the same."""
    with pytest.MonkeyPatch.context() as patch:
        pca = embedding.METHODS["pca"]
        stand_in = lambda rows, options: dataclasses.replace(  # noqa: E731
            pca(rows, options), method=method, explained_variance=None, restore=None
        )
        patch.setitem(embedding.METHODS, method, stand_in)
        yield


def test_the_points_and_measures_are_those_of_the_library(subject):
    result = analyse(subject, "embedding", layer="fc1", method="pca").result
    rows = analyse(subject, "features", layer="fc1").result.features
    expected = embed(rows, method="pca", dims=2)
    labels = np.arange(24) % 3
    clusters = cluster(expected.points, k=3, labels=labels)
    measured = quality(rows, expected.points, labels=labels, neighbours=10)
    assert np.array_equal(result.points, expected.points)
    assert result.labels.tolist() == labels.tolist()
    assert result.assignment.tolist() == clusters.assignment.tolist()
    assert result.measures["explained_variance"] == pytest.approx(expected.explained_variance.sum())
    for key, value in (("ari", clusters.ari), ("nmi", clusters.nmi), ("cluster_accuracy", clusters.accuracy)):
        assert result.measures[key] == value
    for key in ("trustworthiness", "continuity", "neighbours_kept", "knn_accuracy", "distance_correlation"):
        assert result.measures[key] == getattr(measured, key)
    assert result.measures["kl_divergence"] is None
    assert (result.clusters, result.neighbours, result.features) == (3, 10, 6)


@pytest.mark.usefixtures("blank_figures")
def test_methods_dimensions_and_clusterings_stand_beside_each_other(subject, context):
    asked = (
        {"method": "pca"},
        {"method": "pca", "dims": 3},
        {"method": "tsne"},
        {"method": "umap"},
        {"method": "pca", "clustering": "hdbscan"},
        {"method": "pca", "clusters": 4},
        {"method": "pca", "seed": 1},
    )
    before = subject.model().passes
    with pca_in_place_of("umap"):
        analyses = [analyse(subject, "embedding", layer="fc1", context=context, **one) for one in asked]
    names = ["pca2-fc1", "pca3-fc1", "tsne2-fc1", "umap2-fc1", "pca2-fc1-hdbscan", "pca2-fc1-k4", "pca2-fc1-seed1"]
    assert [one.entry.name for one in analyses] == names
    assert sorted(one.entry.name for one in stored(subject, "embedding")) == sorted(names)
    assert subject.model().passes - before == 2 * (24 + 2)  # a pass for each seed, and two images that are traced
    assert [words.name for words in analyses[0].figures] == ["points", "scree"]
    assert analyses[4].result.noise_share is not None
    assert analyses[5].result.clusters == 4


def test_separate_classes_are_separate_clusters(make):
    result = analyse(make(model=ClassMeans()), "embedding", layer="conv", method="pca").result
    assert result.measures["cluster_accuracy"] == 1
    assert result.measures["ari"] == 1


def test_images_without_labels_are_embedded_and_no_class_is_invented(make, tmp_path):
    analysis = analyse(make(tmp_path, labelled=False), "embedding", layer="fc1", method="pca")
    for key in ("ari", "nmi", "cluster_accuracy", "knn_accuracy"):
        assert analysis.result.measures[key] is None
    assert analysis.result.measures["trustworthiness"] is not None
    assert set(analysis.result.labels.tolist()) == {3}
    assert "no label" in (analysis.entry.path / "points.svg").read_text()


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_few_images_make_a_picture_or_are_refused_in_a_sentence(make, method):
    assert len(analyse(make(n=5), "embedding", layer="fc1", method=method).result.points) == 5
    for n in (1, 2, 4):
        with pytest.raises(InputError, match=rf"{n} images? (is|are) too few for a plot of fc1, expected at least 5"):
            analyse(make(n=n), "embedding", layer="fc1", method=method)


def test_features_that_are_all_the_same_are_refused(make, tmp_path):
    subject = make(tmp_path, model=Constant())
    for method in ("pca", "tsne"):
        with pytest.raises(InputError, match="all 24 rows of the features are the same, expected at least two"):
            analyse(subject, "embedding", layer="fc1", method=method)
    assert stored(subject, "embedding") == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dims": 9, "method": "pca"}, "fc1 gives 6 numbers for 24 images, too few for 9 dimensions"),
        ({"perplexity": (5, 30)}, "--perplexity is 30, expected at most 7.66667 for 24 images"),
        ({"clusters": 1}, "--clusters is 1, expected 2 to 24, the number of images"),
        ({"clusters": 25}, "--clusters is 25, expected 2 to 24"),
        ({"seed": -1}, "seed is -1, expected 0"),
        ({"landmarks": 24}, "--landmarks is 24, expected 5 to 23 for 24 images; leave it out to embed them all"),
        ({"landmarks": 10, "perplexity": (5,)}, "--perplexity is 5, expected at most 3 for 10 landmarks"),
    ],
)
def test_what_does_not_fit_the_images_is_refused(make, settings, message):
    with pytest.raises(InputError, match=message):
        analyse(make(), "embedding", layer="fc1", **settings)


def test_train_and_test_stand_beside_each_other(copy, context):
    for split in ("test", "train"):
        analyse(copy, "embedding", layer="fc1", method="pca", images=60, split=split, context=context)
    assert sorted(one.name for one in (copy.path / "analyses/embedding").iterdir()) == [
        "pca2-fc1-60",
        "pca2-fc1-train-60",
    ]


def test_landmarks_are_embedded_the_others_placed_and_the_cost_is_said(make, tmp_path):
    subject = make(tmp_path, model=ClassMeans())
    analysis = analyse(subject, "embedding", layer="conv", landmarks=16, perplexity=(4,))
    assert analysis.entry.name == "tsne2-conv-p4-l16"
    rows = analyse(subject, "features", layer="conv").result.features
    expected = embed(rows, landmarks=16, perplexity=4)
    cost = expected.landmark_accuracy(np.arange(24) % 3)
    assert np.array_equal(analysis.result.points, expected.points)
    assert analysis.result.landmark_accuracy == cost
    assert (cost.landmark_sample, cost.placed_sample) == (16, 8)
    assert analysis.result.method_settings["landmarks"] == 16
    assert cost.words in analysis.figures[0].caption
    drawn = (analysis.entry.path / "points.svg").read_text()
    assert f"kNN accuracy of landmarks {cost.landmarks:.1%}" in drawn
    assert f"of points placed among them {cost.placed:.1%}" in drawn
    (again,) = stored(subject, "embedding")
    assert load(EMBEDDING, subject, again.entry).result.landmark_accuracy == cost


def test_only_tsne_has_landmarks(subject):
    one = analyse(subject, "embedding", layer="fc1", method="pca", landmarks=10**9)
    assert one.entry.name == analyse(subject, "embedding", layer="fc1", method="pca").entry.name == "pca2-fc1"
    assert one.result.landmark_accuracy is None


def test_landmarks_without_labels_cost_what_nobody_knows(make, tmp_path):
    subject = make(tmp_path, labelled=False)
    result = analyse(subject, "embedding", layer="fc1", landmarks=16, perplexity=(4,)).result
    assert result.landmark_accuracy is None
    assert np.isfinite(result.points).all()


def test_pacmap_makes_a_picture_and_refuses_few_images(make, tmp_path):
    if find_spec("pacmap") is None:
        pytest.skip("pacmap is an extra")
    with pca_in_place_of("pacmap"):
        analysis = analyse(make(tmp_path), "embedding", layer="fc1", method="pacmap")
    assert analysis.entry.name == "pacmap2-fc1"
    assert analysis.result.title == "PaCMAP of fc1, 2 dimensions"
    assert "PaCMAP axis 1" in (analysis.entry.path / "points.svg").read_text()
    with pytest.raises(InputError, match="9 images are too few for a plot of fc1, expected at least 10"):
        analyse(make(n=9), "embedding", layer="fc1", method="pacmap")


def test_a_missing_umap_is_said_before_any_work(subject, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    passes = subject.model().passes
    with pytest.raises(InputError, match=r"method 'umap' needs umap-learn; install it with `pip install 'glassnet\[um"):
        analyse(subject, "embedding", layer="fc1", method="umap")
    with pytest.raises(InputError, match=r"method 'pacmap' needs pacmap; install it with `pip install 'glassnet\[pac"):
        analyse(subject, "embedding", layer="fc1", method="pacmap")
    assert subject.model().passes == passes
