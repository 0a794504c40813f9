import math

import pytest
import torch
import torch.nn.functional as F

from glassnet.tasks.classification import learn as classification


def test_measures_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0], [math.log(3.0), 0.0]])
    measures = classification.measure(logits, torch.tensor([0, 1, 1]))
    losses = [math.log(4 / 3), math.log(2), math.log(4)]
    mean = sum(losses) / 3
    assert measures["loss"] == pytest.approx(mean)
    assert measures["loss_error"] == pytest.approx(math.sqrt(sum((x - mean) ** 2 for x in losses) / 3) / math.sqrt(3))
    assert measures["accuracy"] == pytest.approx(1 / 3)  # a tie goes to the first class


def test_the_loss_is_the_mean_of_the_measured_one():
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(50, 4, generator=generator), torch.randint(4, (50,), generator=generator)
    assert classification.loss(logits, targets).item() == pytest.approx(classification.measure(logits, targets)["loss"])
    smooth = 0.8 * F.cross_entropy(logits, targets) - 0.2 * logits.log_softmax(1).mean()
    assert classification.loss(logits, targets, 0.2).item() == pytest.approx(smooth.item())


def test_one_image_has_a_loss_without_error():
    assert classification.measure(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))["loss_error"] == 0


@pytest.mark.parametrize(("loss", "kept"), [(0.9, True), (1.0, True), (1.1, True), (1.11, False)])
def test_a_later_epoch_is_kept_within_one_standard_error(loss, kept):
    lowest = {"loss": 1.0, "loss_error": 0.1, "accuracy": 0.5}
    assert classification.should_checkpoint({"loss": loss, "loss_error": 9.0, "accuracy": 0.1}, lowest) is kept
