"""Image data sets that the Hugging Face library `datasets` reads: of its hub, or an imagefolder or parquet files here.

Rows are decoded as image files of one's own are, and their pixels kept in a cache, so that they are decoded once. The
library is imported when such a data set is asked for.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from glassnet.console import say, say_once
from glassnet.data.cache import cached_pictures
from glassnet.data.dataset import Dataset, Source, Split
from glassnet.data.datasets.class_folders import ONE_CLASS, SPLIT_SEED, TEST_SHARE
from glassnet.data.decoding import Encoded
from glassnet.data.listing import Part, part_of
from glassnet.data.pictures import is_gray_and_wide, read_picture, read_undamaged
from glassnet.data.split import stratified_split
from glassnet.download import is_offline
from glassnet.errors import InputError

DEFAULT_SIZE_PIXELS = 64
CACHE_VERSION = 1
WITHOUT_CLASSES = ("reconstruction",)


@dataclass(frozen=True)
class Rows:
    """Rows of a part: where each lies, its image's name, and its class.

    Attributes:
        table: The library's data set, whose images are not decoded.
        image: Column of the images.
        numbers: Rows of the table.
        labels: Class of each of these rows.
    """

    table: Any
    image: str
    numbers: tuple[int, ...]
    labels: tuple[int, ...]

    def take(self, places: Sequence[int]) -> Rows:
        """Return some of the rows."""
        numbers, labels = (tuple(values[i] for i in places) for values in (self.numbers, self.labels))
        return Rows(self.table, self.image, numbers, labels)


def load(
    root: Path, image_size: int | None = None, *, place: str, skip_damaged: bool = False, task: str | None = None
) -> Dataset:
    """Read a data set that `datasets.load_dataset` reads, with an image column and a column of class labels.

    Its splits are the parts where they are named so; a validation split is the test where there is no other, and of one
    split alone a fifth of each class is drawn for the test. Rows without a class (-1) are left out, which is said.

    Args:
        root: Folder of the data sets, in which the pixels are kept.
        place: A folder, or a name on the hub.
        image_size: Height and width in pixels; 64 if not given.
        skip_damaged: Leave out images that cannot be read, and say how many, instead of refusing them.
        task: What is to be learned; a reconstruction needs no classes.

    Raises:
        InputError: `datasets` is not installed; there is no such data set, or it has no images, no class labels, or
            splits that are no parts; an image cannot be read.
    """
    name, size = f"hf:{place}", image_size or DEFAULT_SIZE_PIXELS
    tables, datasets = _tables(name, Path(place).expanduser(), root / "hf")
    image, label, classes = _columns(name, datasets, next(iter(tables.values())).features, task)
    parts = _parts(name, {split: _rows(name, datasets, table, split, image, label) for split, table in tables.items()})
    pixels, kept = _pixels(name, parts, size, root / "hf", skip_damaged=skip_damaged)
    splits: dict[Part, Split] = {}
    first = 0
    for part, rows in parts.items():
        own = [place for place in kept if first <= place < first + len(rows.numbers)]
        chosen = rows.take([place - first for place in own])
        if not own:
            raise InputError(f"no {part} image of {name} can be read, expected one at least; give another data set.")
        start = kept.index(own[0])
        files = [f"{chosen.table.split}/{number}" for number in chosen.numbers]
        splits[part] = Split(pixels[start : start + len(own)], torch.tensor(chosen.labels), files=files)
        first += len(rows.numbers)
    return Dataset(
        name=name,
        task="classification" if len(classes) > 1 else "reconstruction",
        classes=classes,
        train=splits["train"],
        test=splits["test"],
        validation=splits.get("validation"),
        augmentation="photos",
        note=f"{name}, splits {', '.join(tables)}, resized and cropped to {size} px",
    )


def _tables(name: str, path: Path, cache: Path) -> tuple[dict[str, Any], Any]:
    """Return the splits by name, read by the library, and the library itself."""
    try:
        import datasets
    except ImportError:
        raise InputError(f"{name} needs datasets; install it with `pip install 'glassnet[hub]'`.") from None
    is_here = path.is_dir()
    if not is_here and (path.is_absolute() or len(path.parts) > 2 or path.exists()):
        raise InputError(f"{path} is not a folder; expected an imagefolder or parquet files, or a name on the hub.")
    where = str(path) if is_here else path.as_posix()
    try:
        with _quiet(datasets):
            # The library copies a table of a folder's images into its cache: beside ours, not in the user's home.
            read = datasets.load_dataset(where, cache_dir=str(cache / "tables") if is_here else None)
    except Exception as error:  # whatever the library and the hub raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")[:300]
        offline = "; GLASSNET_OFFLINE forbids downloads" if is_offline() and not is_here else ""
        raise InputError(
            f"{name} cannot be loaded ({reason}{offline}); expected an image data set on huggingface.co, or a folder "
            "with an imagefolder or parquet files."
        ) from None
    tables = {str(split): table for split, table in read.items() if len(table)}
    if not tables:
        raise InputError(f"{name} has no rows; give another data set.")
    return tables, datasets


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Let the library print nothing of its own, and keep it off the network where that is forbidden."""
    logging, config = datasets.utils.logging, datasets.config
    before, offline = logging.get_verbosity(), config.HF_HUB_OFFLINE
    shown = datasets.utils.are_progress_bars_disabled()
    logging.set_verbosity_error()
    datasets.utils.disable_progress_bars()
    config.HF_HUB_OFFLINE = offline or is_offline()
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = offline
        logging.set_verbosity(before)
        if not shown:
            datasets.utils.enable_progress_bars()


def _columns(
    name: str, datasets: Any, features: Mapping[str, Any], task: str | None
) -> tuple[str, str | None, tuple[str, ...]]:
    """Return the column of the images, that of the classes, and their names.

    Raises:
        InputError: There is no such column.
    """
    has = f"its columns are {', '.join(f'{key} ({_kind(value)})' for key, value in features.items())}"
    images = [key for key, value in features.items() if isinstance(value, datasets.Image)]
    labels = [key for key, value in features.items() if isinstance(value, datasets.ClassLabel)]
    if not images:
        raise InputError(f"{name} has no column of images: {has}; cast one to datasets.Image(), or give another.")
    for what, columns in (("images", images), ("class labels", labels)):
        if len(columns) > 1:
            say_once(f"{name} has {len(columns)} columns of {what}; using {columns[0]}.")
    if task in WITHOUT_CLASSES or (task is None and not labels):
        return images[0], None, (ONE_CLASS,)
    if not labels:
        raise InputError(
            f"{name} has no column of class labels: {has}; cast one by dataset.cast_column('label', "
            "datasets.ClassLabel(names=[...])), or take --task reconstruction."
        )
    classes = tuple(map(str, features[labels[0]].names))
    if len(classes) < 2:
        raise InputError(f"{name} has one class ({', '.join(classes)}), expected at least two to tell apart.")
    return images[0], labels[0], classes


def _kind(feature: Any) -> str:
    return str(getattr(feature, "dtype", None) or type(feature).__name__)


def _rows(name: str, datasets: Any, table: Any, split: str, image: str, label: str | None) -> Rows:
    """Return the rows of a split that have a class, images as they are encoded."""
    raw = table.cast_column(image, datasets.Image(decode=False))
    if label is None:
        return Rows(raw, image, tuple(range(len(raw))), (0,) * len(raw))
    labels = [-1 if one is None else int(one) for one in table[label]]
    numbers = [row for row, one in enumerate(labels) if one >= 0]
    if len(numbers) < len(labels):
        say(
            f"{name}: {len(labels) - len(numbers):,} of {len(labels):,} rows of {split} have no class and are left out."
        )
    return Rows(raw, image, tuple(numbers), tuple(labels[row] for row in numbers))


def _parts(name: str, splits: Mapping[str, Rows]) -> dict[Part, Rows]:
    """Return training, test and, where there is one, validation part.

    Raises:
        InputError: Several splits are no parts, or a class is too small to be split.
    """
    whole = {split: rows for split, rows in splits.items() if rows.numbers}
    if len(whole) == 1:
        (rows,) = whole.values()
        few = next((one for one in sorted(set(rows.labels)) if rows.labels.count(one) < 2), None)
        if few is not None:
            raise InputError(f"class {few} of {name} has 1 image, expected at least 2 to split into training and test.")
        train, test = stratified_split(
            [str(number) for number in rows.numbers], rows.labels, test_share=TEST_SHARE, seed=SPLIT_SEED
        )
        say_once(f"{name} has only the split {next(iter(whole))}; a fifth of each class is drawn from it for the test.")
        return {"train": rows.take(train), "test": rows.take(test)}
    named = {part_of(split): rows for split, rows in whole.items()}
    if "test" not in named and "validation" in named:
        named["test"] = named.pop("validation")
        say_once(f"{name} has no test split; its validation split is used as the test.")
    if None in named or len(named) < len(whole) or not {"train", "test"} <= named.keys():
        raise InputError(
            f"{name} has the splits {', '.join(whole) or 'none'}, expected train and test, or validation, or one alone."
        )
    order: tuple[Part, ...] = ("train", "test", "validation")
    return {part: named[part] for part in order if part in named}


def _pixels(
    name: str, parts: Mapping[Part, Rows], size: int, cache: Path, *, skip_damaged: bool
) -> tuple[Tensor, list[int]]:
    """Return the pixels of all parts one after another, and the places of those that could be read."""
    places = [(rows, number) for rows in parts.values() for number in rows.numbers]

    def encoded(place: tuple[Rows, int]) -> Path | Encoded:
        rows, number = place
        image = rows.table[number][rows.image] or {}
        if image.get("bytes") is None and image.get("path"):
            return Path(image["path"])
        return Encoded(f"row {number} of {rows.table.split} in {name}", image.get("bytes") or b"")

    with ThreadPoolExecutor() as pool:
        gray = all(pool.map(lambda place: is_gray_and_wide(encoded(place))[0], places))
    mode: Literal["L", "RGB"] = "L" if gray else "RGB"
    description = f"Reading {len(places):,} images from {name}"
    if skip_damaged:  # a cache has all of its images
        read = dict(
            read_undamaged(
                lambda place: read_picture(encoded(place), mode, size),
                places,
                description=description,
                skip_damaged=True,
            )
        )
        if not read:
            raise InputError(f"no image of {name} can be read, expected one at least; give another data set.")
        return torch.from_numpy(np.stack(list(read.values()))), list(read)
    fingerprints = {part: [rows.table._fingerprint, _digest(rows.numbers)] for part, rows in parts.items()}
    (images,) = cached_pictures(
        cache / f"{_digest([name])[:16]}-{size}px",
        origin={"version": CACHE_VERSION, "name": name, "size": size, "mode": mode, "rows": fingerprints},
        count=len(places),
        shapes={"images": (1 if gray else 3, size, size)},
        read=lambda place: (read_picture(encoded(places[place]), mode, size),),
        description=description,
    )
    return images, list(range(len(places)))


def _digest(values: Sequence[object]) -> str:
    return hashlib.sha256(",".join(map(str, values)).encode()).hexdigest()


@lru_cache
def source_of(place: str) -> Source:
    """Return the source that reads a folder, or a name on the hub.

    Raises:
        InputError: Neither is given.
    """
    if not place:
        raise InputError("'hf' has no path: give hf:NAME_OR_FOLDER, a name on huggingface.co or a folder.")
    return dataclasses.replace(SOURCE, load=partial(load, place=place), find=lambda _root: _folder(place))


def _folder(place: str) -> Path | None:
    folder = Path(place).expanduser()
    return folder if folder.is_dir() else None


SOURCE = Source(
    summary="image data sets of the Hugging Face library datasets; give hf:NAME_OR_FOLDER",
    load=partial(load, place=""),
    find=lambda _root: None,
    needs="a name on huggingface.co or a folder, as in hf:photos",
    tasks=("classification", *WITHOUT_CLASSES),
)
