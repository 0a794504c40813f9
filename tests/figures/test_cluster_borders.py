import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from glassnet.figures.borders import CELLS, centre_margins, point_margins

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
