"""Data sets: one file per set, one line in `DATASETS`, and `load_dataset` to read them."""

from pathlib import Path

from glassnet.data.copies import counted
from glassnet.data.dataset import Dataset, Source, Split
from glassnet.data.datasets import (
    cifar10,
    digit_pairs,
    digit_scenes,
    fashion_mnist,
    folder,
    hf,
    masks,
    mnist,
    mnist_sample,
    photos_sample,
    stanford_dogs,
    voc_aug,
)
from glassnet.download import data_root
from glassnet.errors import InputError, unknown_name
from glassnet.images import VOID

__all__ = [
    "DATASETS",
    "DIGITS",
    "OF_A_PATH",
    "VOID",
    "Dataset",
    "Source",
    "Split",
    "data_root",
    "find_source",
    "load_dataset",
    "read_dataset",
]

DATASETS: dict[str, Source] = {
    "mnist": mnist.SOURCE,
    "mnist-sample": mnist_sample.SOURCE,
    "fashion-mnist": fashion_mnist.SOURCE,
    "cifar10": cifar10.SOURCE,
    "digit-scenes": digit_scenes.SOURCE,
    "digit-pairs": digit_pairs.SOURCE,
    "voc-aug": voc_aug.SOURCE,
    "voc-aug-union": voc_aug.UNION_SOURCE,
    "voc-aug-union-clean": voc_aug.CLEAN_SOURCE,
    "stanford_dogs": stanford_dogs.SOURCE,
    "photos-sample": photos_sample.SOURCE,
    "hf": hf.SOURCE,
    "folder": folder.SOURCE,
    "masks": masks.SOURCE,
}

OF_A_PATH = {
    "folder": "a sub-folder of images per class, or a labels.csv",
    "masks": "images/ and masks/ with files of the same names",
}
"""Data sets of the user's own, named with a path, and what must lie there."""

DIGITS = ("mnist", "mnist-sample")
"""Data sets whose images are bright strokes on a dark ground."""


def find_source(name: str, root: Path | str | None = None) -> tuple[Source, Path]:
    """Look up a data set and the folder to read it from.

    Args:
        name: A key of `DATASETS`, folder:PATH, or hf:NAME_OR_FOLDER.
        root: Folder that holds the data sets, as `data_root` takes it; for a set of a path that lacks it, the path.

    Raises:
        InputError: No data set has this name, or "folder" is without a path.
    """
    kind, _, path = name.partition(":")
    if kind == "hf":
        return hf.source_of(path), data_root(root)
    if kind not in DATASETS or (path and kind not in OF_A_PATH):
        _refuse_path(name)
        raise unknown_name("data set", name, DATASETS, noun="data sets")
    if kind not in OF_A_PATH:
        return DATASETS[kind], data_root(root)
    if not path and root is None:
        raise InputError(f"'{name}' has no path: give {kind}:PATH, where PATH has {OF_A_PATH[kind]}.")
    return DATASETS[kind], Path(path or str(root)).expanduser()


def _refuse_path(name: str) -> None:
    """Refuse a path that is given without saying how it is laid out, or that leads nowhere."""
    path = Path(name).expanduser()
    if len(name) > 4000 or any(len(part) > 255 for part in path.parts):  # which no file system takes
        return
    quoted = f'"{name}"' if " " in name else name
    if path.is_dir():
        kind = "masks" if (path / "images").is_dir() and (path / "masks").is_dir() else "folder"
        raise InputError(f"'{name}' is a folder, not a data set: give {kind}:{quoted}, where it has {OF_A_PATH[kind]}.")
    if path.exists():
        raise InputError(f"'{name}' is a file, not a data set: give folder:PATH, where PATH has {OF_A_PATH['folder']}.")
    if len(path.parts) > 1:
        raise InputError(
            f"'{name}' does not exist: expected folder:PATH of a folder, or a name that `glassnet data` lists."
        )


def load_dataset(
    name: str,
    *,
    root: Path | str | None = None,
    image_size: int | None = None,
    skip_damaged: bool = False,
    task: str | None = None,
) -> Dataset:
    """Load a data set; if it is missing and can be downloaded, download it first.

    It is held in memory, except for your own folders with more than 512 MiB of pixels: these are decoded once into a
    cache below the root and read from there batch by batch. Test images that are exact copies of training images,
    pixel by pixel, are counted and reported.

    Args:
        name: A key of `DATASETS`, or folder:PATH for images in class sub-folders, or with a labels.csv.
        root: Folder that holds the data sets; default $GLASSNET_DATA, then the user's cache folder.
        image_size: Height and width to resize to, in pixels; default: the data set's own.
        skip_damaged: Skip images of a path that cannot be read and report how many, instead of refusing them.
        task: What to learn; reconstruction also takes folder:PATH without class sub-folders.

    Raises:
        InputError: An unknown name, a missing or damaged file, or an unreadable image.
        WorkError: The download failed on every mirror.
    """
    return counted(read_dataset(name, root, image_size, skip_damaged=skip_damaged, task=task))


def read_dataset(
    name: str, root: Path | str | None, image_size: int | None, *, skip_damaged: bool, task: str | None
) -> Dataset:
    """Read a data set as `load_dataset` does, and count no copies in it."""
    if image_size is not None and image_size < 1:
        raise InputError(f"image_size is {image_size}, expected at least 1 pixel.")
    source, where = find_source(name, root)
    kind, _, path = name.partition(":")
    if kind in OF_A_PATH:  # without a path the root is the folder, and no place for a cache
        kept = Path(root) if path and root is not None else None
        return source.load(where, image_size, skip_damaged=skip_damaged, task=task, root=kept)
    if kind != "hf":
        return source.load(where, image_size)
    return source.load(where, image_size, skip_damaged=skip_damaged, task=task)
