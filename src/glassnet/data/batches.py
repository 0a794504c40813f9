"""Batches cut from one tensor in memory and augmented on the device: no worker processes, no per-image calls.

All randomness comes from one generator on the CPU and is drawn for the whole batch, so that a batch is the same on
every device, and a process that takes only its part of the batch takes the very images that one process alone would.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor

from glassnet.data.dataset import Split
from glassnet.errors import InputError

Images = Float[Tensor, "batch channel height width"]
Augmentation = Callable[[int, Generator], Float[Tensor, "batch 2 3"]]


def to_float(images: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Map grey values 0..255 to [0, 1]."""
    return images.float().div_(255)


def random_affine(
    count: int,
    generator: Generator,
    *,
    degrees: float,
    shift: float,
    scale: tuple[float, float],
    shear: float = 0.0,
    flip: bool = False,
) -> Float[Tensor, "count 2 3"]:
    """Draw affine maps from output to input coordinates, both from -1 to 1 over the image.

    Args:
        count: Number of maps.
        generator: Source of randomness, on the CPU.
        degrees: Largest rotation either way.
        shift: Largest shift along each axis, as a share of the image's side.
        scale: Smallest and largest magnification.
        shear: Largest horizontal shear, as a tangent.
        flip: Mirror half of the images left to right.
    """

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(count).uniform_(low, high, generator=generator)

    angle = uniform(-degrees, degrees).deg2rad()
    size, slant = uniform(*scale), uniform(-shear, shear)
    mirror = (torch.rand(count, generator=generator) < 0.5).float().mul(-2).add(1) if flip else torch.ones(count)
    cosine, sine = angle.cos() / size, angle.sin() / size
    across, down = uniform(-2 * shift, 2 * shift), uniform(-2 * shift, 2 * shift)
    first = torch.stack([mirror * cosine, slant * cosine - sine, across], dim=1)
    second = torch.stack([mirror * sine, slant * sine + cosine, down], dim=1)
    return torch.stack([first, second], dim=1)


def warp(images: Images, maps: Float[Tensor, "batch 2 3"]) -> Images:
    """Resample each image bilinearly under its affine map; what comes from outside is 0."""
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _digits(count: int, generator: Generator) -> Tensor:
    return random_affine(count, generator, degrees=12, shift=0.08, scale=(0.88, 1.12), shear=0.15)


def _clothes(count: int, generator: Generator) -> Tensor:
    return random_affine(count, generator, degrees=0, shift=0.07, scale=(0.95, 1.05), flip=True)


def _photos(count: int, generator: Generator) -> Tensor:
    return random_affine(count, generator, degrees=5, shift=0.1, scale=(0.95, 1.25), flip=True)


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
        maps = draw(len(batch), generator) if draw else None
        mine = slice(rank * len(batch) // processes, (rank + 1) * len(batch) // processes)
        chosen = batch[mine].to(split.images.device)
        images, targets = to_float(split.images[chosen].to(device)), split.targets[chosen].to(device)
        yield warp(images, maps[mine].to(device)) if maps is not None else images, targets


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
