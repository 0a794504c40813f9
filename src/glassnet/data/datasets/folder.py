"""A folder of the user's own images: a sub-folder per class, or train/ and test/ with a sub-folder per class each.

A reconstruction needs no classes, and takes a folder of images without sub-folders too. Where images have several
labels, a labels.csv says which.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from glassnet.data.dataset import Dataset, Source, Split
from glassnet.data.datasets import labels_csv
from glassnet.data.datasets.class_folders import (
    SPLIT_SEED,
    TEST_SHARE,
    Labelled,
    Layout,
    class_folders,
    find_layout,
    images_in,
)
from glassnet.data.large import is_large, stored_parts, stored_pictures
from glassnet.data.listing import Listed, Part, name_inside
from glassnet.data.pictures import read_undamaged_pictures, say_ignored
from glassnet.data.split import hash_order, labelled_split
from glassnet.errors import InputError

DEFAULT_SIZE_PIXELS = 64
WITHOUT_CLASSES, WITH_LABELS = ("reconstruction",), ("multilabel",)
"""Tasks that need no classes, and tasks for which labels.csv says what an image shows."""


def load(
    path: Path,
    image_size: int | None = None,
    *,
    skip_damaged: bool = False,
    task: str | None = None,
    root: Path | None = None,
) -> Dataset:
    """Read PATH's images, the class of each being the name of its sub-folder.

    If PATH has train/ and test/, or other names of parts that `part_of` knows, these are the parts, and val/ is that to
    validate on, or without a test/ that to test on; else a fifth of each class is drawn for the test, the same images
    every time. Links are followed. Hidden files and files that are no images are not read, and are counted.

    Args:
        path: Folder with a sub-folder per class; the images may lie deeper inside it. For a reconstruction they may lie
            in it without sub-folders.
        image_size: Height and width in pixels; 64 if not given.
        skip_damaged: Leave out images that cannot be read, and say how many, instead of refusing them.
        task: What is to be learned: a reconstruction needs no classes, several labels an image a labels.csv, all else
            two classes; if not given, what suits the folder.
        root: Folder of the data sets, in which the pixels of a folder are kept that is too large for memory.

    Raises:
        InputError: There is no such folder, it has fewer classes than needed, a class is empty or too small to split, a
            class is only in the test part, labels.csv is not as expected, or files cannot be read.
    """
    task = task or learnable(path)[0]
    if task in WITH_LABELS:
        return _load_labelled(path, image_size or DEFAULT_SIZE_PIXELS, skip_damaged=skip_damaged, root=root)
    layout, classes = lay_out(path, needs_classes=task not in WITHOUT_CLASSES)
    ignored = say_ignored(path, layout.ignored)
    whole = Labelled(
        [file for part in layout.parts.values() for file in part.files],
        [label for part in layout.parts.values() for label in part.labels],
    )
    names = [name_inside(file, path) for file in whole.files]
    splits, rows = _read_parts(
        path,
        names,
        {name: len(part.files) for name, part in layout.parts.items()},
        torch.tensor([classes.index(label) for label in whole.labels]),
        size=image_size or DEFAULT_SIZE_PIXELS,
        skip_damaged=skip_damaged,
        root=root,
    )
    learned = {whole.labels[row] for row in rows if row < len(layout.parts["train"].files)}
    _require_both_parts(path, sorted(set(classes) - learned), splits)
    return Dataset(
        name=f"folder:{path}",
        task="classification" if len(classes) > 1 else "reconstruction",
        classes=classes,
        train=splits["train"],
        test=splits["test"],
        validation=splits.get("validation"),
        augmentation="photos",
        note=f"images in {path}, {layout.note}, resized and cropped to {image_size or DEFAULT_SIZE_PIXELS} px{ignored}",
    )


def lay_out(path: Path, *, needs_classes: bool) -> tuple[Layout, tuple[str, ...]]:
    """Return what a folder holds, and its classes, before an image is read.

    Raises:
        InputError: It cannot be learned from, as `load` says.
    """
    layout = find_layout(path, needs_classes=needs_classes)
    classes = tuple(sorted(set(layout.parts["train"].labels)))
    if needs_classes and len(classes) < 2:
        raise InputError(f"{path} has only one class ({classes[0]}), expected at least two class sub-folders.")
    for part, found in layout.parts.items():
        _check_classes(path, classes, part, found)
    return layout, classes


def list_images(path: Path) -> list[Listed]:
    """List the images of a folder in the parts and classes in which they would be read.

    Raises:
        InputError: It cannot be learned from, as `load` says.
    """
    if (path / labels_csv.NAME).is_file():
        table, rows = _labelled_files(path)
        labels = [tuple(name for name, has in zip(table.labels, row, strict=True) if has) for row in table.has]
        of_part = {i: part for part, some in rows.items() for i in some}
        return [Listed(file, of_part[i], labels[i], path / file) for i, file in enumerate(table.files)]
    has_classes = any(class_folders(path)[0].values()) or not images_in(path)
    layout, _ = lay_out(path, needs_classes=has_classes)
    return [
        Listed(file.relative_to(path).as_posix(), part, (label,) if has_classes else (), file)
        for part, one in layout.parts.items()
        for file, label in sorted(zip(one.files, one.labels, strict=True))
    ]


def _labelled_files(path: Path) -> tuple[labels_csv.LabelTable, dict[Part, list[int]]]:
    """Return what labels.csv says, and its rows of each part; refuse one that does not fit the images."""
    table = labels_csv.read_labels(path / labels_csv.NAME)
    labels_csv.check_files(path, table, [file.relative_to(path).as_posix() for file in images_in(path)])
    return table, _labelled_parts(table)


def _read_parts(
    path: Path,
    names: Sequence[str],
    counts: Mapping[Part, int],
    targets: Tensor,
    *,
    size: int,
    skip_damaged: bool,
    root: Path | None,
) -> tuple[dict[Part, Split], list[int]]:
    """Read images, part after part, and return the parts with the rows of the images that could be read.

    Images of more pixels than memory should hold are decoded into a cache, and stay there.

    Args:
        path: The folder.
        names: Files relative to it, part after part.
        counts: Images of each part.
        targets: A target for each image.
        size: Height and width in pixels.
        skip_damaged: Leave out what cannot be read.
        root: Folder of the data sets.

    Raises:
        InputError: Files cannot be read, and are not to be left out.
    """
    if is_large(len(names), size):
        found = stored_pictures(path, names, size, root, skip_damaged=skip_damaged)
        return stored_parts(found, names, counts, targets), np.flatnonzero(found.there).tolist()
    images, rows = read_undamaged_pictures(
        [path / name for name in names],
        size=size,
        description=f"Reading {len(names):,} images from {path}",
        skip_damaged=skip_damaged,
    )
    splits: dict[Part, Split] = {}
    first = start = 0
    for part, count in counts.items():
        stop = start + sum(first <= row < first + count for row in rows)
        files = [names[row] for row in rows[start:stop]]
        splits[part] = Split(images[start:stop], targets[rows[start:stop]], files=files)
        first, start = first + count, stop
    return splits, rows


def learnable(path: Path) -> tuple[str, ...]:
    """Return what can be learned on a folder: first several labels an image where there is a labels.csv."""
    usual = ("classification", *WITHOUT_CLASSES)
    return (*WITH_LABELS, *usual) if (path / labels_csv.NAME).is_file() else (*usual, *WITH_LABELS)


def _load_labelled(path: Path, size: int, *, skip_damaged: bool, root: Path | None) -> Dataset:
    """Read the images that labels.csv names, in the parts that it names, or with a fixed fifth held out for the test.

    Raises:
        InputError: Table and images do not fit each other, or no training image has one of the labels.
    """
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise InputError(f"{path} {problem}: expected a folder of images with a {labels_csv.NAME}.")
    table, rows = _labelled_files(path)
    order = [i for part in rows.values() for i in part]
    counts = "/".join(f"{len(part):,}" for part in rows.values())
    splits, _ = _read_parts(
        path,
        [table.files[i] for i in order],
        {name: len(part) for name, part in rows.items()},
        torch.from_numpy(table.has[order]),
        size=size,
        skip_damaged=skip_damaged,
        root=root,
    )
    learned = splits["train"].targets.sum(dim=0)
    _require_both_parts(path, [name for name, times in zip(table.labels, learned, strict=True) if not times], splits)
    note = f"split of {labels_csv.NAME}" if table.parts else f"fixed split {counts}"
    return Dataset(
        name=f"folder:{path}",
        task=WITH_LABELS[0],
        classes=table.labels,
        train=splits["train"],
        test=splits["test"],
        validation=splits.get("validation"),
        augmentation="photos",
        note=f"images in {path} with labels, {note}, resized and cropped to {size} px",
    )


def _labelled_parts(table: labels_csv.LabelTable) -> dict[Part, list[int]]:
    """Return the rows of each part; images to validate on are those to test on where there are no others."""
    if table.parts is None:
        train, test = labelled_split(table.files, table.has, test_share=TEST_SHARE, seed=SPLIT_SEED)
        return {"train": train, "test": test}
    order = hash_order(table.files, seed=SPLIT_SEED)
    parts: dict[Part, list[int]] = {"train": [], "test": [], "validation": []}
    for i in order:
        parts[table.parts[i]].append(i)
    if not parts["test"]:
        parts["test"] = parts.pop("validation")
    return {part: rows for part, rows in parts.items() if rows or part != "validation"}


def _check_classes(path: Path, classes: Sequence[str], part: Part, labelled: Labelled) -> None:
    unknown = sorted(set(labelled.labels) - set(classes))
    if unknown:
        what = "validate on" if part == "validation" else part
        raise InputError(
            f"{path} has classes to {what} that are not in its train folder: {', '.join(unknown)}; "
            f"it has {', '.join(classes)}."
        )


def _require_both_parts(path: Path, lost: Sequence[str], splits: Mapping[Part, Split]) -> None:
    """Refuse a class of which no training image, or a part of which no image, could be read."""
    empty = next((part for part, split in splits.items() if not len(split)), None)
    if lost or empty:
        what = f"no training image of {', '.join(lost)}" if lost else f"no {empty} image"
        raise InputError(f"{what} in {path} can be read, expected one at least; add images, or replace damaged ones.")


SOURCE = Source(
    summary="your own images, a sub-folder per class, or a labels.csv; give folder:PATH",
    load=load,
    find=lambda path: path if path.is_dir() else None,
    needs="a path of your own, as in folder:photos",
    tasks=("classification", *WITHOUT_CLASSES, *WITH_LABELS),
    tasks_at=learnable,
)
