"""Stanford Dogs: 20,580 photographs of 120 breeds, in the official archives' layout, cropped once into a cache.

Khosla et al. 2011, http://vision.stanford.edu/aditya86/ImageNetDogs/.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from glassnet.console import say
from glassnet.data.archive import fetch_again, fetched_archive, unpack, unpack_folder
from glassnet.data.cache import CacheError, cached_pictures, files_digest
from glassnet.data.dataset import Dataset, Source, Split
from glassnet.data.mat import read_mat
from glassnet.data.pictures import read_picture, read_pictures
from glassnet.download import RemoteFile
from glassnet.errors import InputError

MIRRORS = ("http://vision.stanford.edu/aditya86/ImageNetDogs/",)
IMAGES = RemoteFile("images.tar", 793_579_520, "a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58")
LISTS = RemoteFile("lists.tar", 481_280, "34b47cacd9a98b5d150e084f24d29391c084c55272295ec65c85651bc35f4d6c")
LIST_FILES = ("train_list.mat", "test_list.mat")
FOLDER = "Images"
OFFICIAL = (120, 12_000, 8_580)
"""Breeds, training images, test images."""
DEFAULT_SIZE_PIXELS = 64
CACHE_VERSION = 1
"""Of what is done to the pixels; another one makes every cache anew."""
REMEDY = fetch_again("stanford_dogs")


@dataclass(frozen=True)
class FileList:
    """Image files by name, with the label of each, from 1 on."""

    files: tuple[str, ...]
    labels: tuple[int, ...]


def load(root: Path, image_size: int | None = None) -> Dataset:
    """Read Stanford Dogs from ROOT/stanford_dogs, after downloading what is missing.

    The photographs are scaled until the shorter side has the size, cropped to the centre, and kept in a cache beside
    them, so that they are decoded once for each size.

    Args:
        root: Folder that holds the data sets.
        image_size: Height and width in pixels; 64 if not given.

    Raises:
        InputError: A list or a photograph is missing or damaged, or downloads are forbidden.
        WorkError: The download failed.
    """
    fetch(root)
    folder = root / "stanford_dogs"
    lists = [read_file_list(folder / name, remedy=REMEDY) for name in LIST_FILES]
    breeds = _breeds(lists, folder)
    size = image_size or DEFAULT_SIZE_PIXELS
    names = [name for one in lists for name in one.files]
    images = _photographs([_inside(folder, name) for name in names], size, folder / f"cache-{size}px")
    first = len(lists[0].files)
    targets = torch.tensor([breeds.index(_breed(name)) for name in names])
    return Dataset(
        name="stanford_dogs",
        task="classification",
        classes=tuple(map(_readable, breeds)),
        train=Split(images[:first], targets[:first], files=[f"{FOLDER}/{name}" for name in names[:first]]),
        test=Split(images[first:], targets[first:], files=[f"{FOLDER}/{name}" for name in names[first:]]),
        augmentation="photos",
        note=_note(len(breeds), first, len(names) - first, size),
    )


def find(root: Path) -> Path | None:
    """Return ROOT/stanford_dogs if its lists and its folder of photographs are there."""
    folder = root / "stanford_dogs"
    whole = all((folder / name).is_file() for name in LIST_FILES) and (folder / FOLDER).is_dir()
    return folder if whole else None


def fetch(root: Path) -> None:
    """Download the archives that are needed and not there, verify and unpack them, and remove them.

    Raises:
        InputError: Downloads are forbidden, or an archive is not the published one or leads out of its folder.
        WorkError: Every mirror failed.
    """
    folder = root / "stanford_dogs"
    fetched = partial(fetched_archive, mirrors=MIRRORS, folder=folder, dataset="stanford_dogs")
    if not all((folder / name).is_file() for name in LIST_FILES):
        with fetched(LISTS) as archive:
            unpack(archive, LIST_FILES, folder=folder, remedy=REMEDY)
    if (folder / FOLDER).is_dir():
        return
    with fetched(IMAGES) as archive:
        listed = [name for one in LIST_FILES for name in read_file_list(folder / one, remedy=REMEDY).files]
        members = [_inside(Path(), name) for name in listed]
        unpack_folder(archive, Path(FOLDER), folder=folder, remedy=REMEDY, members=members)


def _photographs(paths: list[Path], size: int, cache: Path) -> UInt8[Tensor, "n 3 size size"]:
    """Return the photographs from the cache, or where none can be written, which is said, read anew."""
    description = f"Reading {len(paths):,} photographs, once"
    origin = {"version": CACHE_VERSION, "size": size, "files": files_digest(paths)}
    try:
        return cached_pictures(
            cache,
            origin=origin,
            count=len(paths),
            shapes={"images": (3, size, size)},
            read=lambda row: (read_picture(paths[row], "RGB", size),),
            description=description,
        )[0]
    except CacheError as error:
        say(f"the photographs could not be cached for next time: {error}")
        return read_pictures(paths, size=size, channels=3, description=description)


def _inside(folder: Path, name: str) -> Path:
    """Return the path of a listed photograph; a name that leads elsewhere is refused."""
    parts = PurePosixPath(name).parts
    if len(parts) != 2 or ".." in parts or "/" in parts or "\\" in name:
        raise InputError(f"{folder} lists the photograph '{name}', expected a name like n02085620-Chihuahua/1.jpg.")
    return folder / FOLDER / name


def _breed(name: str) -> str:
    return name.partition("/")[0]


def _readable(breed: str) -> str:
    """Turn n02086240-Shih-Tzu into Shih-Tzu."""
    return breed.partition("-")[2].replace("_", " ") or breed


def _breeds(lists: list[FileList], folder: Path) -> list[str]:
    """Return the breeds' folders in the order of the lists' labels.

    Raises:
        InputError: A label stands for two breeds, or the test list has a breed that training has not.
    """
    breeds: dict[int, str] = {}
    for one in lists:
        for name, label in zip(one.files, one.labels, strict=True):
            if breeds.setdefault(label, _breed(name)) != _breed(name):
                raise InputError(
                    f"{folder} has label {label} for {breeds[label]} and for {_breed(name)}, not one breed. {REMEDY}"
                )
    untrained = sorted({breeds[label] for label in set(lists[1].labels) - set(lists[0].labels)})
    if untrained:
        raise InputError(f"{folder / LIST_FILES[1]} has breeds that {LIST_FILES[0]} lacks: {', '.join(untrained[:3])}.")
    return [breeds[label] for label in sorted(breeds)]


def _note(breeds: int, train: int, test: int, size: int) -> str:
    whole = (breeds, train, test) == OFFICIAL
    what = "Stanford Dogs, the official training and test images" if whole else (
        f"{breeds}-breed stand-in in Stanford Dogs' layout ({train:,} training and {test:,} test images); not "
        "comparable with figures on the published set"
    )  # fmt: skip
    return f"{what}, resized and cropped to {size} px"


def read_file_list(path: Path, *, remedy: str) -> FileList:
    """Read the cell array `file_list` and the array `labels` of a .mat file (version 5).

    Args:
        path: The file.
        remedy: Sentence for the error, on what to do with a damaged file.

    Raises:
        InputError: The file is missing or damaged, lacks one of the two, or they do not fit each other.
    """
    content = _load(path, remedy)
    lacking = [name for name in ("file_list", "labels") if name not in content]
    if lacking:
        raise InputError(f"{path} lacks {' and '.join(lacking)}, expected file_list and labels. {remedy}")
    if content["file_list"] is None or content["labels"] is None:
        raise InputError(f"{path} holds a sparse matrix, expected plain arrays file_list and labels. {remedy}")
    cells, labels = content["file_list"], content["labels"]
    named = isinstance(cells, list) and all(isinstance(one, str) for one in cells)
    numbers = isinstance(labels, np.ndarray) and labels.dtype.kind in "biuf" and bool(np.isfinite(labels).all())
    if not named or not numbers:
        raise InputError(f"{path} holds no list of names and numbers. {remedy}")
    if not cells or len(cells) != labels.size:
        raise InputError(f"{path} has {len(cells)} files and {labels.size} labels, expected one for each. {remedy}")
    return FileList(tuple(cells), tuple(int(label) for label in labels.ravel()))


def _load(path: Path, remedy: str) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path} is missing. {remedy}")
    try:
        return read_mat(path, ("file_list", "labels"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is damaged ({error}). {remedy}") from None


SOURCE = Source(
    summary="dog photographs by breed, cropped to squares; 64 px by default",
    load=load,
    find=find,
    needs="`glassnet data fetch stanford_dogs` (794.1 MB)",
    tasks=("classification", "reconstruction"),
    fetch=fetch,
    channels=3,
    image_size=DEFAULT_SIZE_PIXELS,
)
