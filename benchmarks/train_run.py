"""One training by one contender in a process of its own: prints the seconds of each epoch and the test accuracy.

All train the same network from the same weights on the same images, with the same kind of augmentation, optimizer and
schedule; what differs is how the images reach the network, who writes the loop, and the precision.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from math import cos, radians, sin
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from glassnet import experiment
from glassnet.data import Split
from glassnet.data.split import hold_out
from glassnet.devices import autocast, choose_precision
from glassnet.settings import TrainSettings

DEGREES, SHIFT, SCALE, SHEAR = 12, 0.08, (0.88, 1.12), 0.15  # as glassnet draws them for digits


def main() -> None:
    arguments = _arguments()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    random.seed(arguments.seed)
    settings = experiment.resolve(
        TrainSettings(
            data=arguments.data,
            data_root=arguments.data_root,
            model_options=(f"filters={arguments.filters}",),
            seed=arguments.seed,
        )
    )
    parts = experiment.build(settings)
    split, _ = hold_out(parts.dataset.train, arguments.validation, seed=arguments.seed)
    split = Split(split.images[: arguments.images], split.targets[: arguments.images])
    torch.manual_seed(arguments.seed)
    model = parts.model.to(arguments.device)
    seconds = CONTENDERS[arguments.contender](model, split, settings, arguments)
    accuracy = _accuracy(model, parts.dataset.test, arguments.device) if arguments.test else None
    answer = {"epoch_seconds": seconds, "images": _images(split, arguments), "test_accuracy": accuracy}
    json.dump(answer | {"precision": _precision(arguments.contender, arguments.device)}, sys.stdout)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--images", type=int, help="train on the first so many")
    parser.add_argument("--validation", type=float, default=0.1, help="share that no contender trains on")
    parser.add_argument("--filters", default="32,32,64,64")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test", action="store_true", help="measure the test accuracy at the end")
    return parser.parse_args()


class Pictures(Dataset):
    """PIL images, each turned, shifted, scaled and sheared when it is asked for: what a tutorial shows."""

    def __init__(self, split: Split) -> None:
        self.pictures = [Image.fromarray(image) for image in split.images[:, 0].numpy()]
        self.targets = split.targets.tolist()

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = self.pictures[index]
        side = picture.width
        angle, size = radians(random.uniform(-DEGREES, DEGREES)), random.uniform(*SCALE)
        slant = random.uniform(-SHEAR, SHEAR)
        across, down = (random.uniform(-SHIFT, SHIFT) * side for _ in range(2))
        a, b = cos(angle) / size, (slant * cos(angle) - sin(angle)) / size
        d, e = sin(angle) / size, (slant * sin(angle) + cos(angle)) / size
        middle = side / 2
        c = middle - a * middle - b * middle + across
        f = middle - d * middle - e * middle + down
        picture = picture.transform(picture.size, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(picture)).float().div(255)[None], self.targets[index]


def tutorial(model: nn.Module, split: Split, settings: TrainSettings, arguments: argparse.Namespace) -> list[float]:
    """PIL images, a DataLoader with workers that stay, per-sample transforms, fp32."""
    loader = DataLoader(
        Pictures(split),
        batch_size=arguments.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=arguments.workers,
        persistent_workers=arguments.workers > 0,
    )
    return _loop(model, lambda: iter(loader), len(loader), settings, arguments)


def tensors(model: nn.Module, split: Split, settings: TrainSettings, arguments: argparse.Namespace) -> list[float]:
    """All images as one tensor, a shuffled index, the augmentation for a whole batch, fp32."""
    return _loop(model, *_batches(split, arguments), settings, arguments)


def fair(model: nn.Module, split: Split, settings: TrainSettings, arguments: argparse.Namespace) -> list[float]:
    """Plain PyTorch by a practised hand: as `tensors`, with channels last, fused AdamW, and bf16 where it is faster."""
    model.to(memory_format=torch.channels_last)
    return _loop(model, *_batches(split, arguments), settings, arguments, torch.channels_last, fused=True)


def _batches(split: Split, arguments: argparse.Namespace) -> tuple[Callable[[], Iterator[tuple[Tensor, Tensor]]], int]:
    """Return what passes over the images in memory, augmented, in a new order each time, and its number of batches."""
    images, targets = _in_memory(split, arguments.device)
    size = arguments.batch_size

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(images), device=images.device)
        for start in range(0, len(images) - size + 1, size):
            chosen = order[start : start + size]
            yield augment(images[chosen]), targets[chosen]

    return batches, len(images) // size


def lightning(model: nn.Module, split: Split, settings: TrainSettings, arguments: argparse.Namespace) -> list[float]:
    """Lightning's Trainer over tensors in memory, fp32."""
    return _lightning(model, split, settings, arguments, "32-true")


def lightning_bf16(
    model: nn.Module, split: Split, settings: TrainSettings, arguments: argparse.Namespace
) -> list[float]:
    """Lightning's Trainer over tensors in memory, in its mixed bf16."""
    return _lightning(model, split, settings, arguments, "bf16-mixed")


def _lightning(
    model: nn.Module, split: Split, settings: TrainSettings, arguments: argparse.Namespace, precision: str
) -> list[float]:
    import logging

    from lightning import Callback, LightningModule, Trainer

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    dataset = TensorDataset(*_in_memory(split, "cpu"))
    workers = arguments.workers
    loader = DataLoader(
        dataset, arguments.batch_size, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )

    class Net(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            images, targets = batch
            return F.cross_entropy(self.net(augment(images)), targets)

        def configure_optimizers(self) -> dict:
            optimizer, schedule = _optimizer(model, settings, arguments.epochs * len(loader))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    class Clock(Callback):
        def __init__(self) -> None:
            self.seconds: list[float] = []

        def on_train_epoch_start(self, *_: object) -> None:
            self.begun = _now(arguments.device)

        def on_train_epoch_end(self, *_: object) -> None:
            self.seconds.append(_now(arguments.device) - self.begun)

    clock = Clock()
    trainer = Trainer(
        max_epochs=arguments.epochs,
        accelerator="gpu" if arguments.device == "cuda" else "cpu",
        devices=1,
        precision=precision,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Net(), loader)
    model.to(arguments.device)
    return clock.seconds


CONTENDERS: dict[str, Callable] = {
    "tutorial": tutorial,
    "tensors": tensors,
    "fair": fair,
    "lightning": lightning,
    "lightning-bf16": lightning_bf16,
}


def _loop(
    model: nn.Module,
    batches: Callable[[], Iterator[tuple[Tensor, Tensor]]],
    steps: int,
    settings: TrainSettings,
    arguments: argparse.Namespace,
    layout: torch.memory_format = torch.contiguous_format,
    *,
    fused: bool | None = None,
) -> list[float]:
    """The loop that every tutorial shows; return the seconds of each epoch."""
    device, precision = torch.device(arguments.device), _precision(arguments.contender, arguments.device)
    optimizer, schedule = _optimizer(model, settings, arguments.epochs * steps, fused=fused)
    model.train()
    seconds = []
    for _ in range(arguments.epochs):
        begun = _now(arguments.device)
        for images, targets in batches():
            with autocast(device, precision):
                logits = model(images.to(device, memory_format=layout))
                loss = F.cross_entropy(logits, targets.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        seconds.append(_now(arguments.device) - begun)
    return seconds


def _precision(contender: str, device: str) -> str:
    if contender == "fair":
        return choose_precision("auto", torch.device(device))
    return "bf16" if contender.endswith("bf16") else "fp32"


def _optimizer(model: nn.Module, settings: TrainSettings, steps: int, *, fused: bool | None = None) -> tuple:
    rate, decay = settings.learning_rate, settings.weight_decay
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay, fused=fused)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=max(2, steps))


def augment(images: Tensor) -> Tensor:
    """Turn, shift, scale and shear each image of a batch by its own random map."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(len(images), device=images.device).uniform_(low, high)

    angle, size, slant = torch.deg2rad(uniform(-DEGREES, DEGREES)), uniform(*SCALE), uniform(-SHEAR, SHEAR)
    across, down = uniform(-2 * SHIFT, 2 * SHIFT), uniform(-2 * SHIFT, 2 * SHIFT)
    cosine, sine = angle.cos() / size, angle.sin() / size
    rows = (cosine, slant * cosine - sine, across, sine, slant * sine + cosine, down)
    maps = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _in_memory(split: Split, device: str) -> tuple[Tensor, Tensor]:
    return split.images.float().div(255).to(device), split.targets.to(device)


def _images(split: Split, arguments: argparse.Namespace) -> int:
    """Images that an epoch trains on: full batches only."""
    return len(split) // arguments.batch_size * arguments.batch_size


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _accuracy(model: nn.Module, test: Split, device: str) -> float:
    model.eval()
    with torch.inference_mode():
        hits = [
            (model(images.float().div(255).to(device)).argmax(1).cpu() == targets).sum()
            for images, targets in zip(test.images.split(500), test.targets.split(500), strict=True)
        ]
    return int(sum(hits)) / len(test)


if __name__ == "__main__":
    main()
