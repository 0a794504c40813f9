"""CIFAR-10: 60,000 colour photographs of ten kinds of things, in the binary version, which holds no pickle.

A file is a sequence of records: one byte for the class, then 1,024 bytes each of red, green and blue, row by row.

Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from glassnet.data.archive import fetch_again, fetched_archive, unpack
from glassnet.data.dataset import Dataset, Source, Split
from glassnet.data.pictures import resize_dataset
from glassnet.download import RemoteFile
from glassnet.errors import InputError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
ARCHIVE = RemoteFile(
    "cifar-10-binary.tar.gz", 170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
)
FOLDER = "cifar-10-batches-bin"
META = "batches.meta.txt"
# The published content. Copies with other pixels are about, so another content is read, and the note says so.
FILE_SHA256 = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
RECORDS_PER_FILE = 10_000
SIDE_PIXELS = 32
RECORD_BYTES = 1 + 3 * SIDE_PIXELS**2
REMEDY = fetch_again("cifar10")


def load(root: Path, image_size: int | None = None) -> Dataset:
    """Read CIFAR-10 from ROOT/cifar10/cifar-10-batches-bin, after downloading and unpacking what is missing.

    Raises:
        InputError: A file has another size or a class that there is none of, the classes have other names, or it is
            missing and downloads are forbidden.
        WorkError: The download failed.
    """
    fetch(root)
    folder = root / "cifar10" / FOLDER
    _check_classes(folder / META)
    records = {name: _read_records(folder / name) for name in FILE_SHA256}
    official = all(hashlib.sha256(array.data).hexdigest() == FILE_SHA256[name] for name, array in records.items())
    *training, test = records.values()
    dataset = Dataset(
        name="cifar10",
        task="classification",
        classes=CLASSES,
        train=_split(np.concatenate(training)),
        test=_split(test),
        augmentation="photos",
        note="CIFAR-10, the official training and test images"
        if official
        else "CIFAR-10 in a copy that differs from the published files; not comparable with figures on those",
    )
    return resize_dataset(dataset, image_size)


def find(root: Path) -> Path | None:
    """Return ROOT/cifar10/cifar-10-batches-bin if all of its files are there."""
    folder = root / "cifar10" / FOLDER
    return folder if all((folder / name).is_file() for name in (*FILE_SHA256, META)) else None


def fetch(root: Path) -> None:
    """Download the archive if it is needed and not there, verify it, unpack what is missing, and remove it.

    Raises:
        InputError: Downloads are forbidden, or an archive that lies there is not the published one.
        WorkError: Every mirror failed.
    """
    if find(root):
        return
    folder = root / "cifar10"
    with fetched_archive(ARCHIVE, mirrors=MIRRORS, folder=folder, dataset="cifar10") as archive:
        unpack(archive, [f"{FOLDER}/{name}" for name in (*FILE_SHA256, META)], folder=folder, remedy=REMEDY)


def _check_classes(path: Path) -> None:
    try:
        names = tuple(path.read_text(encoding="ascii").split())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}). {REMEDY}") from None
    if names != CLASSES:
        raise InputError(f"{path} names the classes {', '.join(names)}, expected {', '.join(CLASSES)}. {REMEDY}")


def _read_records(path: Path) -> UInt8[np.ndarray, "n bytes"]:
    """Read a file of records, class first; size and classes are checked."""
    expected = RECORDS_PER_FILE * RECORD_BYTES
    try:
        size = path.stat().st_size
        if size != expected:
            raise InputError(f"{path} has {size:,} bytes, expected {expected:,}. {REMEDY}")
        records = np.fromfile(path, dtype=np.uint8).reshape(RECORDS_PER_FILE, RECORD_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. {REMEDY}") from None
    largest = int(records[:, 0].max())
    if largest >= len(CLASSES):
        record = int(records[:, 0].argmax())
        raise InputError(f"{path} has class {largest} in record {record:,}, expected 0 to {len(CLASSES) - 1}. {REMEDY}")
    return records


def _split(records: UInt8[np.ndarray, "n bytes"]) -> Split:
    images = torch.from_numpy(records[:, 1:].reshape(-1, 3, SIDE_PIXELS, SIDE_PIXELS).copy())
    return Split(images, torch.from_numpy(records[:, 0].astype(np.int64)))


SOURCE = Source(
    summary="small colour photographs in ten classes",
    load=load,
    find=find,
    needs="`glassnet data fetch cifar10` (170.1 MB)",
    tasks=("classification", "reconstruction"),
    fetch=fetch,
    classes=10,
    channels=3,
    image_size=32,
    train=50_000,
    test=10_000,
)
