"""What one writes by hand instead: plain fp32 loops that train a segmentation network, and give images per second."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from glassnet.data import Split
from glassnet.data.augment import AUGMENTATIONS, COLOURS
from glassnet.data.batches import shuffled_batches
from glassnet.images import VOID

EPOCHS = 2
"""Of each training; the first one warms up and is not counted."""


@dataclass(frozen=True)
class Training:
    """What all contenders are given alike.

    Attributes:
        model: With its random weights; each contender trains a copy.
        images: Images and masks to train on, a whole number of batches.
        augmentation: Kind of random change, a key of AUGMENTATIONS.
        batch_size: Images per step.
        learning_rate: Of AdamW.
        device: Where to compute.
    """

    model: nn.Module
    images: Split
    augmentation: str
    batch_size: int
    learning_rate: float
    device: torch.device


class Augmented(Dataset):
    """Images and masks that are changed one at a time when they are asked for, as data set classes usually do it."""

    def __init__(self, training: Training) -> None:
        self.images, self.augmentation = training.images, training.augmentation

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Move and colour one image by torch's global generator, which each worker has seeded for itself."""
        images, masks = self.images.take(torch.tensor([index]))
        random = torch.default_generator
        warp, colours = AUGMENTATIONS[self.augmentation](1, random), COLOURS[self.augmentation](1, random)
        grid = F.affine_grid(warp.affine, list(images.shape), align_corners=False)
        moved = F.grid_sample(images.float() / 255, grid, align_corners=False)[0]
        shifted = masks.float()[:, None] - VOID  # what comes from outside is 0, and shall be void
        classes = F.grid_sample(shifted, grid, mode="nearest", align_corners=False)[0, 0] + VOID
        coloured = torch.einsum("ij,jhw->ihw", colours.matrix[0], moved) + colours.offset[0, :, :, None]
        return coloured.clamp(0, 1), classes.long()


def one_by_one(training: Training, *, workers: int) -> float:
    """Train with a DataLoader that changes image by image, in the loop itself or in as many worker processes."""
    loader = DataLoader(
        Augmented(training), training.batch_size, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=workers > 0,
    )  # fmt: skip
    return _rate(training, lambda: loader)


def batched(training: Training) -> float:
    """Train on batches that are changed as a whole on the device, as glassnet does it."""
    generator = torch.Generator().manual_seed(0)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for images, masks in shuffled_batches(
            training.images, batch_size=training.batch_size, generator=generator, device=training.device,
            augmentation=training.augmentation,
        ):  # fmt: skip
            yield images, masks.long()

    return _rate(training, batches)


PEERS: dict[str, Callable[[Training], float]] = {
    "fp32, augmented one by one in the loop": partial(one_by_one, workers=0),
    "fp32, augmented one by one by 2 workers": partial(one_by_one, workers=2),
    "fp32, augmented in batches": batched,
}


def _rate(training: Training, batches: Callable[[], Iterable[tuple[Tensor, Tensor]]]) -> float:
    """Train EPOCHS epochs from the same weights; return the images per second of the last one."""
    torch.manual_seed(0)
    model = copy.deepcopy(training.model).to(training.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.learning_rate)
    seconds, seen = 0.0, 0
    for _ in range(EPOCHS):
        begun, seen = time.perf_counter(), 0
        for images, masks in batches():
            logits = model(images.to(training.device))
            loss = F.cross_entropy(logits, masks.to(training.device), ignore_index=VOID)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(images)
        if training.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begun
    return seen / seconds
