"""Fashion-MNIST: 70,000 pictures of ten kinds of clothes, in the format and the sizes of MNIST.

Xiao, Rasul and Vollgraf 2017, https://arxiv.org/abs/1708.07747.
"""

from pathlib import Path

import torch

from glassnet.data.archive import fetch_again, require_published
from glassnet.data.dataset import Dataset, Source, Split
from glassnet.data.datasets.mnist import read_idx
from glassnet.data.pictures import resize_dataset
from glassnet.download import RemoteFile, fetch_files

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
FILES = {
    file.name: file
    for file in (
        RemoteFile(
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz", 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte.gz", 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
        ),
    )
}
REMEDY = fetch_again("fashion-mnist")


def load(root: Path, image_size: int | None = None) -> Dataset:
    """Read Fashion-MNIST from ROOT/fashion-mnist, after downloading the files that are missing.

    Raises:
        InputError: A file is damaged or is not the official one, or is missing and downloads are forbidden.
        WorkError: The download failed on every mirror.
    """
    fetch(root)
    dataset = Dataset(
        name="fashion-mnist",
        task="classification",
        classes=CLASSES,
        train=_read_split(root / "fashion-mnist", "train"),
        test=_read_split(root / "fashion-mnist", "t10k"),
        augmentation="clothes",
        note="Fashion-MNIST, the official training and test images",
    )
    return resize_dataset(dataset, image_size)


def find(root: Path) -> Path | None:
    """Return ROOT/fashion-mnist if all four files are there."""
    folder = root / "fashion-mnist"
    return folder if all((folder / name).is_file() for name in FILES) else None


def fetch(root: Path) -> None:
    """Download those of the four files that are missing; what is there stays untouched.

    Raises:
        InputError: Downloads are forbidden.
        WorkError: Every mirror failed.
    """
    folder = root / "fashion-mnist"
    missing = [file for name, file in FILES.items() if not (folder / name).is_file()]
    if missing:
        fetch_files(missing, mirrors=MIRRORS, folder=folder, dataset="fashion-mnist")


def _read_split(folder: Path, part: str) -> Split:
    images = _read(folder / f"{part}-images-idx3-ubyte.gz", dimensions=3)
    labels = _read(folder / f"{part}-labels-idx1-ubyte.gz", dimensions=1)
    return Split(images[:, None], labels.long())


def _read(path: Path, *, dimensions: int) -> torch.Tensor:
    # The array first: of a file that was cut it says where, which a checksum does not.
    array = read_idx(path, dimensions=dimensions, remedy=REMEDY)
    require_published(path, FILES[path.name], REMEDY)
    return torch.from_numpy(array)


SOURCE = Source(
    summary="grey images of clothes, the official files",
    load=load,
    find=find,
    needs="`glassnet data fetch fashion-mnist` (30.9 MB)",
    tasks=("classification", "reconstruction"),
    fetch=fetch,
    classes=10,
    channels=1,
    image_size=28,
    train=60_000,
    test=10_000,
)
