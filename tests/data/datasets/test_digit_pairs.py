from pathlib import Path

import numpy as np
import pytest
import torch

from glassnet.data import load_dataset
from glassnet.data.datasets import digit_pairs, mnist_sample


@pytest.fixture(scope="module")
def pairs():
    return load_dataset("digit-pairs")


def test_the_labels_are_the_two_digits(pairs):
    for part, images in ((pairs.train, 4000), (pairs.test, 1000)):
        assert part.images.shape == (images, 1, 48, 48)
        counts = part.targets.sum(dim=1)
        assert set(counts.tolist()) == {1, 2}
        assert 0.07 < (counts == 1).double().mean() < 0.13  # the same digit twice, one pair in ten
        assert part.targets.double().mean(dim=0).min() > 0.15  # of 0.19


def test_each_image_holds_the_very_digits_of_its_labels(pairs):
    """The pixels of both digits lie in the image, wherever; the test's digits are those of the sample's test."""
    digits = mnist_sample.load(Path()).test
    random = np.random.default_rng(digit_pairs.SEEDS["test"])
    for image, target in zip(pairs.test.images[:20, 0], pairs.test.targets[:20], strict=True):
        places, chosen = random.permutation(4)[:2], random.integers(1000, size=2)
        again = torch.zeros_like(image)
        for place, row in zip(places, chosen, strict=True):
            top, left = np.array(divmod(place, 2)) * 16 + random.integers(5, size=2)
            window = again[top : top + 28, left : left + 28]
            window.copy_(torch.maximum(window, digits.images[row, 0]))
        assert torch.equal(again, image)
        assert target.nonzero().flatten().tolist() == sorted(set(digits.targets[chosen].tolist()))
