"""How fast and how good our t-SNE is beside openTSNE and scikit-learn, on real MNIST.

    python benchmarks/tsne.py --data-root DIR                    # 10,000 and 60,000 points, 2-D, and 10,000 in 3-D
    python benchmarks/tsne.py --data-root DIR --only ours        # adds to the results what is not in them yet
    python benchmarks/tsne.py --data-root DIR --scaling          # ours from 10,000 to 500,000 points

Every fit is a process of its own, timed from the rows in memory to the points, neighbours included, our compilation
cached; engines take turns, so that a slow minute of the machine strikes all of them. Quality is measured afterwards, by
one function for all. What the results file already holds is not measured again.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
from results_file import machine, save
from tsne_measures import affinities, divergence, neighbours_vote
from tsne_rows import describe_rows, make_rows
from tsne_run import ENGINES
from tsne_summary import print_scaling, print_summary

from glassnet.devices import code_digest

SCALING_POINTS = (10_000, 20_000, 50_000, 100_000, 200_000, 500_000)
QUALITY_UP_TO = 60_000
SKLEARN_UP_TO = 10_000
THREE_DIMENSIONS_UP_TO = 10_000
PACKAGES = ("glassnet", "openTSNE", "scikit-learn", "numpy", "numba", "faiss-cpu", "scipy", "torch")


def main() -> None:
    """Measure what is asked for and not yet in the results, save after each fit, print the tables."""
    arguments = _arguments()
    arguments.work.mkdir(parents=True, exist_ok=True)
    results = _opened(arguments)
    if "ours" in arguments.only and arguments.runs:
        _compile(results, arguments)
    for turn in range(arguments.runs):
        for points, dims, engine in _plan(arguments):
            _measure(results, arguments, points, dims, engine, turn)
    print_summary(results["fits"])
    if arguments.scaling:
        print_scaling(results["fits"], SCALING_POINTS)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="where MNIST lies or is downloaded to")
    parser.add_argument("--points", type=int, nargs="+", default=[10_000, 60_000])
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 3], choices=[2, 3])
    parser.add_argument("--runs", type=int, default=3, help="fits of each kind; 0 only prints what the results hold")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(ENGINES), help="as in ours,opentsne")
    parser.add_argument("--scaling", action="store_true", help="ours, once, in 2-D, from 10,000 to 500,000 points")
    parser.add_argument("--most-points", type=int, default=SCALING_POINTS[-1], help="where --scaling ends")
    parser.add_argument("--run", type=Path, help="embed features of this glassnet run instead of pixels")
    parser.add_argument("--layer", default="fc1")
    parser.add_argument("--perplexity", type=float, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="measure again what the results hold")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "tsne.json")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "glassnet-benchmark-tsne")
    arguments = parser.parse_args()
    unknown = set(arguments.only) - set(ENGINES)
    if unknown:
        parser.error(f"no engine {', '.join(sorted(unknown))}; the engines are {', '.join(ENGINES)}")
    if arguments.scaling:
        arguments.runs, arguments.only = min(arguments.runs, 1), ["ours"]
    return arguments


def _plan(arguments: argparse.Namespace) -> list[tuple[int, int, str]]:
    if arguments.scaling:
        return [(points, 2, "ours") for points in SCALING_POINTS if points <= arguments.most_points]
    return [
        (points, dims, engine)
        for dims in arguments.dims
        for points in arguments.points
        for engine in arguments.only
        if (dims == 2 or points <= THREE_DIMENSIONS_UP_TO) and (engine != "sklearn" or points <= SKLEARN_UP_TO)
    ]


def _opened(arguments: argparse.Namespace) -> dict:
    here = {
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
    if arguments.out.exists():
        results = json.loads(arguments.out.read_text())
        if arguments.runs and here != {name: results[name] for name in here}:
            sys.exit(f"{arguments.out} was measured on another machine or with other versions; give another --out.")
        return results
    return {
        **here,
        "date": date.today().isoformat(),
        "compilation": {},
        "fits": [],
    }


def _measure(results: dict, arguments: argparse.Namespace, points: int, dims: int, engine: str, turn: int) -> None:
    key = {
        "engine": engine,
        "points": points,
        "dims": dims,
        "turn": turn,
        "source": "pixels" if arguments.run is None else f"{arguments.run.resolve().name}/{arguments.layer}",
        "perplexity": arguments.perplexity,
        "threads": arguments.threads,
        "seed": arguments.seed,
        **({"code": code_digest("embedding")} if engine == "ours" else {}),  # our code changes, its version does not
    }
    known = [fit for fit in results["fits"] if key.items() <= fit.items()]
    if known and not arguments.again:
        return
    source = {"run": arguments.run, "layer": arguments.layer}
    rows_file, labels = make_rows(arguments.work, points, data_root=arguments.data_root, seed=arguments.seed, **source)
    measured, embedded = _fit(arguments, rows_file, dims, engine)
    fit = {**key, "described": describe_rows(points, **source), **measured}
    if points <= QUALITY_UP_TO:
        fit["kl_divergence"] = divergence(*affinities(rows_file, arguments.perplexity), embedded)
        fit["knn_accuracy"] = neighbours_vote(embedded, labels)
    replaced = [other for other in results["fits"] if _same_but_for_code(other, key)]
    results["fits"] = [other for other in results["fits"] if other not in replaced] + [fit]
    save(results, arguments.out)
    print(f"{engine:9} {points:7,} {dims}-D  {measured['seconds']:7.2f} s", file=sys.stderr)


def _same_but_for_code(fit: dict, key: dict) -> bool:
    return {name: value for name, value in key.items() if name != "code"}.items() <= fit.items()


def _compile(results: dict, arguments: argparse.Namespace) -> None:
    """Time the first process beside the second, from an empty cache on, which then serves all fits."""
    # Also where the results hold these times: the cache must be that of the code as it is.
    smallest = SCALING_POINTS[0] if arguments.scaling else min(arguments.points)
    source = {"data_root": arguments.data_root, "run": arguments.run, "layer": arguments.layer, "seed": arguments.seed}
    rows_file, _ = make_rows(arguments.work, smallest, **source)
    for dims in {dims for _, dims, engine in _plan(arguments) if engine == "ours"}:
        shutil.rmtree(_cache(arguments, dims), ignore_errors=True)
        first, second = (_fit(arguments, rows_file, dims, "ours")[0]["seconds"] for _ in range(2))
        results["compilation"][f"{dims}-D"] = {
            "first_process_seconds": first,
            "second_process_seconds": second,
            "difference_seconds": first - second,
            "points": smallest,
        }
        print(f"first process {first:.2f} s, second {second:.2f} s: compilation {first - second:.2f} s, {dims}-D")


def _fit(arguments: argparse.Namespace, rows_file: Path, dims: int, engine: str) -> tuple[dict, np.ndarray]:
    out = arguments.work / "points.npy"
    threads = str(arguments.threads)
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(_cache(arguments, dims)),
        **dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads),
    }
    options = {"dims": dims, "perplexity": arguments.perplexity, "threads": threads, "seed": arguments.seed}
    command = [sys.executable, Path(__file__).with_name("tsne_run.py"), engine, rows_file, out]
    command += [part for name, value in options.items() for part in (f"--{name}", value)]
    answer = subprocess.run([str(part) for part in command], env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(answer.stdout.decode().splitlines()[-1]), np.load(out)


def _cache(arguments: argparse.Namespace, dims: int) -> Path:
    # One for each, since 2-D and 3-D share some loops, and each is to be timed from nothing.
    return arguments.work / f"numba-{dims}d"


if __name__ == "__main__":
    main()
