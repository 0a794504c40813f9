import numpy as np
import pytest

from glassnet.reproduction.segmentation.claims import judge_leak

LEAKED = np.array([True, True, False, False, False])


def counts(*right):
    """Five images of ten pixels, so many of them right; one class, so that the IoU is right / (20 - right)."""
    return np.array([[[hits], [10], [10]] for hits in right])


def test_the_effect_by_hand():
    accuracy, overlap = judge_leak(counts(9, 7, 6, 6, 3), counts(6, 4, 5, 5, 2), LEAKED, seed=0)
    # leaky: 16/20 and 15/30; clean: 10/20 and 12/30
    assert accuracy.effect == pytest.approx((0.8 - 0.5) - (0.5 - 0.4))
    assert overlap.effect == pytest.approx((16 / 24 - 15 / 45) - (10 / 30 - 12 / 48))
    assert "on the 2 test images that it trained on or chose the epoch by minus that on the other 3" in accuracy.decided
    assert accuracy.claim.endswith("(pixel accuracy), of one training each")


def test_the_interval_is_that_of_a_bootstrap_within_each_kind_of_image():
    """A slow reference: each kind of image drawn with replacement, the same images for both networks."""
    rng = np.random.default_rng(5)
    leaked = np.arange(90) < 30
    clean = rng.integers(3, 7, size=90)
    leaky = clean + rng.integers(0, 3, size=90) * leaked
    (accuracy, _) = judge_leak(counts(*leaky), counts(*clean), leaked, seed=3)
    effects = []
    for _ in range(4000):
        inside, outside = rng.choice(30, 30), 30 + rng.choice(60, 60)
        gains = [(leaky - clean)[chosen].mean() / 10 for chosen in (inside, outside)]
        effects.append(gains[0] - gains[1])
    assert accuracy.interval == pytest.approx(tuple(np.percentile(effects, (2.5, 97.5))), abs=0.005)
    assert accuracy.supported == "supported"


def test_mean_iou_is_of_the_classes_that_both_kinds_of_image_have():
    """Class 1 is in the leaked masks alone, class 2 in none, and one network calls a pixel of it."""

    def of(hits, predicted):
        truth = [[[10, 5, 0]], [[10, 0, 0]]]
        return np.array([[h, t[0], p] for h, t, p in zip(hits, truth, predicted, strict=True)])

    leaky = of([[9, 5, 0], [5, 0, 0]], [[10, 5, 0], [5, 0, 5]])
    clean = of([[6, 0, 0], [5, 0, 0]], [[6, 9, 0], [10, 0, 0]])
    _, overlap = judge_leak(leaky, clean, np.array([True, False]), seed=0)
    assert overlap.effect == pytest.approx((9 / 11 - 5 / 10) - (6 / 10 - 5 / 15))  # of class 0


def test_the_interval_of_mean_iou_is_that_of_a_bootstrap():
    rng = np.random.default_rng(7)
    leaked = np.arange(60) < 20
    truth = rng.integers(0, 12, size=(60, 3)) * rng.integers(0, 2, size=(60, 3))
    found = []
    for gain in (2, 0):
        hits = np.minimum(truth, rng.integers(0, 6, size=(60, 3)) + gain * leaked[:, None])
        found.append(np.stack([hits, truth, hits + rng.integers(0, 4, size=(60, 3))], axis=1))
    _, overlap = judge_leak(found[0], found[1], leaked, seed=2)

    def mean_iou(counts):
        hits, known, called = counts.sum(axis=0)
        return np.mean([h / (t + p - h) for h, t, p in zip(hits, known, called, strict=True) if t])

    effects = []
    for _ in range(3000):
        inside, outside = rng.choice(20, 20), 20 + rng.choice(40, 40)
        gaps = [mean_iou(one[inside]) - mean_iou(one[outside]) for one in found]
        effects.append(gaps[0] - gaps[1])
    assert overlap.interval == pytest.approx(tuple(np.percentile(effects, (2.5, 97.5))), abs=0.01)


def test_what_helps_on_all_images_alike_is_not_taken_for_the_leak():
    clean = counts(4, 5, 4, 5, 4)
    accuracy, _ = judge_leak(clean + np.array([[3], [0], [0]]), clean, LEAKED, seed=0)
    assert accuracy.effect == pytest.approx(0, abs=1e-9)
    assert (accuracy.interval, accuracy.supported) == (None, "undecided")


def test_without_a_leak_there_is_nothing_to_judge():
    found = counts(1, 2, 3, 4, 5)
    for leaked in (np.zeros(5, bool), np.ones(5, bool)):
        assert judge_leak(found, found, leaked, seed=0) == ()
