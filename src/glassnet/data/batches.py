"""Batches cut from one tensor in memory and augmented on the device: no worker processes, no per-image calls.

All randomness comes from one generator on the CPU and is drawn for the whole batch, so that a batch is the same on
every device, and a process that takes only its part of the batch takes the very images that one process alone would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor

from glassnet.data.augment import Transform, apply_colours, random_transform
from glassnet.data.augment.warps import Images, apply_warp, apply_warp_to_masks
from glassnet.data.dataset import Split
from glassnet.errors import InputError
from glassnet.images import BACKGROUND, VOID, to_float
from glassnet.rng import PerImageRNG

Batch = tuple[Images, Tensor]
"""What the model is given, and what it should have answered."""


@runtime_checkable
class Corruption(Protocol):
    """A random change between the images and what the model is given, drawn apart from its doing.

    It is drawn for a whole batch on the CPU, image by image along the first dimension, and done to a part of it on the
    device: so every process draws alike, and does what is its own.
    """

    def draw(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Draw what changes images of this shape (n, channel, height, width); n rows."""

    def apply(self, images: Images, drawn: Tensor) -> Batch:
        """Return what the model is given, and what it should answer."""


def shuffled_batches(
    split: Split,
    *,
    batch_size: int,
    generator: Generator,
    device: torch.device,
    augmentation: str = "none",
    part: tuple[int, int] = (0, 1),
    corruption: Corruption | None = None,
    size: int | None = None,
    copy_paste: float = 0.0,
) -> Iterator[Batch]:
    """Yield one pass of random full batches, augmented; what does not fill a batch waits for another pass.

    A mask moves with its image, and is void where the image comes from outside. Pasted is all that a mask does not call
    background, of the image before in the batch, moved and recoloured on its own: objects with the void band about
    them. Where void stands for pixels without a label, these hide what is below them.

    Ghiasi et al. 2021, https://arxiv.org/abs/2012.07177, section 3, who paste some of the objects.

    Args:
        split: Images and targets; best on `device` already.
        batch_size: Images per batch over all processes; a split with fewer images makes one batch of them all.
        generator: Source of the order, of the augmentation and of the corruption, on the CPU.
        device: Where the batches go.
        augmentation: A key of AUGMENTATIONS.
        part: (rank, processes): which equal part of each batch this process takes.
        corruption: Takes the place of the targets by its own, made from the augmented images.
        size: Height and width of the images, and masks, in pixels; the split's own if not given.
        copy_paste: Share of the images, drawn at random, that the objects of another are pasted onto; needs masks.

    Raises:
        InputError: The batch cannot be split into equal parts.
    """
    rank, processes = part
    channels, height, width = split.image_shape
    shape = (channels, size or height, size or width)
    resized = shape != split.image_shape
    for batch in batch_order(len(split), batch_size, generator, processes):
        transform = random_transform(augmentation, len(batch), generator, resized=resized)
        drawn = corruption.draw((len(batch), *shape), generator) if corruption else None
        mine = slice(rank * len(batch) // processes, (rank + 1) * len(batch) // processes)
        images, targets = _transformed(split, batch[mine], transform[mine], device, size, outside=VOID)
        if copy_paste:
            onto = (torch.rand(len(batch), generator=generator) < copy_paste)[mine].nonzero()[:, 0]
            others = batch.roll(1)[mine][onto]
            transform = random_transform(augmentation, len(batch), generator, resized=resized)[mine][onto]
            if len(onto):
                objects = _transformed(split, others, transform, device, size, outside=BACKGROUND)
                _paste(images, targets, onto.to(device), *objects)
        if corruption is not None and drawn is not None:
            images, targets = corruption.apply(images, drawn[mine].to(device))
        yield images, targets


def _transformed(
    split: Split, places: Tensor, transform: Transform, device: torch.device, size: int | None, *, outside: int
) -> Batch:
    taken, targets = split.take(places)
    images, targets = to_float(taken.to(device)), targets.to(device)
    if transform.warp is not None:
        warp = transform.warp.to(device)
        if targets.ndim == 3:
            targets = apply_warp_to_masks(targets, warp, outside=outside, size=size)
        images = apply_warp(images, warp, size=size)
    if transform.colours is not None:
        images = apply_colours(images, transform.colours.to(device))
    return images, targets


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
    """Refuse masks without a background class to separate the objects from.

    Raises:
        InputError: No mask holds the background.
    """
    if not any((masks == BACKGROUND).any() for masks in split.target_parts()):
        raise InputError(
            f"--copy-paste takes class {BACKGROUND} for the background, which no training mask holds; leave it out."
        )


def ordered_batches(
    split: Split,
    *,
    batch_size: int,
    device: torch.device,
    part: tuple[int, int] = (0, 1),
    corruption: Corruption | None = None,
    rng: PerImageRNG | None = None,
) -> Iterator[Batch]:
    """Yield all images once, in order, as they are but for the corruption.

    Each image is corrupted by random numbers of its own, whatever the batches and processes.

    Args:
        split: Images and targets.
        batch_size: Images per batch of this process.
        device: Where the batches go.
        part: (rank, processes): which part of the images this process takes.
        corruption: Takes the place of the targets by its own.
        rng: What the corruption is drawn from; needed with one.
    """
    for places in ordered_places(len(split), batch_size=batch_size, part=part):
        taken, targets = split.take(slice(places.start, places.stop))
        images, targets = to_float(taken.to(device)), targets.to(device)
        if corruption is not None and rng is not None:
            images, targets = corrupt(images, places, corruption=corruption, rng=rng)
        yield images, targets


def ordered_places(count: int, *, batch_size: int, part: tuple[int, int] = (0, 1)) -> list[range]:
    """Cut the places 0..count-1 into the batches of one process, in order: (rank, processes) is its part."""
    rank, processes = part
    mine = torch.arange(count).tensor_split(processes)[rank]
    return [range(int(batch[0]), int(batch[-1]) + 1) for batch in mine.split(batch_size) if len(batch)]


def corrupt(images: Images, places: Sequence[int], *, corruption: Corruption, rng: PerImageRNG) -> Batch:
    """Corrupt images by the random numbers of their places in their split; see `ordered_batches`."""
    shape = (1, *images.shape[1:])
    drawn = [corruption.draw(shape, generator) for generator in rng.generators(places, "input")]
    return corruption.apply(images, torch.cat(drawn).to(images.device))


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
