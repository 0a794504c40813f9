import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassnet.figures.labels import move_apart, named_classes


def overlaps(places, sizes):
    pairs = itertools.combinations(range(len(places)), 2)
    return [(i, j) for i, j in pairs if (np.abs(places[i] - places[j]) < (sizes[i] + sizes[j]) / 2 - 1e-6).all()]


def test_boxes_that_are_apart_stay():
    centres, sizes = np.array([[0.2, 0.2], [0.8, 0.8]]), np.full((2, 2), 0.1)
    np.testing.assert_array_equal(move_apart(centres, sizes), centres)


def test_two_boxes_part_along_the_axis_where_less_is_needed():
    # 0.1 wide, 0.04 high, 0.01 apart in height: each moves up or down by half of the 0.03 that is missing.
    centres, sizes = np.array([[0.5, 0.5], [0.5, 0.51]]), np.array([[0.1, 0.04]] * 2)
    np.testing.assert_allclose(move_apart(centres, sizes), [[0.5, 0.485], [0.5, 0.525]], atol=2e-4)


def test_boxes_at_the_rim_are_drawn_in():
    assert move_apart(np.array([[0.0, 1.2]]), np.array([[0.2, 0.1]])).tolist() == [[0.1, 0.95]]


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(0, 999))
def test_no_box_covers_another_and_none_leaves_the_square(number, seed):
    rng = np.random.default_rng(seed)
    sizes = np.stack([rng.uniform(0.04, 0.2, number), np.full(number, 0.05)], axis=1)
    places = move_apart(rng.uniform(0.3, 0.7, (number, 2)), sizes)
    assert not overlaps(places, sizes)
    assert (places - sizes / 2 > -1e-9).all()
    assert (places + sizes / 2 < 1 + 1e-9).all()


@pytest.mark.parametrize(("counts", "named"), [([3, 0, 1], [0, 2]), ([1] * 29 + [2] * 5, [*range(25), *range(29, 34)])])
def test_classes_with_points_are_named_the_largest_first(counts, named):
    targets = np.repeat(np.arange(len(counts)), counts)
    assert named_classes(targets, len(counts)) == named
