"""A folder of the user's own images: a sub-folder per class, or train/ and test/ with a sub-folder per class each."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

from glassnet.data.dataset import Dataset, Split
from glassnet.data.pictures import SUFFIXES, read_pictures
from glassnet.data.source import Source
from glassnet.data.split import hash_order, stratified_split
from glassnet.errors import InputError

DEFAULT_SIZE_PIXELS = 64
TEST_SHARE = 0.2
SPLIT_SEED = 0
TEST_NAMES = ("test", "val", "validation")


@dataclass(frozen=True)
class _Part:
    """Image files with the class of each, the classes mixed."""

    files: list[Path]
    labels: list[str]

    def take(self, rows: list[int]) -> "_Part":
        return _Part([self.files[i] for i in rows], [self.labels[i] for i in rows])


@dataclass(frozen=True)
class _Layout:
    """What a folder holds before an image is read."""

    train: _Part
    test: _Part
    note: str
    ignored: int


def load(path: Path, image_size: int | None = None) -> Dataset:
    """Read PATH's images, the class of each being the name of its sub-folder.

    If PATH has train/ and test/ (or val/, or validation/), these are the parts; else a fifth of each class is drawn for
    the test, the same images every time. Hidden files and files that are no images are ignored; the note counts them.

    Args:
        path: Folder with a sub-folder per class; the images may lie deeper inside it.
        image_size: Height and width in pixels; 64 if not given.

    Raises:
        InputError: There is no such folder, it has fewer than two classes, a class is empty or too small to split, a
            class is only in the test part, or a file cannot be read.
    """
    layout = _find_layout(path)
    classes = tuple(sorted(set(layout.train.labels)))
    if len(classes) < 2:
        raise InputError(f"{path} has one class ({classes[0]}), expected at least two class sub-folders to tell apart.")
    _check_test_classes(path, classes, layout.test)
    files = layout.train.files + layout.test.files
    size = image_size or DEFAULT_SIZE_PIXELS
    images = read_pictures(files, size=size, description=f"Reading {len(files):,} images from {path}")
    targets = torch.tensor([classes.index(label) for label in layout.train.labels + layout.test.labels])
    n = len(layout.train.files)
    ignored = f", {layout.ignored:,} hidden or other files ignored" if layout.ignored else ""
    return Dataset(
        name=f"folder:{path}",
        task="classification",
        classes=classes,
        train=Split(images[:n], targets[:n]),
        test=Split(images[n:], targets[n:]),
        augmentation="photos",
        note=f"images in {path}, {layout.note}, resized and cropped to {size} px{ignored}",
    )


def _find_layout(path: Path) -> _Layout:
    """Take train/ and test/ where they hold class folders, else split the whole."""
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise InputError(f"{path} {problem}: expected a folder with a sub-folder of images per class, as in cat/1.jpg.")
    folders = {child.name.lower(): child for child in _sub_folders(path)}
    train, test = folders.get("train"), next((folders[name] for name in TEST_NAMES if name in folders), None)
    if train is None or not _sub_folders(train):
        return _split(path)
    if test is None:
        raise InputError(
            f"{path} has train but no test, val or validation beside it: add one, or give folder:{train} to split that."
        )
    unused = [child.name for child in folders.values() if child not in (train, test)]
    note = f"parts {train.name} and {test.name}" + (f", {', '.join(unused)} not used" if unused else "")
    (train_part, ignored), (test_part, also_ignored) = _scan(train), _scan(test)
    return _Layout(train_part, test_part, note, ignored + also_ignored)


def _split(path: Path) -> _Layout:
    whole, ignored = _scan(path)
    label, smallest = min(Counter(whole.labels).items(), key=lambda item: item[1])
    if smallest < 2:
        raise InputError(
            f"class '{label}' in {path} has 1 image, expected at least 2 to split into training and test: "
            "add images, or give train and test folders."
        )
    keys = [file.relative_to(path).as_posix() for file in whole.files]
    train, test = stratified_split(keys, whole.labels, test_share=TEST_SHARE, seed=SPLIT_SEED)
    return _Layout(whole.take(train), whole.take(test), f"fixed split {len(train):,}/{len(test):,}", ignored)


def _scan(folder: Path) -> tuple[_Part, int]:
    """List a folder's images by class, mixed, and count the files that are none."""
    files: list[Path] = []
    labels: list[str] = []
    for child in _sub_folders(folder):
        images = [file for file in sorted(child.rglob("*")) if file.is_file() and _is_image(file.relative_to(child))]
        if not images:
            raise InputError(
                f"class '{child.name}' in {folder} has no images ({', '.join(sorted(SUFFIXES))}): "
                "add some, or remove the sub-folder."
            )
        files += images
        labels += [child.name] * len(images)
    if not files:
        raise InputError(
            f"{folder} has no class sub-folders: expected a sub-folder of images per class, as in cat/1.jpg."
        )
    total = sum(file.is_file() for file in folder.rglob("*"))
    order = hash_order([file.relative_to(folder).as_posix() for file in files], seed=SPLIT_SEED)
    return _Part(files, labels).take(order), total - len(files)


def _sub_folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not _is_hidden(child.name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_image(inner: Path) -> bool:
    return inner.suffix.lower() in SUFFIXES and not any(_is_hidden(name) for name in inner.parts)


def _check_test_classes(path: Path, classes: tuple[str, ...], test: _Part) -> None:
    unknown = sorted(set(test.labels) - set(classes))
    if unknown:
        raise InputError(
            f"{path} has classes to test that are not in its train folder: {', '.join(unknown)}; "
            f"it has {', '.join(classes)}."
        )


SOURCE = Source(
    summary="your own images, a sub-folder per class; give folder:PATH",
    load=load,
    find=lambda path: path if path.is_dir() else None,
    needs="a path of your own, as in folder:photos",
    tasks=("classification", "reconstruction"),
)
