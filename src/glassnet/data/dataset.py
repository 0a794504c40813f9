"""A data set: what is known before it is read, and in memory one uint8 tensor of images per split.

Batches are sliced from it on the device.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from glassnet.console import printable
from glassnet.data.shards.rows import Rows
from glassnet.display import Shown
from glassnet.errors import InputError
from glassnet.images import VOID

KINDS = {1: "classes", 2: "labels", 3: "masks"}
"""What the targets of so many dimensions are."""
Storage = Tensor | Rows
"""What the parts of a data set share: a tensor, in memory or mapped, or rows of files that are read when asked for."""
Augmentation = Literal["none", "flips", "digits", "clothes", "photos", "zooms", "scenes", "objects"]


class Split(Shown):
    """Images of one part of a data set, each with a target: its class, its labels, or the class of every pixel.

    Data larger than memory are in files that all parts of the data set share. The files are memory-mapped or read row
    by row, and each part knows which rows belong to it. `take` and `target_parts` hold no more in memory than they
    return. `images` loads all images of the part, and `targets` all its masks, so do not use them if the part may be
    large.

    Attributes:
        numbers: Index of each image in the part as it was loaded; a subset keeps these indices.
        files: Path of each image's file, relative to the data set's folder; None if the images are not files.
    """

    numbers: Int64[Tensor, " n"]
    files: tuple[str, ...] | None

    def __init__(
        self,
        images: UInt8[Tensor, "total channel height width"] | Float[Tensor, "total channel height width"] | Rows,
        targets: Int64[Tensor, " total"] | UInt8[Tensor, "total labels"] | UInt8[Tensor, "total height width"] | Rows,
        rows: Int64[Tensor, " n"] | None = None,
        *,
        files: Sequence[str] | None = None,
        numbers: Int64[Tensor, " n"] | None = None,
    ) -> None:
        """Take tensors of one row an image.

        Args:
            images: Pixels from 0 to 255, or floats as the model takes them; all images are of one size.
            targets: Index into the data set's classes: one an image, or a mask an image, where VOID is no class; or 1
                for each of the classes that an image shows, else 0.
            rows: Which of the rows belong to the part; None for all.
            files: Path of the file of each image of the part.
            numbers: Index of each image of the part in the part as it was loaded; 0, 1, 2 and so on if not given.

        Raises:
            InputError: The tensors are of another type or shape, or there is not one file for each image.
        """
        _check_storage(images, targets)
        self._images, self._targets, self._rows = images, targets, rows
        self.numbers = torch.arange(len(self)) if numbers is None else numbers
        self.files = None if files is None else tuple(files)
        for what, given in (("files", self.files), ("numbers", self.numbers)):
            if given is not None and len(given) != len(self):
                raise InputError(f"there are {len(given)} {what} for {len(self)} images, expected one per image.")

    def __len__(self) -> int:
        """Count the images."""
        return len(self._images if self._rows is None else self._rows)

    def __repr__(self) -> str:
        """Say how many images of which shape, with which targets."""
        shape = "×".join(map(str, self.image_shape))
        return f"Split({len(self):,} images of {shape}, {KINDS[self.target_dimensions]})"

    @property
    def images(self) -> UInt8[Tensor, "n channel height width"] | Float[Tensor, "n channel height width"]:
        """The images of the part: a view if they are adjacent in memory, else a new copy at each access."""
        return self._own(self._images)

    @property
    def pixels(self) -> Tensor | Rows:
        """The images of the part, for slicing: the same as `images`, or an object that reads each slice from files."""
        if isinstance(self._images, Rows):
            return self._images if self._rows is None else self._images.choose(self._rows)
        return self.images

    @property
    def targets(self) -> Int64[Tensor, " n"] | UInt8[Tensor, "n labels"] | UInt8[Tensor, "n height width"]:
        """The targets of the part: a view if they are adjacent in memory, else a new copy at each access."""
        return self._own(self._targets)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        channels, height, width = self._images.shape[1:]
        return channels, height, width

    @property
    def target_dimensions(self) -> int:
        """Number of dimensions of the targets: 1 for one class per image, 2 for labels, 3 for masks."""
        return self._targets.ndim

    @property
    def has_masks(self) -> bool:
        """Whether the targets are masks: the class of every pixel."""
        return self.target_dimensions == 3

    @property
    def is_mapped(self) -> bool:
        """Whether the part is made of some rows of an array that it shares with other parts."""
        return self._rows is not None

    @property
    def is_stored(self) -> bool:
        """Whether the images are read from files when they are needed, and never held in memory all at once."""
        return isinstance(self._images, Rows)

    @property
    def sums(self) -> np.ndarray | None:
        """A checksum of each image, if known without reading it; images with different checksums are not copies."""
        if not isinstance(self._images, Rows) or self._images.sums is None or self._rows is None:
            return None
        return self._images.sums[self._rows.numpy()]

    def number(self, i: int) -> int:
        """Return the index of image i in the part as it was loaded."""
        return int(self.numbers[i])

    def target_parts(self, size: int = 512) -> Iterator[Tensor]:
        """Yield the targets of the part in order, `size` of them at a time."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self._targets[part if self._rows is None else self._rows[part].to(self._targets.device)]

    def take(self, indices: Int64[Tensor, " m"] | slice) -> tuple[Tensor, Tensor]:
        """Return some images of the part and their targets, in memory."""
        rows = indices if self._rows is None else self._rows[indices]
        rows = rows if isinstance(rows, slice) else rows.to(self._images.device)
        return self._images[rows], self._targets[rows]

    def subset(self, indices: Int64[Tensor, " m"]) -> "Split":
        """Return some images of the part, with their files and numbers; memory-mapped data stay memory-mapped."""
        files = None if self.files is None else [self.files[i] for i in indices.tolist()]
        numbers = self.numbers[indices]
        if self._rows is None:
            return Split(*self.take(indices), files=files, numbers=numbers)
        return Split(self._images, self._targets, self._rows[indices], files=files, numbers=numbers)

    def with_images(self, images: UInt8[Tensor, "n channel height width"]) -> "Split":
        """Return the same part with other pixels, for instance of another size."""
        return Split(images, self.targets, files=self.files, numbers=self.numbers)

    def to(self, device: torch.device) -> "Split":
        """Return the part on another device; memory-mapped parts and parts in files stay where they are."""
        if self.is_stored or (self.is_mapped and device.type == "cpu"):
            return self
        images, targets = (part.to(device) for part in self.take(slice(None)))
        return Split(images, targets, files=self.files, numbers=self.numbers)

    def _own(self, storage: Storage) -> Tensor:
        rows = self._rows
        if rows is None:
            return storage if isinstance(storage, Tensor) else storage[:]
        if len(rows) and bool((rows.diff() == 1).all()):
            return storage[int(rows[0]) : int(rows[-1]) + 1]
        return storage[rows]


def _check_storage(images: Storage, targets: Storage) -> None:
    """Refuse tensors of another type or shape."""
    if images.ndim != 4 or not (images.dtype == torch.uint8 or images.is_floating_point()):
        got = f"{images.dtype} of shape {tuple(images.shape)}"
        raise InputError(f"images are {got}, expected torch.uint8, or floats, of shape (n, channels, height, width).")
    got = f"{targets.dtype} of shape {tuple(targets.shape)}"
    if targets.ndim == 3:
        expected = (len(images), *images.shape[2:])
        if targets.dtype != torch.uint8 or targets.shape != expected:
            raise InputError(f"masks are {got}, expected torch.uint8 of shape {expected}, one per image.")
    elif targets.ndim == 2:
        if targets.dtype != torch.uint8 or len(targets) != len(images):
            expect = f"torch.uint8 of shape ({len(images)}, labels), a row per image"
            raise InputError(f"targets are {got}, expected {expect}.")
    elif targets.dtype != torch.int64 or targets.shape != images.shape[:1]:
        raise InputError(f"targets are {got}, expected torch.int64 of shape ({len(images)},), one per image.")


def check_labels(targets: Tensor, labels: int, *, of: str = "") -> None:
    """Refuse targets that do not say of each of so many labels whether an image has it.

    Raises:
        InputError: There are more or fewer columns, or a value is neither 0 nor 1.
    """
    if targets.shape[1] != labels:
        raise InputError(f"{of}targets have {targets.shape[1]} columns, expected one for each of the {labels} labels.")
    wrong = targets[(targets != 0) & (targets != 1)]
    if len(wrong):
        raise InputError(
            f"{of}targets hold {wrong[0].item()}, expected 1 for a label that an image has, and 0 for others."
        )


@dataclass(frozen=True, repr=False)
class Dataset(Shown):
    """A named data set with a training part and a test part.

    Attributes:
        name: What `load_dataset` loads it by.
        task: What a model learns on it by default.
        classes: Class names; a target is an index into them, or has a column for each.
        train: Part to learn from.
        test: Part to measure on, disjoint from `train` but for what `leak` counts.
        augmentation: Kind of random change that suits the training images.
        note: What a reader must know to compare figures on it: its origin and its split.
        leak: Number of test images of which the training or validation part holds an exact copy, pixel by pixel.
        validation: Part to choose the epoch by, where the data set has one of its own; else it is held out of `train`.
    """

    name: str
    task: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    augmentation: Augmentation
    note: str
    leak: int = 0
    validation: Split | None = None

    def __post_init__(self) -> None:
        """Refuse splits that differ in image shape or point outside the classes; write control characters as text."""
        object.__setattr__(
            self, "classes", tuple(printable(name, lines=False) for name in self.classes)
        )  # a folder may have any name
        train = self.train.image_shape
        for what, part in self.parts.items():
            if part.image_shape != train:
                raise InputError(
                    f"{self.name}: training images are {train}, {what} images {part.image_shape}; expected one shape."
                )
        if train[1] != train[2]:
            raise InputError(f"{self.name}: images are {train[1]}×{train[2]} pixels, expected squares.")
        for part in self.parts.values():
            if not part.is_mapped:  # what is mapped from a file was checked when the file was made
                self._check_targets(part.targets)

    def _check_targets(self, targets: Tensor) -> None:
        if targets.ndim == 2:
            check_labels(targets, len(self.classes), of=f"{self.name}: ")
            return
        known = targets[targets != VOID] if targets.ndim == 3 else targets
        if len(known) and not 0 <= int(known.min()) <= int(known.max()) < len(self.classes):
            raise InputError(
                f"{self.name}: targets run from {int(known.min())} to {int(known.max())}, "
                f"expected 0 to {len(self.classes) - 1}, an index into its {len(self.classes)} classes."
            )

    @property
    def parts(self) -> dict[str, Split]:
        """Its parts by name: training, test, and validation if there is one."""
        parts = {"training": self.train, "test": self.test}
        return parts if self.validation is None else parts | {"validation": self.validation}

    @property
    def channels(self) -> int:
        """1 for grayscale, 3 for colour."""
        return self.train.image_shape[0]

    @property
    def image_size(self) -> int:
        """Height and width of every image in pixels."""
        return self.train.image_shape[1]


@dataclass(frozen=True)
class Source:
    """Where a data set comes from and how to get it.

    Attributes:
        summary: What it is, in a few words.
        load: Reads it, given the folder that holds the data sets and the image size in pixels (None: its own); files
            that are damaged or not the expected ones are refused, so that what loads is also verified. That of a user's
            own path also takes `skip_damaged` and `task`, by name.
        find: Tells where its files are, given the same folder; None if one is missing.
        needs: What is missing where `find` says None: the command that gets it.
        tasks: What can be learned on it, first what is learned where neither task nor model is named.
        tasks_at: The same for a user's own path, where it depends on what lies there.
        fetch: Downloads the missing files into the same folder; None where there is nothing to download.
        classes: Number of classes, if it is known without reading.
        channels: Channels of an image, if known.
        image_size: Height and width in pixels, if known.
        train: Number of training images, if known.
        test: Number of test images, if known.
    """

    summary: str
    load: Callable[..., Dataset]
    find: Callable[[Path], Path | None]
    needs: str
    tasks: tuple[str, ...] = ("classification",)
    tasks_at: Callable[[Path], tuple[str, ...]] | None = None
    fetch: Callable[[Path], None] | None = None
    classes: int | None = None
    channels: int | None = None
    image_size: int | None = None
    train: int | None = None
    test: int | None = None

    def learnable(self, where: Path) -> tuple[str, ...]:
        """Return what can be learned on what lies at a path, the usual task first."""
        return self.tasks if self.tasks_at is None else self.tasks_at(where)
