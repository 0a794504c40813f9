"""The data sets that need no download, in small: a page's commands run as they stand, and their trainings are short."""

import dataclasses
import functools

import torch

from glassnet.data import DATASETS
from glassnet.data.datasets import digit_pairs, digit_scenes

IMAGES = {"train": 200, "test": 100}
SMALL = ("mnist-sample", "photos-sample")
MADE = {"SCENES": digit_scenes, "IMAGES": digit_pairs}
"""Data sets that are drawn, and what says how many."""


def make_small(put):
    """Replace entries of dictionaries, by `put(dictionary, key, value)`; images are taken evenly."""
    for name, module in MADE.items():
        put(vars(module), name, IMAGES)
    for name in SMALL:
        put(DATASETS, name, dataclasses.replace(DATASETS[name], load=_fewer(DATASETS[name].load)))


@functools.cache
def _fewer(load):
    @functools.cache
    def loaded(root, image_size=None):
        whole = load(root, image_size)
        parts = {
            part: getattr(whole, part).subset(torch.linspace(0, len(getattr(whole, part)) - 1, wanted).long())
            for part, wanted in IMAGES.items()
            if len(getattr(whole, part)) > wanted
        }
        return dataclasses.replace(whole, **parts)

    return loaded
