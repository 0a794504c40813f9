import pytest
import torch

from glassnet.images import VOID
from glassnet.tasks.segmentation import metrics as outlines


def test_outlines_by_hand():
    mask = torch.tensor([[[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, VOID], [0, 0, 0, VOID]]], dtype=torch.uint8)
    expected = torch.tensor([[[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 0], [0, 1, 1, 0]]], dtype=torch.bool)
    assert torch.equal(outlines.outlines(mask), expected)


def ringed(*, width):
    """A square of class 1 in a ring of void pixels, as VOC draws its objects."""
    mask = torch.zeros(1, 14, 14, dtype=torch.uint8)
    mask[:, 5 - width : 9 + width, 5 - width : 9 + width] = VOID
    mask[:, 5:9, 5:9] = 1
    return mask


def test_an_outline_runs_in_the_middle_of_a_void_band():
    whole = torch.zeros(1, 14, 14, dtype=torch.uint8)
    whole[:, 4:10, 4:10] = 1
    assert torch.equal(outlines.without_void(ringed(width=2)), whole)
    all_void = torch.full_like(whole, VOID)
    assert torch.equal(outlines.without_void(all_void), all_void)


@pytest.mark.parametrize("width", [1, 2])
def test_an_object_ringed_by_void_is_found_or_missed(width):
    truth, background = ringed(width=width), torch.zeros(1, 14, 14, dtype=torch.uint8)
    guess = outlines.without_void(truth)
    assert outlines.boundary_f(outlines.boundary_counts(guess, truth, tolerance=0).numpy()) == 1
    assert outlines.boundary_f(outlines.boundary_counts(background, truth, tolerance=1).numpy()) == 0
    spread = guess.roll(4, dims=2)
    assert 0 < outlines.boundary_f(outlines.boundary_counts(spread, truth, tolerance=1).numpy()) < 0.8
    nothing = outlines.boundary_counts(guess, torch.full_like(truth, VOID), tolerance=1)
    assert nothing.tolist() == [[0, 0, 0, 0]]


def test_a_shifted_outline_is_right_within_the_tolerance():
    truth = torch.zeros(1, 20, 20, dtype=torch.uint8)
    truth[:, 5:15, 5:15] = 1
    shifted = truth.roll(2, dims=2)
    exact = outlines.boundary_f(outlines.boundary_counts(truth, truth, tolerance=1).numpy())
    near = outlines.boundary_f(outlines.boundary_counts(shifted, truth, tolerance=2).numpy())
    far = outlines.boundary_f(outlines.boundary_counts(shifted, truth, tolerance=0).numpy())
    assert exact == near == 1
    assert 0 < far < 0.8
    empty = torch.zeros_like(truth)
    assert outlines.boundary_f(outlines.boundary_counts(empty, truth, tolerance=1).numpy()) == 0
    assert outlines.boundary_f(outlines.boundary_counts(empty, empty, tolerance=1).numpy()) is None
