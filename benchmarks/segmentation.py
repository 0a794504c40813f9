"""How fast a segmentation network trains beside a plain fp32 loop in the same process, and how long its cache takes.

    python benchmarks/segmentation.py --data-root DATA --out benchmarks/results/segmentation.json

Both contenders train the same network from the same weights on the same batches of the same size with the same
augmentation and AdamW. The plain loop is what one writes down first: fp32, the memory format as it is, each image
augmented by itself with torch's grid_sample. Rounds of the two alternate, and the ratio is that of their medians.
"""

import argparse
import copy
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from results_file import machine, save
from torch import Tensor

from glassnet import experiment
from glassnet.data import VOID, Split, data_root, load_dataset
from glassnet.data.batches import AUGMENTATIONS, COLOURS, shuffled_batches
from glassnet.devices import autocast, choose_device, choose_precision, keep_freed_memory
from glassnet.settings import TrainSettings
from glassnet.versions import versions


def main() -> None:
    arguments = _arguments()
    keep_freed_memory()
    settings = TrainSettings(data=arguments.data, model=arguments.model, data_root=arguments.data_root)
    parts = experiment.build(settings)
    device = choose_device(arguments.device)
    precision = choose_precision("auto", device)
    split = parts.dataset.train.part(torch.arange(min(arguments.images, len(parts.dataset.train)))).to(device)
    contenders: dict[str, Callable[[], float]] = {
        "glassnet": _ours(parts, split, device, precision, arguments.batch_size),
        "plain": _plain(parts, split, device, arguments.batch_size),
    }
    for one in contenders.values():
        one()  # the first round also compiles kernels and touches memory
    rounds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(arguments.rounds):
        for name, one in contenders.items():
            rounds[name].append(one())
    medians = {name: statistics.median(found) for name, found in rounds.items()}
    results = {
        "model": arguments.model,
        "data": parts.dataset.note,
        "batch_size": arguments.batch_size,
        "precision": {"glassnet": precision, "plain": "fp32"},
        "images_per_second": rounds,
        "median": medians,
        "ratio": medians["glassnet"] / medians["plain"],
        "cache_seconds": _cache(arguments) if arguments.cache else None,
        "threads": torch.get_num_threads(),
        "machine": machine(),
        "versions": versions("torch", "numpy"),
    }
    save(results, arguments.out)
    print(
        f"{arguments.model}: {medians['glassnet']:.1f} images/s ({precision}), plain fp32 loop {medians['plain']:.1f}, "
        f"ratio {results['ratio']:.2f}; cache {results['cache_seconds']} s; written: {arguments.out}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="voc-aug")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--model", default="fcn8_small")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--images", type=int, default=512, help="images a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cache", action="store_true", help="also time making the cache, in a folder of its own")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/segmentation.json"))
    return parser.parse_args()


def _ours(
    parts: experiment.Experiment, split: Split, device: torch.device, precision: str, batch_size: int
) -> Callable[[], float]:
    model = copy.deepcopy(parts.model).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    generator = torch.Generator().manual_seed(0)

    def one_round() -> float:
        batches = shuffled_batches(
            split, batch_size=batch_size, generator=generator, device=device, augmentation=parts.dataset.augmentation
        )
        begun, seen = time.perf_counter(), 0
        for images, masks in batches:
            with autocast(device, precision):
                output = model(images.contiguous(memory_format=torch.channels_last)).float()
                loss, _ = parts.objective(output, masks, 0.0)
            _step(loss, optimizer)
            seen += len(images)
        return _rate(seen, begun, device)

    return one_round


def _plain(parts: experiment.Experiment, split: Split, device: torch.device, batch_size: int) -> Callable[[], float]:
    model = copy.deepcopy(parts.model).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)

    def one_round() -> float:
        begun, seen = time.perf_counter(), 0
        for images, masks in _one_by_one(split, parts.dataset.augmentation, batch_size, generator, device):
            loss = F.cross_entropy(model(images), masks, ignore_index=VOID)
            _step(loss, optimizer)
            seen += len(images)
        return _rate(seen, begun, device)

    return one_round


def _one_by_one(
    split: Split, augmentation: str, batch_size: int, generator: torch.Generator, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches whose images and masks are moved and coloured one after another, as a data set class does it."""
    order = torch.randperm(len(split), generator=generator)
    for chosen in order[: len(order) // batch_size * batch_size].view(-1, batch_size):
        pairs = [_augmented(*split.take(index[None]), augmentation, generator) for index in chosen]
        images, masks = (torch.cat(one).to(device) for one in zip(*pairs, strict=True))
        yield images, masks.long()


def _augmented(image: Tensor, mask: Tensor, augmentation: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    warp, colours = AUGMENTATIONS[augmentation](1, generator), COLOURS[augmentation](1, generator)
    grid = F.affine_grid(warp.affine, [1, 3, *image.shape[-2:]], align_corners=False).to(image.device)
    moved = F.grid_sample(image.float() / 255, grid, align_corners=False)
    shifted = mask.float()[:, None] - VOID
    classes = F.grid_sample(shifted, grid, mode="nearest", align_corners=False)[:, 0] + VOID
    coloured = torch.einsum("ij,jhw->ihw", colours.matrix[0].to(moved), moved[0])
    coloured = coloured + colours.offset[0, :, :, None].to(moved)
    return coloured.clamp(0, 1)[None], classes


def _step(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def _rate(seen: int, begun: float, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return seen / (time.perf_counter() - begun)


def _cache(arguments: argparse.Namespace) -> float:
    """Make the cache of the archives anew, beside links to them, so that the user's own stays."""
    root = data_root(arguments.data_root).resolve()
    with tempfile.TemporaryDirectory() as name:
        for part in ("voc2012", "sbd"):
            (Path(name) / part).symlink_to(root / part)
        begun = time.perf_counter()
        load_dataset("voc-aug", root=name)
        seconds = time.perf_counter() - begun
        shutil.rmtree(Path(name) / "cache")
    return round(seconds, 1)


if __name__ == "__main__":
    main()
