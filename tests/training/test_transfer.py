"""Fine-tuning: frozen layers, rates by stage, steps for epochs."""

import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet import experiment
from glassnet.errors import InputError
from glassnet.experiment import resolve
from glassnet.settings import TrainSettings
from glassnet.training.state import new_state
from glassnet.training.transfer import freeze, head_of, keep_statistics, parameter_groups
from tiny_runs import tiny


def network():
    stages = nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), nn.Conv2d(2, 2, 3))
    return nn.ModuleDict({"stem": nn.Conv2d(1, 1, 1), "stages": stages, "classifier": nn.Linear(2, 3)})


def test_the_head_learns_at_the_full_rate_and_each_stage_before_it_at_less():
    model, settings = network(), resolve(TrainSettings(backbone_rate=0.5, layer_decay=0.1, learning_rate=1.0))
    shares = {
        name: group["share"]
        for group in parameter_groups(model, settings)
        for name, one in model.named_parameters()
        if any(one is parameter for parameter in group["params"])
    }
    expected = {"classifier": 1.0, "stages.1": 0.5, "stages.0": 0.05, "stem": 0.005}
    assert len(shares) == len(list(model.parameters()))
    for name, share in shares.items():
        (stage,) = (one for one in expected if name.startswith(f"{one}."))
        assert share == pytest.approx(expected[stage]), name
    optimizer = new_state(model, settings, steps=100)
    rates = [group["lr"] for group in optimizer.optimizer.param_groups]
    assert max(rates) / min(rates) == pytest.approx(200)
    assert rates[0] == max(rates)


def test_of_equal_rates_there_are_two_groups_as_ever():
    first, second = parameter_groups(network(), resolve(TrainSettings()))
    assert {parameter.ndim for parameter in first["params"]} == {2, 4}
    assert second["weight_decay"] == 0
    assert "weight_decay" not in first


def test_a_class_names_its_head_and_else_the_last_layer_with_weights_is_one():
    class Named(nn.Module):
        head_name = "top"

    assert head_of(Named()) == "top"
    assert head_of(network()) == "classifier"


def test_frozen_layers_have_no_gradient_and_keep_their_statistics():
    model = network()
    freeze(model, ["stem", "stages.0*"])
    assert [name for name, one in model.named_parameters() if not one.requires_grad] == [
        *("stem.weight", "stem.bias", "stages.0.0.weight", "stages.0.0.bias", "stages.0.1.weight", "stages.0.1.bias")
    ]
    model.train()
    keep_statistics(model)
    assert not model["stages"][0][1].training
    assert model["stages"].training


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["stam"], "no layer 'stam' for --freeze. Did you mean stem?"),
        (["*"], r"--freeze \* leaves no weight to train"),
    ],
)
def test_patterns_of_nothing_and_of_all_are_refused(patterns, message):
    with pytest.raises(InputError, match=message):
        freeze(network(), patterns)


def test_a_training_leaves_frozen_layers_as_they_were_and_moves_the_others(tmp_path):
    settings = tiny(tmp_path / "run", data="mnist-sample", epochs=1, freeze=("conv1", "bn1"))
    run = gn.train(settings)
    start = experiment.build(resolve(settings)).model.state_dict()
    trained = run.model().state_dict()
    for name, value in start.items():
        frozen = name.startswith(("conv1.", "bn1.", "normalize."))
        if value.is_floating_point():
            assert torch.equal(value, trained[name].cpu()) == frozen, name
    layers = {layer["name"]: layer for layer in run.manifest["model"]["layers"]}
    assert run.manifest["model"]["parameters"] == sum(layer["parameters"] for layer in layers.values())


def test_steps_come_to_whole_epochs(tmp_path):
    run = gn.train(tiny(tmp_path / "run", data="mnist-sample", epochs=None, steps=40, batch_size=256))
    # 4,000 images less a tenth, in batches of 256: 14 steps an epoch; 40 are nearest to 3 epochs.
    assert run.settings.epochs == len(run.history) == 3
    assert run.settings.steps == 40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 3, "steps": 100}, "--epochs 3 and --steps 100 both say how long to train; give one"),
        ({"layer_decay": 0.0}, "--layer-decay is 0.0, expected a factor above 0 and at most 1"),
        ({"layer_decay": 1.5}, "--layer-decay is 1.5"),
        ({"backbone_rate": float("nan")}, "--backbone-rate is nan"),
        ({"steps": 0}, "--steps is 0"),
    ],
)
def test_settings_that_no_fine_tuning_has_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        resolve(TrainSettings(**changes))
