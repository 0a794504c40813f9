import hashlib
import os
from pathlib import Path

import pytest

from data.published import published
from glassnet.data import load_dataset
from glassnet.data.datasets import cifar10
from glassnet.download import RemoteFile
from glassnet.errors import InputError, WorkError

REAL = os.environ.get("GLASSNET_DATA")
INNER = "cifar-10-batches-bin"
ARCHIVE = "cifar-10-binary.tar.gz"


@pytest.fixture
def online(monkeypatch):
    monkeypatch.delenv("GLASSNET_OFFLINE")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def expect(monkeypatch):
    """Make the reader expect these bytes as the archive."""

    def expect(content):
        remote = RemoteFile(ARCHIVE, len(content), hashlib.sha256(content).hexdigest())
        monkeypatch.setattr(cifar10, "ARCHIVE", remote)

    return expect


@pytest.fixture
def archive(tiny_cifar10_files, pack, expect):
    content = pack({f"{INNER}/{name}": body for name, body in tiny_cifar10_files.items()})
    expect(content)
    return content


def fetch(root, monkeypatch, files, **how):
    with published(files, **how) as (address, asked):
        monkeypatch.setattr(cifar10, "MIRRORS", (address,))
        cifar10.fetch(root)
    return asked


def test_a_record_is_the_class_then_red_green_and_blue(tiny_cifar10, tiny_cifar10_files):
    name, root = tiny_cifar10
    dataset = load_dataset(name, root=root)
    record = tiny_cifar10_files["data_batch_2.bin"][3 * 3073 : 4 * 3073]  # image 13 of the training part
    image, target = dataset.train.images[13], dataset.train.targets[13]
    assert (record[0], dataset.classes[target]) == (3, "cat")
    assert [image[0, 0, 1], image[1, 0, 1], image[2, 1, 0]] == [record[2], record[1 + 1024 + 1], record[1 + 2048 + 32]]
    assert (len(dataset.train), len(dataset.test)) == (50, 10)
    assert dataset.augmentation == "photos"
    assert dataset.note == "CIFAR-10, the official training and test images"


def test_another_copy_is_read_and_told(tiny_cifar10):
    name, root = tiny_cifar10
    file = root / "cifar10" / INNER / "data_batch_1.bin"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert "a copy that differs from the published files" in load_dataset(name, root=root).note


def test_a_cut_file_is_refused(tiny_cifar10):
    name, root = tiny_cifar10
    file = root / "cifar10" / INNER / "data_batch_4.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(
        InputError, match=r"data_batch_4.bin has 30,729 bytes, expected 30,730\. Delete it and run `glassnet data fetch"
    ):
        load_dataset(name, root=root)


def test_a_class_that_there_is_none_of_is_refused(tiny_cifar10):
    name, root = tiny_cifar10
    file = root / "cifar10" / INNER / "test_batch.bin"
    content = bytearray(file.read_bytes())
    content[7 * 3073] = 10
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"test_batch.bin has class 10 in record 7, expected 0 to 9\. Delete it"):
        load_dataset(name, root=root)


def test_other_class_names_are_refused(tiny_cifar10):
    name, root = tiny_cifar10
    (root / "cifar10" / INNER / "batches.meta.txt").write_text("apple\npear\n")
    with pytest.raises(InputError, match=r"batches.meta.txt names the classes apple, pear, expected airplane, auto"):
        load_dataset(name, root=root)


def test_missing_and_offline(tmp_path):
    with pytest.raises(InputError, match=rf"GLASSNET_OFFLINE forbids downloads: put {ARCHIVE} there, or unset"):
        load_dataset("cifar10", root=tmp_path)


def test_download_unpacks_and_leaves_nothing_else(online, archive, tmp_path, monkeypatch):
    asked = fetch(tmp_path, monkeypatch, {ARCHIVE: archive})
    assert asked == [(ARCHIVE, None)]
    assert [path.name for path in (tmp_path / "cifar10").iterdir()] == [INNER]
    assert len(load_dataset("cifar10", root=tmp_path).train) == 50


def test_a_cut_download_goes_on(online, archive, tmp_path, monkeypatch):
    asked = fetch(tmp_path, monkeypatch, {ARCHIVE: archive}, cuts=[1000])
    assert asked == [(ARCHIVE, None), (ARCHIVE, "bytes=1000-")]
    assert cifar10.find(tmp_path)


def test_another_file_of_the_same_size_is_refused(online, archive, tmp_path, monkeypatch):
    with pytest.raises(WorkError, match=f"could not download {ARCHIVE}: .* sent another file"):
        fetch(tmp_path, monkeypatch, {ARCHIVE: archive[:-1] + b"x"})
    assert cifar10.find(tmp_path) is None


def test_an_archive_that_lies_there_is_used_if_it_is_the_right_one(archive, tmp_path):
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / ARCHIVE).write_bytes(archive[:-1] + b"x")
    with pytest.raises(InputError, match=rf"{ARCHIVE} has SHA-256 \w{{64}}, expected the official file's .* Delete it"):
        cifar10.fetch(tmp_path)
    (tmp_path / "cifar10" / ARCHIVE).write_bytes(archive)
    assert len(load_dataset("cifar10", root=tmp_path).test) == 10


def test_the_tables_are_those_of_the_published_archive():
    assert len(cifar10.FILE_SHA256) == 6
    assert (cifar10.RECORDS_PER_FILE, cifar10.RECORD_BYTES) == (10_000, 3_073)
    assert all(len(digest) == 64 for digest in (*cifar10.FILE_SHA256.values(), cifar10.ARCHIVE.sha256))
    assert f"{cifar10.ARCHIVE.size_bytes / 1e6:.1f} MB" in cifar10.SOURCE.needs


@pytest.mark.skipif(not (REAL and cifar10.find(Path(REAL))), reason="$GLASSNET_DATA has no cifar10 folder")
def test_the_real_set():
    dataset = load_dataset("cifar10", root=REAL)
    assert dataset.train.targets.bincount().tolist() == [5000] * 10
    assert dataset.test.targets.bincount().tolist() == [1000] * 10
    mean = dataset.train.images.double().mean((0, 2, 3)) / 255
    assert mean.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-3)  # what tutorials normalise by
