import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb

from glassnet.figures import embedding_figure
from glassnet.figures.panels import drawn_points
from glassnet.figures.scatter import DENSE, FAINTEST, STRAY, cells_a_side, class_density, opacity
from glassnet.figures.style import PALETTE


def test_a_cell_counts_its_points_and_takes_the_most_frequent_group():
    points = np.array([[0.1, 0.1], [0.2, 0.3], [0.4, 0.4], [0.9, 0.1], [0.6, 0.2], [1.0, 1.0]])
    groups = np.array([1, 1, 0, 2, 0, 2])
    counts, group = class_density(points, groups, 3, low=np.zeros(2), high=np.ones(2), cells=2)
    assert counts.tolist() == [[3, 2], [0, 1]]
    assert group[0].tolist() == [1, 0]  # the first of equals
    assert group[1, 1] == 2


def test_density_agrees_with_a_loop_over_points(points):
    places, targets = points(500, 2, 3)
    low, high = places.min(axis=0) - 1.0, places.max(axis=0) + 1.0
    counts, group = class_density(places, targets, 3, low=low, high=high, cells=7)
    slow = np.zeros((7, 7, 3), dtype=int)
    for (x, y), target in zip((places - low) / (high - low) * 7, targets, strict=True):
        slow[int(y), int(x), target] += 1
    np.testing.assert_array_equal(counts, slow.sum(axis=-1))
    filled = counts > 0
    np.testing.assert_array_equal(group[filled], slow.argmax(axis=-1)[filled])


def test_opacity_is_linear_in_the_logarithm():
    shown = opacity(np.array([0, 1, 10, 100]), 100)
    np.testing.assert_allclose(shown, [0, FAINTEST, (1 + FAINTEST) / 2, 1])
    assert opacity(np.array([1, 1]), 1).tolist() == [FAINTEST] * 2


@pytest.mark.parametrize(("number", "cells"), [(5001, 100), (22500, 150), (60000, 160)])
def test_cells_are_about_as_many_as_points(number, cells):
    assert cells_a_side(number) == cells


def test_many_points_become_a_picture_with_its_scale(points, texts):
    places, targets = points(DENSE + 1, 2, 4)
    cluster = targets - 1
    figure = embedding_figure(places, targets, cluster, "abcd", {}, "t", clustering="hdbscan")
    for axes, colours in zip(figure.axes[::2], (PALETTE[:4], (*PALETTE[1:4], STRAY)), strict=True):
        assert not [c for c in axes.collections if isinstance(c, PathCollection)]
        image = axes.images[0].get_array()
        assert image.shape == (100, 100, 4)
        inside = image[image[..., 3] > 0]
        assert {tuple(np.round(c[:3], 6)) for c in inside} == {tuple(np.round(to_rgb(c), 6)) for c in colours}
        assert image[..., 3].max() == 1
    told = texts(figure)
    assert told.count("5,001 points as density on 100 × 100 cells; a cell has the") == 2
    assert "points per cell 1" in told
    low, high = np.array(figure.axes[0].viewLim.min), np.array(figure.axes[0].viewLim.max)
    most = class_density(places, targets, 4, low=low, high=high, cells=100)[0].max()
    assert f"{most}, logarithmic" in told


def test_up_to_the_limit_all_points_are_drawn(points, texts):
    places, targets = points(DENSE, 2, 4)
    told = texts(embedding_figure(places, targets, targets, "abcd", {}, "t"))
    assert not [text for text in told if "density" in text or "at random" in text]
    assert drawn_points(DENSE).tolist() == list(range(DENSE))


def test_in_space_a_stated_sample_is_drawn(points, texts):
    places, targets = points(DENSE + 500, 3, 4)
    figure = embedding_figure(places, targets, targets, "abcd", {}, "t")
    for axes in figure.axes:
        drawn = sum(len(c._offsets3d[0]) for c in axes.collections if isinstance(c, PathCollection))
        assert drawn == DENSE
    assert texts(figure).count("5,000 of 5,500 points are drawn, chosen at random") == 2
    chosen = drawn_points(DENSE + 500)
    assert len(set(chosen.tolist())) == DENSE
    assert chosen.tolist() == drawn_points(DENSE + 500).tolist()
