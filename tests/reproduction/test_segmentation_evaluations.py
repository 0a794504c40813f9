import numpy as np
import pytest

from glassnet.reproduction.segmentation.evaluations import class_overlaps


def counts_of(*iou, images=8):
    """Counts of a network whose IoU of class 1 is this in every image, a seed each; class 2 is nowhere."""
    one = np.zeros((len(iou), images, 3, 3), np.int64)
    one[:, :, :, 0] = 50
    for seed, value in enumerate(iou):
        one[seed, :, :, 1] = (
            100 * value,
            100,
            100 * value,
        )  # found of 100, and no others called so
    return one


def test_the_mean_and_deviation_over_seeds_by_hand():
    background, found, nowhere = class_overlaps(counts_of(0.2, 0.4, 0.9))
    assert (background.mean, background.deviation, background.interval) == (1, 0, None)
    assert found.mean == pytest.approx(0.5)
    assert found.deviation == pytest.approx(np.sqrt((0.09 + 0.01 + 0.16) / 2))
    assert found.interval is None  # all images are alike
    assert (nowhere.mean, nowhere.deviation, nowhere.interval) == (None, None, None)


def test_one_seed_has_no_deviation():
    assert class_overlaps(counts_of(0.3))[1].deviation is None


def test_the_interval_is_over_images_drawn_alike_for_every_seed():
    """Half of the images are all right and half all wrong, in one seed these and in the other those.

    Whatever is drawn, the mean over seeds stays 1/2: drawn apart for each seed, it would not.
    """
    counts = np.zeros((2, 40, 3, 2), np.int64)
    counts[:, :, 1:, 1] = 10
    counts[0, :20, 0, 1] = counts[1, 20:, 0, 1] = 10
    counts[:, :, 2] = counts[:, :, 0]  # what is wrong is not predicted at all, so that IoU is the share found
    found = class_overlaps(counts)[1]
    assert found.mean == pytest.approx(0.5)
    assert found.interval is None
    low, high = class_overlaps(counts[:1])[1].interval
    assert low < 0.42
    assert high > 0.58
    # The slow way: the share of 40 coins, whose standard error is 0.079.
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.079, 0.5 + 1.96 * 0.079), abs=0.03)
