import pytest
import torch
from torch import nn

from glassnet.data import Split
from glassnet.errors import InputError
from glassnet.experiment import measured, resolve
from glassnet.settings import TrainSettings
from glassnet.tasks import TASKS

TASK = TASKS["segmentation"]


@pytest.mark.parametrize(
    ("model", "data"), [("convnet", "mnist-sample"), ("fcn8_small", "digit-scenes"), ("vae_conv", "mnist-sample")]
)
def test_what_is_not_given_of_the_pace_is_the_tasks(model, data):
    found = resolve(TrainSettings(model=model, data=data, batch_size=7, weight_averaging=0.0))
    usual = TASKS[found.task].pace
    assert (found.pace.epochs, found.pace.learning_rate) == (usual.epochs, usual.learning_rate)
    assert (found.pace.batch_size, found.pace.weight_averaging) == (7, 0.0)
    assert resolve(found) == found


def test_a_pace_that_was_not_resolved_is_refused():
    with pytest.raises(InputError, match="the settings lack batch_size and weight_averaging"):
        _ = TrainSettings(epochs=3, learning_rate=0.1).pace


def test_a_process_without_an_image_remembers_nothing_and_the_others_all():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (2, 1, 4, 4), generator=generator, dtype=torch.uint8)
    split = Split(images, torch.randint(3, (2, 4, 4), generator=generator, dtype=torch.uint8))
    model, recorder = nn.Sequential(nn.Conv2d(1, 3, 1)), TASK.recorder(TrainSettings(), 3)
    parts = [measured(model, split, recorder, task=TASK, part=(rank, 4)) for rank in range(4)]
    assert [bool(part) for part in parts] == [True, True, False, False]
    whole = measured(model, split, recorder, task=TASK)
    for key in ("counts", "outlines", "pixels"):
        assert torch.equal(torch.cat([part[key] for part in parts if part]), whole[key])


def test_measuring_leaves_the_callers_generator_as_it_was():
    split = Split(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), torch.zeros(1, 4, 4, dtype=torch.uint8))
    model, before = nn.Sequential(nn.Conv2d(1, 3, 1)), torch.get_rng_state()
    measured(model, split, TASK.recorder(TrainSettings(), 3), task=TASK, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
