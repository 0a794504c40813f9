"""MNIST: 70,000 handwritten digits in the four IDX files that LeCun, Cortes and Burges published in 1998."""

from pathlib import Path

import torch

from glassnet.data.dataset import Dataset, Split
from glassnet.data.idx import content_md5, read_idx
from glassnet.data.resize import resize_dataset
from glassnet.data.source import Source
from glassnet.download import RemoteFile, fetch_files
from glassnet.errors import InputError

DIGITS = tuple("0123456789")
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
FILES = {
    "train-images-idx3-ubyte": RemoteFile(
        "train-images-idx3-ubyte.gz", 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte": RemoteFile(
        "train-labels-idx1-ubyte.gz", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte": RemoteFile(
        "t10k-images-idx3-ubyte.gz", 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte": RemoteFile(
        "t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}
# The same content is found compressed in several ways, so what is read is verified unpacked.
CONTENT_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
REMEDY = "Delete it and run `glassnet data fetch mnist`."


def load(root: Path, image_size: int | None = None) -> Dataset:
    """Read MNIST from ROOT/mnist, after downloading the files that are missing; packed and unpacked files will do.

    Raises:
        InputError: A file is damaged or is not the official one, or is missing and downloads are forbidden.
        WorkError: The download failed on every mirror.
    """
    fetch(root)
    dataset = Dataset(
        name="mnist",
        task="classification",
        classes=DIGITS,
        train=_read_split(root / "mnist", "train"),
        test=_read_split(root / "mnist", "t10k"),
        augmentation="digits",
        note="MNIST, the official training and test images",
    )
    return resize_dataset(dataset, image_size)


def find(root: Path) -> Path | None:
    """Return ROOT/mnist if all four files are there."""
    folder = root / "mnist"
    return folder if all(_locate(folder, stem) for stem in FILES) else None


def fetch(root: Path) -> None:
    """Download those of the four files that are missing; what is there stays untouched.

    Raises:
        InputError: Downloads are forbidden.
        WorkError: Every mirror failed.
    """
    folder = root / "mnist"
    missing = [file for stem, file in FILES.items() if _locate(folder, stem) is None]
    if missing:
        fetch_files(missing, mirrors=MIRRORS, folder=folder, dataset="mnist")


def _locate(folder: Path, stem: str) -> Path | None:
    return next((path for path in (folder / f"{stem}.gz", folder / stem) if path.is_file()), None)


def _read_split(folder: Path, part: str) -> Split:
    images = _read(folder, f"{part}-images-idx3-ubyte", dimensions=3)
    labels = _read(folder, f"{part}-labels-idx1-ubyte", dimensions=1)
    return Split(images[:, None], labels.long())


def _read(folder: Path, stem: str, *, dimensions: int) -> torch.Tensor:
    path = _locate(folder, stem)
    assert path is not None  # fetch has seen to it
    array = read_idx(path, dimensions=dimensions, remedy=REMEDY)
    md5 = content_md5(array)
    if md5 != CONTENT_MD5[stem]:
        raise InputError(f"{path} has unpacked MD5 {md5}, expected the official file's {CONTENT_MD5[stem]}. {REMEDY}")
    return torch.from_numpy(array)


SOURCE = Source(
    summary="handwritten digits, the official files",
    load=load,
    find=find,
    needs="`glassnet data fetch mnist` (11.6 MB)",
    tasks=("classification", "reconstruction"),
    fetch=fetch,
    classes=10,
    channels=1,
    image_size=28,
    train=60_000,
    test=10_000,
)
