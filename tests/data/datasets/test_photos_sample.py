import hashlib

import pytest
import torch

from glassnet.data import load_dataset
from glassnet.data.datasets import photos_sample
from glassnet.errors import InputError


def test_crops_lie_where_they_should():
    dataset = load_dataset("photos-sample")
    assert dataset.classes == ("astronaut", "chelsea", "coffee", "motorcycle", "rocket")
    photo = torch.from_numpy(photos_sample._read("astronaut.png", photos_sample.FILES["astronaut.png"]).copy())
    of_astronaut = dataset.train.images[dataset.train.targets == 0]
    assert torch.equal(of_astronaut[0], photo[:, :32, :32])
    assert torch.equal(of_astronaut[1], photo[:, :32, 16:48])
    border = round(512 * 0.8)
    assert torch.equal(dataset.test.images[0], photo[:, :32, border : border + 32])


def test_the_split_stays_for_ever():
    dataset = load_dataset("photos-sample")
    assert (len(dataset.train), len(dataset.test)) == (3640, 769)
    digests = [hashlib.sha256(part.images.numpy().tobytes()).hexdigest()[:16] for part in (dataset.train, dataset.test)]
    assert digests == ["d915a1dbcb9a9f1e", "4fce632b57f5b09a"]


def test_other_photographs_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(photos_sample, "_folder", lambda: tmp_path)
    assert photos_sample.find(tmp_path) is None
    with pytest.raises(InputError, match=r"installed scikit-image \d.* has no astronaut.png; install .*scikit-image=="):
        load_dataset("photos-sample")
    (tmp_path / "astronaut.png").write_bytes(b"another")
    with pytest.raises(InputError, match=r"ships another astronaut\.png than expected"):
        load_dataset("photos-sample")
