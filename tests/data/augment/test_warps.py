import math

import numpy as np
import torch
from scipy import ndimage
from scipy.interpolate import BSpline
from torch import Generator

from glassnet.data.augment import AUGMENTATIONS
from glassnet.data.augment.warps import (
    Warp,
    apply_warp,
    apply_warp_to_masks,
    random_affine,
    random_elastic,
    spline_basis,
)

IDENTITY = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])


def test_warp_equals_scipy_for_each_kind_of_map():
    image = torch.rand(1, 1, 15, 15, dtype=torch.float64, generator=Generator().manual_seed(0))
    angle = math.radians(20)
    maps = torch.tensor(
        [[[math.cos(angle), -math.sin(angle), 0.2], [math.sin(angle), math.cos(angle), -0.1]]], dtype=torch.float64
    )
    # scipy maps output (row, column) to input (row, column); ours maps (x, y) in units of half the side.
    swap = np.array([[0, 1], [1, 0]])
    matrix = swap @ maps[0, :, :2].numpy() @ swap
    centre = np.array([7.0, 7.0])
    offset = centre - matrix @ centre + swap @ maps[0, :, 2].numpy() * 7.5
    expected = ndimage.affine_transform(np.pad(image[0, 0].numpy(), 2), matrix, offset + 2 - matrix @ [2, 2], order=1)
    np.testing.assert_allclose(apply_warp(image, maps)[0, 0], expected[2:-2, 2:-2], atol=1e-12)


def test_affine_maps_hold_their_bounds():
    maps = random_affine(2000, Generator().manual_seed(0), degrees=10, shift=0.1, scale=(0.5, 2.0), flip=True)
    determinant = torch.linalg.det(maps[:, :, :2])
    assert 0.25 <= determinant.abs().min() <= determinant.abs().max() <= 4.0
    assert 900 < (determinant < 0).sum() < 1100
    assert maps[:, :, 2].abs().max() <= 0.2  # a share of the side is twice that in half sides
    turned = torch.atan2(maps[:, 1, 0].abs(), maps[:, 0, 0].abs()).rad2deg()
    assert 9 < turned.max() <= 10.001


def test_no_motion_is_the_identity():
    maps = random_affine(3, Generator(), degrees=0, shift=0, scale=(1, 1))
    images = torch.rand(3, 2, 9, 9)
    torch.testing.assert_close(apply_warp(images, maps), images)


def test_digits_are_never_mirrored():
    draw = AUGMENTATIONS["digits"]
    assert draw is not None
    assert (torch.linalg.det(draw(1000, Generator().manual_seed(0)).affine[:, :, :2]) > 0).all()


def test_the_splines_are_those_of_scipy_and_share_each_pixel_out():
    basis = spline_basis(28, 7)
    places = (np.arange(28) + 0.5) / 28 * 4 + 1
    for knot in range(7):
        expected = BSpline.basis_element(np.arange(knot - 2, knot + 3), extrapolate=False)(places)
        np.testing.assert_allclose(basis[:, knot], np.nan_to_num(expected), atol=1e-6)
    torch.testing.assert_close(basis.sum(dim=1), torch.ones(28))


def test_equal_control_points_shift_the_image():
    image = torch.rand(1, 1, 10, 10, generator=Generator().manual_seed(0))
    elastic = torch.zeros(1, 2, 5, 5)
    elastic[:, 0] = 2 * 0.3  # three tenths of the side, which is two units long
    shifted = apply_warp(image, Warp(IDENTITY, elastic))
    torch.testing.assert_close(shifted[..., :7], image[..., 3:])
    torch.testing.assert_close(shifted[..., 7:], torch.zeros(1, 1, 10, 3))


def test_one_control_point_by_hand():
    # With 4 control points one spline piece spans the image; in its middle the two inner points weigh 23/48 each.
    elastic = torch.zeros(1, 2, 4, 4)
    elastic[0, 1, 1, 2] = 1.0
    ramp = torch.linspace(-1, 1, 101)[None, None, :, None].expand(1, 1, 101, 101)  # each pixel tells its own height
    moved = apply_warp(ramp, Warp(IDENTITY, elastic))[0, 0, 50, 50]
    # Height -1 to 1 of the pixels' centres is 101/100 of -1 to 1 of the image's edges.
    torch.testing.assert_close(moved, torch.tensor((23 / 48) ** 2 * 101 / 100), atol=1e-5, rtol=0)


def test_elastic_distortions_follow_the_generator_and_have_the_deviation_asked():
    elastic = random_elastic(4000, Generator().manual_seed(0), deviation=0.05, knots=6)
    assert elastic.shape == (4000, 2, 6, 6)
    assert abs(elastic.std().item() / 2 - 0.05) < 0.001
    assert torch.equal(elastic, random_elastic(4000, Generator().manual_seed(0), deviation=0.05, knots=6))


def test_a_smaller_result_is_the_mean_of_the_pixels_that_meet_in_one():
    ramp = torch.arange(16.0, dtype=torch.float64).view(1, 1, 4, 4)
    halves = apply_warp(ramp, IDENTITY.double(), size=2)[0, 0]
    torch.testing.assert_close(halves, torch.tensor([[2.5, 4.5], [10.5, 12.5]], dtype=torch.float64))
    corners = torch.tensor([[[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]], dtype=torch.uint8)
    moved = apply_warp_to_masks(corners, Warp(IDENTITY), outside=255, size=2)
    assert moved.tolist() == [[[1, 2], [3, 4]]]
    elastic = Warp(IDENTITY, torch.full((1, 2, 4, 4), 2.0))
    assert apply_warp_to_masks(corners, elastic, outside=255, size=2).tolist() == [[[255, 255], [255, 255]]]


def test_a_mask_moves_with_its_image_and_is_void_where_nothing_was():
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(6, 40, 40, dtype=torch.uint8)
    masks[:, 10:30, 8:24] = 7
    warp = Warp(random_affine(6, generator, degrees=20, shift=0.2, scale=(0.7, 1.4), flip=True))
    moved = apply_warp_to_masks(masks, warp, outside=255)
    image = apply_warp((masks[:, None] == 7).double(), Warp(warp.affine.double()))[:, 0]
    inside = apply_warp(torch.ones(6, 1, 40, 40, dtype=torch.float64), Warp(warp.affine.double()))[:, 0]
    assert set(moved.unique().tolist()) == {0, 7, 255}
    assert (moved[image > 0.99] == 7).all()
    assert (moved[(image < 0.01) & (inside > 0.99)] == 0).all()
    assert (moved[inside < 0.01] == 255).all()
