import numpy as np
import pytest

from glassnet.paper.leak import judge_leak

LEAKED = np.array([True, True, False, False, False])


def counts(*right):
    """Five images of ten pixels, so many of them right; one class, so that the IoU is right / (20 - right)."""
    return np.array([[[hits], [10], [10]] for hits in right])


def test_the_effect_by_hand():
    leaky, clean = {0: counts(9, 7, 6, 6, 3)}, {0: counts(6, 4, 5, 5, 2)}
    accuracy, overlap = judge_leak(leaky, clean, LEAKED)
    # leaky: 16/20 and 15/30; clean: 10/20 and 12/30
    assert accuracy.effect == pytest.approx((0.8 - 0.5) - (0.5 - 0.4))
    assert overlap.effect == pytest.approx((16 / 24 - 15 / 45) - (10 / 30 - 12 / 48))
    assert accuracy.decided.startswith("1 common seed")


def test_what_helps_on_all_images_alike_is_not_taken_for_the_leak():
    clean = {seed: counts(4, 5, 4 + seed, 5, 4) for seed in range(3)}
    better = {0: clean[0] + np.array([[3], [0], [0]])}
    assert judge_leak(better, clean, LEAKED)[0].effect == pytest.approx(0, abs=1e-9)
    leaky = {seed: found + np.array([[[3 - seed], [0], [0]]]) * LEAKED[:, None, None] for seed, found in clean.items()}
    told = judge_leak(leaky, clean, LEAKED)[0]
    assert told.effect == pytest.approx((0.3 + 0.2 + 0.1) / 3)
    assert "on the 2 test images that it trained on or chose the epoch by minus that on the other 3" in told.decided


def test_without_a_leak_there_is_nothing_to_judge():
    found = {0: counts(1, 2, 3, 4, 5)}
    assert judge_leak(found, found, np.zeros(5, bool)) == judge_leak(found, found, np.ones(5, bool)) == ()
