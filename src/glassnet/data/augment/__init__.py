"""Augmentations: what random changes suit which images, drawn for a whole batch at once.

Colours (brightness, contrast, saturation and tint) are drawn on the CPU and changed on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from glassnet.data.augment.warps import Warp, random_affine, random_elastic

LUMINANCE = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in how bright a colour looks (ITU-R BT.601)."""


@dataclass(frozen=True, eq=False)
class Colours:
    """An affine map of colours for each image of a batch, x -> matrix x + offset."""

    matrix: Float[Tensor, "batch 3 3"]
    offset: Float[Tensor, "batch 3 1"]

    def __getitem__(self, part: slice | Tensor) -> Colours:
        """Return the maps of some of the images."""
        return Colours(self.matrix[part], self.offset[part])

    def to(self, device: torch.device) -> Colours:
        """Return the maps on a device."""
        return Colours(self.matrix.to(device), self.offset.to(device))


def random_colours(
    count: int, generator: Generator, *, brightness: float, contrast: float, saturation: float, tint: float
) -> Colours:
    """Draw maps that change colours about middle grey: M = c diag(t) (s I + (1 - s) 1 w), offset (1 - c) / 2 + b.

    c, s and t are 1 plus or minus the given shares, uniform; w are the shares of luminance.

    Args:
        count: Number of maps.
        generator: Source of randomness, on the CPU.
        brightness: Largest shift b, as a share of white.
        contrast: Largest change of the contrast c.
        saturation: Largest change of the saturation s.
        tint: Largest change of a channel's factor t.
    """

    def around(centre: float, spread: float, *shape: int) -> Tensor:
        return torch.empty(count, *shape).uniform_(centre - spread, centre + spread, generator=generator)

    c, s, b, t = (
        around(1, contrast, 1, 1),
        around(1, saturation, 1, 1),
        around(0, brightness, 1, 1),
        around(1, tint, 3, 1),
    )
    grey = torch.tensor(LUMINANCE).expand(3, 3)
    return Colours(c * t * (s * torch.eye(3) + (1 - s) * grey), ((1 - c) / 2 + b).expand(-1, 3, 1))


def apply_colours(
    images: Float[Tensor, "batch channel height width"], colours: Colours
) -> Float[Tensor, "batch channel height width"]:
    """Map each image's colours, and cut off what is darker than black or brighter than white.

    An image of one channel becomes what it would as a grey one of three, seen without colour.
    """
    matrix, offset = colours.matrix.to(images), colours.offset.to(images)
    if images.shape[1] == 1:
        weights = torch.tensor(LUMINANCE).to(images).view(1, 1, 3)
        matrix, offset = (weights * matrix.sum(dim=2)[:, None]).sum(dim=2, keepdim=True), weights @ offset
    flat = torch.baddbmm(offset, matrix, images.flatten(2))
    return flat.clamp_(0, 1).view_as(images)


Augmentation = Callable[[int, Generator], Warp]


def _digits(count: int, generator: Generator) -> Warp:
    affine = random_affine(count, generator, degrees=12, shift=0.08, scale=(0.88, 1.12), shear=0.15)
    return Warp(affine, random_elastic(count, generator, deviation=0.05, knots=7))


def _clothes(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=0, shift=0.07, scale=(0.95, 1.05), flip=True))


def _photos(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=5, shift=0.1, scale=(0.95, 1.25), flip=True))


def _zooms(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=5, shift=0.15, scale=(0.85, 1.8), flip=True))


def _scenes(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=12, shift=0.1, scale=(0.8, 1.3)))


def _objects(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=10, shift=0.1, scale=(0.75, 1.6), flip=True))


def _flips(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=0, shift=0, scale=(1, 1), flip=True))


def _unmoved(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=0, shift=0, scale=(1, 1)))


AUGMENTATIONS: dict[str, Augmentation | None] = {
    "none": None,
    "flips": _flips,
    "digits": _digits,
    "clothes": _clothes,
    "photos": _photos,
    "zooms": _zooms,
    "scenes": _scenes,
    "objects": _objects,
}
PLAIN = {"clothes": "flips", "photos": "flips", "zooms": "flips", "objects": "flips"}
"""What is left of an augmentation where images are to be distributed as the test's: a mirrored photograph is one."""
FOR_PRETRAINED: dict[str, Literal["zooms"]] = {"photos": "zooms"}
"""Stronger augmentations for networks with trained weights: crops and zooms of photographs, and their colours."""
_COLOUR_JITTER = partial(random_colours, brightness=0.2, contrast=0.4, saturation=0.5, tint=0.1)
_SLIGHT_JITTER = partial(random_colours, brightness=0.1, contrast=0.3, saturation=0.3, tint=0.05)
COLOURS: dict[str, Callable[[int, Generator], Colours]] = {
    "scenes": _COLOUR_JITTER,
    "objects": _COLOUR_JITTER,
    "zooms": _SLIGHT_JITTER,
}
"""Changes of colour that go with some of the augmentations."""


@dataclass(frozen=True)
class Transform:
    """How each image of a batch is augmented: where its pixels come from, and what becomes of their colours."""

    warp: Warp | None
    colours: Colours | None

    def __getitem__(self, part: slice | Tensor) -> Transform:
        """Return the transforms of some of the images."""
        return Transform(self.warp and self.warp[part], self.colours and self.colours[part])


def random_transform(augmentation: str, count: int, generator: Generator, *, resized: bool = False) -> Transform:
    """Draw an augmentation for each image of a batch.

    Args:
        augmentation: A key of AUGMENTATIONS.
        count: Images in the batch.
        generator: Source of randomness, on the CPU.
        resized: Whether the images change their size, which takes a warp even where nothing moves.
    """
    draw, jitter = AUGMENTATIONS[augmentation], COLOURS.get(augmentation)
    if draw is None and resized:
        draw = _unmoved
    warp = draw(count, generator) if draw else None
    return Transform(warp, jitter(count, generator) if jitter else None)
