"""What a second worker is worth: a grid of trainings, and features of many images, each worker with one thread.

    python benchmarks/engines.py                        six trainings, 1,000,000 images of 28 px, engine processes
    python benchmarks/engines.py --engine ray
    python benchmarks/engines.py --part tune --quick    a look in a minute

Two workers are timed against one of the same engine, in turn, and the median of the repeats is given with its spread.
The start of a worker (a new interpreter, torch) is in the times of both. Fails where two workers give other numbers
than one.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from results_file import machine, save

import glassnet as gn

CHUNK = 20_000
TUNE_TARGET, FEATURES_TARGET = 0.6, 1.7


def peak_bytes() -> int:
    """Read this process's largest resident memory so far."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def numbers(result) -> str:
    """Write what tuning.json holds, but for places and seconds."""
    told = result.to_json()
    cells = [{key: one for key, one in cell.items() if key not in ("runs", "seconds")} for cell in told["cells"]]
    return json.dumps({**told, "out": None, "cells": cells})


def time_tune(options: argparse.Namespace, workers: int, folder: Path) -> tuple[float, str]:
    """Train a grid of three cells with two seeds, and return the seconds and its numbers."""
    out = folder / "grid"
    shutil.rmtree(out, ignore_errors=True)
    base = gn.TrainSettings(data="mnist-sample", epochs=options.epochs, precision="fp32")
    axes = {"filters": ["8,8,16,16", "12,12,24,24", "16,16,32,32"]}
    began = time.perf_counter()
    result = gn.tune(base, axes, seeds=(0, 1), out=out, engine=options.engine, workers=workers, trial_cpus=1)
    return time.perf_counter() - began, numbers(result)


def write_images(path: Path, count: int) -> np.ndarray:
    """Write images of noise of 28 px, and open them as a memory map."""
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, 1, 28, 28)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, count, CHUNK):
            file.write(random.integers(0, 256, (min(CHUNK, count - start), 784), dtype=np.uint8).tobytes())
    return np.load(path, mmap_mode="r")


def time_features(options: argparse.Namespace, workers: int, folder: Path, images: np.ndarray) -> tuple[float, str]:
    """Extract two layers, and return the seconds and a digest of the rows, which are removed."""
    out = folder / "features"
    shutil.rmtree(out, ignore_errors=True)
    torch.manual_seed(0)
    network = gn.create_model("convnet", in_channels=1, num_classes=10, image_size=28)
    began = time.perf_counter()
    gn.extract_features(
        network, images, ["conv4", "fc1"], out=out, engine=options.engine, workers=workers, worker_cpus=1
    )
    seconds = time.perf_counter() - began
    lines = (out / "features.jsonl").read_text().splitlines()
    return seconds, "".join(sorted(lines))


def compared(measure, repeats: int) -> dict:
    """Time one and two workers in turn, and check that they give the same."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    seen = set()
    for _ in range(repeats):
        for workers in seconds:
            taken, given = measure(workers)
            seconds[workers].append(taken)
            seen.add(given)
    assert len(seen) == 1, "two workers give other numbers than one"
    ratios = [two / one for one, two in zip(seconds[1], seconds[2], strict=True)]
    return {
        "seconds_one": [round(one, 2) for one in seconds[1]],
        "seconds_two": [round(one, 2) for one in seconds[2]],
        "two_of_one": round(statistics.median(ratios), 3),
        "two_of_one_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "speedup": round(1 / statistics.median(ratios), 3),
    }


def main() -> None:
    """Time, compare, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=("processes", "ray"), default="processes")
    parser.add_argument("--part", choices=("tune", "features", "both"), default="both")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="20,000 images, 2 epochs, one repeat")
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write")
    options = parser.parse_args()
    if options.quick:
        options.images, options.epochs, options.repeats = 20_000, 2, 1
    results = {"engine": options.engine, "machine": machine(), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.part != "features":
            tuned = compared(lambda workers: time_tune(options, workers, folder), options.repeats)
            results["tune"] = {"trainings": 6, "epochs": options.epochs, "target": f"<= {TUNE_TARGET}", **tuned}
        if options.part != "tune":
            images, before = write_images(folder / "images.npy", options.images), peak_bytes()
            done = compared(lambda workers: time_features(options, workers, folder, images), options.repeats)
            memory = {"peak_megabytes_before": before >> 20, "peak_megabytes": peak_bytes() >> 20}
            results["features"] = {
                "images": options.images,
                "target": f"speedup >= {FEATURES_TARGET}",
                **done,
                **memory,
            }
    print(json.dumps(results, indent=1))
    if options.out is not None:
        save(results, options.out)


if __name__ == "__main__":
    main()
