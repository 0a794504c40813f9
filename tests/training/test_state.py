import pytest
import torch
from torch import nn

from glassnet.experiment import resolve
from glassnet.settings import TrainSettings
from glassnet.training.state import _exponential, new_state


def test_the_average_follows_its_formula():
    mean, update = torch.tensor([0.0]), _exponential(0.9)
    for step, value in enumerate([1.0, 2.0], 1):
        update([mean], [torch.tensor([value])], torch.tensor(step))
    # decays min(0.9, 2/11) and min(0.9, 3/12)
    first = (1 - 2 / 11) * 1.0
    assert mean.item() == pytest.approx(3 / 12 * first + 9 / 12 * 2.0)
    update([mean], [torch.tensor([0.0])], torch.tensor(10_000))
    assert mean.item() == pytest.approx(0.9 * (3 / 12 * first + 9 / 12 * 2.0))
    count = torch.tensor([3])
    update([count], [torch.tensor([7])], torch.tensor(1))
    assert count.item() == 7


def test_weight_decay_spares_scales_and_shifts():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    decayed, spared = new_state(model, resolve(TrainSettings(weight_decay=0.3)), steps=10).optimizer.param_groups
    assert [p.ndim for p in decayed["params"]] == [2]
    assert decayed["weight_decay"] == 0.3
    assert [p.ndim for p in spared["params"]] == [1, 1, 1]
    assert spared["weight_decay"] == 0


def test_the_schedule_rises_to_the_peak_and_falls_to_nothing():
    state = new_state(nn.Linear(1, 1), resolve(TrainSettings(learning_rate=0.5)), steps=100)
    rates = []
    for _ in range(100):
        rates.append(state.optimizer.param_groups[0]["lr"])
        state.optimizer.step()
        if len(rates) < 100:
            state.schedule.step()
    assert max(rates) == pytest.approx(0.5)
    assert rates[0] < 0.5 / 10
    assert rates[-1] < 0.5 / 1000


@pytest.mark.parametrize("steps", range(1, 7))
def test_however_short_a_training_is_its_rate_ends_near_nothing(steps):
    state = new_state(torch.nn.Linear(2, 2), resolve(TrainSettings(weight_averaging=0.0)), steps=steps)
    for _ in range(steps):
        state.optimizer.step()
        state.schedule.step()
    assert 0 < state.optimizer.param_groups[0]["lr"] < 0.01
