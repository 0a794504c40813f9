import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.contour import QuadContourSet

from glassnet.errors import InputError
from glassnet.figures import embedding_figure, embedding_pair
from glassnet.figures.scatter import NO_CLASS, STRAY
from glassnet.figures.style import PALETTE

NUMBERS = {
    "explained_variance": 0.41236, "knn_accuracy": 0.9876, "trustworthiness": 0.98765,
    "ari": 0.51239, "nmi": 0.6, "accuracy": 0.7125, "silhouette": -0.1,
}  # fmt: skip


def scatters(axes):
    return [c for c in axes.collections if isinstance(c, PathCollection)]


def positions(axes):
    """All points of a panel by colour."""
    found = {}
    for part in scatters(axes):
        offsets = np.stack(part._offsets3d, axis=1) if hasattr(part, "_offsets3d") else part.get_offsets()
        found.setdefault(to_hex(part.get_facecolor()[0]), []).append(np.asarray(offsets))
    return {colour: np.concatenate(parts) for colour, parts in found.items()}


def rows(array):
    return sorted(map(tuple, np.round(np.asarray(array, dtype=float), 4).tolist()))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("number", [40, 400])
def test_every_point_is_drawn_once_in_each_panel_in_its_colour(points, dims, number):
    places, targets = points(number, dims, 4)
    assignment = (targets + 1) % 4  # cluster c + 1 is class c
    left, right = embedding_figure(places, targets, assignment, "abcd", {}, "t").axes
    for axes in (left, right):
        drawn = positions(axes)
        assert set(drawn) == set(PALETTE[:4])
        for index in range(4):
            assert rows(drawn[PALETTE[index]]) == rows(places[targets == index])


def test_numbers_are_rounded_and_none_left_out(points, texts):
    places, targets = points(40, 2, 4)
    told = texts(embedding_figure(places, targets, targets, "abcd", NUMBERS, "PCA of fc1", method="pca"))
    assert "PCA of fc1" in told
    assert {"variance explained 41.2%, kNN accuracy 98.8%", "trustworthiness 0.988"} <= set(told)
    assert {
        "adjusted Rand index 0.512, matched accuracy 71.2%",
        "normalised mutual information 0.600, silhouette −0.100",
    } <= set(told)
    assert {"By true class", "By k-means cluster", "principal component 1 (feature units)", "class"} <= set(told)
    few = texts(embedding_figure(places, targets, targets, "abcd", {"ari": None, "nmi": 0.5}, "t"))
    assert "normalised mutual information 0.500" in few
    assert not any("Rand" in text for text in few)


def test_clusters_take_the_look_of_their_class_and_left_over_ones_none(texts):
    places = np.array([[0, 0], [0, 1], [9, 9], [9, 8], [5, 5]], dtype=np.float32)
    figure = embedding_figure(places, np.array([0, 0, 1, 1, 1]), np.array([2, 2, 0, 0, 1]), ["cat", "dog"], {}, "t")
    drawn = positions(figure.axes[1])
    assert {colour: len(found) for colour, found in drawn.items()} == {PALETTE[0]: 2, PALETTE[1]: 2, NO_CLASS: 1}
    assert {"0 → dog", "1 → none", "2 → cat"} <= set(texts(figure))


def test_a_cluster_stands_for_no_class_that_it_has_no_point_of(texts):
    places = np.array([[0, 0], [0, 1], [9, 9]], dtype=np.float32)
    figure = embedding_figure(places, np.zeros(3, int), np.array([0, 0, 1]), ["cat", "dog"], {}, "t")
    assert {"0 → cat", "1 → none"} <= set(texts(figure))


def test_the_callers_matching_is_followed(points, texts):
    places, targets = points(40, 2, 2)
    figure = embedding_figure(places, targets, targets, "ab", {}, "t", matching=np.array([1, -1]))
    assert rows(positions(figure.axes[1])[PALETTE[1]]) == rows(places[targets == 0])
    assert {"0 → b", "1 → none"} <= set(texts(figure))
    for wrong in ([0], [0, 2], [0, -2]):
        with pytest.raises(InputError, match=r"expected a class from -1 \(none\) to 1 for each of the 2 clusters"):
            embedding_figure(places, targets, targets, "ab", {}, "t", matching=np.array(wrong))


def test_borders_lie_halfway_between_centres(points):
    places = np.array([[0, 0], [4, 0]], dtype=np.float32)
    both = np.array([0, 1])
    figure = embedding_figure(places, both, both, "ab", {}, "t", centres=places)
    left, right = figure.axes
    contours = [c for c in right.collections if isinstance(c, QuadContourSet) and not c.filled]
    assert len(contours) == 2
    for contour in contours:
        np.testing.assert_allclose(contour.get_paths()[0].vertices[:, 0], 2, atol=1e-6)
    assert not [c for c in left.collections if isinstance(c, QuadContourSet)]
    assert right.get_lines()[0].get_xydata().tolist() == places.tolist()


def test_without_centres_borders_go_around_the_points_of_each_cluster(points):
    places = np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), axis=-1).reshape(-1, 2)
    cluster = (places[:, 0] > 4).astype(int)
    figure = embedding_figure(places, cluster, cluster, "ab", {}, "t", clustering="agglomerative")
    axes = figure.axes[1]
    assert axes.get_title(loc="left") == "By agglomerative cluster"
    contours = [c.get_paths()[0].vertices for c in axes.collections if isinstance(c, QuadContourSet) and not c.filled]
    assert len(contours) == 2
    assert contours[0][:, 0].max() < 5 < contours[1][:, 0].min() + 0.7
    assert not axes.get_lines()


def test_noise_is_grey_named_and_matched_to_no_class(texts):
    places = np.array([[0, 0], [0, 1], [9, 9], [9, 8], [5, 5]], dtype=np.float32)
    truth, cluster = np.array([0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, -1])
    figure = embedding_figure(places, truth, cluster, ["cat", "dog"], {"noise_share": 0.2}, "t", clustering="hdbscan")
    drawn = positions(figure.axes[1])
    assert rows(drawn[STRAY]) == [(5, 5)]
    assert {colour: len(found) for colour, found in drawn.items()} == {PALETTE[0]: 2, PALETTE[1]: 2, STRAY: 1}
    assert {"0 → cat", "1 → dog", "noise (1)", "noise 20.0%", "By HDBSCAN cluster"} <= set(texts(figure))
    told = texts(embedding_figure(places, truth, np.full(5, -1), ["cat", "dog"], {}, "t", clustering="hdbscan"))
    assert "noise (5)" in told


def test_class_names_stand_at_the_medians(points):
    places, targets = points(300, 2, 3)
    left = embedding_figure(places, targets, targets, ["one", "two", "three"], {}, "t").axes[0]
    names = {text.get_text(): text.xy for text in left.texts}
    for index, name in enumerate(("one", "two", "three")):
        np.testing.assert_allclose(names[name], np.median(places[targets == index], axis=0), rtol=1e-5)


def test_names_do_not_hide_the_few_points_that_they_name(points):
    places, targets = points(12, 2, 3)
    for text in embedding_figure(places, targets, targets, "abc", {}, "t").axes[0].texts:
        assert text.get_position()[1] > text.xy[1]


def test_more_points_are_smaller_fainter_and_pixels(points):
    sizes, alphas, pixels, markers = [], [], [], []
    for number in (50, 1000, 5000):
        places, targets = points(number, 2, 2)
        part = scatters(embedding_figure(places, targets, targets, "ab", {}, "t").axes[0])[1]
        sizes.append(part.get_sizes()[0])
        alphas.append(part.get_alpha())
        pixels.append(part.get_rasterized())
        markers.append(len(part.get_paths()[0].vertices))
    assert sizes[0] > sizes[1] > sizes[2] >= 1.5
    assert alphas[0] > alphas[1] > alphas[2]
    assert pixels == [False, False, True]
    assert markers[0] == markers[1] == 5 < markers[2]  # squares, then dots


def test_one_class_one_point_a_class_and_one_point(svg, texts):
    places = np.arange(8, dtype=np.float32).reshape(4, 2)
    one = embedding_figure(places, np.zeros(4, int), np.array([0, 0, 1, 1]), ["_a", "b"], {}, "t")
    assert "_a" in texts(one)
    each = np.arange(4)
    told = set(texts(embedding_figure(places, each, each, "abcd", {}, "t", centres=places)))
    assert {"0 → a", "3 → d", "cluster → matched class, + centre"} <= told
    assert "cluster → matched class" in texts(embedding_figure(places, each, each, "abcd", {}, "t"))
    svg(embedding_figure(places[:1], each[:1], each[:1], "a", {}, "t", centres=places[:1]))
    svg(embedding_figure(np.zeros((5, 3), np.float32), np.zeros(5, int), np.zeros(5, int), "a", {}, "t"))


def test_forty_classes(points, texts):
    places, targets = points(99, 2, 40)
    targets[:20] = 0
    told = texts(embedding_figure(places, targets, targets, [f"breed {i}" for i in range(40)], {}, "t"))
    assert "class (the 30 largest of 40)" in told
    assert "cluster → matched class (the first 30 of 40)" in told
    assert "breed 0" in told


def test_axes_are_named_after_the_method(points, texts):
    places, targets = points(40, 2, 2)
    assert "t-SNE axis 2 (no unit)" in texts(embedding_figure(places, targets, targets, "ab", {}, "t", method="tsne"))
    places, targets = points(40, 3, 2)
    assert "PC 3 (feature units)" in texts(embedding_figure(places, targets, targets, "ab", {}, "t", method="pca"))
    assert "axis 3" in texts(embedding_figure(places, targets, targets, "ab", {}, "t"))


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused(points):
    places, targets = points(40, 2, 2)

    def refused(match, **changes):
        given = {"points": places, "targets": targets, "assignment": targets, "numbers": {}, **changes}
        with pytest.raises(InputError, match=match):
            embedding_figure(classes=["a", "b"], title="t", **given)

    refused("points: 80 of 80 values are NaN", points=places * np.nan)
    refused(r"points have shape \(40, 1\), expected \(n, 2\) or \(n, 3\)", points=places[:, :1])
    refused(r"points have shape \(0, 2\)", points=places[:0])
    refused(r"targets have shape \(39,\), expected \(40,\)", targets=targets[1:])
    refused(r"cluster assignments have shape \(39,\), expected \(40,\)", assignment=targets[1:])
    refused("targets go from 1 to 2, expected 0 to 1, because there are 2 classes", targets=targets + 1)
    refused("cluster assignments go down to -2, expected clusters from 0, and -1 for noise", assignment=targets - 2)
    refused("no clustering 'dbscan'.* The choices are: kmeans, agglomerative, hdbscan", clustering="dbscan")
    refused("the centres: 4 of 4 values are NaN", centres=np.full((2, 2), np.nan))
    refused("no number 'purity'.* The numbers are: explained_variance", numbers={"purity": 1.0})
    refused("no embedding 'mds'.* The choices are: pca, tsne, umap, pacmap", method="mds")


NAMES = ("t-SNE of the features", "t-SNE of 50 components")


def contours(axes):
    return [c for c in axes.collections if isinstance(c, QuadContourSet)]


def test_each_side_has_its_title_its_axes_and_all_its_numbers(points, texts):
    places, targets = points(40, 2, 4)
    numbers = {"knn_accuracy": 0.9876, "ari": 0.5, "silhouette": -0.25}, {"kl_divergence": 1.25, "nmi": None}
    figure = embedding_pair(places, places, targets, "abcd", numbers, "Both", names=NAMES, method=("pca", "tsne"))
    told = texts(figure)
    assert {"Both", *NAMES, "principal component 1 (feature units)", "t-SNE axis 1 (no unit)"} <= set(told)
    assert {"kNN accuracy 98.8%, adjusted Rand index 0.500", "silhouette −0.250", "KL divergence (nats) 1.250"} <= set(
        told
    )
    assert not any("mutual" in text for text in told)
    assert not any(contours(axes) for axes in figure.axes)
    assert "class" in told


def test_borders_are_lines_of_the_clusters_without_noise_or_halfway_between_centres(points, texts):
    places, targets = points(60, 2, 3)
    both = targets, targets - 1
    figure = embedding_pair(places, places, targets, "abc", ({}, {}), "t", names=NAMES, assignments=both)
    assert [len(contours(axes)) for axes in figure.axes] == [3, 2]
    assert "class; lines: borders of the clusters" in texts(figure)
    centres = np.array([[0, 0], [4, 0.0]])
    two = np.array([[0, 0], [4, 0.0]])
    figure = embedding_pair(two, two, np.array([0, 1]), "ab", ({}, {}), "t", names=NAMES, centres=(centres, centres))
    for axes in figure.axes:
        for line in contours(axes):
            np.testing.assert_allclose(line.get_paths()[0].vertices[:, 0], 2, atol=1e-6)
    noise = np.full(60, -1)
    figure = embedding_pair(places, places, targets, "abc", ({}, {}), "t", names=NAMES, assignments=(noise, noise))
    assert not contours(figure.axes[0])


@pytest.mark.usefixtures("unchecked")
def test_pairs_that_do_not_fit_are_refused(points):
    places, targets = points(40, 2, 2)

    def refused(match, **changes):
        given = {"left": places, "right": places, "targets": targets, "numbers": ({}, {}), **changes}
        with pytest.raises(InputError, match=match):
            embedding_pair(classes="ab", title="t", names=NAMES, **given)

    refused("right points: 80 of 80 values are NaN", right=places * np.nan)
    refused(r"left points have shape \(40, 2\) and right \(40, 3\), expected the same", right=np.zeros((40, 3)))
    refused(r"cluster assignments have shape \(39,\)", assignments=(targets, targets[1:]))
    refused("no number 'purity'", numbers=({}, {"purity": 1.0}))
    refused("no embedding 'mds'", method="mds")
