"""Folders as people have them: every file once, links followed without loops, and the names that stand for a part."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glassnet.errors import InputError

Part = Literal["train", "validation", "test"]
PART_WORDS: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
BESIDE_PART_WORDS = frozenset(("set", "seg", "data", "dataset", "image", "images", "img", "imgs", "split"))
"""Words that the name of a part may hold besides, as in seg_train, training_set, test-images."""
WITHOUT_LABELS = frozenset(("pred", "predict", "prediction", "unlabeled", "unlabelled"))
"""Folders beside the parts whose images have no class."""
Identity = tuple[int, int]
"""Device and inode, by which a folder is known whatever link leads to it."""


@dataclass(frozen=True)
class Listing:
    """What lies in a folder and in those inside it.

    Attributes:
        files: All that is no folder, in order: files, links that lead nowhere, and special files.
        folders: The folders that were looked into.
    """

    files: tuple[Path, ...]
    folders: frozenset[Identity]


@dataclass(frozen=True)
class Listed:
    """An image before it is read.

    Attributes:
        name: Of its file, relative to the data set's folder, or what it is called where it lies in no file of its own.
        part: What it is for; None where that is not known.
        labels: Its classes.
        path: Its file, where it lies in one of its own.
        mask: The file with the class of every pixel, where there is one.
    """

    name: str
    part: Part | None
    labels: tuple[str, ...] = ()
    path: Path = Path()
    mask: Path = Path()


def walk(folder: Path, *, without: frozenset[Identity] = frozenset()) -> Listing:
    """List a folder and those inside it; links to folders are followed, but no folder is listed twice, nor one that
    it lies in, which would be a loop. A folder's own name is taken before that of a link to it.

    Args:
        folder: Where to begin.
        without: Folders to leave out, with all in them that is reached by no other way.

    Raises:
        InputError: A folder cannot be listed.
    """
    visited = {*without, *map(identity, folder.resolve().parents)}
    above = frozenset(visited)
    files: list[Path] = []
    waiting, links = [folder], list[Path]()
    while waiting or links:
        place = waiting.pop() if waiting else links.pop(0)
        if (known := identity(place)) in visited:
            continue
        visited.add(known)
        for entry in _entries(place):
            path = place / entry.name
            if not _is_folder(entry):
                files.append(path)
            elif entry.is_symlink():
                links.append(path)
            else:
                waiting.append(path)
    return Listing(tuple(sorted(files)), frozenset(visited - above))


def identity(folder: Path) -> Identity:
    """Return what a folder is known by."""
    about = folder.stat()
    return about.st_dev, about.st_ino


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            listed_here = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be listed ({error.strerror}); change its rights, or take it away."
        ) from None
    for entry in listed_here:
        if not entry.name.isprintable() and any("\ud800" <= character <= "\udfff" for character in entry.name):
            raise InputError(
                f"the folder {folder} holds {os.fsencode(entry.name)!r}, whose name is not valid UTF-8; rename it."
            )
    return listed_here


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def sub_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder that are not hidden, in order; links to folders are some too.

    Raises:
        InputError: It cannot be listed.
    """
    entries = _entries(folder)
    return [folder / entry.name for entry in entries if _is_folder(entry) and not is_hidden(entry.name)]


def require_live_folders(folder: Path) -> None:
    """Refuse a link in a folder that leads nowhere and is named as a folder is: a class on a disk that is not there.

    Raises:
        InputError: There is one.
    """
    for entry in _entries(folder):
        path = folder / entry.name
        is_file = is_hidden(entry.name) or re.fullmatch(r"\.\w{1,5}", path.suffix)
        if entry.is_symlink() and not is_file and not path.exists():
            raise InputError(
                f"{path} is a link to {path.readlink()}, which does not exist: connect the disk where it lies, or "
                "remove the link."
            )


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder of this name is none of the user's."""
    return name.startswith(".") or name == "__MACOSX"


def name_inside(file: Path, folder: Path) -> str:
    """Return the path of a file within a folder that it was found in, with slashes: `relative_to`, in a tenth of the
    time, which counts where there are a million.
    """
    whole, start = str(file), f"{folder}{os.sep}"
    if whole.startswith(start):
        return whole[len(start) :].replace(os.sep, "/")
    return file.relative_to(folder).as_posix()


def is_hidden_in(inner: Path) -> bool:
    """Tell whether any name of a relative path is hidden."""
    return any(map(is_hidden, inner.parts))


def part_of(name: str) -> Part | None:
    """Tell which part of a data set a name stands for, as train, Training, seg_test, val2017 or test-set do."""
    words = [re.sub(r"((?:19|20)\d\d)$", "", word) for word in re.split(r"[\W_]+", name.lower())]
    words = [word[:-3] if word.endswith("set") and word[:-3] in PART_WORDS else word for word in words if word]
    telling = [word for word in words if word and word not in BESIDE_PART_WORDS]
    return PART_WORDS.get(telling[0]) if len(telling) == 1 else None


def part_in(name: str) -> Part | None:
    """Tell which one part a name speaks of among other words, as asl_alphabet_train, TrainData, X_test or train1 do."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[^\W\d])(?=\d)|(?<=\d)(?=[^\W\d])", " ", name)
    spoken = {PART_WORDS[word] for word in re.split(r"[\W_]+", apart.lower()) if word in PART_WORDS}
    return part_of(name) or (spoken.pop() if len(spoken) == 1 else None)


def find_parts(path: Path, folders: Sequence[Path]) -> dict[Part, Path]:
    """Find the folders that are parts of a data set by their names.

    Raises:
        InputError: Two of them stand for one part.
    """
    named = [(part, folder) for folder in folders if (part := part_of(folder.name))]
    if not _has_two_parts(named):
        named = _parts_among_words(folders) or named
    for part, times in Counter(part for part, _ in named).items():
        if times > 1:
            both = " and ".join(folder.name for one, folder in named if one == part)
            raise InputError(f"{path} has {both}, which both stand for the {part} part; merge or rename them.")
    return dict(named)


def _has_two_parts(named: Sequence[tuple[Part, Path]]) -> bool:
    parts = {part for part, _ in named}
    return "train" in parts and len(parts) > 1


def _parts_among_words(folders: Sequence[Path]) -> list[tuple[Part, Path]]:
    """Find the parts in names of several words, where all folders are named so, or they hold the same folders: a class
    may be called steam train.
    """
    named = [(part, folder) for folder in folders if (part := part_in(folder.name))]
    if not _has_two_parts(named):
        return []
    if all(part_in(one.name) or is_without_labels(one.name) for one in folders):
        return named
    times = Counter(child.name for _, folder in named for child in sub_folders(folder))
    alike = [(part, one) for part, one in named if any(times[child.name] > 1 for child in sub_folders(one))]
    return alike if _has_two_parts(alike) else []


def are_classes(parts: Mapping[Part, Path], others: Sequence[Path], *, needs_classes: bool) -> bool:
    """Tell whether folders are classes, since none is a part: a class may be called train, as of vehicles.

    Args:
        parts: Those that are named as parts.
        others: Those that are not.
        needs_classes: Whether images without classes are of no use.
    """
    if not parts:
        return True
    if "train" not in parts:
        return not needs_classes and not others
    return len(parts) == 1 and not sub_folders(parts["train"])


def complete_parts(path: Path, parts: Mapping[Part, Path]) -> dict[Part, Path]:
    """Return training, test and validation part in this order; without a test, what is to validate on is tested.

    Raises:
        InputError: There is none to train on, or none to test on.
    """
    if "train" not in parts:
        given = [one.name for one in parts.values()]
        raise InputError(
            f"{path} has {listed(given)} but no train beside it: add one, or give {path / given[0]} itself to split "
            "that."
        )
    chosen = dict(parts)
    if "test" not in chosen and "validation" in chosen:
        chosen["test"] = chosen.pop("validation")
    if "test" not in chosen:
        raise InputError(
            f"{path} has {chosen['train'].name} but no test, val or validation beside it: add one, or give "
            f"{chosen['train']} itself to split that."
        )
    order: tuple[Part, ...] = ("train", "test", "validation")
    return {part: chosen[part] for part in order if part in chosen}


def listed(names: Iterable[str]) -> str:
    """Join names as in "a, b and c"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def is_without_labels(name: str) -> bool:
    """Tell whether a folder beside the parts is one of images without a class, as seg_pred is."""
    return not WITHOUT_LABELS.isdisjoint(re.split(r"[\W_]+", name.lower()))


def not_regular(path: Path) -> str:
    """Say why a path is no regular file, which a reader could wait at for ever; nothing where it is one."""
    if path.is_file():
        return ""
    if path.is_symlink() and not path.exists():
        return f"it is a link to {path.readlink()}, which does not exist"
    if not path.exists():
        return "it does not exist"
    return "it is a folder" if path.is_dir() else "it is not a regular file but a pipe, a socket or a device"


def require_regular(path: Path, remedy: str) -> None:
    """Refuse what is no regular file before it is opened.

    Args:
        path: What is to be read.
        remedy: Sentence for the error, on what to do.

    Raises:
        InputError: It is missing, a folder, a pipe or a device.
    """
    reason = not_regular(path)
    if reason:
        raise InputError(f"{path} cannot be read, {reason}. {remedy}")
