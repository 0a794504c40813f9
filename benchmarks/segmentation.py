"""How fast glassnet trains segmentation networks beside plain fp32 loops in this one run, and how long its cache takes.

    python benchmarks/segmentation.py --data-root DIR --cache
    python benchmarks/segmentation.py --data digit-scenes --images 64 --rounds 1      # a trial

glassnet's is `gn.train` itself in the precision that it chooses: averaged weights, schedule, checks and all; its images
per second are those of the training alone. The plain loops (segmentation_peers.py) train the same network from the same
weights on the same images in batches of the same size, with the same kind of augmentation, in fp32 and the memory
format as it is, by AdamW as it comes: with each image augmented by itself in the loop, the same in two worker processes
of a DataLoader, and with glassnet's own augmentation of whole batches. Every contender trains two epochs a round, of
which the first warms up; every other round takes them in the reverse order.
"""

import argparse
import dataclasses
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from results_file import machine, save
from segmentation_peers import EPOCHS, PEERS, Training

import glassnet as gn
from glassnet import experiment
from glassnet.data import DATASETS, Dataset, data_root
from glassnet.data.split import hold_out
from glassnet.devices import choose_device, keep_freed_memory
from glassnet.tasks import TASKS

HERE = Path(__file__).parent
PART = "benchmark-part"
RECIPE = TASKS["segmentation"].recipe
HELD_OUT = 32
"""Images to validate and to test on, which is not timed; a training cannot be without."""


def main() -> None:
    """Measure every network in rounds, save after each, and print medians with their spread and the ratios."""
    arguments = _arguments()
    keep_freed_memory()
    dataset = _part(arguments)
    DATASETS[PART] = dataclasses.replace(DATASETS[arguments.data], load=lambda *_: dataset)
    results = {
        "asked": {key: value for key, value in vars(arguments).items() if key not in ("data_root", "out")},
        "data": dataset.note,
        "machine": machine() | {"threads": torch.get_num_threads()},
        "versions": {"python": platform.python_version(), "glassnet": version("glassnet"), "torch": torch.__version__},
        "date": date.today().isoformat(),
        "cache_seconds": _cache(arguments) if arguments.cache else None,
        "models": {},
    }
    found = {model: {name: [] for name in ("glassnet", *PEERS)} for model in arguments.models}
    for number in range(arguments.rounds):
        for model, rates in found.items():
            contenders = _contenders(model, arguments, dataset)
            for name in list(contenders)[:: 1 if number % 2 == 0 else -1]:
                rates[name].append(contenders[name]())
            results["models"][model] = _summed_up(rates)
            save(results, arguments.out)
    for model, summary in results["models"].items():
        _print(model, summary)
    print(f"cache: {results['cache_seconds']} s; written: {arguments.out}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="voc-aug", help="data set of masks whose training images are augmented")
    parser.add_argument("--data-root", type=Path, help="where it lies or is downloaded to")
    parser.add_argument("--models", nargs="+", default=["fcn8_small", "unet_small"])
    parser.add_argument("--batch-size", type=int, default=RECIPE.batch_size)
    parser.add_argument("--images", type=int, default=384, help="images of an epoch, a multiple of the batch size")
    parser.add_argument("--learning-rate", type=float, default=RECIPE.learning_rate)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cache", action="store_true", help="time making voc-aug's cache anew, in a folder of its own")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "segmentation.json")
    arguments = parser.parse_args()
    if arguments.images % arguments.batch_size or arguments.images < arguments.batch_size:
        parser.error(f"--images is {arguments.images}, expected a multiple of --batch-size, {arguments.batch_size}")
    return arguments


def _part(arguments: argparse.Namespace) -> Dataset:
    """Take so many training images that the part to learn from is --images of them, and few to test on."""
    whole = gn.load_dataset(arguments.data, root=arguments.data_root)
    count = arguments.images + HELD_OUT
    if len(whole.train) < count:
        raise SystemExit(f"{arguments.data} has {len(whole.train)} training images, of which --images needs {count}.")
    train = whole.train.subset(torch.arange(count))
    test = whole.test.subset(torch.arange(min(HELD_OUT, len(whole.test))))
    return dataclasses.replace(whole, train=train, test=test)


def _contenders(model: str, arguments: argparse.Namespace, dataset: Dataset) -> dict[str, Callable[[], float]]:
    """Return what trains the network by each of the ways; each gives images per second."""
    settings = gn.TrainSettings(
        data=PART, model=model, epochs=EPOCHS, batch_size=arguments.batch_size, learning_rate=arguments.learning_rate,
        validation=HELD_OUT / len(dataset.train), device=arguments.device, data_root=arguments.data_root,
    )  # fmt: skip
    device = choose_device(arguments.device)
    learned, _ = hold_out(dataset.train, settings.validation, seed=settings.seed)
    training = Training(
        model=experiment.build(experiment.resolve(settings)).model, images=learned, augmentation=dataset.augmentation,
        batch_size=arguments.batch_size, learning_rate=arguments.learning_rate, device=device,
    )  # fmt: skip
    return {"glassnet": partial(_glassnet, settings), **{name: partial(peer, training) for name, peer in PEERS.items()}}


def _glassnet(settings: gn.TrainSettings) -> float:
    """Train by glassnet; return the images per second of the last epoch's training."""
    with tempfile.TemporaryDirectory() as folder:
        run = gn.train(dataclasses.replace(settings, out=Path(folder) / "run"))
        return run.manifest["data"]["train"] / run.history[-1]["train_seconds"]


def _summed_up(rates: dict[str, list[float]]) -> dict:
    """Return each contender's rates with their median and spread, and the ratios to each peer, round by round."""
    ratios = {
        name: [ours / theirs for ours, theirs in zip(rates["glassnet"], rates[name], strict=True)] for name in PEERS
    }
    return {
        "images_per_second": {name: _with_spread(values) for name, values in rates.items()},
        "glassnet / peer": {name: _with_spread(values) for name, values in ratios.items()},
    }


def _with_spread(values: list[float]) -> dict:
    return {"rounds": values, "median": statistics.median(values), "least": min(values), "most": max(values)}


def _print(model: str, summary: dict) -> None:
    for name, rate in summary["images_per_second"].items():
        ratio = summary["glassnet / peer"].get(name)
        told = "" if ratio is None else f"; glassnet / it {ratio['median']:.2f} ({_spread(ratio, '.2f')})"
        print(f"{model}, {name}: {rate['median']:.0f} images/s ({_spread(rate, '.0f')}){told}")


def _spread(value: dict, form: str) -> str:
    return f"{value['least']:{form}} - {value['most']:{form}}"


def _cache(arguments: argparse.Namespace) -> float:
    """Make the cache of the archives anew, beside links to them, so that the user's own stays."""
    root = data_root(arguments.data_root).resolve()
    with tempfile.TemporaryDirectory() as name:
        for part in ("voc2012", "sbd"):
            (Path(name) / part).symlink_to(root / part)
        begun = time.perf_counter()
        gn.load_dataset("voc-aug", root=name)
        seconds = time.perf_counter() - begun
        shutil.rmtree(Path(name) / "cache")
    return round(seconds, 1)


if __name__ == "__main__":
    main()
