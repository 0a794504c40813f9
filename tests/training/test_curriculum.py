from dataclasses import replace

import glassnet as gn
from glassnet.experiment import resolve
from glassnet.training.curriculum import augmentation_of, copy_paste_share, size_of


def over_epochs(function, settings, *arguments):
    return [function(*arguments, settings, epoch) for epoch in range(settings.recipe.epochs)]


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
