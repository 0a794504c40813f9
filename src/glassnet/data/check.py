"""Look a data set over before a training: files that cannot be read, copies, small classes, odd images and names."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from glassnet.console import say
from glassnet.data import OF_A_PATH, find_source, pairs
from glassnet.data.copies import CHUNK_IMAGES, NEAR, digest, digests, near_copies, thumbnails
from glassnet.data.dataset import Dataset
from glassnet.data.datasets import folder, labels_csv, masks
from glassnet.data.datasets.class_folders import as_they_lie, class_folders
from glassnet.data.decoding import DAMAGE, DamagedError, format_of, opened, used_range
from glassnet.data.listing import Listed, Part, is_hidden_in, walk
from glassnet.data.pictures import DIM_SHARE, SUFFIXES, read_picture, read_undamaged
from glassnet.data.split import why_not_held_out
from glassnet.errors import InputError
from glassnet.images import VOID
from glassnet.settings.train import TrainSettings

PARTS: dict[Part | None, str] = {"train": "training ", "validation": "validation ", "test": "test ", None: ""}
"""Names of the parts, those first that are learned from: a copy is one of an image before it."""
TINY_PIXELS = 32
LONGEST = 3
"""Times that the longer side may be of the shorter: of a longer image a square shows less than a third."""
READ_WITH_ANY_SUFFIX = frozenset(("MPO",))
"""Formats that cameras write under another's name."""


@dataclass(frozen=True)
class Item:
    """One of what a finding is about: a file or a class, the one that it is like, and what is to be known of it."""

    name: str
    other: str = ""
    about: str = ""


@dataclass(frozen=True)
class Finding:
    """What is to be known of a data set.

    Attributes:
        kind: A word for it, as in "unreadable".
        text: What it is, in words.
        items: The files or classes that it is about; none where the text says all.
        refused: Whether a training would refuse the data set for it.
    """

    kind: str
    text: str
    items: tuple[Item, ...] = ()
    refused: bool = False


@dataclass(frozen=True)
class Checked:
    """What `check` found.

    Attributes:
        data: Name of the data set.
        parts: Images of each part that can be read; of a folder that cannot be divided yet all are of the part "all".
        classes: Images of each class.
        findings: Those first for which a training would refuse the data set.
    """

    data: str
    parts: Mapping[str, int]
    classes: Mapping[str, int]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class Look:
    """An image that could be read.

    Attributes:
        listed: What was known of it before.
        digest: Of its pixels.
        thumbnail: As `thumbnails` gives it.
        size: Width and height of its file in pixels.
        format: Of its file, as Pillow calls it; "" where it has no file of its own.
        pictures: How many its file holds.
        values: Classes in its mask.
    """

    listed: Listed
    digest: bytes
    thumbnail: Float[Tensor, " d"]
    size: tuple[int, int] = (0, 0)
    format: str = ""
    pictures: int = 1
    values: frozenset[int] = frozenset()


def check(name: str, root: Path | str | None = None) -> Checked:
    """Look a data set over: list what stands against a training, and what is to be known before one.

    Args:
        name: What `load_dataset` takes.
        root: Folder that holds the data sets.

    Raises:
        InputError: There is no such data set or folder, or a published one is damaged.
    """
    source, where = find_source(name, root)
    kind = name.partition(":")[0]
    findings: list[Finding] = []
    if kind not in OF_A_PATH:
        dataset = source.load(where, None)
        looks, classes = _of_dataset(dataset), dataset.classes
    else:
        if not where.is_dir():
            source.load(where)  # says what is expected
        name = f"{kind}:{where}"
        looks, classes = (_of_masks if kind == "masks" else _of_folder)(where, findings)
        findings += [*_about_unread(where, kind, looks, findings), *_about_files(looks)]
    findings += [*_about_names(classes), *_about_pixels(looks)]
    if not any(one.refused for one in findings):
        findings += _about_hold_out(looks, classes, one_each=not (where / labels_csv.NAME).exists() and kind != "masks")
    times = Counter(label for one in looks for label in one.listed.labels)
    parts = Counter(PARTS[one.listed.part].strip() or "all" for one in looks)
    ordered = sorted(findings, key=lambda one: not one.refused)
    return Checked(name, dict(parts), {label: times[label] for label in classes}, tuple(ordered))


def _of_dataset(dataset: Dataset) -> list[Look]:
    looks: list[Look] = []
    parts: tuple[Part, ...] = ("train", "validation", "test")
    for part in parts:
        split = getattr(dataset, part)
        if split is None:
            continue
        names = split.files or [f"{PARTS[part]}image {i}" for i in range(len(split))]
        targets = split.targets.tolist() if split.target_dimensions == 1 else [-1] * len(split)
        chunks = torch.arange(len(split)).split(CHUNK_IMAGES)
        small = (one for rows in chunks for one in thumbnails(split.take(rows)[0]))
        for name, target, pixels, thumbnail in zip(names, targets, digests(split), small, strict=True):
            labels = (dataset.classes[target],) if target >= 0 else ()
            looks.append(Look(Listed(name, part, labels), pixels, thumbnail))
    return looks


def _of_folder(where: Path, findings: list[Finding]) -> tuple[list[Look], tuple[str, ...]]:
    """Read a folder of images as a training would, or where it would refuse it, as they lie."""
    folders, has_parts = class_folders(where)
    has_classes = any(folders.values()) and not (where / labels_csv.NAME).is_file()
    empty, single = (
        [Item(one.relative_to(where).as_posix()) for one, files in folders.items() if has_classes and len(files) == n]
        for n in (0, 1)
    )
    try:
        images = folder.list_images(where)
    except InputError as error:
        images = as_they_lie(where)
        if not empty and (not single or has_parts):  # which are named below
            findings.append(Finding("layout", str(error), refused=True))
    if not any(folders.values()) and not (where / labels_csv.NAME).is_file() and images:
        findings.append(Finding("classes", "no class sub-folders, so it can only be used with --task reconstruction"))
    findings += _several("empty", empty, "class folder", "without an image; add some, or remove it", refused=True)
    lacking = "" if has_parts else ", but none of its images is left to test; add some"
    findings += _several("single", single, "class folder", f"with one image{lacking}", refused=not has_parts)
    size = folder.DEFAULT_SIZE_PIXELS
    looks = _read(images, lambda one: (read_picture(one.path, "RGB", size), frozenset()), findings)
    classes = {label for one in images for label in one.labels} | {Path(one.name).name for one in empty}
    return looks, tuple(sorted(classes))


def _of_masks(where: Path, findings: list[Finding]) -> tuple[list[Look], tuple[str, ...]]:
    """Read images with their masks; where they cannot be paired, the images alone."""
    size = masks.DEFAULT_PIXELS
    try:
        names, images = masks.class_names(where), pairs.list_images(where)
    except InputError as error:
        findings.append(Finding("layout", str(error), refused=True))
        alone = [one for one in as_they_lie(where) if "masks" not in one.path.relative_to(where).parts]
        return _read(alone, lambda one: (read_picture(one.path, "RGB", size), frozenset()), findings), ()
    looks = _read(images, lambda one: masks.read_pair(pairs.Pair(one.path, one.mask), size)[::2], findings)
    values = [one.values for one in looks]
    try:
        masks.require_classes(where, [pairs.Pair(one.listed.path, one.listed.mask) for one in looks], values, names)
    except InputError as error:
        findings.append(Finding("masks", str(error), refused=True))
    names += tuple(f"class {i}" for i in range(len(names), max(set().union(*values) - {VOID}, default=-1) + 1))
    labels = [tuple(names[value] for value in sorted(one - {VOID})) for one in values]
    return [replace(one, listed=replace(one.listed, labels=of)) for one, of in zip(looks, labels, strict=True)], names


def _read(
    images: Sequence[Listed], read: Callable[[Listed], tuple[np.ndarray, frozenset[int]]], findings: list[Finding]
) -> list[Look]:
    """Look at images in parallel; those that cannot be read become a finding.

    Args:
        images: What is listed.
        read: Gives the pixels of one, and the classes of its mask.
        findings: Gets another.
    """

    def attempt(one: Listed) -> Look | Item:
        try:
            pixels, values = read(one)
            (small,) = thumbnails(torch.tensor(pixels)[None])
            with opened(one.path) as file:
                pictures = getattr(file, "n_frames", 1)
                return Look(one, digest(pixels), small, file.size, str(file.format), pictures, values)
        except InputError as error:
            return Item(one.name, about=str(error.reason if isinstance(error, DamagedError) else error))
        except DAMAGE as error:  # of one that holds several pictures
            return Item(one.name, about=str(error))

    done = [
        one
        for _, one in read_undamaged(attempt, images, description=f"Reading {len(images):,} images", skip_damaged=None)
    ]
    damaged = [one for one in done if isinstance(one, Item)]
    advice = "that cannot be read; replace or delete, or train with --skip-damaged"
    findings += _several("unreadable", damaged, "image", advice, refused=True)
    return [one for one in done if isinstance(one, Look)]


def _several(kind: str, items: Iterable[Item], noun: str, rest: str, *, refused: bool = False) -> list[Finding]:
    """Return a finding about so many items; none about none."""
    some = tuple(items)
    return [Finding(kind, f"{len(some):,} {noun}{'s' * (len(some) != 1)} {rest}", some, refused)] if some else []


def _about_unread(where: Path, kind: str, looks: Sequence[Look], findings: Sequence[Finding]) -> list[Finding]:
    """Tell of files that are not read, and which of them are images under another name."""
    aside = {labels_csv.NAME, masks.NAMES, *(item.name for one in findings for item in one.items)}
    aside |= {
        file.relative_to(where).as_posix() for one in looks for file in (one.listed.path, one.listed.mask) if file.name
    }
    unread: dict[str, list[Item]] = defaultdict(list)
    for file in walk(where).files:
        name = file.relative_to(where)
        is_mask = kind == "masks" and "masks" in name.parts  # also that of an image that cannot be read
        if name.as_posix() not in aside:
            why = "hidden" if is_hidden_in(name) else "stray" if name.suffix.lower() in SUFFIXES else "unread"
            is_a = format_of(file) if why == "unread" else ""
            if why != "stray" or not is_mask:
                unread[why].append(Item(name.as_posix(), about=f"a {is_a} image; rename it" if is_a else ""))
    return [
        *_several("stray", unread["stray"], "image", "ignored: not in the folder of a class or a part"),
        *_several("unread", unread["unread"], "file", "ignored: the ending of the name is not that of an image"),
        *_several("hidden", unread["hidden"], "hidden file", "not read"),
    ]


def _about_hold_out(looks: Sequence[Look], classes: Sequence[str], *, one_each: bool) -> Iterator[Finding]:
    """Tell that a training could not hold out images to choose the epoch by, where no part is given for that."""
    if any(one.listed.part == "validation" for one in looks):
        return
    labels = [one.listed.labels for one in looks if one.listed.part == "train"]
    targets = [classes.index(of[0]) if one_each and len(of) == 1 else 0 for of in labels]
    if reason := why_not_held_out(torch.tensor(targets, dtype=torch.int64), TrainSettings().validation):
        yield Finding("hold-out", reason, refused=True)


def _about_files(looks: Sequence[Look]) -> Iterator[Finding]:
    """Tell of sizes and formats of files."""
    formats = Image.registered_extensions()
    sized = [(one.size, Item(one.listed.name, about="{}×{}".format(*one.size))) for one in looks]
    tiny = (item for size, item in sized if min(size) < TINY_PIXELS)
    long = (item for size, item in sized if max(size) > LONGEST * min(size))
    several = (one for one in looks if one.pictures > 1 and one.format not in READ_WITH_ANY_SUFFIX)
    yield from _several("tiny", tiny, "image", f"of less than {TINY_PIXELS} pixels on a side")
    yield from _several("long", long, "image", f"with a longer side more than {LONGEST} times the shorter one")
    suffixed = [(one, formats.get(one.listed.path.suffix.lower())) for one in looks]
    other = [
        Item(one.listed.name, about=one.format)
        for one, expected in suffixed
        if one.format not in (expected, *READ_WITH_ANY_SUFFIX)
    ]
    yield from _several("format", other, "file", "of another format than the name says, but read all the same")
    frames = (Item(one.listed.name, about=f"{one.pictures:,} pictures") for one in several)
    yield from _several("pictures", frames, "file", "with several pictures, of which only the first is read")


def _about_names(classes: Sequence[str]) -> list[Finding]:
    """Tell of class names that are one but for case, spaces, signs or how an accent is encoded."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        plain = re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", name)).strip().casefold()
        alike[plain or name].append(name)
    items = [Item(name, other=names[0]) for names in alike.values() for name in names[1:]]
    return _several("names", items, "class name", "like another except for case, spaces or signs")


def _about_pixels(looks: Sequence[Look]) -> Iterator[Finding]:
    """Tell of images that show nothing, of copies, and of what is nearly a copy."""
    ranges = {one.listed.name: used_range(one.listed.path) for one in looks if not one.thumbnail.any()}
    dim = {name: Item(name) for name, ends in ranges.items() if ends and ends[0] < ends[1] < DIM_SHARE}
    flat = [Item(name) for name in ranges if name not in dim]
    yield from _several("dim", dim.values(), "image", "of 16 bits look nearly black: they use little of the range")
    yield from _several("flat", flat, "image", "of one colour")
    first: dict[bytes, Look] = {}
    copies: dict[tuple[Part | None, Part | None], list[Item]] = defaultdict(list)
    conflicts = []
    for one in sorted(looks, key=lambda one: list(PARTS).index(one.listed.part)):
        of = first.setdefault(one.digest, one)
        if of is one:
            continue
        copies[one.listed.part, of.listed.part].append(Item(one.listed.name, of.listed.name))
        if one.listed.labels != of.listed.labels:
            conflicts.append(
                Item(
                    one.listed.name,
                    of.listed.name,
                    " and ".join(", ".join(look.listed.labels) or "none" for look in (one, of)),
                )
            )
    for (part, other), items in copies.items():
        rest = "others" if part == other else f"{PARTS[other]}images: figures on them are too good"
        kind = "copies" if part == other else "leak"
        yield from _several(kind, items, f"{PARTS[part]}image", f"with exactly the pixels of {rest}")
    yield from _several("labels", conflicts, "image", "whose copy has other classes")
    yield from _about_near_copies(list(first.values()))


def _about_near_copies(looks: Sequence[Look]) -> Iterator[Finding]:
    """Tell of images that are nearly others; copies are left out."""
    say(f"Comparing {len(looks):,} images")
    parts = {part: [one for one in looks if one.listed.part == part] for part in PARTS}
    some = [
        (part, of_part, torch.stack([one.thumbnail for one in of_part])) for part, of_part in parts.items() if of_part
    ]
    for i, (part, ours, small) in enumerate(some):
        for other, theirs, thumbs in some[: i + 1]:
            items = []
            for one in near_copies(small, None if part == other else thumbs):
                about = f"{one.correlation:.3f}{', mirrored' * one.mirrored}"
                items.append(Item(ours[one.image].listed.name, theirs[one.other].listed.name, about))
            of = "others" if part == other else f"{PARTS[other]}images"
            kind = "near copies" if part == other else "near leak"
            rest = (
                f"nearly like {of}: thumbnails correlate by {NEAR} or more; for simple drawings this may be coincidence"
            )
            yield from _several(kind, items, f"{PARTS[part]}image", rest)
