from dataclasses import replace

import pytest
import torch

import glassnet as gn
from glassnet.errors import WorkError
from glassnet.experiment import resolve
from glassnet.training import loop
from glassnet.training.loop import augmentation_of, copy_paste_share, size_of
from tiny_runs import tiny


def over_epochs(function, settings, *arguments):
    return [function(*arguments, settings, epoch) for epoch in range(settings.epochs)]


def test_photographs_are_still_mirrored_in_the_last_epochs():
    settings = resolve(gn.TrainSettings(epochs=4))
    assert over_epochs(augmentation_of, settings, "objects") == ["objects"] * 3 + ["flips"]
    assert over_epochs(augmentation_of, replace(settings, augment=False), "objects") == ["none"] * 4


def test_objects_are_pasted_but_in_the_plain_epochs():
    settings = resolve(gn.TrainSettings(task="segmentation", epochs=10, plain_epochs=0.29, copy_paste=0.5))
    assert over_epochs(copy_paste_share, settings) == [0.5] * 8 + [0.0] * 2


def test_the_first_epochs_are_small():
    settings = resolve(gn.TrainSettings(task="segmentation", epochs=10, low_res_epochs=0.7))
    assert over_epochs(size_of, settings, 64) == [64] * 7 + [None] * 3
    assert over_epochs(size_of, replace(settings, low_res_epochs=0.0), None) == [None] * 10


@pytest.mark.parametrize(
    ("epochs", "options", "augmented"),
    [
        (8, {}, [0, 1, 2, 3, 4, 5]),
        (5, {}, [0, 1, 2, 3]),
        (1, {}, [0]),
        (3, {}, [0, 1, 2]),
        (10, {"plain_epochs": 0.7}, [0, 1, 2]),
        (4, {"plain_epochs": 0.5}, [0, 1]),
        (2, {"plain_epochs": 0.0}, [0, 1]),
        (3, {"augment": False}, []),
    ],
)
def test_the_last_epochs_show_images_as_they_are(tmp_path, monkeypatch, epochs, options, augmented):
    seen = []

    def batches(split, *, augmentation, **rest):
        seen.append(augmentation)
        return iter([(torch.rand(8, 1, 28, 28), torch.arange(8))])

    monkeypatch.setattr(loop, "shuffled_batches", batches)
    gn.train(tiny(tmp_path / "run", epochs=epochs, validation=0.01, **options))
    assert seen == ["digits" if epoch in augmented else "none" for epoch in range(epochs)]


def test_a_lost_training_stops_and_says_what_to_try(tmp_path):
    with pytest.raises(WorkError, match=r"the loss became \S+ in epoch 1 by step \d+, expected a finite number; lower"):
        gn.train(tiny(tmp_path / "lost", learning_rate=1e30))
    assert not (tmp_path / "lost" / "run.json").exists()


def test_a_training_lost_in_its_last_step_is_noticed_and_not_kept(tmp_path):
    with pytest.raises(WorkError, match="the loss became nan in epoch 1 after its last step"):
        gn.train(tiny(tmp_path / "lost", learning_rate=1e30, batch_size=5000, epochs=1))
    assert not (tmp_path / "lost" / "metrics.jsonl").read_text()
    assert not (tmp_path / "lost" / "model.safetensors").exists()
