import numpy as np
import pytest
import torch

from glassnet.attribution.faithfulness import mean_ci, pointing_game, share_inside, stroke_mask
from glassnet.errors import InputError

MASK = np.array([[[True, False], [False, True]]])


def test_the_share_inside_a_mask_worked_out_by_hand():
    maps = np.array([[[3.0, 1.0], [2.0, 2.0]]])
    assert share_inside(maps, MASK).tolist() == [5 / 8]
    # Signed maps count with their positive part, channels summed first: [[2, -1], [1, 0]].
    signed = np.array([[[[3.0, 0.0], [1.0, -1.0]], [[-1.0, -1.0], [0.0, 1.0]]]])
    assert share_inside(signed, MASK).tolist() == [2 / 3]


def test_a_uniform_map_has_the_masks_share_of_the_area():
    mask = np.random.default_rng(0).random((5, 9, 7)) < 0.3
    np.testing.assert_allclose(share_inside(np.full((5, 9, 7), 0.4), mask), mask.mean(axis=(1, 2)))


def test_what_has_no_share_is_nan_and_left_out_of_the_mean():
    maps = np.array([[[3.0, 1.0], [2.0, 2.0]], np.zeros((2, 2)), np.ones((2, 2)), -np.ones((2, 2))])
    mask = np.concatenate([MASK, MASK, ~MASK & MASK, MASK])
    shares = share_inside(maps, mask)
    assert np.isnan(shares).tolist() == [False, True, True, True]
    single = mean_ci(shares)
    assert (single.mean, single.low, single.high, single.count) == (5 / 8, None, None, 1)
    none = mean_ci(shares[1:])
    assert (none.mean, none.low, none.high, none.count) == (None, None, None, 0)
    assert np.isnan(pointing_game(maps, mask)).tolist() == [False, True, True, True]


def test_two_values_have_an_interval_and_one_has_none():
    two = mean_ci(np.array([0.25, 0.75, np.nan]))
    assert (two.mean, two.low, two.high, two.count) == (
        0.5,
        0.25,
        0.75,
        2,
    )  # two draws: either, or half-way
    one = mean_ci(np.array([0.25]))
    assert (one.mean, one.low, one.high, one.count) == (0.25, None, None, 1)


def test_the_pointing_game_worked_out_by_hand():
    maps = np.zeros((3, 5, 5))
    maps[0, 0, 0] = maps[1, 0, 3] = maps[2, 0, 0] = maps[2, 4, 4] = 1.0
    mask = np.zeros((3, 5, 5), dtype=bool)
    mask[:, 0, 0] = True
    assert pointing_game(maps, mask).tolist() == [1.0, 0.0, 0.5]  # of two equal maxima one hits
    assert pointing_game(maps, mask, tolerance_pixels=3).tolist() == [1.0, 1.0, 0.5]
    assert pointing_game(maps, mask, tolerance_pixels=2.9).tolist() == [1.0, 0.0, 0.5]


def test_the_stroke_is_what_is_brighter_than_half():
    images = np.array([[[[0, 127], [128, 255]]]], dtype=np.uint8)
    assert stroke_mask(images).tolist() == [[[False, False], [True, True]]]
    assert stroke_mask(torch.from_numpy(images).float() / 255).tolist() == [[[False, False], [True, True]]]
    assert stroke_mask(images, threshold=0.6).tolist() == [[[False, False], [False, True]]]
    colour = torch.tensor([[0.0, 0.9], [0.6, 0.9], [0.6, 0.9]]).view(1, 3, 1, 2)
    assert stroke_mask(colour).tolist() == [[[False, True]]]  # the mean over channels


def test_wrong_masks_and_maps_are_refused():
    maps = np.ones((1, 2, 2))
    with pytest.raises(InputError, match=r"mask is bool of shape \(1, 1, 2\), expected bool of shape \(1, 2, 2\)"):
        share_inside(maps, MASK[:, :1])
    with pytest.raises(InputError, match="maps contain NaN"):
        share_inside(maps * np.nan, MASK)
    with pytest.raises(InputError, match="tolerance_pixels is -1, expected 0 or more"):
        pointing_game(maps, MASK, tolerance_pixels=-1)
    with pytest.raises(InputError, match=r"threshold is 1\.5, expected a brightness"):
        stroke_mask(np.ones((1, 1, 2, 2), np.float32), threshold=1.5)
