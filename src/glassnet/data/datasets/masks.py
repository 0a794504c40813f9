"""A folder of the user's own: images/ and masks/ with files of the same names, or these in train/ and in test/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from glassnet.console import say
from glassnet.data.dataset import Dataset, Source, Split
from glassnet.data.decoding import decode_whole
from glassnet.data.large import is_large, stored_pairs, stored_parts
from glassnet.data.listing import (
    Part,
    require_regular,
)
from glassnet.data.pairs import Pair, find_pairs
from glassnet.data.pictures import read_undamaged, say_dim, say_ignored
from glassnet.data.shards.index import values_of
from glassnet.errors import InputError
from glassnet.images import VOID

DEFAULT_PIXELS = 96
NAMES = "classes.txt"


def load(
    path: Path,
    image_size: int | None = None,
    *,
    skip_damaged: bool = False,
    task: str | None = None,
    root: Path | None = None,
) -> Dataset:
    """Read PATH/images and PATH/masks, or the same in PATH/train and PATH/test, and in PATH/val where there is one.

    A mask is an image of palette indices or grey levels: a pixel's value is its class, 0 the background, 255 void. The
    names of the classes are the lines of PATH/classes.txt, if there is one. Masks are judged at their full size, since
    thin lines may not be left in the small ones. Files in folders inside images/ pair with those in the same folders
    inside masks/. Without train/ and test/ a fifth of the
    images is drawn for the test, the same ones every time. Images and masks are turned as their EXIF orientation says.

    Args:
        path: The folder.
        image_size: Height and width that images are squeezed to, in pixels; 96 if not given.
        skip_damaged: Leave out images that cannot be read, or whose mask cannot, instead of refusing them.
        task: Not used: masks are for a segmentation.
        root: Folder of the data sets, in which the pixels of a folder are kept that is too large for memory.

    Raises:
        InputError: The folder is not laid out so, an image has no mask or the other way round, files cannot be read,
            the two differ in size, or the masks hold a value that is no class, or fewer than two classes.
    """
    del task
    size, (parts, ignored) = image_size or DEFAULT_PIXELS, find_pairs(path)
    note = say_ignored(path, ignored)
    named = class_names(path)
    pairs = [pair for part in parts.values() for pair in part]
    read = _read_stored if is_large(len(pairs), size, planes=4) else _read
    pixels = read(path, parts, size, skip_damaged=skip_damaged, root=root)
    present = pixels.present
    require_classes(path, [pairs[row] for row in pixels.rows], present, named)
    largest = max(value for value in set().union(*present) if value != VOID)
    classes = named or tuple(f"class {number}" for number in range(max(largest + 1, 2)))
    _say_vanished(path, pixels.left, present, classes, size)
    splits = pixels.splits
    for name, split in splits.items():
        _require_any(path, name, split)
    counts = f"{len(splits['train']):,} to train and {len(splits['test']):,} to test on"
    chosen = f", {len(splits['validation']):,} to validate on" if "validation" in splits else ""
    return Dataset(
        name=f"masks:{path}",
        task="segmentation",
        classes=classes,
        train=splits["train"],
        test=splits["test"],
        validation=splits.get("validation"),
        augmentation="objects",
        note=f"images and masks in {path}, {counts}{chosen}, squeezed to {size} px{note}",
    )


@dataclass(frozen=True)
class _Pixels:
    """What was read.

    Attributes:
        splits: The parts.
        rows: Which of all pairs, part after part, could be read.
        present: Values that the mask of each holds at its full size.
        left: Values that are left in the squeezed masks.
    """

    splits: Mapping[Part, Split]
    rows: list[int]
    present: Sequence[frozenset[int]]
    left: frozenset[int]


def _require_any(path: Path, name: Part, split: Split) -> None:
    """Refuse a part of which nothing could be read."""
    if not len(split):
        raise InputError(
            f"no {'training' if name == 'train' else name} image in {path} can be read, expected one at least; add "
            "images, or replace damaged ones."
        )


def _read_stored(
    path: Path, parts: Mapping[Part, list[Pair]], size: int, *, skip_damaged: bool, root: Path | None
) -> _Pixels:
    """Read pairs that are too many for memory from their cache, after decoding what it lacks."""
    pairs = [pair for part in parts.values() for pair in part]
    found = stored_pairs(path, pairs, size, root, read=read_pair, skip_damaged=skip_damaged)
    names = [pair.image.relative_to(path).as_posix() for pair in pairs]
    splits = stored_parts(found, names, {name: len(part) for name, part in parts.items()})
    entries = found.entries[found.there]
    left = frozenset[int]().union(*values_of(np.bitwise_or.reduce(entries["left"], axis=0, keepdims=True)))
    return _Pixels(splits, np.flatnonzero(found.there).tolist(), values_of(entries["present"]), left)


def require_classes(path: Path, pairs: Sequence[Pair], present: Sequence[frozenset[int]], named: Sequence[str]) -> None:
    """Refuse masks with nothing to tell apart, as those are that mark the object by 255, which stands for void.

    Numbers that leave others out, as grey levels of a drawing do, are classes only where names say so.

    Args:
        path: The folder.
        pairs: Images and masks.
        present: Values that each mask holds at its full size.
        named: Names of the classes; none where they have none.

    Raises:
        InputError: There are fewer than two classes, one is left out, or a value is beyond the named ones.
    """
    for pair, values_here in zip(pairs, present, strict=True):
        beyond = sorted(value for value in values_here if named and len(named) <= value != VOID)
        if beyond:
            raise InputError(
                f"the mask {pair.mask} holds the class {beyond[0]}, but {NAMES} in {path} names {len(named)}, 0 to "
                f"{len(named) - 1}; add its name or mend the mask."
            )
    values = sorted(set().union(*present))
    if len([value for value in values if value != VOID]) < 2:
        raise InputError(
            f"the masks in {path} hold only {' and '.join(map(str, values))}, where {VOID} stands for void, expected "
            "two classes or more; number the classes 0, 1, 2 and so on."
        )
    missing = sorted(set(range(max(v for v in values if v != VOID))) - set(values))
    if missing and not named:
        raise InputError(
            f"the masks in {path} hold {', '.join(map(str, values))} and no {missing[0]}, expected the classes 0, 1, 2 "
            f"and so on; number them so, or name all of them, a line each, in {NAMES}."
        )


def _say_vanished(
    path: Path, left: frozenset[int], present: Sequence[frozenset[int]], classes: Sequence[str], size: int
) -> None:
    """Say which classes are in the masks, and in none of them once they are squeezed, as those of thin lines are.

    Raises:
        InputError: One class is left.
    """
    if len(left - {VOID}) < 2:
        raise InputError(
            f"the masks in {path} hold several classes, of which one is left at {size} px, expected two or more; raise "
            "--image-size."
        )
    lost = sorted(value for value in set().union(*present) - left if value != VOID)
    if lost:
        names = ", ".join(classes[value] for value in lost)
        say(f"warning: no pixel of {names} in {path} is left at {size} px, so it is not learned; raise --image-size.")


def class_names(path: Path) -> tuple[str, ...]:
    """Read the names of the classes, whose number is that of their line: none may be left out."""
    file = path / NAMES
    if not file.exists():
        return ()
    require_regular(file, "Save it as text in UTF-8, or take it away.")
    try:
        names = tuple(map(str.strip, file.read_text(encoding="utf-8-sig").rstrip().splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read ({error}); save it as text in UTF-8.") from None
    if "" in names:
        raise InputError(
            f"line {names.index('') + 1} of {file} is empty, expected the name of class {names.index('')}; "
            "write it there, or remove the line."
        )
    again = next((name for row, name in enumerate(names) if name in names[:row]), None)
    if again is not None:
        raise InputError(f"{file} names two classes '{again}', expected a name of its own for each; rename one.")
    if len(names) < 2:
        raise InputError(f"{file} names {len(names)} classes, expected two or more; write one name a line.")
    return names


def _read(path: Path, parts: Mapping[Part, list[Pair]], size: int, *, skip_damaged: bool, root: Path | None) -> _Pixels:
    """Read pairs into memory."""
    del root
    pairs = [pair for part in parts.values() for pair in part]
    images = np.empty((len(pairs), 3, size, size), np.uint8)
    masks = np.empty((len(pairs), size, size), np.uint8)
    present, rows = [], []
    say_dim([pair.image for pair in pairs])
    for row, (image, mask, values) in read_undamaged(
        lambda pair: read_pair(pair, size),
        pairs,
        description=f"Reading {len(pairs):,} images with masks",
        skip_damaged=skip_damaged,
    ):
        images[row], masks[row] = image, mask
        present.append(values)
        rows.append(row)
    images, masks = images[rows], masks[rows]
    splits: dict[Part, Split] = {}
    first = start = 0
    for name, part in parts.items():
        stop = start + sum(first <= row < first + len(part) for row in rows)
        files = [pairs[row].image.relative_to(path).as_posix() for row in rows[start:stop]]
        splits[name] = Split(torch.from_numpy(images[start:stop]), torch.from_numpy(masks[start:stop]), files=files)
        first, start = first + len(part), stop
    left = frozenset(np.flatnonzero(np.bincount(masks.ravel(), minlength=256)).tolist())
    return _Pixels(splits, rows, present, left)


def read_pair(pair: Pair, size: int) -> tuple[UInt8[np.ndarray, "3 s s"], UInt8[np.ndarray, "s s"], frozenset[int]]:
    """Read an image and its mask as squares, and the values that the mask holds at its full size.

    Raises:
        DamagedError: One of them cannot be read.
        InputError: The mask is no image of classes, or of another size than the image.
    """
    image, mask = decode_whole(pair.image, "RGB"), decode_whole(pair.mask)
    if mask.mode not in ("P", "L", "1"):
        raise InputError(
            f"{pair.mask} is a {mask.mode} image, expected palette indices or grey levels that number the classes; "
            "convert it."
        )
    if image.size != mask.size:
        raise InputError(
            f"{pair.mask} is a mask of {mask.width}x{mask.height} pixels for an image of {image.width}x{image.height}; "
            "make them equal."
        )
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    values = frozenset(np.flatnonzero(np.bincount(np.asarray(mask, dtype=np.uint8).ravel())).tolist())
    return pixels, np.asarray(mask.resize((size, size), Image.Resampling.NEAREST), dtype=np.uint8), values


SOURCE = Source(
    summary="your own images with masks; give masks:PATH",
    load=load,
    find=lambda path: path if path.is_dir() else None,
    needs="a path of your own, as in masks:scans",
    tasks=("segmentation",),
)
