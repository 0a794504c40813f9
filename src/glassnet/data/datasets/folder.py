"""A folder of the user's own images: a sub-folder per class, or train/ and test/ with a sub-folder per class each.

A reconstruction needs no classes, and takes a folder of images without sub-folders too. Where images have several
labels, a labels.csv says which.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from glassnet.data.dataset import Dataset, Source, Split
from glassnet.data.datasets import labels_csv
from glassnet.data.pictures import SUFFIXES, read_undamaged_pictures, say_ignored
from glassnet.data.split import hash_order, labelled_split, stratified_split
from glassnet.errors import InputError

DEFAULT_SIZE_PIXELS = 64
TEST_SHARE = 0.2
SPLIT_SEED = 0
TEST_NAMES = ("test", "val", "validation")
ONE_CLASS = "images"
"""Name of the one class of images without class sub-folders."""
WITHOUT_CLASSES, WITH_LABELS = ("reconstruction",), ("multilabel",)
"""Tasks that need no classes, and tasks for which labels.csv says what an image shows."""


@dataclass(frozen=True)
class _Part:
    """Image files with the class of each, the classes mixed."""

    files: list[Path]
    labels: list[str]

    def take(self, rows: Iterable[int]) -> "_Part":
        chosen = list(rows)
        return _Part([self.files[i] for i in chosen], [self.labels[i] for i in chosen])


@dataclass(frozen=True)
class _Layout:
    """What a folder holds before an image is read; files that are not read are counted by kind."""

    train: _Part
    test: _Part
    note: str
    ignored: Counter[str]


def load(path: Path, image_size: int | None = None, *, skip_damaged: bool = False, task: str | None = None) -> Dataset:
    """Read PATH's images, the class of each being the name of its sub-folder.

    If PATH has train/ and test/ (or val/, or validation/), these are the parts; else a fifth of each class is drawn for
    the test, the same images every time. Hidden files and files that are no images are not read, and are counted.

    Args:
        path: Folder with a sub-folder per class; the images may lie deeper inside it. For a reconstruction they may lie
            in it without sub-folders.
        image_size: Height and width in pixels; 64 if not given.
        skip_damaged: Leave out images that cannot be read, and say how many, instead of refusing them.
        task: What is to be learned: a reconstruction needs no classes, several labels an image a labels.csv, all else
            two classes; if not given, what suits the folder.

    Raises:
        InputError: There is no such folder, it has fewer classes than needed, a class is empty or too small to split, a
            class is only in the test part, labels.csv is not as expected, or files cannot be read.
    """
    task = task or learnable(path)[0]
    if task in WITH_LABELS:
        return _load_labelled(path, image_size or DEFAULT_SIZE_PIXELS, skip_damaged=skip_damaged)
    needs_classes = task not in WITHOUT_CLASSES
    layout = _find_layout(path, needs_classes=needs_classes)
    classes = tuple(sorted(set(layout.train.labels)))
    if needs_classes and len(classes) < 2:
        raise InputError(f"{path} has one class ({classes[0]}), expected at least two class sub-folders to tell apart.")
    _check_test_classes(path, classes, layout.test)
    size = image_size or DEFAULT_SIZE_PIXELS
    ignored = say_ignored(path, layout.ignored)
    whole = _Part(layout.train.files + layout.test.files, layout.train.labels + layout.test.labels)
    images, rows = read_undamaged_pictures(
        whole.files,
        size=size,
        description=f"Reading {len(whole.files):,} images from {path}",
        skip_damaged=skip_damaged,
    )
    n, whole = sum(row < len(layout.train.files) for row in rows), whole.take(rows)
    _require_classes_in_both(path, classes, whole.labels[:n], whole.labels[n:])
    targets = torch.tensor([classes.index(label) for label in whole.labels])
    names = [file.relative_to(path).as_posix() for file in whole.files]
    return Dataset(
        name=f"folder:{path}",
        task="classification" if len(classes) > 1 else "reconstruction",
        classes=classes,
        train=Split(images[:n], targets[:n], files=names[:n]),
        test=Split(images[n:], targets[n:], files=names[n:]),
        augmentation="photos",
        note=f"images in {path}, {layout.note}, resized and cropped to {size} px{ignored}",
    )


def learnable(path: Path) -> tuple[str, ...]:
    """Return what can be learned on a folder: first several labels an image where there is a labels.csv."""
    usual = ("classification", *WITHOUT_CLASSES)
    return (*WITH_LABELS, *usual) if (path / labels_csv.NAME).is_file() else (*usual, *WITH_LABELS)


def _load_labelled(path: Path, size: int, *, skip_damaged: bool) -> Dataset:
    """Read the images that labels.csv names, in the parts that it names, or with a fixed fifth held out for the test.

    Raises:
        InputError: Table and images do not fit each other, or no training image has one of the labels.
    """
    if not path.is_dir():
        raise InputError(f"{path} does not exist: expected a folder of images with a {labels_csv.NAME}.")
    table = labels_csv.read_labels(path / labels_csv.NAME)
    labels_csv.check_files(path, table, [file.relative_to(path).as_posix() for file in _images(path)])
    order = hash_order(table.files, seed=SPLIT_SEED)
    if table.parts is None:
        train, test = labelled_split(table.files, table.has, test_share=TEST_SHARE, seed=SPLIT_SEED)
    else:
        train, test = ([i for i in order if table.parts[i] == part] for part in ("train", "test"))
    note = f"split of {labels_csv.NAME}" if table.parts else f"fixed split {len(train):,}/{len(test):,}"
    images, rows = read_undamaged_pictures(
        [path / table.files[i] for i in (*train, *test)],
        size=size,
        description=f"Reading {len(order):,} images from {path}",
        skip_damaged=skip_damaged,
    )
    whole, n = [(*train, *test)[row] for row in rows], sum(row < len(train) for row in rows)
    names, targets = [table.files[i] for i in whole], torch.from_numpy(table.has[whole])
    lost = [name for name, times in zip(table.labels, targets[:n].sum(dim=0), strict=True) if not times]
    _require_both_parts(path, lost, len(names) - n)
    return Dataset(
        name=f"folder:{path}",
        task=WITH_LABELS[0],
        classes=table.labels,
        train=Split(images[:n], targets[:n], files=names[:n]),
        test=Split(images[n:], targets[n:], files=names[n:]),
        augmentation="photos",
        note=f"images in {path} with labels, {note}, resized and cropped to {size} px",
    )


def _find_layout(path: Path, *, needs_classes: bool) -> _Layout:
    """Take train/ and test/ where they hold class folders, or need none, else split the whole."""
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise InputError(f"{path} {problem}: expected a folder with a sub-folder of images per class, as in cat/1.jpg.")
    folders = {child.name.lower(): child for child in _sub_folders(path)}
    train, test = folders.get("train"), next((folders[name] for name in TEST_NAMES if name in folders), None)
    if train is None or not (_sub_folders(train) or (test is not None and not needs_classes)):
        return _split(path, needs_classes=needs_classes)
    if test is None:
        raise InputError(
            f"{path} has train but no test, val or validation beside it: add one, or give folder:{train} to split that."
        )
    unused = [child.name for child in folders.values() if child not in (train, test)]
    note = f"parts {train.name} and {test.name}" + (f", {', '.join(unused)} not used" if unused else "")
    (train_part, ignored), (test_part, also_ignored) = (
        _scan(part, needs_classes=needs_classes) for part in (train, test)
    )
    return _Layout(train_part, test_part, note, ignored + also_ignored)


def _split(path: Path, *, needs_classes: bool) -> _Layout:
    whole, ignored = _scan(path, needs_classes=needs_classes)
    label, smallest = min(Counter(whole.labels).items(), key=lambda item: item[1])
    if smallest < 2:
        raise InputError(
            f"class '{label}' in {path} has 1 image, expected at least 2 to split into training and test: "
            "add images, or give train and test folders."
        )
    keys = [file.relative_to(path).as_posix() for file in whole.files]
    train, test = stratified_split(keys, whole.labels, test_share=TEST_SHARE, seed=SPLIT_SEED)
    return _Layout(whole.take(train), whole.take(test), f"fixed split {len(train):,}/{len(test):,}", ignored)


def _scan(folder: Path, *, needs_classes: bool) -> tuple[_Part, Counter[str]]:
    """List a folder's images by class, mixed, and count the files that are not read by kind."""
    whole = _Part([], [])
    for child in _sub_folders(folder):
        images = _images(child)
        if not images:
            raise InputError(
                f"class '{child.name}' in {folder} has no images ({', '.join(sorted(SUFFIXES))}): "
                "add some, or remove the sub-folder."
            )
        whole = _Part(whole.files + images, whole.labels + [child.name] * len(images))
    if not whole.files:
        whole = _without_classes(folder, needs_classes=needs_classes)
    taken = set(whole.files)
    others = (file for file in folder.rglob("*") if file.is_file() and file not in taken)
    order = hash_order([file.relative_to(folder).as_posix() for file in whole.files], seed=SPLIT_SEED)
    return whole.take(order), Counter(_kind(file.relative_to(folder)) for file in others)


def _without_classes(folder: Path, *, needs_classes: bool) -> _Part:
    """Take the images that lie in a folder without sub-folders as one class.

    Raises:
        InputError: There are none, or classes are needed.
    """
    images = _images(folder)
    if needs_classes:
        instead = f"; --task reconstruction takes its {len(images):,} images without classes" if images else ""
        raise InputError(
            f"{folder} has no class sub-folders: expected a sub-folder of images per class, as in cat/1.jpg{instead}."
        )
    if not images:
        raise InputError(f"{folder} holds no images: expected files that end in {', '.join(sorted(SUFFIXES))}.")
    return _Part(images, [ONE_CLASS] * len(images))


def _images(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*")) if file.is_file() and _is_image(file.relative_to(folder))]


def _sub_folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not _is_hidden(child.name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_image(inner: Path) -> bool:
    return inner.suffix.lower() in SUFFIXES and not any(_is_hidden(name) for name in inner.parts)


def _kind(inner: Path) -> str:
    """Say why a file is not read."""
    if any(_is_hidden(name) for name in inner.parts):
        return "hidden"
    if inner.suffix.lower() in SUFFIXES:
        return f"{inner.suffix.lower()} outside the sub-folders"
    return inner.suffix.lower() or "without a suffix"


def _check_test_classes(path: Path, classes: tuple[str, ...], test: _Part) -> None:
    unknown = sorted(set(test.labels) - set(classes))
    if unknown:
        raise InputError(
            f"{path} has classes to test that are not in its train folder: {', '.join(unknown)}; "
            f"it has {', '.join(classes)}."
        )


def _require_classes_in_both(path: Path, classes: Sequence[str], train: Sequence[str], test: Sequence[str]) -> None:
    """Refuse a class of which no training image, or a test of which no image, could be read."""
    _require_both_parts(path, sorted(set(classes) - set(train)), len(test))


def _require_both_parts(path: Path, lost: Sequence[str], test: int) -> None:
    if lost or not test:
        what = f"no training image of {', '.join(lost)}" if lost else "no test image"
        raise InputError(f"{what} in {path} can be read, expected one at least; add images, or replace damaged ones.")


SOURCE = Source(
    summary="your own images, a sub-folder per class, or a labels.csv; give folder:PATH",
    load=load,
    find=lambda path: path if path.is_dir() else None,
    needs="a path of your own, as in folder:photos",
    tasks=("classification", *WITHOUT_CLASSES, *WITH_LABELS),
    tasks_at=learnable,
)
