"""A data set in memory: one uint8 tensor of images per split; batches are sliced from it on the device."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from glassnet.errors import InputError
from glassnet.images import VOID

Augmentation = Literal["none", "flips", "digits", "clothes", "photos", "scenes", "objects"]
TaskName = Literal["classification", "segmentation", "reconstruction"]


@dataclass(frozen=True)
class Split:
    """Images of one part of a data set with a target for each: its class, or the class of every pixel.

    Attributes:
        images: Pixels from 0 to 255; all images are squares of one size.
        targets: Index into the data set's classes: one an image, or a mask an image, where VOID is no class.
        rows: Which of the images belong to the part; None for all. Tensors that are mapped from a file larger than
            memory are shared by the parts of a data set, and so each part must say which rows are its own.
    """

    images: UInt8[Tensor, "total channel height width"]
    targets: Int64[Tensor, " total"] | UInt8[Tensor, "total height width"]
    rows: Int64[Tensor, " n"] | None = None

    def __post_init__(self) -> None:
        """Refuse tensors of another type or shape."""
        images, targets = self.images, self.targets
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[2] != images.shape[3]:
            got = f"{images.dtype} of shape {tuple(images.shape)}"
            raise InputError(f"images are {got}, expected torch.uint8 of shape (n, channels, size, size).")
        got = f"{targets.dtype} of shape {tuple(targets.shape)}"
        if targets.ndim == 3:
            expected = (len(images), *images.shape[2:])
            if targets.dtype != torch.uint8 or targets.shape != expected:
                raise InputError(f"masks are {got}, expected torch.uint8 of shape {expected}, one per image.")
        elif targets.dtype != torch.int64 or targets.shape != images.shape[:1]:
            raise InputError(f"targets are {got}, expected torch.int64 of shape ({len(images)},), one per image.")

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images if self.rows is None else self.rows)

    @property
    def own_targets(self) -> Int64[Tensor, " n"] | UInt8[Tensor, "n height width"]:
        """The targets of the part alone, in memory."""
        return self.targets if self.rows is None else self.targets[self.rows]

    def target_parts(self, size: int = 512) -> Iterator[Tensor]:
        """Yield the targets of the part in order, so many at a time in memory."""
        for start in range(0, len(self), size):
            some = slice(start, start + size)
            yield self.targets[some if self.rows is None else self.rows[some]]

    def take(self, indices: Int64[Tensor, " m"] | slice) -> tuple[Tensor, Tensor]:
        """Return images and targets of some images of the part, in memory."""
        chosen = indices if self.rows is None else self.rows[indices]
        return self.images[chosen], self.targets[chosen]

    def part(self, indices: Int64[Tensor, " m"]) -> "Split":
        """Return a part of the part; what is shared stays shared."""
        if self.rows is None:
            return Split(self.images[indices], self.targets[indices])
        return Split(self.images, self.targets, self.rows[indices])

    def to(self, device: torch.device) -> "Split":
        """Return the same on another device; a mapped one stays mapped on the CPU."""
        if self.rows is None:
            return Split(self.images.to(device), self.targets.to(device))
        if device.type == "cpu":
            return self
        images, targets = self.take(slice(None))
        return Split(images.to(device), targets.to(device))


@dataclass(frozen=True)
class Dataset:
    """A named data set with its training and test part.

    Attributes:
        name: What `load_dataset` loads it by.
        task: What a model learns on it first of all.
        classes: Class names; a target is an index into them.
        train: Part to learn from.
        test: Part to measure on, disjoint from `train` but for what `leak` counts.
        augmentation: Kind of random change that suits the training images.
        note: What a reader must know to compare figures on it: its origin and its split.
        leak: Number of images that are in both parts.
    """

    name: str
    task: TaskName
    classes: tuple[str, ...]
    train: Split
    test: Split
    augmentation: Augmentation
    note: str
    leak: int = 0

    def __post_init__(self) -> None:
        """Refuse splits that differ in image shape or point outside the classes."""
        train, test = self.train.images.shape[1:], self.test.images.shape[1:]
        if train != test:
            raise InputError(
                f"{self.name}: training images are {tuple(train)}, test images {tuple(test)}; expected one shape."
            )
        for part in (self.train, self.test):
            if part.rows is None:  # what is mapped from a file was checked when the file was made
                self._check_targets(part.targets)

    def _check_targets(self, targets: Tensor) -> None:
        known = targets[targets != VOID] if targets.ndim == 3 else targets
        if len(known) and not 0 <= int(known.min()) <= int(known.max()) < len(self.classes):
            raise InputError(
                f"{self.name}: targets run from {int(known.min())} to {int(known.max())}, "
                f"expected 0 to {len(self.classes) - 1}, an index into its {len(self.classes)} classes."
            )

    @property
    def channels(self) -> int:
        """1 for grayscale, 3 for colour."""
        return self.train.images.shape[1]

    @property
    def image_size(self) -> int:
        """Height, and width, of every image in pixels."""
        return self.train.images.shape[2]
