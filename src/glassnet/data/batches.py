"""Batches cut from one tensor in memory and augmented on the device: no worker processes, no per-image calls.

All randomness comes from one generator on the CPU and is drawn for the whole batch, so that a batch is the same on
every device, and a process that takes only its part of the batch takes the very images that one process alone would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor

from glassnet.data.colours import Colours, apply_colours, random_colours
from glassnet.data.dataset import BACKGROUND, VOID, Split
from glassnet.data.own_numbers import OwnNumbers
from glassnet.data.warps import Images, Warp, apply_warp, apply_warp_to_masks, random_affine, random_bend
from glassnet.errors import InputError

Augmentation = Callable[[int, Generator], Warp]
Batch = tuple[Images, Tensor]
"""What the model is given, and what it should have answered."""


@runtime_checkable
class Disturbance(Protocol):
    """A random change between the images and what the model is given, drawn apart from its doing.

    It is drawn for a whole batch on the CPU, image by image along the first dimension, and done to a part of it on the
    device: so every process draws alike, and does what is its own.
    """

    def draw(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Draw what changes images of this shape (n, channel, height, width); n rows."""

    def apply(self, images: Images, drawn: Tensor) -> Batch:
        """Return what the model is given, and what it should answer."""


def to_float(images: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Map grey values 0..255 to [0, 1]."""
    return images.float().div_(255)


def _digits(count: int, generator: Generator) -> Warp:
    affine = random_affine(count, generator, degrees=12, shift=0.08, scale=(0.88, 1.12), shear=0.15)
    return Warp(affine, random_bend(count, generator, deviation=0.05, knots=7))


def _clothes(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=0, shift=0.07, scale=(0.95, 1.05), flip=True))


def _photos(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=5, shift=0.1, scale=(0.95, 1.25), flip=True))


def _scenes(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=12, shift=0.1, scale=(0.8, 1.3)))


def _objects(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=10, shift=0.1, scale=(0.75, 1.6), flip=True))


def _unmoved(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=0, shift=0, scale=(1, 1)))


def _flips(count: int, generator: Generator) -> Warp:
    return Warp(random_affine(count, generator, degrees=0, shift=0, scale=(1, 1), flip=True))


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
_JITTER = partial(random_colours, brightness=0.2, contrast=0.4, saturation=0.5, tint=0.1)
COLOURS: dict[str, Callable[[int, Generator], Colours]] = {"scenes": _JITTER, "objects": _JITTER}
"""Changes of colour that go with some of the augmentations."""


def shuffled_batches(
    split: Split,
    *,
    batch_size: int,
    generator: Generator,
    device: torch.device,
    augmentation: str = "none",
    part: tuple[int, int] = (0, 1),
    disturbance: Disturbance | None = None,
    size: int | None = None,
    pasted: float = 0.0,
) -> Iterator[Batch]:
    """Yield one pass of random full batches, augmented; what does not fill a batch waits for another pass.

    A mask moves with its image, and is void where the image comes from outside. Pasted is all that a mask does not call
    background, of the image before in the batch, moved and recoloured on its own: objects with the void band about
    them. Where void stands for pixels without a label, these hide what is below them.

    Ghiasi et al. 2021, https://arxiv.org/abs/2012.07177, section 3, who paste some of the objects.

    Args:
        split: Images and targets; best on `device` already.
        batch_size: Images per batch over all processes; a split with fewer images makes one batch of them all.
        generator: Source of the order, of the augmentation and of the disturbance, on the CPU.
        device: Where the batches go.
        augmentation: A key of AUGMENTATIONS.
        part: (rank, processes): which equal part of each batch this process takes.
        disturbance: Takes the place of the targets by its own, made from the augmented images.
        size: Height and width of the images, and masks, in pixels; the split's own if not given.
        pasted: Share of the images, drawn at random, that the objects of another are pasted onto; needs masks.

    Raises:
        InputError: The batch cannot be split into equal parts.
    """
    draw, jitter = AUGMENTATIONS[augmentation], COLOURS.get(augmentation)
    rank, processes = part
    shape = (split.images.shape[1], *((size, size) if size else split.images.shape[2:]))
    if draw is None and shape != split.images.shape[1:]:
        draw = _unmoved

    def looks(count: int) -> _Look:
        return _Look(draw(count, generator) if draw else None, jitter(count, generator) if jitter else None)

    for batch in batch_order(len(split), batch_size, generator, processes):
        look = looks(len(batch))
        drawn = disturbance.draw((len(batch), *shape), generator) if disturbance else None
        mine = slice(rank * len(batch) // processes, (rank + 1) * len(batch) // processes)
        images, targets = _shown(split, batch[mine], look[mine], device, size, outside=VOID)
        if pasted:
            onto = (torch.rand(len(batch), generator=generator) < pasted)[mine].nonzero()[:, 0]
            others, look = batch.roll(1)[mine][onto], looks(len(batch))[mine][onto]
            if len(onto):
                objects = _shown(split, others, look, device, size, outside=BACKGROUND)
                _paste(images, targets, onto.to(device), *objects)
        if disturbance is not None and drawn is not None:
            images, targets = disturbance.apply(images, drawn[mine].to(device))
        yield images, targets


@dataclass(frozen=True)
class _Look:
    """How each image of a batch is augmented: where its pixels come from, and what becomes of their colours."""

    warp: Warp | None
    colours: Colours | None

    def __getitem__(self, part: slice | Tensor) -> _Look:
        return _Look(self.warp and self.warp[part], self.colours and self.colours[part])


def _shown(split: Split, places: Tensor, look: _Look, device: torch.device, size: int | None, *, outside: int) -> Batch:
    taken, targets = split.take(places.to(split.images.device))
    images, targets = to_float(taken.to(device)), targets.to(device)
    if look.warp is not None:
        warp = look.warp.to(device)
        if targets.ndim == 3:
            targets = apply_warp_to_masks(targets, warp, outside=outside, size=size)
        images = apply_warp(images, warp, size=size)
    return images if look.colours is None else apply_colours(images, look.colours.to(device)), targets


def _paste(
    images: Images,
    masks: UInt8[Tensor, "batch height width"],
    onto: Int64[Tensor, " pasted"],
    others: Float[Tensor, "pasted channel height width"],
    objects: UInt8[Tensor, "pasted height width"],
) -> None:
    """Put the objects of other images, and the void pixels about them, onto those at the places `onto`."""
    there = objects != BACKGROUND
    images[onto] = torch.where(there[:, None], others, images[onto])
    masks[onto] = torch.where(there, objects, masks[onto])


def require_background(split: Split) -> None:
    """Refuse masks in which objects could not be told from what is about them.

    Raises:
        InputError: No mask holds the background.
    """
    if not any((masks == BACKGROUND).any() for masks in split.target_parts()):
        raise InputError(
            f"--pasted takes class {BACKGROUND} for the background, which no training mask holds; leave --pasted out."
        )


def ordered_batches(
    split: Split,
    *,
    batch_size: int,
    device: torch.device,
    part: tuple[int, int] = (0, 1),
    disturbance: Disturbance | None = None,
    numbers: OwnNumbers | None = None,
) -> Iterator[Batch]:
    """Yield all images once, in order, as they are but for the disturbance.

    Each image is disturbed by numbers of its own, whatever the batches and processes.

    Args:
        split: Images and targets.
        batch_size: Images per batch of this process.
        device: Where the batches go.
        part: (rank, processes): which part of the images this process takes.
        disturbance: Takes the place of the targets by its own.
        numbers: What the disturbance is drawn from; needed with one.
    """
    for places in ordered_places(len(split), batch_size=batch_size, part=part):
        taken, targets = split.take(slice(places.start, places.stop))
        images, targets = to_float(taken.to(device)), targets.to(device)
        if disturbance is not None and numbers is not None:
            images, targets = disturbed(images, places, disturbance=disturbance, numbers=numbers)
        yield images, targets


def ordered_places(count: int, *, batch_size: int, part: tuple[int, int] = (0, 1)) -> list[range]:
    """Cut the places 0..count-1 into the batches of one process, in order: (rank, processes) is its part."""
    rank, processes = part
    mine = torch.arange(count).tensor_split(processes)[rank]
    return [range(int(batch[0]), int(batch[-1]) + 1) for batch in mine.split(batch_size) if len(batch)]


def disturbed(images: Images, places: Sequence[int], *, disturbance: Disturbance, numbers: OwnNumbers) -> Batch:
    """Disturb images by the numbers of their places in their split; see `ordered_batches`."""
    shape = (1, *images.shape[1:])
    drawn = [disturbance.draw(shape, generator) for generator in numbers.generators(places, "input")]
    return disturbance.apply(images, torch.cat(drawn).to(images.device))


def batch_order(count: int, batch_size: int, generator: Generator, processes: int = 1) -> list[Int64[Tensor, " batch"]]:
    """Shuffle the indices 0..count-1 and cut them into full batches.

    Raises:
        InputError: The batch cannot be split equally over the processes.
    """
    size = min(batch_size, count)
    if size % processes:
        raise InputError(f"a batch of {size} images does not split over {processes} processes; give a multiple of it.")
    order = torch.randperm(count, generator=generator)
    return list(order[: count // size * size].view(-1, size))
