"""How fast glassnet trains reconstructing networks beside a plain fp32 loop, both in turns in this one run.

    python benchmarks/reconstruction.py --data-root DIR
    python benchmarks/reconstruction.py --data mnist-sample --turns 1        # a trial

The plain loop is what one would write by hand: the same network in fp32 and the usual memory format, all images as one
tensor, noise drawn anew for each batch, the same loss, `torch.optim.AdamW` as it comes. glassnet's is `glassnet train`
in the precision that it chooses, with its averaged weights; its images per second are those of the training alone.
Each turn trains two epochs, of which the first is a warm-up.
"""

import argparse
import platform
import statistics
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from results_file import machine, save
from torch import Tensor, nn

import glassnet as gn
from glassnet.devices import keep_freed_memory
from glassnet.tasks.elbo import LIKELIHOODS, kl_per_dimension

HERE = Path(__file__).parent
NETWORKS = {
    "autoencoder_fc": ("latent=256",),
    "vae_conv": ("spatial=true", "latent=16"),
    "vae_deep": ("spatial=true", "latent=16"),
}
NOISE = 0.3
EPOCHS = 2


def main() -> None:
    """Measure each network in turns, save after each turn, print medians with their spread, and the ratio."""
    arguments = _arguments()
    keep_freed_memory()
    dataset = gn.load_dataset(arguments.data, root=arguments.data_root)
    images = dataset.train.images[: arguments.images]
    results = {
        "asked": {"data": arguments.data, "images": len(images), "batch_size": arguments.batch_size},
        "machine": machine() | {"threads": torch.get_num_threads()},
        "versions": {"python": platform.python_version(), "glassnet": version("glassnet"), "torch": torch.__version__},
        "date": date.today().isoformat(),
        "images_per_second": {name: {"glassnet": [], "plain": []} for name in NETWORKS},
    }
    for _ in range(arguments.turns):
        for name, options in NETWORKS.items():
            found = results["images_per_second"][name]
            found["plain"].append(_plain(name, options, images, arguments.batch_size))
            found["glassnet"].append(_glassnet(name, options, arguments))
            save(results, arguments.out)
    for name, found in results["images_per_second"].items():
        ratios = [ours / theirs for ours, theirs in zip(found["glassnet"], found["plain"], strict=True)]
        told = {**found, "ratio": ratios}
        print(name, *(f"{what}: {statistics.median(v):.2f} [{min(v):.2f}, {max(v):.2f}]" for what, v in told.items()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-root", type=Path, help="where it lies or is downloaded to")
    parser.add_argument("--images", type=int, default=60_000, help="training images of the plain loop, at most")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "reconstruction.json")
    return parser.parse_args()


def _glassnet(name: str, options: tuple[str, ...], arguments: argparse.Namespace) -> float:
    """Train by glassnet; return the images per second of the last epoch's training."""
    with tempfile.TemporaryDirectory() as folder:
        settings = gn.TrainSettings(
            data=arguments.data, data_root=arguments.data_root, model=name, model_options=options, augment=False,
            noise=f"gaussian:{NOISE}", epochs=EPOCHS, batch_size=arguments.batch_size, learning_rate=0.003,
            out=Path(folder) / "run",
        )  # fmt: skip
        run = gn.train(settings)
        whole = run.manifest["data"]["train"] // arguments.batch_size * arguments.batch_size
        return whole / run.history[-1]["train_seconds"]


def _plain(name: str, options: tuple[str, ...], images: Tensor, batch_size: int) -> float:
    """Train by a plain loop in fp32; return the images per second of the last epoch."""
    torch.manual_seed(0)
    from glassnet.models import parse_options

    size, channels = images.shape[2], images.shape[1]
    model = gn.create_model(name, in_channels=channels, image_size=size, **parse_options(name, options))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    seconds = 0.0
    for _ in range(EPOCHS):
        begun = time.perf_counter()
        batches = torch.randperm(len(images)).split(batch_size)
        batches = batches[: len(images) // batch_size]
        for batch in batches:
            _step(model, optimizer, images[batch].float() / 255)
        seconds = time.perf_counter() - begun
    return len(batches) * batch_size / seconds


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, clean: Tensor) -> None:
    output = model((clean + NOISE * torch.randn_like(clean)).clamp(0, 1))
    loss = LIKELIHOODS[output.likelihood](output.logits, clean, output.log_deviation).mean()
    if output.log_variance is not None:
        loss = loss + kl_per_dimension(output.mean, output.log_variance).sum(dim=1).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


if __name__ == "__main__":
    main()
