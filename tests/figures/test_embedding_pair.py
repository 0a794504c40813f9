import numpy as np
import pytest
from matplotlib.contour import QuadContourSet

from glassnet.errors import InputError
from glassnet.figures import embedding_pair

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
