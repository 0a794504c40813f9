"""Batches cut from one tensor in memory and augmented on the device: no worker processes, no per-image calls.

All randomness comes from one generator on the CPU and is drawn for the whole batch, so that a batch is the same on
every device, and a process that takes only its part of the batch takes the very images that one process alone would.
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor

from glassnet.data.dataset import Split
from glassnet.data.warps import Images, Warp, apply_warp, random_affine, random_bend
from glassnet.errors import InputError

Augmentation = Callable[[int, Generator], Warp]


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


AUGMENTATIONS: dict[str, Augmentation | None] = {
    "none": None,
    "digits": _digits,
    "clothes": _clothes,
    "photos": _photos,
}


def shuffled_batches(
    split: Split,
    *,
    batch_size: int,
    generator: Generator,
    device: torch.device,
    augmentation: str = "none",
    part: tuple[int, int] = (0, 1),
) -> Iterator[tuple[Images, Int64[Tensor, " batch"]]]:
    """Yield one pass of random full batches, augmented; what does not fill a batch waits for another pass.

    Args:
        split: Images and targets in memory; best on `device` already.
        batch_size: Images per batch over all processes; a split with fewer images makes one batch of them all.
        generator: Source of the order and of the augmentation, on the CPU.
        device: Where the batches go.
        augmentation: A key of AUGMENTATIONS.
        part: (rank, processes): which equal part of each batch this process takes.

    Raises:
        InputError: The batch cannot be split into equal parts.
    """
    draw = AUGMENTATIONS[augmentation]
    rank, processes = part
    for batch in batch_order(len(split.targets), batch_size, generator, processes):
        warp = draw(len(batch), generator) if draw else None
        mine = slice(rank * len(batch) // processes, (rank + 1) * len(batch) // processes)
        chosen = batch[mine].to(split.images.device)
        images, targets = to_float(split.images[chosen].to(device)), split.targets[chosen].to(device)
        yield apply_warp(images, warp[mine].to(device)) if warp is not None else images, targets


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
