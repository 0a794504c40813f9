import gzip

import pytest

from data.published import published
from glassnet.data import load_dataset
from glassnet.data.datasets import fashion_mnist
from glassnet.errors import InputError, WorkError


@pytest.fixture
def online(monkeypatch):
    monkeypatch.delenv("GLASSNET_OFFLINE")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_pictures_and_names(tiny_fashion_mnist, tiny_mnist_files):
    name, root = tiny_fashion_mnist
    dataset = load_dataset(name, root=root)
    assert (len(dataset.train), len(dataset.test), dataset.augmentation) == (30, 10, "clothes")
    assert dataset.test.images.numpy().tobytes() == tiny_mnist_files["t10k-images-idx3-ubyte"][16:]
    assert [dataset.classes[target] for target in (0, 1, 9)] == ["T-shirt/top", "Trouser", "Ankle boot"]


def test_truncated_file(tiny_fashion_mnist):
    name, root = tiny_fashion_mnist
    file = root / "fashion-mnist" / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:4000])
    with pytest.raises(
        InputError, match=r"ends after \d,\d{3} of 7,856 bytes\. Delete it and run `glassnet data fetch fashion-mnist`"
    ):
        load_dataset(name, root=root)


def test_other_content(tiny_fashion_mnist, idx_bytes):
    name, root = tiny_fashion_mnist
    import numpy as np

    (root / "fashion-mnist" / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.zeros(30))))
    with pytest.raises(InputError, match=r"train-labels-idx1-ubyte.gz has SHA-256 \w{64}, expected the official file"):
        load_dataset(name, root=root)


def test_missing_and_offline(tiny_fashion_mnist):
    name, root = tiny_fashion_mnist
    (root / "fashion-mnist" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError, match=r"forbids downloads: put train-labels-idx1-ubyte.gz there, or unset"):
        load_dataset(name, root=root)


def test_the_second_mirror_gives_what_the_first_has_not(online, tiny_fashion_mnist_files, tmp_path, monkeypatch):
    with published({}) as (empty, refused), published(tiny_fashion_mnist_files, cuts=[500]) as (full, asked):
        monkeypatch.setattr(fashion_mnist, "MIRRORS", (empty, full))
        assert len(load_dataset("fashion-mnist", root=tmp_path).train) == 30
    assert len(refused) == 4
    first = "train-images-idx3-ubyte.gz"
    assert asked[:2] == [(first, None), (first, "bytes=500-")]  # a cut connection is gone on with


def test_a_bad_checksum_on_every_mirror(online, tiny_fashion_mnist_files, tmp_path, monkeypatch):
    other = {name: content[:-1] + b"x" for name, content in tiny_fashion_mnist_files.items()}
    with published(other) as (address, _):
        monkeypatch.setattr(fashion_mnist, "MIRRORS", (address,))
        with pytest.raises(WorkError, match=r"could not download train-images-idx3-ubyte.gz: .* sent another file"):
            fashion_mnist.fetch(tmp_path)


def test_the_registry_tells_the_size_of_the_files():
    size = sum(file.size_bytes for file in fashion_mnist.FILES.values())
    assert f"{size / 1e6:.1f} MB" in fashion_mnist.SOURCE.needs
    assert all(len(file.sha256) == 64 for file in fashion_mnist.FILES.values())
