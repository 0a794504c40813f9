import numpy as np
import pytest
import torch
from PIL import Image

from glassnet import figures
from glassnet.errors import InputError
from glassnet.figures.overlay import COVER, HEAT, SIGNED, overlay

IMAGE = np.array([[[0, 255], [51, 102]]], np.uint8)
MAP = np.array([[0.0, 4.0], [2.0, -1.0]])


def levels(*colours):
    return np.rint(255 * np.array(colours))


def test_a_tiny_image_keeps_its_pixels_as_sharp_squares():
    drawn = figures.thumbnail(IMAGE, 6)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, IMAGE[0].repeat(3, axis=0).repeat(3, axis=1)[..., None].repeat(3, axis=2))
    assert set(np.unique(figures.thumbnail(IMAGE, 7))) == {0, 51, 102, 255}


def test_floats_and_bytes_are_the_same_picture_and_colours_stay_in_their_channels():
    np.testing.assert_array_equal(figures.thumbnail(IMAGE / 255, 6), figures.thumbnail(IMAGE, 6))
    colour = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    np.testing.assert_array_equal(figures.thumbnail(colour, 2), colour.transpose(1, 2, 0))


def test_the_longer_side_has_the_size_asked_for():
    assert figures.thumbnail(np.zeros((1, 10, 20)), 40).shape == (20, 40, 3)
    assert figures.thumbnail(np.zeros((1, 20, 10)), 40).shape == (40, 20, 3)
    assert figures.thumbnail(np.zeros((1, 1, 300)), 40).shape == (1, 40, 3)


@pytest.mark.parametrize("side", [64, 256])
def test_a_picture_made_smaller_is_smoothed(side):
    """Of every second row white, no row may be lost: the mean stays, which nearest neighbours would make 0 or 1."""
    stripes = np.zeros((1, side, side))
    stripes[:, ::2] = 1
    inner = figures.thumbnail(stripes, side // 4)[3:-3].astype(float)
    assert abs(inner.mean() / 255 - 0.5) < 0.03


def test_heat_by_hand():
    drawn = figures.heat_overlay(IMAGE, MAP, size_pixels=2)
    full, half = np.array(HEAT(1.0)[:3]), np.array(HEAT(0.5)[:3])
    np.testing.assert_array_equal(drawn[0, 0], [0, 0, 0])
    np.testing.assert_array_equal(drawn[1, 1], [102, 102, 102])  # negative: no heat
    np.testing.assert_array_equal(drawn[0, 1], levels(1 - COVER + COVER * full)[0])
    np.testing.assert_array_equal(drawn[1, 0], levels(0.2 * (1 - COVER / 2) + COVER / 2 * half)[0])


def test_a_map_is_scaled_by_its_maximum_and_one_without_evidence_leaves_the_grey_image():
    np.testing.assert_array_equal(figures.heat_overlay(IMAGE, 1e-9 * MAP), figures.heat_overlay(IMAGE, MAP))
    for empty in (np.zeros((2, 2)), -np.ones((2, 2))):
        np.testing.assert_array_equal(figures.heat_overlay(IMAGE, empty, size_pixels=4), figures.thumbnail(IMAGE, 4))
    red = np.stack([np.full((2, 2), level) for level in (200, 0, 0)]).astype(np.uint8)
    assert (figures.heat_overlay(red, np.zeros((2, 2))) == round(0.299 * 200)).all()


def test_signs_by_hand():
    values = np.zeros((3, 2, 2))
    values[:, 0, 0], values[:, 1, 1] = [0.5, -2, 1], [1, 0, 0]
    drawn = figures.signed_map(values, size_pixels=2)
    np.testing.assert_array_equal(drawn[0, 0], levels(SIGNED(0.0)[:3])[0])
    np.testing.assert_array_equal(drawn[1, 1], levels(SIGNED(0.75)[:3])[0])
    np.testing.assert_array_equal(drawn[0, 1], levels(SIGNED(0.5)[:3])[0])
    assert figures.signed_map(values).shape == (160, 160, 3)
    assert (figures.signed_map(np.zeros((1, 2, 2))) == levels(SIGNED(0.5)[:3])).all()


def test_an_overlay_is_heat_for_evidence_and_colour_by_sign_for_signs_at_the_images_own_size():
    np.testing.assert_array_equal(overlay(IMAGE, MAP.clip(0)), figures.heat_overlay(IMAGE, MAP, size_pixels=2))
    np.testing.assert_array_equal(overlay(IMAGE, MAP), figures.signed_map(MAP[None], size_pixels=2))
    channels = np.stack([MAP, 2 * MAP, MAP])
    np.testing.assert_array_equal(overlay(IMAGE, channels), figures.signed_map(channels, size_pixels=2))
    assert overlay(IMAGE, MAP, size_pixels=10).shape == (10, 10, 3)


def test_an_overlay_takes_images_as_they_lie_elsewhere():
    grey = np.array([[0, 255, 10, 20, 30], [40, 50, 60, 70, 80]] * 2, dtype=np.uint8)
    values = np.arange(20.0).reshape(4, 5)
    wanted = overlay(grey[None], values)
    assert wanted.shape == (4, 5, 3)
    for one in (grey, np.stack([grey] * 3, axis=-1), Image.fromarray(grey), torch.from_numpy(grey)[None]):
        np.testing.assert_array_equal(overlay(one, torch.from_numpy(values)), wanted)
    weights = torch.from_numpy(values).requires_grad_()
    np.testing.assert_array_equal(overlay(torch.from_numpy(grey)[None] / 255, weights), wanted)


def test_an_overlay_enlarges_a_layers_own_map():
    drawn = overlay(np.zeros((1, 4, 4), np.uint8), np.array([[0.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_array_equal(drawn[0, 0], [0, 0, 0])
    np.testing.assert_array_equal(drawn[3, 3], levels(COVER * np.array(HEAT(1.0)[:3]))[0])
    assert drawn[2, 2].max() < drawn[3, 3].max()  # in between, by the weights of bilinear interpolation
    assert overlay(np.zeros((3, 4, 4), np.uint8), np.ones((3, 2, 2))).shape == (4, 4, 3)


def test_an_overlay_refuses_what_is_no_map():
    with pytest.raises(InputError, match=r"the map has shape \(4,\), expected \(height, width\) or"):
        overlay(IMAGE, np.ones(4))
    with pytest.raises(InputError, match="the map: 1 of 4 values are NaN"):
        overlay(IMAGE, np.array([[np.nan, 0], [0, 1]]))


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InputError, match=r"the map has shape \(2, 3\), expected \(2, 2\), like the image"):
        figures.heat_overlay(IMAGE, np.zeros((2, 3)))
    with pytest.raises(InputError, match="the map: 4 of 4 values are NaN"):
        figures.heat_overlay(IMAGE, MAP * np.nan)
    with pytest.raises(InputError, match=r"the image has shape \(2, 2\), expected \(channels, height, width\)"):
        figures.thumbnail(IMAGE[0], 6)
    with pytest.raises(InputError, match="images hold values from 0 to 2"):
        figures.thumbnail(np.array([[[0.0, 2.0]]]), 6)
    with pytest.raises(InputError, match="size_pixels is 0, expected 1 or more"):
        figures.thumbnail(IMAGE, 0)
    with pytest.raises(InputError, match=r"the map has shape \(2, 2\), expected \(channels, height, width\)"):
        figures.signed_map(MAP)
