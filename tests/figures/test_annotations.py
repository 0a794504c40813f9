import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassnet.figures.annotations import CELLS, centre_margins, move_apart, named_classes, point_margins


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


PLACES = np.linspace(0, 1, CELLS)


def test_margin_between_two_centres_by_hand():
    centres = np.array([[0.0, 0.0], [1.0, 0.0]])
    margins = centre_margins(np.array([0.0, 0.5, 1.0]), np.array([0.0, 2.0]), centres)
    np.testing.assert_allclose(margins[..., 0], [[-1, 0, 1], [-1, 0, 1]])
    np.testing.assert_allclose(margins[..., 1], -margins[..., 0])


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 6), st.integers(0, 99))
def test_a_place_is_inside_the_nearest_centre_only(number, seed):
    centres = np.random.default_rng(seed).random((number, 2))
    margins = centre_margins(PLACES[::16], PLACES[::16], centres)
    for row, up in enumerate(PLACES[::16]):
        for column, across in enumerate(PLACES[::16]):
            distances = [(across - x) ** 2 + (up - y) ** 2 for x, y in centres]
            for index, own in enumerate(distances):
                others = min(d for other, d in enumerate(distances) if other != index)
                assert abs(margins[row, column, index] - (own - others)) < 1e-12


def test_a_single_centre_has_everything():
    assert (centre_margins(PLACES, PLACES, np.zeros((1, 2))) < 0).all()


def test_a_place_belongs_to_the_nearest_point_or_to_nothing():
    points = np.array([[0.2, 0.5], [0.21, 0.5], [0.24, 0.5], [0.8, 0.5]])
    margins = point_margins(PLACES, PLACES, points, np.array([0, 0, 1, -1]), 2)
    middle = CELLS // 2

    def inside(x):
        return [bool(m < 0) for m in margins[middle, round(x * (CELLS - 1))]]

    assert inside(0.2) == [True, False]
    assert inside(0.245) == [False, True]
    assert inside(0.8) == [False, False]  # noise
    assert inside(0.3) == [False, False]  # far from all
