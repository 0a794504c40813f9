"""How fast channels are looked at: each part against plain passes of the same network in the same process.

    python benchmarks/channels.py                        all parts, on MNIST's 10,000 test images
    python benchmarks/channels.py --part ablation

`ablation`: every channel of `conv4` of `convnet` set to zero, against as many evaluations of the whole network.
`top`: the strongest images, and all figures by class, of every channel of all layers of `vgg16` at 32 pixels, against
one plain pass.
`visualize`: pictures of every channel of `conv4`, at once against one after another.

Weights are random: speed does not depend on them.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from results_file import machine, save
from torch import nn

import glassnet as gn


def seconds(work: Callable[[], object], repeats: int) -> list[float]:
    """Time some work, again and again."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


def spread(times: list[float]) -> dict[str, float]:
    """Median, least and most, in seconds."""
    return {"n": len(times), "median": round(float(np.median(times)), 3), "least": min(times), "most": max(times)}


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
    evaluation = seconds(lambda: gn.predict(net, images), options.repeats)
    ablated = seconds(lambda: gn.ablate(net, images, labels, "conv4"), options.repeats)
    ratio = float(np.median(ablated) / (channels * np.median(evaluation)))
    return {
        "images": len(images),
        "channels": channels,
        "evaluation_seconds": spread(evaluation),
        "ablation_seconds": spread(ablated),
        "share_of_as_many_evaluations": round(ratio, 4),
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
        together, singly = [], []
        for _ in range(options.repeats):  # by turns, so that both meet the same load
            together += seconds(lambda given=settings: gn.visualize(net, "conv4", **given), 1)
            one_by_one = lambda given=settings: [gn.visualize(net, "conv4", [one], **given) for one in chosen]  # noqa: E731
            singly += [count / len(chosen) * one for one in seconds(one_by_one, 1)]
        ratio = round(float(np.median(singly) / np.median(together)), 2)
        found[name] = {"together_seconds": spread(together), "singly_seconds": spread(singly), "times_as_fast": ratio}
    return found


def top(options: argparse.Namespace) -> dict:
    """Channels of all layers of VGG16 over the test images, against one plain pass over them in as large batches."""
    net, test = network("vgg16", 32), gn.load_dataset("mnist").test
    images, labels = nn.functional.pad(test.images[: options.images], (2, 2, 2, 2)), test.targets[: options.images]
    gn.channels(net, images[:64], labels[:64])  # imports
    works = {
        "pass": lambda: gn.predict(net, images, batch_size=256),
        "convolutions": lambda: gn.channels(net, images),
        "convolutions_by_class": lambda: gn.channels(net, images, labels),
        "all_modules_by_class": lambda: gn.channels(net, images, labels, layers="all"),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.repeats):  # by turns, so that all meet the same load
        for name, work in works.items():
            times[name] += seconds(work, 1)
    least = {name: min(one) for name, one in times.items()}
    return {
        "images": len(images),
        "channels": {kind: _count(net, images, kind) for kind in ("conv", "all")},
        **{f"{name}_seconds": spread(one) for name, one in times.items()},
        "least_to_least_pass": {name: round(one / least["pass"], 3) for name, one in least.items() if name != "pass"},
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
    options = parser.parse_args()
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    results["machine"] = machine()
    for name in options.part:
        results[name] = PARTS[name](options)
        print(name, json.dumps(results[name]), flush=True)
        save(results, options.out)


if __name__ == "__main__":
    main()
