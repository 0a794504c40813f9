import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, jaccard_score

from glassnet.images import VOID
from glassnet.tasks.segmentation import metrics
from glassnet.tasks.segmentation import metrics as outlines

TRUTH = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, VOID], [2, 2, 2, VOID]]], dtype=torch.uint8)
GUESS = torch.tensor([[[0, 1, 1, 1], [0, 0, 0, 2], [2, 0, 2, 2]]], dtype=torch.uint8)
BY_HAND = np.array([[3, 1, 0, 0], [1, 2, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]])


def random_masks(seed, *, n=4, classes=5, void=0.1):
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(classes, (n, 9, 7), generator=generator, dtype=torch.uint8)
    guess = torch.where(torch.rand(n, 9, 7, generator=generator) < 0.6, truth, (truth + 1) % classes)
    truth[torch.rand(n, 9, 7, generator=generator) < void] = VOID
    return guess.to(torch.uint8), truth


def test_a_confusion_matrix_and_all_that_follows_from_it_by_hand():
    confusion = metrics.pixel_confusion(GUESS, TRUTH, 4).numpy()
    np.testing.assert_array_equal(confusion, BY_HAND)
    found = metrics.scores(confusion)
    assert found.pixel_accuracy == pytest.approx(7 / 10)
    assert found.mean_accuracy == pytest.approx((3 / 4 + 2 / 3 + 2 / 3) / 3)
    assert found.iou == pytest.approx((3 / 6, 2 / 4, 2 / 3, None), nan_ok=True)
    assert found.mean_iou == pytest.approx((1 / 2 + 1 / 2 + 2 / 3) / 3)  # class 3 is in neither mask: left out
    assert found.weighted_iou == pytest.approx(0.4 * 1 / 2 + 0.3 * 1 / 2 + 0.3 * 2 / 3)


def test_a_class_that_is_only_predicted_counts_as_missed():
    guess = GUESS.clone()
    guess[0, 0, 0] = 3
    found = metrics.scores(metrics.pixel_confusion(guess, TRUTH, 4).numpy())
    assert found.iou[3] == 0
    assert found.mean_iou == pytest.approx((2 / 6 + 1 / 2 + 2 / 3 + 0) / 4)


def test_all_void_says_nothing():
    found = metrics.scores(metrics.pixel_confusion(GUESS, torch.full_like(TRUTH, VOID), 4).numpy())
    assert (found.pixel_accuracy, found.mean_iou, found.mean_accuracy, found.weighted_iou) == (None, None, None, None)


def test_the_background_alone():
    found = metrics.scores(metrics.background_confusion(BY_HAND))
    assert found.pixel_accuracy == pytest.approx(4 / 10)
    assert found.mean_iou == pytest.approx((4 / 10 + 0 + 0) / 3)


@pytest.mark.parametrize("seed", range(4))
def test_random_masks_agree_with_scikit_learn(seed):
    guess, truth = random_masks(seed)
    known = truth != VOID
    pair = truth[known].numpy(), guess[known].numpy()
    confusion = metrics.pixel_confusion(guess, truth, 5).numpy()
    np.testing.assert_array_equal(confusion, confusion_matrix(*pair, labels=range(5)))
    found = metrics.scores(confusion)
    assert found.iou == pytest.approx(jaccard_score(*pair, labels=range(5), average=None))
    assert found.mean_iou == pytest.approx(jaccard_score(*pair, labels=range(5), average="macro"))
    assert found.weighted_iou == pytest.approx(jaccard_score(*pair, labels=range(5), average="weighted"))


def test_random_masks_agree_with_torchmetrics():
    torchmetrics = pytest.importorskip("torchmetrics.functional.classification")
    guess, truth = random_masks(7)
    options = {"num_classes": 5, "ignore_index": VOID}
    found = metrics.scores(metrics.pixel_confusion(guess, truth, 5).numpy())
    oracle = torchmetrics.multiclass_jaccard_index(guess.int(), truth.int(), **options)
    assert found.mean_iou == pytest.approx(oracle.item(), abs=1e-6)
    micro = torchmetrics.multiclass_accuracy(guess.int(), truth.int(), average="micro", **options)
    assert found.pixel_accuracy == pytest.approx(micro.item(), abs=1e-6)


def test_counts_of_images_add_up_to_the_confusion_matrix():
    guess, truth = random_masks(3)
    counts = metrics.pixel_counts(guess, truth, 5)
    confusion = metrics.pixel_confusion(guess, truth, 5)
    assert torch.equal(counts[:, 0].sum(0), confusion.diagonal())
    assert torch.equal(counts[:, 1].sum(0), confusion.sum(1))
    assert torch.equal(counts[:, 2].sum(0), confusion.sum(0))
    alone = [
        metrics.scores(metrics.pixel_confusion(g[None], t[None], 5).numpy()) for g, t in zip(guess, truth, strict=True)
    ]
    np.testing.assert_allclose(metrics.mean_iou_of(counts.numpy()), [one.mean_iou for one in alone])


def test_intervals_hold_the_value_and_there_is_none_for_equal_images():
    guess, truth = random_masks(5, n=40)
    counts = metrics.pixel_counts(guess, truth, 5).numpy()
    lines = outlines.boundary_counts(guess, truth, tolerance=0).numpy()
    found = metrics.bootstrap(counts, lines, seed=0)
    scored = metrics.scores(metrics.pixel_confusion(guess, truth, 5).numpy())
    whole = {name: getattr(scored, name) for name in found.measures if name != "boundary_f"}
    for name, value in (whole | {"boundary_f": outlines.boundary_f(lines)}).items():
        low, high = found.measures[name]
        assert low < value < high < low + 0.1, name
    for value, (low, high) in zip(scored.iou, found.by_class, strict=True):
        assert low < value < high
    low, high = found.measures["mean_iou"]
    assert low < metrics.mean_iou_of(counts.sum(axis=0)) < high
    assert high - low < 0.1
    same = np.repeat(counts[:1], 10, axis=0)
    equal = np.repeat(lines[:1], 10, axis=0)
    assert metrics.bootstrap(same, equal, seed=0).measures["mean_iou"] is None
    assert metrics.bootstrap(np.pad(same, ((0, 0), (0, 0), (0, 1))), equal, seed=0).by_class[5] is None


def test_images_that_are_void_all_over_leave_no_interval():
    nothing = metrics.bootstrap(np.zeros((3, 3, 2), np.int64), np.zeros((3, 4), np.int64), seed=0)
    assert set(nothing.measures.values()) == {None} == set(nothing.by_class)
    some = np.array([[[4, 0], [4, 2], [6, 0]], [[0, 0]] * 3])  # the second image is void, and some draws hold it alone
    assert metrics.bootstrap(some, np.zeros((2, 4), np.int64), seed=0).measures["pixel_accuracy"] is None
    more = np.concatenate([some, [[[1, 0], [3, 0], [3, 0]]]])
    low, high = metrics.bootstrap(more, np.zeros((3, 4), np.int64), seed=0).measures["pixel_accuracy"]
    assert (low, high) == pytest.approx((1 / 3, 4 / 6))
