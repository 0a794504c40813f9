"""A data set in memory: one uint8 tensor of images per split; batches are sliced from it on the device."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from glassnet.errors import InputError

Augmentation = Literal["none", "digits", "clothes", "photos"]


@dataclass(frozen=True)
class Split:
    """Images of one part of a data set with the class of each.

    Attributes:
        images: Pixels from 0 to 255; all images are squares of one size.
        targets: Index into the data set's classes, one per image.
    """

    images: UInt8[Tensor, "n channel height width"]
    targets: Int64[Tensor, " n"]

    def __post_init__(self) -> None:
        """Refuse tensors of another type or shape."""
        images, targets = self.images, self.targets
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[2] != images.shape[3]:
            got = f"{images.dtype} of shape {tuple(images.shape)}"
            raise InputError(f"images are {got}, expected torch.uint8 of shape (n, channels, size, size).")
        if targets.dtype != torch.int64 or targets.shape != images.shape[:1]:
            got = f"{targets.dtype} of shape {tuple(targets.shape)}"
            raise InputError(f"targets are {got}, expected torch.int64 of shape ({len(images)},), one per image.")

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images)

    def to(self, device: torch.device) -> "Split":
        """Return the same on another device."""
        return Split(self.images.to(device), self.targets.to(device))


@dataclass(frozen=True)
class Dataset:
    """A named data set with its training and test part.

    Attributes:
        name: What `load_dataset` loads it by.
        task: What a model learns on it.
        classes: Class names; a target is an index into them.
        train: Part to learn from.
        test: Part to measure on, disjoint from `train`.
        augmentation: Kind of random change that suits the training images.
        note: What a reader must know to compare figures on it: its origin and its split.
    """

    name: str
    task: Literal["classification"]
    classes: tuple[str, ...]
    train: Split
    test: Split
    augmentation: Augmentation
    note: str

    def __post_init__(self) -> None:
        """Refuse splits that differ in image shape or point outside the classes."""
        train, test = self.train.images.shape[1:], self.test.images.shape[1:]
        if train != test:
            raise InputError(
                f"{self.name}: training images are {tuple(train)}, test images {tuple(test)}; expected one shape."
            )
        for targets in (self.train.targets, self.test.targets):
            if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < len(self.classes):
                raise InputError(
                    f"{self.name}: targets run from {int(targets.min())} to {int(targets.max())}, "
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
