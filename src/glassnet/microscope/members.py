"""Which images are of which classes: by labels, or by the masks in which a class has pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from glassnet.data.given import labels_as_tensor
from glassnet.errors import InputError
from glassnet.images import VOID

AT_ONCE = 256
"""Masks that are read at once."""


class Members:
    """Which images are of which classes, as pairs; an image of several classes stands there several times."""

    def __init__(self, images: Int64[Tensor, " pairs"], classes: Int64[Tensor, " pairs"], count: int) -> None:
        """Take pairs sorted by image.

        Args:
            images: Numbers of images.
            classes: The class of each of these.
            count: Number of classes.
        """
        self.images, self.classes, self.count = images, classes, count
        self.in_class = torch.bincount(classes, minlength=count).double()

    def of_batch(self, start: int, stop: int) -> tuple[Int64[Tensor, " some"], Int64[Tensor, " some"]]:
        """Return the pairs of some images, with these numbered from 0."""
        first, last = torch.searchsorted(self.images, torch.tensor([start, stop])).tolist()
        return self.images[first:last] - start, self.classes[first:last]


def of_labels(labels: Any, images: int, classes: Sequence[str] | None) -> Members:
    """Take labels: a class an image (n,), or yes or no for each label (n, labels).

    Raises:
        InputError: They do not fit the images or the classes.
    """
    given = labels_as_tensor(labels, images)
    if given.ndim == 3:
        raise InputError("labels has one class per pixel, expected one per image; pass it as masks=….")
    if given.ndim == 2 and bool(((given != 0) & (given != 1)).any()):
        raise InputError("labels (n, labels) holds numbers other than 0 and 1, expected 1 for each label of an image.")
    found = int(given.max()) + 1 if given.ndim == 1 else given.shape[1]
    count = found if classes is None else len(classes)
    if given.ndim == 2 and count != found:
        raise InputError(f"labels has {found} columns, expected {count}, one for each name in classes.")
    lowest = int(given.min())
    if lowest < 0 or found > count:
        expected = "0, 1, 2 and so on" if classes is None else f"classes from 0 to {count - 1}, one for each name"
        raise InputError(f"labels holds {lowest if lowest < 0 else found - 1}, expected {expected}.")
    rows, named = (torch.arange(images), given) if given.ndim == 1 else given.nonzero().T.contiguous()
    return Members(rows, named, count)


def of_masks(masks: Any, images: int, classes: Sequence[str] | None) -> Members:
    """Take masks (n, height, width): an image is of every class that has a pixel in it.

    Raises:
        InputError: They do not fit the images or the classes.
    """
    _check_masks(masks, images)
    rows, named = [], []
    for start, part in _parts(masks):
        for number, one in enumerate(part, start):
            found = one[one != VOID].unique()
            rows.append(torch.full_like(found, number))
            named.append(found)
    image, of_class = torch.cat(rows), torch.cat(named)
    if not len(of_class):
        raise InputError(f"masks holds only {VOID}, which means no class; expected a class at some pixel.")
    highest = int(of_class.max()) + 1
    count = highest if classes is None else len(classes)
    if int(of_class.min()) < 0 or highest > count:
        raise InputError(
            f"masks holds classes from {int(of_class.min())} to {highest - 1}, expected 0 to {count - 1}, and {VOID} "
            "for none."
        )
    return Members(image, of_class, count)


def _check_masks(masks: Any, images: int) -> None:
    """Refuse what is no mask for each image.

    Raises:
        InputError: They are no whole numbers (n, height, width).
    """
    shape, kind = tuple(getattr(masks, "shape", ())), str(getattr(masks, "dtype", type(masks).__name__))
    if len(shape) != 3 or shape[0] != images or 0 in shape or "int" not in kind:
        raise InputError(
            f"masks has shape {shape} and type {kind} for {images} images, expected whole numbers ({images}, height, "
            f"width), one class per pixel, {VOID} for none."
        )


def mask_rows(masks: np.ndarray | Tensor, start: int, stop: int) -> Int64[Tensor, "some height width"]:
    """Return some of the masks."""
    part = masks[start:stop]
    return (part.detach().cpu() if isinstance(part, Tensor) else torch.from_numpy(np.array(part))).long()


def _parts(masks: np.ndarray | Tensor) -> Iterator[tuple[int, Int64[Tensor, "some height width"]]]:
    for start in range(0, len(masks), AT_ONCE):
        yield start, mask_rows(masks, start, start + AT_ONCE)
