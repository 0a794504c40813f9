"""Class folders: which images a folder holds, of which class and in which part, before one of them is read."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from glassnet.data.listing import (
    Identity,
    Listed,
    Part,
    are_classes,
    complete_parts,
    find_parts,
    is_hidden,
    is_hidden_in,
    is_without_labels,
    listed,
    name_inside,
    require_live_folders,
    sub_folders,
    walk,
)
from glassnet.data.pictures import SUFFIXES
from glassnet.data.split import hash_order, stratified_split
from glassnet.errors import InputError

TEST_SHARE = 0.2
SPLIT_SEED = 0
ONE_CLASS = "images"
"""Name of the one class of images without class sub-folders."""


@dataclass(frozen=True)
class Labelled:
    """Image files with the class of each, the classes mixed."""

    files: list[Path]
    labels: list[str]

    def take(self, rows: Iterable[int]) -> "Labelled":
        """Return some of them."""
        chosen = list(rows)
        return Labelled([self.files[i] for i in chosen], [self.labels[i] for i in chosen])


@dataclass(frozen=True)
class Layout:
    """What a folder holds before an image is read.

    Attributes:
        parts: The training, the test and, where the folder has one, the validation part, in this order.
        note: How it is split.
        ignored: Files that are not read, by kind.
    """

    parts: dict[Part, Labelled]
    note: str
    ignored: Counter[str]


def find_layout(path: Path, *, needs_classes: bool) -> Layout:
    """Take the parts of a data set where their names and class folders are there, else split the whole.

    Raises:
        InputError: There is no such folder, a part is missing, or names of parts and of classes are mixed, or a link
            leads nowhere.
    """
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise InputError(f"{path} {problem}: expected a folder with a sub-folder of images per class, as in cat/1.jpg.")
    require_live_folders(path)
    folders = sub_folders(path)
    parts = find_parts(path, folders)
    others = [one for one in folders if one not in parts.values() and not is_without_labels(one.name)]
    if are_classes(parts, others, needs_classes=needs_classes):
        return _split(path, needs_classes=needs_classes)
    mixed = [one.name for one in others if images_in(one)]
    if mixed:
        raise InputError(
            f"{path} has {listed(one.name for one in parts.values())}, named as parts of a data set, beside "
            f"{listed(mixed)}, named as classes: move the classes into the parts, or rename what is no part."
        )
    return _given_parts(path, parts, [one.name for one in folders if one not in parts.values()], needs_classes)


def _given_parts(path: Path, parts: Mapping[Part, Path], unused: Sequence[str], needs_classes: bool) -> Layout:
    """List the images of the parts that a folder has."""
    chosen = complete_parts(path, parts)
    scanned = {part: _scan(folder, needs_classes=needs_classes) for part, folder in chosen.items()}
    names = listed(chosen[part].name for part in scanned)
    note = f"parts {names}" + (f", {', '.join(unused)} not used" if unused else "")
    ignored = sum((counted for _, counted in scanned.values()), Counter[str]())
    return Layout({part: found for part, (found, _) in scanned.items()}, note, ignored)


def _split(path: Path, *, needs_classes: bool) -> Layout:
    whole, ignored = _scan(path, needs_classes=needs_classes)
    if inside := _parts_inside(path, sub_folders(path)):
        return Layout(_divide(path, whole, inside), "parts inside the classes", ignored)
    label, smallest = min(Counter(whole.labels).items(), key=lambda item: item[1])
    if smallest < 2:
        raise InputError(
            f"class '{label}' in {path} has 1 image, expected at least 2 to split into training and test: add images, "
            "or give train and test folders."
        )
    keys = [name_inside(file, path) for file in whole.files]
    train, test = stratified_split(keys, whole.labels, test_share=TEST_SHARE, seed=SPLIT_SEED)
    parts: dict[Part, Labelled] = {"train": whole.take(train), "test": whole.take(test)}
    return Layout(parts, f"fixed split {len(train):,}/{len(test):,}", ignored)


def _parts_inside(path: Path, classes: Sequence[Path]) -> dict[tuple[str, str], Part]:
    """Find the parts inside the classes, as cat/train and cat/test are, each by its class and its name; else nothing.

    Raises:
        InputError: Some classes have them, and others have not, or have others.
    """
    inside = {one: find_parts(one, sub_folders(one)) for one in classes}
    if not any("train" in parts and len(parts) > 1 for parts in inside.values()):
        return {}
    first = next(one for one, parts in inside.items() if "train" in parts and len(parts) > 1)
    for one, parts in inside.items():
        if parts.keys() != inside[first].keys():
            raise InputError(
                f"the class '{first.name}' in {path} is divided into {listed(f.name for f in inside[first].values())}, "
                f"but '{one.name}' is not; divide each class so, or none."
            )
    completed = {one: complete_parts(one, parts) for one, parts in inside.items()}
    return {(one.name, folder.name): part for one, parts in completed.items() for part, folder in parts.items()}


def _divide(path: Path, whole: Labelled, inside: Mapping[tuple[str, str], Part]) -> dict[Part, Labelled]:
    """Divide images into the parts inside their classes.

    Raises:
        InputError: An image lies in none of them.
    """
    above = [file.relative_to(path).parts[:2] for file in whole.files]
    rows: dict[Part, list[int]] = {part: [] for part in dict.fromkeys(inside.values())}
    for i, (label, name) in enumerate(above):
        if (label, name) not in inside:
            raise InputError(
                f"{whole.files[i]} lies beside the parts of the class '{label}', "
                f"{listed(folder for one, folder in inside if one == label)}; move it into one of them."
            )
        rows[inside[label, name]].append(i)
    return {part: whole.take(some) for part, some in rows.items()}


def _scan(folder: Path, *, needs_classes: bool) -> tuple[Labelled, Counter[str]]:
    """List a folder's images by class, mixed, and count the files that are not read by kind."""
    require_live_folders(folder)
    whole = Labelled([], [])
    listings = {child: walk(child) for child in sub_folders(folder)}
    _require_folders_apart(folder, {child: one.folders for child, one in listings.items()})
    for child, listing in listings.items():
        images = [file for file in listing.files if _is_image(name_inside(file, folder))]
        if not images:
            raise InputError(
                f"class '{child.name}' in {folder} has no images ({', '.join(sorted(SUFFIXES))}): "
                "add some, or remove the sub-folder."
            )
        whole = Labelled(whole.files + images, whole.labels + [child.name] * len(images))
    if not whole.files:
        whole = _without_classes(folder, needs_classes=needs_classes)
    taken, inside = set(whole.files), frozenset[Identity]().union(*(one.folders for one in listings.values()))
    beside = walk(folder, without=inside).files
    others = [file for file in (*beside, *(f for one in listings.values() for f in one.files)) if file not in taken]
    order = hash_order([name_inside(file, folder) for file in whole.files], seed=SPLIT_SEED)
    return whole.take(order), Counter(_kind(file.relative_to(folder)) for file in others)


def _require_folders_apart(folder: Path, folders: Mapping[Path, frozenset[Identity]]) -> None:
    """Refuse classes that hold one folder, by a link: its images would be of both."""
    for one, other in combinations(folders, 2):
        if not folders[one].isdisjoint(folders[other]):
            raise InputError(
                f"the classes '{one.name}' and '{other.name}' in {folder} hold the same folder, by a link; remove the "
                "link, so that each image has one class."
            )


def _without_classes(folder: Path, *, needs_classes: bool) -> Labelled:
    """Take the images that lie in a folder without sub-folders as one class.

    Raises:
        InputError: There are none, or classes are needed.
    """
    images = images_in(folder)
    if needs_classes:
        instead = f"; --task reconstruction takes its {len(images):,} images without classes" if images else ""
        raise InputError(
            f"{folder} has no class sub-folders: expected a sub-folder of images per class, as in cat/1.jpg{instead}."
        )
    if not images:
        raise InputError(f"{folder} holds no images: expected files that end in {', '.join(sorted(SUFFIXES))}.")
    return Labelled(images, [ONE_CLASS] * len(images))


def images_in(folder: Path) -> list[Path]:
    """List the image files in a folder and in those inside it, in order, without what is hidden."""
    return [file for file in walk(folder).files if _is_image(name_inside(file, folder))]


def class_folders(path: Path) -> tuple[dict[Path, list[Path]], bool]:
    """Return the images of each sub-folder that stands for a class, also where there are none, and whether the
    sub-folders are those of parts: so a folder can be looked over that cannot be learned from.
    """
    parts = list(_parts_of(path).values()) or [path]
    return {child: images_in(child) for part in parts for child in sub_folders(part)}, parts != [path]


def as_they_lie(path: Path) -> list[Listed]:
    """List the images of a folder however it is laid out: the part and the class of each as far as they are known."""
    listed_here = []
    parts: list[tuple[Part | None, Path]] = [*_parts_of(path).items()]
    for part, base in parts or [(None, path)]:
        for file in images_in(base):
            above = file.relative_to(base).parts[:-1]
            listed_here.append(Listed(file.relative_to(path).as_posix(), part, above[:1], file))
    return listed_here


def _parts_of(path: Path) -> dict[Part, Path]:
    """Return the folders of the parts; nothing where a folder has none, or they cannot be told apart."""
    try:
        parts = find_parts(path, sub_folders(path))
    except InputError:
        return {}
    return parts if "train" in parts and sub_folders(parts["train"]) else {}


def _is_image(inner: str) -> bool:
    return os.path.splitext(inner)[1].lower() in SUFFIXES and not any(map(is_hidden, inner.split("/")))  # noqa: PTH122


def _kind(inner: Path) -> str:
    """Say why a file is not read."""
    if is_hidden_in(inner):
        return "hidden"
    if inner.suffix.lower() in SUFFIXES:
        return f"{inner.suffix.lower()} outside the sub-folders"
    return inner.suffix.lower() or "without a suffix"
