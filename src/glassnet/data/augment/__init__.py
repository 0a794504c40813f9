"""Augmentations: what random changes suit which images, drawn for a whole batch at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Generator, Tensor

from glassnet.data.augment.colours import Colours, random_colours
from glassnet.data.augment.warps import Warp, random_affine, random_elastic

Augmentation = Callable[[int, Generator], Warp]


def _digits(count: int, generator: Generator) -> Warp:
    affine = random_affine(count, generator, degrees=12, shift=0.08, scale=(0.88, 1.12), shear=0.15)
    return Warp(affine, random_elastic(count, generator, deviation=0.05, knots=7))


def _clothes(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=0, shift=0.07, scale=(0.95, 1.05), flip=True))


def _photos(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=5, shift=0.1, scale=(0.95, 1.25), flip=True))


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
    "scenes": _scenes,
    "objects": _objects,
}
PLAIN = {"clothes": "flips", "photos": "flips", "objects": "flips"}
"""What is left of an augmentation where images are to be distributed as the test's: a mirrored photograph is one."""
_COLOUR_JITTER = partial(random_colours, brightness=0.2, contrast=0.4, saturation=0.5, tint=0.1)
COLOURS: dict[str, Callable[[int, Generator], Colours]] = {"scenes": _COLOUR_JITTER, "objects": _COLOUR_JITTER}
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
