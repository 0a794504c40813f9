import gzip
import hashlib
import os
from pathlib import Path

import pytest

from glassnet.data import load_dataset
from glassnet.data.datasets import mnist
from glassnet.errors import InputError

REAL = os.environ.get("GLASSNET_DATA")


def test_packed_and_unpacked_files(tiny_mnist, tiny_mnist_files):
    name, root = tiny_mnist
    (root / "mnist" / "t10k-images-idx3-ubyte.gz").unlink()
    (root / "mnist" / "t10k-images-idx3-ubyte").write_bytes(tiny_mnist_files["t10k-images-idx3-ubyte"])
    (root / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(tiny_mnist_files["t10k-labels-idx1-ubyte"])  # unpacked
    dataset = load_dataset(name, root=root)
    assert (len(dataset.train), len(dataset.test)) == (30, 10)
    assert dataset.test.images.numpy().tobytes() == tiny_mnist_files["t10k-images-idx3-ubyte"][16:]
    assert dataset.test.targets.tolist() == list(range(10))


def test_another_compression_will_do(tiny_mnist, tiny_mnist_files):
    name, root = tiny_mnist
    file = root / "mnist" / "train-images-idx3-ubyte.gz"
    before = file.read_bytes()
    file.write_bytes(gzip.compress(tiny_mnist_files["train-images-idx3-ubyte"], compresslevel=0))
    assert file.read_bytes() != before
    assert len(load_dataset(name, root=root).train) == 30


def test_truncated_file(tiny_mnist):
    name, root = tiny_mnist
    file = root / "mnist" / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:4000])
    remedy = r"Delete it and run `glassnet data fetch mnist`\."
    with pytest.raises(InputError, match=rf"t10k-images-idx3-ubyte.gz ends after \d,\d{{3}} of 7,856 bytes\. {remedy}"):
        load_dataset(name, root=root)


def test_other_content(tiny_mnist, tiny_mnist_files):
    name, root = tiny_mnist
    content = bytearray(tiny_mnist_files["train-labels-idx1-ubyte"])
    content[-1] ^= 1
    (root / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content))
    got = hashlib.md5(content).hexdigest()
    with pytest.raises(InputError, match=rf"has unpacked MD5 {got}, expected the official file's .*fetch mnist"):
        load_dataset(name, root=root)


def test_missing_and_offline(tiny_mnist):
    name, root = tiny_mnist
    (root / "mnist" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError) as caught:
        load_dataset(name, root=root)
    assert str(caught.value) == (
        f"mnist is not complete in {root / 'mnist'} and GLASSNET_OFFLINE forbids downloads: "
        "put train-labels-idx1-ubyte.gz there, or unset GLASSNET_OFFLINE."
    )


def test_the_tables_name_the_same_files():
    assert list(mnist.FILES) == list(mnist.CONTENT_MD5)
    assert all(file.name == f"{stem}.gz" for stem, file in mnist.FILES.items())
    assert sum(file.size_bytes for file in mnist.FILES.values()) == 11_594_722  # "11.6 MB"


@pytest.mark.skipif(not (REAL and Path(REAL, "mnist").is_dir()), reason="$GLASSNET_DATA has no mnist folder")
def test_the_real_set():
    dataset = load_dataset("mnist", root=REAL)
    assert (len(dataset.train), len(dataset.test)) == (60_000, 10_000)
    assert dataset.train.targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert dataset.train.targets.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    mean = dataset.train.images.sum().item() / dataset.train.images.numel() / 255
    assert mean == pytest.approx(0.1307, abs=1e-4)  # the constant that tutorials normalise by
