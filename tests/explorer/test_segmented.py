"""One segmented image: the same counts as the evaluation, with the pixels that are not known left out."""

import numpy as np
import pytest
import torch

import glassnet as gn
from glassnet.analysis import analyse
from glassnet.explorer.segmented import segment
from glassnet.images import VOID
from glassnet.models.inference import predict
from tiny_runs import copied


class Given(torch.nn.Module):
    """Gives fixed logits, whatever it is given."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(logits))

    def forward(self, images):
        return self.logits.expand(len(images), -1, -1, -1)


IMAGE = torch.zeros((1, 1, 2, 2), dtype=torch.uint8)
LOGITS = [[[2.0, 0.0], [0.0, 3.0]], [[0.0, 1.0], [1.0, 0.0]], [[-1.0, -1.0], [-1.0, -1.0]]]


def test_overlaps_by_hand():
    truth = torch.tensor([[0, 1], [0, VOID]], dtype=torch.uint8)  # predicted: 0 1 / 1 0
    found = segment(Given(LOGITS), IMAGE, truth, classes=3, name="it")
    assert found.predicted.tolist() == [[0, 1], [1, 0]]
    assert (found.classes, found.iou) == ((0, 1), (0.5, 0.5))
    assert (found.mean_iou, found.pixel_accuracy, found.ignored) == (0.5, pytest.approx(2 / 3), 1)
    assert found.confidence[0, 0] == pytest.approx(np.exp(2) / (np.exp(2) + 1 + np.exp(-1)))


def test_without_a_truth_nothing_is_measured():
    found = segment(Given(LOGITS), IMAGE, None, classes=3, name="it")
    assert (found.classes, found.iou) == ((0, 1), (None, None))
    assert (found.mean_iou, found.pixel_accuracy, found.ignored) == (None, None, 4)
    assert (found.truth == VOID).all()


def test_it_is_what_the_evaluation_measured(segmented, tmp_path):
    segmented = copied(segmented, tmp_path)
    test = segmented.dataset().test
    by_image = analyse(segmented, "evaluation", figures=False).result.by_image
    for place in range(len(test)):
        image, truth = test.images[place : place + 1], test.targets[place]
        found = segment(segmented.model(), image, truth, classes=3, name="it")
        assert found.mean_iou == pytest.approx(by_image[place])
        assert np.array_equal(found.predicted, predict(segmented.model(), image).argmax(1)[0].numpy())
        assert found.ignored == int((truth == VOID).sum()) == 64


def test_nan_is_said_at_that_image():
    with pytest.raises(gn.WorkError, match="NaN for test image 4"):
        segment(Given([[[np.nan] * 2] * 2] * 3), IMAGE, None, classes=3, name="test image 4")
