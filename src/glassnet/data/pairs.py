"""Which images of a folder pair with which masks, and in which parts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from glassnet.data.listing import (
    Listed,
    Part,
    complete_parts,
    find_parts,
    is_hidden_in,
    sub_folders,
    walk,
)
from glassnet.data.pictures import SUFFIXES
from glassnet.data.split import hash_order
from glassnet.errors import InputError

TEST_SHARE = 0.2
SPLIT_SEED = 0
LOSSY = frozenset((".jpg", ".jpeg"))
"""Suffixes whose compression blurs the values of a mask into classes that there are not."""


@dataclass(frozen=True)
class Pair:
    """An image and its mask on disk."""

    image: Path
    mask: Path


def find_pairs(path: Path) -> tuple[dict[Part, list[Pair]], Counter[str]]:
    """List the images of each part, training and test first, and count the files that are not read by kind."""
    if not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise InputError(
            f"{path} {problem}; expected a folder with images/ and masks/, as in images/1.jpg, masks/1.png."
        )
    given = {part: one for part, one in find_parts(path, sub_folders(path)).items() if one.name != "images"}
    if given and not (path / "images").is_dir():
        chosen = complete_parts(path, given)
        read = {part: _pairs(folder) for part, folder in chosen.items()}
        ignored = sum((counted for _, counted in read.values()), Counter[str]())
        return {part: pairs for part, (pairs, _) in read.items()}, ignored
    if given:
        raise InputError(
            f"{path} has images/ beside {' and '.join(one.name for one in given.values())}, named as parts of a data "
            "set; move all images into the parts, or rename what is no part."
        )
    pairs, ignored = _pairs(path)
    if len(pairs) < 2:
        raise InputError(f"{path} has one image, expected two or more to split into training and test: add images.")
    order = hash_order([pair.image.relative_to(path / "images").as_posix() for pair in pairs], seed=SPLIT_SEED)
    tested = set(order[: max(1, round(TEST_SHARE * len(pairs)))])
    whole = range(len(pairs))
    return {
        "train": [pairs[i] for i in whole if i not in tested],
        "test": [pairs[i] for i in whole if i in tested],
    }, ignored


def list_images(path: Path) -> list[Listed]:
    """List the images of a folder, with their masks, in the parts in which they would be read.

    Raises:
        InputError: It is not laid out as `load` says.
    """
    parts, _ = find_pairs(path)
    return [
        Listed(pair.image.relative_to(path).as_posix(), part, path=pair.image, mask=pair.mask)
        for part, pairs in parts.items()
        for pair in pairs
    ]


def _pairs(folder: Path) -> tuple[list[Pair], Counter[str]]:
    (images, ignored), (masks, also_ignored) = (_files(folder / kind) for kind in ("images", "masks"))
    for mask in masks.values():
        if mask.suffix.lower() in LOSSY:
            raise InputError(f"the mask {mask} is a JPEG, which blurs classes into each other; save masks as PNG.")
    for stem in sorted(images.keys() ^ masks.keys()):
        has, lacks = ("image", "masks") if stem in images else ("mask", "images")
        raise InputError(f"the {has} {stem} in {folder} has no partner in {lacks}/; add it, or remove the {has}.")
    return [Pair(images[stem], masks[stem]) for stem in sorted(images)], ignored + also_ignored


def _files(folder: Path) -> tuple[dict[str, Path], Counter[str]]:
    """List a folder's image files, also deeper inside, by their path without its suffix; count others by kind."""
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist; expected images/ and masks/ with files of the same names.")
    files: dict[str, Path] = {}
    ignored: Counter[str] = Counter()
    for path in walk(folder).files:
        inner = path.relative_to(folder)
        if path.suffix.lower() not in SUFFIXES or is_hidden_in(inner):
            ignored["hidden" if is_hidden_in(inner) else path.suffix.lower() or "without a suffix"] += 1
            continue
        stem = inner.with_suffix("").as_posix()
        if stem in files:
            raise InputError(
                f"{folder} holds both {files[stem].relative_to(folder)} and {inner}, expected one file of a name; "
                "rename one, and its partner."
            )
        files[stem] = path
    if not files:
        raise InputError(f"{folder} holds no images; expected images/ and masks/ with files of the same names.")
    return files, ignored
