import weakref

import torch

from glassnet import create_model, measuring
from glassnet.data import Split
from glassnet.measuring import run_evaluation
from glassnet.rng import PerImageRNG
from glassnet.tasks import TASKS


def test_an_evaluation_holds_few_batches_however_many_there_are(monkeypatch):
    alive, most = weakref.WeakSet(), []
    ordered = measuring.ordered_batches

    def watched(*given, **named):
        for images, targets in ordered(*given, **named):
            alive.add(images)
            yield images, targets

    def recorder(output, targets, _normal):
        most.append(len(alive))
        return {"right": output.argmax(dim=1) == targets}

    monkeypatch.setattr(measuring, "ordered_batches", watched)
    split = Split(torch.zeros((40, 1, 8, 8), dtype=torch.uint8), torch.arange(40) % 2)
    model = create_model("convnet", in_channels=1, num_classes=2, image_size=8)
    task, rng = TASKS["classification"], PerImageRNG(0, "test")
    records = run_evaluation(model, split, recorder, task=task, rng=rng, batch_size=2)
    assert len(records["right"]) == 40
    assert max(most) <= 3
