"""How t-SNE grows: seconds, memory and kNN accuracy, whole and by landmarks, and the predicted memory.

    python benchmarks/tsne_scale.py                                  # 10,000 to 200,000 points, whole
    python benchmarks/tsne_scale.py --points 1000000 2000000         # whole, or refused beforehand with the numbers
    python benchmarks/tsne_scale.py --points 200000 --landmarks 20000
    python benchmarks/tsne_scale.py --points 10000000 --landmarks 200000
    python benchmarks/tsne_scale.py --points --figure docs/results/figures/tsne-scale.svg    # draw what is there

Rows are made: 50 classes, normal in 10 dimensions, turned into 50 columns with a little noise, written to a file of
float32 in chunks and read from there as a memory map. Each fit is a process of its own. What the results file already
holds is not measured again. `--steps 3` takes so few steps that only the memory means something; its peak is that of
all steps, since neighbours and their graph take the most.
"""

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from results_file import machine, save
from tsne_run import peak_bytes

COLUMNS, CLASSES, LATENT, APART, NOISE = 50, 50, 10, 1.5, 0.1
CHUNK_ROWS = 50_000
OUT = Path(__file__).parent / "results" / "tsne_scale.json"


def main() -> None:
    """Measure what is not yet in the results, save after each fit, print and draw."""
    arguments = _arguments()
    if arguments.child:
        print(json.dumps(_fit(arguments.child, arguments.landmarks, arguments.steps, arguments.dims)))
        return
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"machine": machine(), "fits": []}
    for points in [2_000, 5_000] if arguments.quick else arguments.points:
        wanted = {"points": points} | {name: getattr(arguments, name) for name in ("landmarks", "steps", "dims")}
        if any(wanted.items() <= fit.items() for fit in results["fits"]):
            continue
        fit = wanted | _measured(points, arguments)
        print(json.dumps(fit), flush=True)
        results["fits"].append(fit)
        save(results, arguments.out)
    _print(results["fits"])
    if arguments.figure:
        draw(results["fits"], arguments.figure)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, nargs="*", default=[10_000, 50_000, 100_000, 200_000])
    parser.add_argument("--landmarks", type=int, help="fit so many and place the others; all are fitted if not given")
    parser.add_argument("--dims", type=int, default=2, choices=[2, 3])
    parser.add_argument("--steps", type=int, help="steps of each of the two phases; 250 and 500 if not given")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--work", type=Path, help="folder for the rows (200 bytes each); a temporary one if not given")
    parser.add_argument("--figure", type=Path, help="file to draw the growth to")
    parser.add_argument("--quick", action="store_true", help="2,000 and 5,000 points")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measured(points: int, arguments: argparse.Namespace) -> dict:
    """Make the rows, fit them in a process of its own, and return what it says."""
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        write_rows(Path(folder), points)
        line = [sys.executable, __file__, "--child", folder]
        for name in ("landmarks", "steps", "dims"):
            value = getattr(arguments, name)
            line += [] if value is None else [f"--{name}", str(value)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def write_rows(folder: Path, points: int) -> None:
    """Write rows.npy, a chunk at a time and not through a map, whose pages would count as memory, and labels.npy."""
    rng = np.random.default_rng(0)
    centres, axes = APART * rng.normal(size=(CLASSES, LATENT)), rng.normal(size=(LATENT, COLUMNS)) / math.sqrt(LATENT)
    labels = rng.integers(CLASSES, size=points)
    np.save(folder / "labels.npy", labels)
    with (folder / "rows.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (points, COLUMNS)}
        np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, points, CHUNK_ROWS):
            some = labels[first : first + CHUNK_ROWS]
            rows = (centres[some] + rng.normal(size=(len(some), LATENT))) @ axes
            file.write((rows + NOISE * rng.normal(size=rows.shape)).astype("<f4").tobytes())


def _fit(folder: Path, landmarks: int | None, steps: int | None, dims: int) -> dict:
    """Embed the rows of a folder; compile before, so that neither time nor memory of that counts."""
    from glassnet.embedding import embed, quality
    from glassnet.embedding.tsne import engines
    from glassnet.embedding.tsne.memory import Size, free_bytes, needed_bytes
    from glassnet.errors import InputError

    if steps is not None:
        engines.EARLY_STEPS = engines.STEPS = steps
    rows, labels = np.load(folder / "rows.npy", mmap_mode="r"), np.load(folder / "labels.npy")
    embed(np.array(rows[:1_000]), landmarks=900, dims=dims)
    forget_peak()
    fitted = landmarks or len(rows)
    size = Size(
        points=fitted,
        columns=COLUMNS,
        neighbours=90,
        dims=dims,
        features=COLUMNS if landmarks else 0,
        placed=len(rows) - fitted,
    )
    before, wall, cpu = peak_bytes(), time.perf_counter(), time.process_time()
    predicted = {"needed_bytes": needed_bytes(size), "free_bytes": free_bytes(), "peak_bytes_before": before}
    try:
        made = embed(rows, landmarks=landmarks, dims=dims)
    except InputError as error:
        return predicted | {"refused": str(error)}
    seconds = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    measured = predicted | seconds | {"peak_bytes": peak_bytes(), "threads": os.environ.get("OMP_NUM_THREADS")}
    measured["extent"] = float(np.ptp(made.points, axis=0).max())
    kept = quality(rows, made.points, labels=labels)
    measured |= {"knn_accuracy": kept.knn_accuracy, "trustworthiness": kept.trustworthiness}
    if landmarks:
        cost = made.landmark_accuracy(labels)
        measured |= {"landmark_accuracy": cost.landmarks, "placed_accuracy": cost.placed}
    return measured


def forget_peak() -> None:
    """Let the largest resident memory begin anew at what it is now, where Linux lets it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _print(fits: list[dict]) -> None:
    print("dims | points | landmarks | steps | seconds | processor | peak MB | predicted MB | kNN | landmarks | placed")
    for fit in sorted(fits, key=lambda fit: (fit["dims"], fit["landmarks"] or 0, fit["points"])):
        if "seconds" not in fit:
            print(f"{fit['dims']} | {fit['points']:,} | {fit['landmarks']} | {fit.get('refused') or fit.get('failed')}")
            continue
        peak = (fit["peak_bytes"] - fit["peak_bytes_before"]) / 1e6
        shares = (fit.get(key) for key in ("knn_accuracy", "landmark_accuracy", "placed_accuracy"))
        words = ["–" if share is None else f"{share:.4f}" for share in shares]
        numbers = [f"{fit['seconds']:.1f}", f"{fit['cpu_seconds']:.1f}", f"{peak:.0f}"]
        asked = [str(fit["dims"]), f"{fit['points']:,}", str(fit["landmarks"]), str(fit["steps"])]
        print(" | ".join([*asked, *numbers, f"{fit['needed_bytes'] / 1e6:.0f}", *words]))


def draw(fits: list[dict], path: Path) -> None:
    """Draw seconds, and memory beside the prediction, by points; whole fits and those by landmarks."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
    done = [fit for fit in fits if "seconds" in fit and fit["dims"] == 2]
    timed = [fit for fit in done if fit["steps"] is None]
    for landmarks in sorted({fit["landmarks"] or 0 for fit in done}):
        name = f"{landmarks:,} landmarks, the others placed" if landmarks else "all fitted"
        for axes, chosen, value in (
            (left, timed, lambda fit: fit["cpu_seconds"]),
            (right, done, lambda fit: (fit["peak_bytes"] - fit["peak_bytes_before"]) / 1e9),
        ):
            some = sorted((fit["points"], value(fit)) for fit in chosen if (fit["landmarks"] or 0) == landmarks)
            if some:
                axes.plot(*zip(*some, strict=True), "o-", markersize=4, label=name)
    predicted = sorted((fit["points"], fit["needed_bytes"] / 1e9) for fit in done if not fit["landmarks"])
    if predicted:
        right.plot(*zip(*predicted, strict=True), "k:", label="predicted, all fitted")
    for axes, label in ((left, "processor seconds"), (right, "memory beyond the features (GB)")):
        axes.set(xscale="log", yscale="log", xlabel="points of 50 columns", ylabel=label)
        axes.grid(alpha=0.3)
    left.legend(fontsize=8, loc="lower right")
    right.legend(handles=right.lines[-1:], fontsize=8, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


if __name__ == "__main__":
    main()
