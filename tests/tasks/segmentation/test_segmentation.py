import json
import math
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from glassnet import images
from glassnet.images import VOID
from glassnet.run.codec import encode
from glassnet.settings import TrainSettings
from glassnet.tasks import TASKS
from glassnet.tasks.segmentation import learn as segmentation
from glassnet.tasks.segmentation.learn import class_weights, cross_entropy, dice, jaccard_steps, lovasz

PROBABILITIES = torch.tensor([[0.8, 0.6, 0.3, 0.5], [0.2, 0.4, 0.7, 0.5]])
LOGITS = PROBABILITIES.log().view(1, 2, 1, 4)
MASKS = torch.tensor([[[0, 1, 1, VOID]]], dtype=torch.uint8)


def random_pair(seed=0, classes=4):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 5, 6, generator=generator, dtype=torch.float64)
    masks = torch.randint(classes, (2, 5, 6), generator=generator, dtype=torch.uint8)
    masks[0, :2] = VOID
    return logits, masks


def test_cross_entropy_by_hand():
    expected = -(math.log(0.8) + math.log(0.4) + math.log(0.7)) / 3
    assert cross_entropy(LOGITS, MASKS).item() == pytest.approx(expected, rel=1e-5)
    weighted = -(3 * math.log(0.8) + math.log(0.4) + math.log(0.7)) / 5
    assert cross_entropy(LOGITS, MASKS, torch.tensor([3.0, 1.0])).item() == pytest.approx(weighted, rel=1e-5)


def test_dice_by_hand():
    zero = 2 * 0.8 / (0.8**2 + 0.6**2 + 0.3**2 + 1)
    one = 2 * (0.4 + 0.7) / (0.2**2 + 0.4**2 + 0.7**2 + 2)
    assert dice(LOGITS, MASKS).item() == pytest.approx(1 - (zero + one) / 2, rel=1e-5)


def test_lovasz_by_hand():
    # Class 0: errors .2 (its own pixel), .6 and .3; class 1: the same pixels, errors .2, .6, .3.
    # Sorted .6 .3 .2. Class 0, truth 0 0 1: the Jaccard loss is 1/2, 2/3, 1. Class 1, truth 1 1 0: 1/2, 1, 1.
    zero = 0.6 * 1 / 2 + 0.3 * (2 / 3 - 1 / 2) + 0.2 * (1 - 2 / 3)
    one = 0.6 * 1 / 2 + 0.3 * (1 - 1 / 2) + 0.2 * 0
    assert lovasz(LOGITS, MASKS).item() == pytest.approx((zero + one) / 2, rel=1e-5)


def test_the_steps_are_those_of_the_jaccard_loss_of_growing_sets():
    truth = torch.tensor([1.0, 0, 1, 0, 0, 1])

    def jaccard_loss(wrong):
        guess = truth.clone()
        guess[:wrong] = 1 - guess[:wrong]
        both, either = ((truth + guess) == 2).sum(), ((truth + guess) > 0).sum()
        return 1 - both / either

    losses = torch.stack([jaccard_loss(count) for count in range(7)])
    torch.testing.assert_close(jaccard_steps(truth), losses.diff())


@pytest.mark.parametrize("loss", [cross_entropy, dice, lovasz])
def test_void_pixels_change_no_loss_and_get_no_gradient(loss):
    logits, masks = random_pair()
    logits.requires_grad_()
    value = loss(logits, masks)
    (gradient,) = torch.autograd.grad(value, logits)
    assert not gradient[0, :, :2].any()
    assert gradient[1].abs().sum() > 0
    other = logits.detach().clone()
    other[0, :, :2] += 5
    assert loss(other, masks).item() == pytest.approx(value.item())


@pytest.mark.parametrize("loss", [cross_entropy, dice, lovasz])
def test_a_perfect_answer_costs_next_to_nothing_and_all_void_nothing(loss):
    logits, masks = random_pair()
    sure = 50 * F.one_hot(masks.long() % 4, 4).permute(0, 3, 1, 2).double()
    assert loss(sure, masks).item() == pytest.approx(0, abs=1e-6)
    assert loss(logits, torch.full_like(masks, VOID)).item() == 0


@pytest.mark.parametrize("loss", [cross_entropy, dice, lovasz])
def test_a_loss_is_computed_in_full_precision_inside_a_half_precision_training(loss):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 64, 64, generator=generator, requires_grad=True)
    masks = torch.randint(4, (2, 64, 64), generator=generator, dtype=torch.uint8)
    masks[:, :9] = VOID
    expected = loss(logits, masks)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(logits, masks)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(*(torch.autograd.grad(one, logits)[0] for one in (value, expected)), rtol=1e-5, atol=0)


def test_weights_and_smoothing_agree_with_pytorchs_mean():
    logits, masks = random_pair(classes=4)
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
    options = {"weight": weights, "ignore_index": VOID, "label_smoothing": 0.1}
    expected = F.cross_entropy(logits, masks.long(), **options)
    assert cross_entropy(logits, masks, weights, 0.1).item() == pytest.approx(expected.item(), rel=1e-12)


def test_class_weights_by_hand():
    masks = torch.tensor([[[0, 0, 0, 1], [VOID, VOID, VOID, 2]]], dtype=torch.uint8)
    weights = class_weights(iter(masks.split(1, dim=1)), 4)  # shares 3/5, 1/5, 1/5, 0
    assert (weights[1] / weights[0]).item() == pytest.approx(math.sqrt(3))
    assert (0.6 * weights[0] + 0.2 * weights[1] + 0.2 * weights[2]).item() == pytest.approx(1)
    assert weights[3] == 1


def test_records_of_batches_join_to_those_of_the_whole():
    logits, masks = random_pair()
    logits = logits.float()
    whole = segmentation.records(logits, masks, 4)
    parts = [segmentation.records(logits[i : i + 1], masks[i : i + 1], 4) for i in range(2)]
    joined = {key: torch.cat([part[key] for part in parts]) for key in whole}
    assert segmentation.measure(joined) == pytest.approx(segmentation.measure(whole))
    measures = segmentation.measure(whole)
    assert measures["loss"] == pytest.approx(cross_entropy(logits, masks).item(), rel=1e-5)
    known = masks != VOID
    assert measures["accuracy"] == pytest.approx((logits.argmax(1) == masks)[known].double().mean().item())
    background = F.one_hot(torch.zeros_like(masks).long(), 4).permute(0, 3, 1, 2).float()
    empty = segmentation.measure(segmentation.records(background, masks, 4))
    assert (measures["background_accuracy"], measures["background_mean_iou"]) == (empty["accuracy"], empty["mean_iou"])
    assert measures["background_accuracy"] != measures["accuracy"]


def test_what_is_watched_gives_the_same_measures_without_the_outlines():
    logits, masks = random_pair()
    task = TASKS["segmentation"]
    whole, watched = (
        make(TrainSettings(), 4)(logits.float(), masks, torch.randn) for make in (task.test_stats, task.val_stats)
    )
    assert whole.keys() - watched.keys() == {"outlines"}
    assert task.measure(watched) == task.measure(whole)


def test_the_highest_overlap_is_kept_the_later_of_equals():
    best = {"loss": 1.0, "accuracy": 0.9, "mean_iou": 0.5}
    assert segmentation.should_checkpoint({"loss": 9.0, "accuracy": 0.1, "mean_iou": 0.5}, best)
    assert not segmentation.should_checkpoint({"loss": 0.1, "accuracy": 1.0, "mean_iou": 0.49}, best)


def test_all_background_stands_beside_every_number():
    logits, masks = random_pair()
    classes = ("ground", *"abc")
    found = segmentation.evaluate(segmentation.records(logits.float(), masks, 4), classes)
    background = F.one_hot(torch.zeros_like(masks).long(), 4).permute(0, 3, 1, 2).float()
    empty = segmentation.evaluate(segmentation.records(background, masks, 4), classes)
    assert vars(found.background) == {name: getattr(empty, name) for name in vars(found.background)}
    assert found.background.boundary_f == 0
    assert [row.background for row in found.per_class] == [row.iou for row in empty.per_class]
    assert all(found.intervals[name] is not None for name in vars(found.background) if name != "boundary_f")
    # Images of five by six pixels have every outline within the tolerance, so that it is 1 in both: no spread.
    assert (found.boundary_f, found.intervals["boundary_f"]) == (1, None)


def test_images_that_are_void_all_over_are_told_without_a_number():
    logits, masks = random_pair()
    found = segmentation.evaluate(segmentation.records(logits.float(), torch.full_like(masks, VOID), 4), (*"abcd",))
    assert json.loads(json.dumps(encode(found)[0], allow_nan=False))["intervals"]["mean_iou"] is None
    told = TASKS["segmentation"].summary_line(
        {f"test_{key}": getattr(found, key) for key in TASKS["segmentation"].saved_metrics}
    )
    assert told == "all pixels of the test masks are void, so nothing could be measured"


def test_void_has_one_definition():
    sources = Path(images.__file__).parent.rglob("*.py")
    assert [file.name for file in sources if re.search(r"^VOID\b.*=", file.read_text(), re.MULTILINE)] == ["images.py"]
    assert images.VOID == 255  # as data sets on disk have it


@pytest.mark.parametrize("loss", ["cross-entropy", "dice", "lovasz"])
def test_each_loss_is_told_with_its_parts(loss):
    logits, masks = random_pair()
    objective = TASKS["segmentation"].objective(TrainSettings(loss=loss, class_weights=True), [masks], 4)
    total, parts = objective(logits, masks, 0.0)
    named = {"cross-entropy": set(), "dice": {"cross_entropy", "dice"}, "lovasz": {"cross_entropy", "lovasz"}}[loss]
    assert parts.keys() == {"accuracy"} | named
    if named:
        assert total.item() == pytest.approx(sum(parts[name].item() for name in named))
