"""How fast channels are looked at: each part against plain passes of the same network in the same process.

    python benchmarks/channels.py                        all parts, on MNIST's 10,000 test images
    python benchmarks/channels.py --part top --repeats 5

`top`: the strongest images, and all figures by class, of every channel of all layers of `vgg16` at 32 pixels, against
one plain pass: that of `gn.predict`, in the batch size in which it is fastest here.
`ablation`: every channel of `conv4` of `convnet` set to zero, against as many evaluations of the whole network.
`visualize`: pictures of every channel of `conv4`, at once against one after another.

What is compared is timed by turns, `--repeats` times, and each ratio is of one turn: the median, the least and the most
of them are written. Weights are random: speed does not depend on them.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from results_file import measure
from torch import nn

import glassnet as gn
from glassnet.microscope.detectors import Maxima, auroc


def by_turns(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Time several works one after the other, again and again, so that all meet the same load."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    return times


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, least and most."""
    found = np.asarray(list(values))
    named = {"median": np.median(found), "least": found.min(), "most": found.max()}
    return {"n": len(found), **{name: round(float(one), 4) for name, one in named.items()}}


def network(name: str, size: int) -> torch.nn.Module:
    """Build a network with random weights and statistics."""
    torch.manual_seed(0)
    return gn.create_model(name, in_channels=1, num_classes=10, image_size=size).eval()


def ablation(options: argparse.Namespace) -> dict:
    """All channels of conv4 set to zero, against an evaluation for each."""
    net, test = network("convnet", 28), gn.load_dataset("mnist").test
    images, labels = test.images[: options.images], test.targets[: options.images]
    channels = net.conv4.out_channels
    gn.ablate(net, images[:512], labels[:512], "conv4")  # imports
    works = {"evaluation": lambda: gn.predict(net, images), "ablation": lambda: gn.ablate(net, images, labels, "conv4")}
    times = by_turns(works, options.repeats)
    ratios = [ablated / (channels * one) for one, ablated in zip(*times.values(), strict=True)]
    return {
        "images": len(images),
        "channels": channels,
        **{f"{name}_seconds": spread(one) for name, one in times.items()},
        "share_of_as_many_evaluations": spread(ratios),
        "aim": 0.25,
    }


def visualize(options: argparse.Namespace) -> dict:
    """All channels of conv4 visualised at once, against one after another, with and without real images to beat.

    One after another, `--singly` of them are timed, evenly spread, and counted for all.
    """
    net, test = network("convnet", 28), gn.load_dataset("mnist").test
    count = net.conv4.out_channels
    chosen = range(0, count, count // options.singly)
    found = {"channels": count, "timed_singly": len(chosen), "aim": 10}
    gn.visualize(net, "conv4", size=28, steps=2)  # imports
    for name, real in (("alone", None), ("against_real_images", test.images[: options.images])):
        settings = {"size": 28, "real": real, "objective": "neuron"}
        works = {
            "together": lambda given=settings: gn.visualize(net, "conv4", **given),
            "singly": lambda given=settings: [gn.visualize(net, "conv4", [one], **given) for one in chosen],
        }
        times = by_turns(works, options.repeats)
        times["singly"] = [count / len(chosen) * one for one in times["singly"]]
        ratios = [singly / together for together, singly in zip(*times.values(), strict=True)]
        seconds = {f"{work}_seconds": spread(one) for work, one in times.items()}
        found[name] = {**seconds, "times_as_fast": spread(ratios)}
    return found


def top(options: argparse.Namespace) -> dict:
    """Channels of all layers of VGG16 over the test images, against one plain pass, and the ranking by itself."""
    net, test = network("vgg16", 32), gn.load_dataset("mnist").test
    images, labels = nn.functional.pad(test.images[: options.images], (2, 2, 2, 2)), test.targets[: options.images]
    gn.channels(net, images[:64], labels[:64])  # imports
    channels = {kind: _count(net, images, kind) for kind in ("conv", "all")}
    drawn = torch.randn(len(images), channels["conv"])
    maxima = Maxima(channels["conv"], len(images), len(images))
    maxima.put(drawn)
    passes = {f"pass_of_{size}": lambda size=size: gn.predict(net, images, batch_size=size) for size in (64, 256)}
    works = {
        "convolutions": lambda: gn.channels(net, images),
        "all_modules": lambda: gn.channels(net, images, layers="all"),
        "convolutions_by_class": lambda: gn.channels(net, images, labels),
        "all_modules_by_class": lambda: gn.channels(net, images, labels, layers="all"),
        "ranking_of_convolutions": lambda: auroc(maxima, torch.arange(len(images)), labels, 10),
    }
    times = by_turns({**passes, **works}, options.repeats)
    fastest = min(passes, key=lambda name: min(times[name]))
    return {
        "images": len(images),
        "channels": channels,
        **{f"{name}_seconds": spread(one) for name, one in times.items()},
        "fastest": fastest,
        "to_fastest_pass": {name: spread(np.divide(times[name], times[fastest])) for name in works},
        "aim": 1.3,
    }


def _count(net: torch.nn.Module, images: torch.Tensor, layers: str) -> int:
    return sum(map(len, gn.channels(net, images[:2], layers=layers).layers.values()))


PARTS = {"top": top, "ablation": ablation, "visualize": visualize}


def main() -> None:
    """Run the parts and write what they came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--singly", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/channels.json"))
    measure(PARTS, parser.parse_args())


if __name__ == "__main__":
    main()
