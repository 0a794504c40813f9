"""The parts of gpu.py: each measures one thing on a device and says which of its assertions hold.

Tolerances are shares of the largest value of what is compared. fp32 on a GPU adds in another order than a CPU, so that
the last digits differ; bf16 is compared with nothing but its own accuracy.
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from attribution_run import CONTENDERS, scene
from tsne_scale import COLUMNS, write_rows

import glassnet as gn
from glassnet.data import find_source
from glassnet.turns import exact_convolutions

ROOT = Path(__file__).parents[1]
FEATURES_WITHIN, MAPS_WITHIN, ACCURACY_WITHIN = 1e-4, 1e-3, 0.01
DIVERGENCE_WITHIN, NEIGHBOURS_WITHIN = 0.05, 0.01
"""Of t-SNE on the CPU: share of its KL divergence, and kNN accuracy."""
MEMORY_TIMES = 1.3
"""Of torchcam's, for Grad-CAM of all layers at once."""
MEMORY_SHARE = 0.5
"""Of the GPU's memory, for a t-SNE of a million rows."""
TARGETS = {"0.9955": ("--preset", "fast"), "0.9965": ("--model", "vgg_small")}
SEEDS = range(5)
FEWEST_STEPS = 10
"""Of an epoch, below which its loss need not fall."""


@dataclass(frozen=True)
class Sizes:
    """How large the parts are."""

    digits: str = "mnist"
    digit_options: tuple[str, ...] = ()
    targets: tuple[str, ...] = tuple(TARGETS)
    epochs: int = 3
    filters: str = "32,32,64,64"
    images: int = 512
    rows: tuple[int, ...] = (60_000, 1_000_000)
    repeated_rows: int = 2000
    pixels: int = 224
    batch: int = 8
    turns: int = 5
    contenders: tuple[str, ...] = tuple(CONTENDERS)
    segmented: tuple[str, ...] = ("fcn8_small", "fcn_lite0")
    segmented_data: str = "digit-scenes"
    segmented_options: tuple[str, ...] = ()
    segmented_pixels: int | None = None
    seeds: int = len(SEEDS)

    @classmethod
    def quick(cls) -> "Sizes":
        """Sizes that two cores finish in seconds."""
        small = ("--model-options", "filters=2,2,4,4", "hidden=8", "--epochs", "1")
        return cls(
            digits="mnist-sample", digit_options=small, targets=("0.9955",), epochs=1, filters="2,2,4,4", images=16,
            rows=(400,), repeated_rows=200, pixels=32, batch=1, turns=1, contenders=("ours", "torchcam"),
            segmented=("fcn8_small",), segmented_options=("filters=2,2,2,2,2,2,2", "head=2", "dropout=0"),
            segmented_pixels=32, seeds=1,
        )  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One part: (device, sizes, data root) to its figures, with "holds" among them; and the seconds it takes."""

    measure: Callable[[torch.device, Sizes, Path | None], dict]
    seconds: int


def marked_tests(device: torch.device, _sizes: Sizes, _root: Path | None) -> dict:
    """Run the tests marked gpu in a process of their own; without a GPU they are skipped."""
    files = [file for file in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in file.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = (done.stdout.strip().splitlines() or [done.stderr[-200:]])[-1]
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|skipped|errors?)", last)}
    passed = done.returncode == 0 and (device.type == "cpu" or not counts.get("skipped"))
    return {"counts": counts, "said": last, "holds": {"the tests marked gpu": passed}}


def determinism(device: torch.device, sizes: Sizes, _root: Path | None) -> dict:
    """Do all twice from the same seed."""
    holds = {}
    with tempfile.TemporaryDirectory() as folder:
        runs = [_trained(device, sizes, Path(folder) / str(turn)) for turn in range(2)]
        weights = [run.weights() for run in runs]
        holds["a training repeats its weights, bit for bit"] = all(
            torch.equal(value, weights[1][name]) for name, value in weights[0].items()
        )
        model, images = runs[0].model(device.type), runs[0].dataset().test.images[: sizes.images]
        maps = [gn.explain(model, images, target=3, methods=("gradcam", "guided_gradcam")).maps for _ in range(2)]
        features = [gn.extract_features(model, images, ["conv", "linear"]) for _ in range(2)]
    holds["maps repeat, bit for bit"] = _equal(*maps)
    holds["features repeat, bit for bit"] = _equal(*features)
    rows, _ = _rows(sizes.repeated_rows)
    points = [gn.embed(rows, perplexity=20, device=device.type).points for _ in range(2)]
    holds["t-SNE repeats, bit for bit"] = bool(np.array_equal(*points))
    return {"holds": holds}


def agreement(device: torch.device, sizes: Sizes, _root: Path | None) -> dict:
    """Compare features, maps and a training with the CPU's."""
    with tempfile.TemporaryDirectory() as folder:
        run = _trained(device, sizes, Path(folder) / "here")
        other = _trained(torch.device("cpu"), sizes, Path(folder) / "cpu")
        images = run.dataset().test.images[: sizes.images]
        models = [run.model(name) for name in (device.type, "cpu")]
        features = [gn.extract_features(model, images, ["conv", "linear"]) for model in models]
        maps = [gn.explain(model, images, target=3, methods=("gradcam", "guided_gradcam")).maps for model in models]
        accuracy = [one.manifest["metrics"]["test_accuracy"] for one in (run, other)]
    found = {
        "features": _deviation(*features),
        "maps": _deviation(*maps),
        "accuracy": accuracy[0],
        "accuracy_on_cpu": accuracy[1],
    }
    found["holds"] = {
        f"features differ from the CPU's by at most {FEATURES_WITHIN:g}": found["features"] <= FEATURES_WITHIN,
        f"maps differ from the CPU's by at most {MAPS_WITHIN:g}": found["maps"] <= MAPS_WITHIN,
        f"the accuracy of a training differs by at most {ACCURACY_WITHIN:g}": abs(accuracy[0] - accuracy[1])
        <= ACCURACY_WITHIN,
    }
    return found


def digits(device: torch.device, sizes: Sizes, root: Path | None) -> dict:
    """Seconds of whole processes that train to an accuracy on MNIST, by one seed."""
    if missing := _missing(sizes.digits, root):
        return {"left_out": missing}
    found = {target: _process(TARGETS[target], 0, device, sizes, root) for target in sizes.targets}
    reached = {f"{target} reached": found[target]["test_accuracy"] >= float(target) for target in sizes.targets}
    return found | {"holds": dict.fromkeys(reached) if sizes.digits != "mnist" else reached}


def seeds(device: torch.device, sizes: Sizes, root: Path | None) -> dict:
    """Accuracy of the network of the MNIST row over seeds."""
    if missing := _missing(sizes.digits, root):
        return {"left_out": missing}
    rows = [_process(TARGETS["0.9965"], seed, device, sizes, root) for seed in SEEDS[: sizes.seeds]]
    each = [row["test_accuracy"] for row in rows]
    spread = statistics.stdev(each) if len(each) > 1 else None
    return {"trainings": rows, "mean": statistics.mean(each), "standard_deviation": spread, "holds": {}}


def tsne(device: torch.device, sizes: Sizes, _root: Path | None) -> dict:
    """Embed rows; the smaller set on the CPU too; what a CPU makes of the larger one tsne_scale.json may hold."""
    found: dict = {}
    holds: dict[str, bool] = {}
    for count in sizes.rows:
        rows, labels = _rows(count)
        here = found[f"{count}"] = _embedded(rows, labels, device.type)
        if device.type == "cuda":
            share = torch.cuda.max_memory_allocated() / torch.cuda.get_device_properties(device).total_memory
            holds[f"{count:,} rows: at most {MEMORY_SHARE:.0%} of the GPU's memory"] = share <= MEMORY_SHARE
        cpu = _embedded(rows, labels, "cpu") if count == min(sizes.rows) else _known_on_cpu(count)
        if cpu is not None:
            found[f"{count} on the CPU"] = cpu
            within = cpu["knn_accuracy"] - here["knn_accuracy"] <= NEIGHBOURS_WITHIN
            holds[f"{count:,} rows: kNN accuracy at most {NEIGHBOURS_WITHIN:g} below the CPU's"] = within
        if cpu is not None and "kl_divergence" in cpu:
            near = abs(here["kl_divergence"] / cpu["kl_divergence"] - 1) <= DIVERGENCE_WITHIN
            holds[f"{count:,} rows: KL within {DIVERGENCE_WITHIN:.0%} of the CPU's"] = near
    return found | {"holds": holds}


def gradcam(device: torch.device, sizes: Sizes, _root: Path | None) -> dict:
    """Time Grad-CAM of all layers of VGG16 beside captum and torchcam, each after a call of its own that warms up.

    All in fp32 without TF32, which torch would take for the other two, but for "ours-bf16".
    """
    with exact_convolutions(device):
        return _gradcam(device, sizes)


def _gradcam(device: torch.device, sizes: Sizes) -> dict:
    network, images, layers = scene(sizes.batch, sizes.pixels)
    on_cpu = CONTENDERS["ours"](network, images, layers)
    network, images = network.to(device), images.to(device)
    found: dict = {}
    maps = {}
    for name in sizes.contenders:
        contender = CONTENDERS[name]
        contender(network, images, layers)
        with _peak(device) as peak:
            maps[name] = contender(network, images, layers)
        times = [
            _timed(lambda contender=contender: contender(network, images, layers), device) for _ in range(sizes.turns)
        ]
        found[name] = {"seconds": statistics.median(times), "least": min(times), "most": max(times), **peak}
    found["deviation_from_cpu"] = _deviation(maps["ours"], on_cpu)
    found["deviation_from_torchcam"] = _deviation(maps["ours"], maps["torchcam"])
    holds = {
        f"maps differ from the CPU's by at most {MAPS_WITHIN:g}": found["deviation_from_cpu"] <= MAPS_WITHIN,
        "maps repeat, bit for bit": _equal(maps["ours"], CONTENDERS["ours"](network, images, layers)),
    }
    if device.type == "cuda":
        times = found["ours"]["peak_bytes"] / found["torchcam"]["peak_bytes"]
        holds[f"at most {MEMORY_TIMES:g} times torchcam's memory"] = times <= MEMORY_TIMES
    return found | {"holds": holds}


def segmentation(device: torch.device, sizes: Sizes, _root: Path | None) -> dict:
    """Images per second of segmentation networks in mixed precision, of the last of some epochs."""
    found: dict = {}
    holds: dict[str, bool | None] = {}
    for name in sizes.segmented:
        with tempfile.TemporaryDirectory() as folder:
            settings = gn.TrainSettings(
                data=sizes.segmented_data, model=name, model_options=sizes.segmented_options, device=device.type,
                image_size=sizes.segmented_pixels, epochs=2, out=Path(folder) / "run",
            )  # fmt: skip
            run = gn.train(settings)
            history = run.history
        size = min(run.manifest["data"]["train"], run.settings.batch_size)
        steps = run.manifest["data"]["train"] // size
        losses = [row["train_loss"] for row in history]
        rate = steps * size / history[-1]["train_seconds"]
        found[name] = {"images_per_second": rate, "precision": run.manifest["precision"], "train_loss": losses}
        holds[f"{name}: the loss falls"] = losses[1] < losses[0] if steps >= FEWEST_STEPS else None
    return found | {"holds": holds}


PARTS = {
    "tests": Part(marked_tests, 90),
    "determinism": Part(determinism, 40),
    "agreement": Part(agreement, 40),
    "digits": Part(digits, 60),
    "gradcam": Part(gradcam, 30),
    "segmentation": Part(segmentation, 40),
    "tsne": Part(tsne, 180),
    "seeds": Part(seeds, 120),
}
"""Seconds are a guess until one was there; they only keep a part from being begun too late."""


def _trained(device: torch.device, sizes: Sizes, out: Path) -> gn.Run:
    options = (f"filters={sizes.filters}",)
    return gn.train(gn.TrainSettings(model_options=options, epochs=sizes.epochs, device=device.type, out=out))


def _rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder), count)
        rows, labels = np.load(Path(folder) / "rows.npy"), np.load(Path(folder) / "labels.npy")
    assert rows.shape == (count, COLUMNS)
    return rows, labels


def _embedded(rows: np.ndarray, labels: np.ndarray, device: str) -> dict:
    begun = time.perf_counter()
    made = gn.embed(rows, device=device)
    seconds = time.perf_counter() - begun
    kept = gn.quality(rows, made.points, labels=labels)
    return {"seconds": seconds, "kl_divergence": made.kl_divergence, "knn_accuracy": kept.knn_accuracy}


def _known_on_cpu(count: int) -> dict | None:
    """Find what tsne_scale.py measured of the same rows on a CPU."""
    file = Path(__file__).parent / "results" / "tsne_scale.json"
    wanted = {"points": count, "landmarks": None, "steps": None, "dims": 2}
    fits = [fit for fit in json.loads(file.read_text())["fits"] if wanted.items() <= fit.items()]
    return {name: fits[0][name] for name in ("seconds", "knn_accuracy")} if fits and "seconds" in fits[0] else None


def _missing(name: str, root: Path | None) -> str:
    source, where = find_source(name, root)
    return "" if source.find(where) is not None else f"{name} does not lie in {where}; give --data-root."


def _process(chosen: tuple[str, ...], seed: int, device: torch.device, sizes: Sizes, root: Path | None) -> dict:
    """Train in a process of its own; seconds are of the whole process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "glassnet", "train", "--json", "--data", sizes.digits, "--seed", str(seed)]
        command += ["--device", device.type, "--out", str(Path(folder) / "run")]
        command += [*(chosen if not sizes.digit_options else sizes.digit_options)]
        command += ["--data-root", str(root)] if root else []
        begun = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return {"seconds": seconds, "test_accuracy": json.loads(done.stdout)["metrics"]["test_accuracy"]}


def _timed(work: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    begun = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - begun


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


@contextmanager
def _peak(device: torch.device) -> Iterator[dict]:
    """Fill in the memory of the GPU that what is inside takes on top of what is there."""
    found: dict = {}
    before = 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    yield found
    if device.type == "cuda":
        found["peak_bytes"] = torch.cuda.max_memory_allocated() - before


def _equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(value, other[key]) for key, value in one.items())


def _deviation(one: dict, other: dict) -> float:
    """Return the largest difference of any two arrays, as a share of the largest value of the second."""
    shares = [np.abs(one[key] - value).max() / max(np.abs(value).max(), 1e-30) for key, value in other.items()]
    return float(max(shares))
