"""How fast every layer of VGG16 is explained beside captum and torchcam, how exactly, and with how much memory.

    python benchmarks/attribution.py                                  # Grad-CAM and Guided Grad-CAM, three turns
    python benchmarks/attribution.py --turns 2 --append               # adds turns to the results of the same code
    python benchmarks/attribution.py --turns 0 --memory ''            # only prints what the results hold

VGG16 at 224 pixels, random weights, batches of 8, all 13 convolutions, class 0. All run in this one process and take
turns, so that a slow minute of the machine strikes all of them; each has run before, captum for one layer. captum
takes one layer a call: its time is the sum of its calls, timed one by one. Peak memory is that of a process of its
own, less what the network and the imports take.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from attribution_run import CONTENDERS, scene
from results_file import machine, save

from glassnet.devices import code_digest

PACKAGES = ("glassnet", "torch", "captum", "torchcam")
TARGETS = (
    ("ours", "captum", 8),
    ("ours", "torchcam", 1),
    ("ours-bf16", "captum", 15),
    ("ours-bf16", "torchcam", 1.6),
    ("ours-guided", "captum-guided", 15),
)


def main() -> None:
    """Measure what is asked for, save after each turn, print the table."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    results = _opened(arguments)
    if arguments.turns:
        _measure(results, arguments)
    for name in arguments.memory:
        results["peak_bytes"][name] = _peak(name, arguments)
        save(results, arguments.out)
    _print(results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(CONTENDERS)
    parser.add_argument("--only", type=_names, default=names, help="as in ours,torchcam")
    parser.add_argument("--turns", type=int, default=3, help="runs of each; 0 only prints what the results hold")
    parser.add_argument("--memory", type=_names, default=["ours", "torchcam"], help="peaks measured too")
    parser.add_argument("--append", action="store_true", help="add turns of the same code to the results")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "attribution.json")
    arguments = parser.parse_args()
    unknown = {*arguments.only, *arguments.memory} - {*names}
    if unknown:
        parser.error(f"no contender {', '.join(sorted(unknown))}; they are {', '.join(names)}")
    return arguments


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _opened(arguments: argparse.Namespace) -> dict:
    here = {
        "scene": {"model": "vgg16", "pixels": arguments.pixels, "batch": arguments.batch, "threads": arguments.threads},
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "code": code_digest("attribution", "models"),  # our code changes, its version does not
    }
    fresh = bool(arguments.turns) and not arguments.append
    if fresh or not arguments.out.exists():
        return {**here, "date": date.today().isoformat(), "seconds": {}, "peak_bytes": {}, "bf16_deviation": {}}
    results = json.loads(arguments.out.read_text())
    if (arguments.turns or arguments.memory) and here != {name: results[name] for name in here}:
        sys.exit(f"{arguments.out} was measured otherwise or elsewhere; give another --out.")
    return results


def _measure(results: dict, arguments: argparse.Namespace) -> None:
    network, images, layers = scene(arguments.batch, arguments.pixels)
    for name in arguments.only:  # loads libraries and compiles kernels
        CONTENDERS[name](network, images, layers[-1:] if name.startswith("captum") else layers)
    for _ in range(arguments.turns):
        maps = {}
        for name in arguments.only:
            seconds, maps[name] = _timed(name, network, images, layers)
            results["seconds"].setdefault(name, []).append(seconds)
            print(f"{name:14} {seconds:7.2f} s", file=sys.stderr, flush=True)
        if {"ours", "ours-bf16"} <= maps.keys():
            results["bf16_deviation"] = _deviation(maps["ours-bf16"], maps["ours"])
        save(results, arguments.out)


def _timed(name: str, network: torch.nn.Module, images: torch.Tensor, layers: list[str]) -> tuple[float, dict]:
    groups = [[layer] for layer in layers] if name.startswith("captum") else [layers]
    seconds, maps = 0.0, {}
    for group in groups:
        start = time.perf_counter()
        maps |= CONTENDERS[name](network, images, group)
        seconds += time.perf_counter() - start
    return seconds, maps


def _deviation(half: dict[str, np.ndarray], full: dict[str, np.ndarray]) -> dict[str, float]:
    """Return, over the layers, the largest deviation of a map from fp32 as a share of that layer's largest value."""
    shown = [layer for layer in full if full[layer].any()]
    of_layers = {layer: float(np.abs(half[layer] - full[layer]).max() / full[layer].max()) for layer in shown}
    return {"largest": max(of_layers.values()), "median": statistics.median(of_layers.values())}


def _peak(name: str, arguments: argparse.Namespace) -> int:
    command = [sys.executable, Path(__file__).with_name("attribution_run.py"), name]
    command += ["--batch", arguments.batch, "--pixels", arguments.pixels, "--threads", arguments.threads]
    if name.startswith("captum"):
        command += ["--layers", 1]  # its layers come one after another, the first being the largest
    answer = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, check=True)
    measured = json.loads(answer.stdout.decode().splitlines()[-1])
    return measured["peak_bytes"] - measured["peak_bytes_before"]


def _print(results: dict) -> None:
    print("| contender | median | range | turns | peak memory |\n|---|---|---|---|---|")
    for name in CONTENDERS:
        seconds, peak = results["seconds"].get(name), results["peak_bytes"].get(name)
        if seconds:
            spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
            memory = f"{peak / 1e9:.2f} GB" if peak else ""
            print(f"| {name} | {statistics.median(seconds):.2f} s | {spread} | {len(seconds)} | {memory} |")
    for fast, slow, target in TARGETS:
        if {fast, slow} <= results["seconds"].keys():
            ratio = statistics.median(results["seconds"][slow]) / statistics.median(results["seconds"][fast])
            print(f"{fast} is {ratio:.1f} times as fast as {slow} (target {target})")
    if {"ours", "torchcam"} <= results["peak_bytes"].keys():
        ratio = results["peak_bytes"]["ours"] / results["peak_bytes"]["torchcam"]
        print(f"ours takes {ratio:.2f} times torchcam's memory (target at most 1.3)")
    if results["bf16_deviation"]:
        largest = results["bf16_deviation"]["largest"]
        print(f"bf16 deviates from fp32 by at most {100 * largest:.1f}% of a layer's largest value")


if __name__ == "__main__":
    main()
