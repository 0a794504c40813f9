"""How fast glassnet trains reconstructing networks beside a plain fp32 loop, both in turns in this one run.

    python benchmarks/reconstruction.py --data-root DIR                        # all of MNIST
    python benchmarks/reconstruction.py --data-root DIR --images 4000          # under four minutes on two cores
    python benchmarks/reconstruction.py --data mnist-sample --images 1000 --turns 1        # a trial
    python benchmarks/reconstruction.py --photographs RUN RUN     # no speed: trained denoisers on whole photographs
    python benchmarks/reconstruction.py --test-images RUN RUN     # the same on test images, beside BM3D where installed

The plain loop is what one would write by hand: the same network in fp32 and the usual memory format, all images as one
tensor, noise drawn anew for each batch, the same loss, `torch.optim.AdamW` as it comes. glassnet's is `glassnet train`
in the precision that it chooses, with its averaged weights; its images per second are those of the training alone.
Both take the same number of images, in batches of the same size. Each turn trains two epochs, of which the first is a
warm-up, and the two change places from turn to turn. A ratio is that of the two rates of one turn. `unet_denoiser`
stands beside the report's three networks; its loss is minus the PSNR.

`--photographs` measures the PSNR of trained runs of images alone on scikit-image's photographs, in grey or in colour as
the run is, beside BM3D and non-local means; `--test-images` on the first 100 test images of a run's own data set
(reconstruction_photographs.py).
"""

import argparse
import dataclasses
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from reconstruction_photographs import (
    measure_photographs,
    measure_test_images,
    print_photographs,
    print_test_images,
)
from results_file import machine, save
from torch import Tensor, nn

import glassnet as gn
from glassnet.data import DATASETS, Dataset, Split
from glassnet.data.split import hold_out
from glassnet.devices import keep_freed_memory
from glassnet.models import parse_options
from glassnet.tasks.reconstruction.elbo import LIKELIHOODS, kl_per_dimension
from glassnet.tasks.reconstruction.learn import negative_psnr

HERE = Path(__file__).parent
NETWORKS = {
    "autoencoder_fc": ("latent=256",),
    "vae_conv": ("spatial=true", "latent=16"),
    "vae_deep": ("spatial=true", "latent=16"),
    "unet_denoiser": (),
}
NOISE = 0.3
EPOCHS = 2
VALIDATION = 0.02
"""Share that glassnet holds out; it is not trained on, and the plain loop does not see it either."""
TEST_IMAGES = 64
"""glassnet ends with a test, which is no part of the rate and need not take long."""
SHORTENED = "shortened"


def main() -> None:
    """Measure each network in turns, save after each turn, print medians with their spread, and the ratio."""
    arguments = _arguments()
    about = {"machine": machine(), "date": date.today().isoformat()}
    if arguments.photographs:
        results = measure_photographs(arguments.photographs, arguments.level, arguments.most)
        save(about | results, arguments.out)
        print_photographs(results)
        return
    if arguments.test_images:
        count = arguments.most or 100
        results = measure_test_images(arguments.test_images, arguments.level, count, arguments.data_root)
        save(about | results, arguments.out)
        print_test_images(results)
        return
    keep_freed_memory()
    dataset = _shortened(arguments)
    training, _ = hold_out(dataset.train, VALIDATION, seed=0)
    results = {
        "asked": {"data": arguments.data, "images": len(training), "batch_size": arguments.batch_size},
        "machine": machine() | {"threads": torch.get_num_threads()},
        "versions": {"python": platform.python_version(), "glassnet": version("glassnet"), "torch": torch.__version__},
        "date": date.today().isoformat(),
        "images_per_second": {name: {"plain": [], "glassnet": []} for name in NETWORKS},
        "summary": {},
    }
    for turn in range(arguments.turns):
        for name, options in NETWORKS.items():
            found = results["images_per_second"][name]
            rates = {
                "plain": lambda name=name, options=options: _plain(name, options, training.images, arguments),
                "glassnet": lambda name=name, options=options: _glassnet(name, options, arguments),
            }
            for who in sorted(rates, reverse=turn % 2 == 0):  # "plain" first, then "glassnet" first, in turns
                found[who].append(rates[who]())
            results["summary"][name] = _summary(found)
            save(results, arguments.out)
    for name, told in results["summary"].items():
        print(name, *(f"{what}: {v['median']:,.2f} [{v['low']:,.2f}, {v['high']:,.2f}]" for what, v in told.items()))


def _summary(found: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Return median, lowest and highest of both rates and of glassnet's over the plain loop's in the same turn."""
    ratios = [ours / theirs for ours, theirs in zip(found["glassnet"], found["plain"], strict=True)]
    return {
        what: {"median": statistics.median(values), "low": min(values), "high": max(values)}
        for what, values in {**found, "ratio": ratios}.items()
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-root", type=Path, help="where it lies or is downloaded to")
    parser.add_argument("--images", type=int, default=60_000, help="training images of both, at most")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--photographs", type=Path, nargs="+", default=[], help="runs to measure on photographs")
    parser.add_argument("--test-images", type=Path, nargs="+", default=[], help="runs to measure on their test images")
    parser.add_argument("--level", type=float, default=0.1, help="of the noise of these two")
    parser.add_argument("--most", type=int, help="so many photographs, all if not given; so many test images, or 100")
    parser.add_argument(
        "--out", type=Path, help="default results/reconstruction.json, ..._photographs.json, ..._test.json"
    )
    arguments = parser.parse_args()
    kind = "_photographs" if arguments.photographs else "_test" if arguments.test_images else ""
    arguments.out = arguments.out or HERE / "results" / f"reconstruction{kind}.json"
    if arguments.images < 2 * arguments.batch_size or arguments.turns < 1:
        parser.error("expected at least one turn, and images for two batches")
    return arguments


def _shortened(arguments: argparse.Namespace) -> Dataset:
    """Register the first images of the data set as one of their own, so that `glassnet train` takes them alone."""
    whole = gn.load_dataset(arguments.data, root=arguments.data_root)
    train, test = (
        Split(part.images[:count], part.targets[:count])
        for part, count in ((whole.train, arguments.images), (whole.test, TEST_IMAGES))
    )
    short = dataclasses.replace(whole, name=SHORTENED, train=train, test=test)
    DATASETS[SHORTENED] = dataclasses.replace(DATASETS[arguments.data], load=lambda _root, _size=None: short)
    return short


def _glassnet(name: str, options: tuple[str, ...], arguments: argparse.Namespace) -> float:
    """Train by glassnet; return the images per second of the last epoch's training."""
    with tempfile.TemporaryDirectory() as folder:
        settings = gn.TrainSettings(
            data=SHORTENED, data_root=arguments.data_root, model=name, model_options=options, augment=False,
            noise=f"gaussian:{NOISE}", epochs=EPOCHS, batch_size=arguments.batch_size, learning_rate=0.006,
            validation=VALIDATION, out=Path(folder) / "run",
        )  # fmt: skip
        run = gn.train(settings)
        whole = run.manifest["data"]["train"] // arguments.batch_size * arguments.batch_size
        return whole / run.history[-1]["train_seconds"]


def _plain(name: str, options: tuple[str, ...], images: Tensor, arguments: argparse.Namespace) -> float:
    """Train by a plain loop in fp32; return the images per second of the last epoch."""
    torch.manual_seed(0)
    size, channels, batch_size = images.shape[2], images.shape[1], arguments.batch_size
    model = gn.create_model(name, in_channels=channels, image_size=size, **parse_options(name, options))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.006)
    seconds = 0.0
    for _ in range(EPOCHS):
        begun = time.perf_counter()
        batches = torch.randperm(len(images)).split(batch_size)[: len(images) // batch_size]
        for batch in batches:
            _step(model, optimizer, images[batch].float() / 255)
        seconds = time.perf_counter() - begun
    return len(batches) * batch_size / seconds


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, clean: Tensor) -> None:
    output = model((clean + NOISE * torch.randn_like(clean)).clamp(0, 1))
    if isinstance(output, Tensor):
        loss = negative_psnr(output, clean).mean()
    else:
        loss = LIKELIHOODS[output.likelihood](output.logits, clean, output.log_deviation).mean()
    if getattr(output, "log_variance", None) is not None:
        loss = loss + kl_per_dimension(output.mean, output.log_variance).sum(dim=1).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


if __name__ == "__main__":
    main()
