"""How fast glassnet trains beside what one would write by hand, and how near it comes to the machine's own rate.

    python benchmarks/train.py --data-root DIR                 # images per second and memory: glassnet and its peers
    python benchmarks/train.py --data-root DIR --to-target     # and seconds from process start to 0.9955
    python benchmarks/train.py --data mnist-sample --runs 1 --epochs 1     # a trial of some minutes

The same network on the same images, by

- tutorial: PIL images, a DataLoader with workers, per-sample transforms, fp32;
- tensors: the same with all images as one tensor;
- fair: plain PyTorch by a practised hand: tensors, channels last, fused AdamW, bf16 where glassnet takes it;
- lightning: Lightning's Trainer over tensors, in fp32, and in bf16 where the hardware multiplies it;
- glassnet: `glassnet train` as it comes, in the precision that it chooses.

Each peer has the batch size and the number of workers that it is fastest with here. Every training is a process of its
own; contenders take turns, so that a slow minute of the machine strikes all of them. The first of several epochs is a
warm-up. Images per second are those of the training alone, without glassnet's validation, which the others do not do;
seconds to the target are of whole processes. What the results hold is not measured again.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from itertools import product
from pathlib import Path

from results_file import machine, save
from train_summary import print_summary, rate_of

HERE = Path(__file__).parent
PEERS = ("tutorial", "tensors", "fair", "lightning", "lightning-bf16")
IN_MEMORY = ("tensors", "fair")
WIDE = "64,64,64,64"
PACKAGES = ("glassnet", "torch", "lightning", "accelerate", "numpy", "pillow")
TARGET_EPOCHS = (1, 2, 3, 4, 6, 8, 12, 16)
POLL_SECONDS = 0.5


def main() -> None:
    """Measure what is asked for and not yet in the results, save after each training, print the table."""
    arguments = _arguments()
    results = _opened(arguments)
    if "matmul" not in results:
        results["matmul"] = _answer([HERE / "train_matmul.py", *_machine_options(arguments)], arguments)[0]
        save(results, arguments.out)
    peers = [name for name in arguments.only if name in PEERS]
    if "bf16" not in results["matmul"]["flops_per_second"]:
        peers = [name for name in peers if name != "lightning-bf16"]
    for name in peers:
        _search(results, arguments, name)
    ours = "glassnet" in arguments.only
    for turn in range(arguments.runs):
        for name in (*peers, *(["glassnet"] if ours else [])):
            _measure(results, arguments, name, turn, filters=arguments.filters)
        if ours:
            _measure(results, arguments, "glassnet", turn, filters=WIDE)
    if arguments.to_target:
        for turn, name in product(range(arguments.runs), (*peers, *(["glassnet"] if ours else []))):
            _reach(results, arguments, name, turn)
    print_summary(results, arguments.filters, WIDE)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist", help="a data set of grey digits: mnist or mnist-sample")
    parser.add_argument("--data-root", type=Path, help="where it lies or is downloaded to")
    parser.add_argument("--runs", type=int, default=3, help="trainings of each kind; 0 only prints the results")
    parser.add_argument("--epochs", type=int, default=3, help="of each training; the first is a warm-up")
    parser.add_argument("--filters", default="32,32,64,64")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[*PEERS, "glassnet"])
    parser.add_argument("--images", type=int, help="of a peer's measured epochs; all of them if not given")
    parser.add_argument("--search-images", type=int, default=6000, help="a peer's best settings are sought on")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 128, 256, 512], help="tried for each peer")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4], help="tried for peers with a loader")
    parser.add_argument("--to-target", action="store_true", help="also measure the seconds to --target")
    parser.add_argument("--target", type=float, default=0.9955, help="test accuracy")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves them as torch chooses")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--again", action="store_true", help="measure again what the results hold")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "train.json")
    arguments = parser.parse_args()
    unknown = set(arguments.only) - {*PEERS, "glassnet"}
    if unknown:
        parser.error(f"no contender {', '.join(sorted(unknown))}; they are {', '.join((*PEERS, 'glassnet'))}")
    return arguments


def _opened(arguments: argparse.Namespace) -> dict:
    asked = {"data": arguments.data, "device": arguments.device, "threads": arguments.threads}
    if arguments.out.exists():
        results = json.loads(arguments.out.read_text())
        if results["asked"] != asked:
            sys.exit(f"{arguments.out} holds results for {results['asked']}, got {asked}; give another --out.")
        return results
    return {
        "asked": asked,
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "date": date.today().isoformat(),
        "search": {},
        "trainings": [],
        "to_target": [],
    }


def _search(results: dict, arguments: argparse.Namespace, name: str) -> None:
    """Find the batch size and the number of workers that a peer is fastest with, on part of the images."""
    found = results["search"].setdefault(name, [])
    workers = arguments.workers if name not in IN_MEMORY else [0]
    for size, count in product(arguments.batch_sizes, workers):
        key = {"batch_size": size, "workers": count}
        known = [one for one in found if key.items() <= one.items()]
        if not known or arguments.again:
            limit = ["--images", arguments.search_images, "--epochs", 2, "--filters", arguments.filters]
            measured, _ = _peer(arguments, name, key, limit)
            found[:] = [one for one in found if one not in known] + [key | {"images_per_second": rate_of(measured)}]
            save(results, arguments.out)
            print(f"{name:15} batch {size:4} workers {count}: {rate_of(measured):7,.0f} images/s", file=sys.stderr)


def _best(results: dict, name: str) -> dict:
    best = max(results["search"][name], key=lambda one: one["images_per_second"])
    return {"batch_size": best["batch_size"], "workers": best["workers"]}


def _measure(results: dict, arguments: argparse.Namespace, name: str, turn: int, *, filters: str) -> None:
    key = {"contender": name, "filters": filters, "epochs": arguments.epochs, "turn": turn}
    known = [one for one in results["trainings"] if key.items() <= one.items()]
    if known and not arguments.again:
        return
    if name == "glassnet":
        measured, watched = _glassnet(arguments, arguments.epochs, turn, filters)
    else:
        options = ["--epochs", arguments.epochs, "--filters", filters, "--seed", turn]
        options += ["--images", arguments.images] if arguments.images else []
        measured, watched = _peer(arguments, name, _best(results, name), options)
        measured |= _best(results, name)
    row = key | measured | watched | {"images_per_second": rate_of(measured)}
    results["trainings"] = [one for one in results["trainings"] if one not in known] + [row]
    save(results, arguments.out)
    print(f"{name:15} filters {filters}: {row['images_per_second']:7,.0f} images/s", file=sys.stderr)


def _reach(results: dict, arguments: argparse.Namespace, name: str, turn: int) -> None:
    """Train ever longer until the test accuracy at the end is the target's; the seconds are those of that training."""
    key = {"contender": name, "target": arguments.target, "turn": turn}
    known = [one for one in results["to_target"] if key.items() <= one.items()]
    if known and not arguments.again:
        return
    row = key | {"epochs": None, "seconds": None, "test_accuracy": None}
    for epochs in TARGET_EPOCHS:
        if name == "glassnet":
            measured, watched = _glassnet(arguments, epochs, turn, arguments.filters)
        else:
            options = ["--epochs", epochs, "--filters", arguments.filters, "--seed", turn, "--test"]
            measured, watched = _peer(arguments, name, _best(results, name), options)
        print(f"{name:15} {epochs} epochs: test accuracy {measured['test_accuracy']:.4f}", file=sys.stderr)
        if measured["test_accuracy"] >= arguments.target:
            row |= {"epochs": epochs, "seconds": watched["seconds"], "test_accuracy": measured["test_accuracy"]}
            break
    results["to_target"] = [one for one in results["to_target"] if one not in known] + [row]
    save(results, arguments.out)


def _peer(arguments: argparse.Namespace, name: str, best: dict, options: list) -> tuple[dict, dict]:
    chosen = ["--batch-size", best["batch_size"], "--workers", best["workers"], "--data", arguments.data]
    command = [HERE / "train_run.py", name, *chosen, *_root(arguments), *_machine_options(arguments), *options]
    return _answer(command, arguments)


def _glassnet(arguments: argparse.Namespace, epochs: int, seed: int, filters: str) -> tuple[dict, dict]:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = ["-m", "glassnet", "train", "--json", "--data", arguments.data, *_root(arguments), "--out", run]
        command += ["--model-options", f"filters={filters}", "--epochs", epochs, "--seed", seed]
        command += ["--device", arguments.device]
        answer, watched = _answer(command, arguments)
        manifest = json.loads((run / "run.json").read_text())
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    size = manifest["settings"]["batch_size"]
    measured = {
        "epoch_seconds": [row["train_seconds"] for row in rows],
        "images": manifest["data"]["train"] // size * size,
        "test_accuracy": answer["metrics"]["test_accuracy"],
        "batch_size": size,
        "precision": manifest["precision"],
        "training_flops_per_image": _flops(manifest["model"]["layers"]),
    }
    return measured, watched


def _flops(layers: list[dict]) -> int:
    """Floating-point operations to train on one image: two a multiplication-addition, three passes.

    One pass forward, one back to the weights, one back to the input, which the first layer is spared.
    """
    macs = [layer["macs"] for layer in layers if layer["macs"]]
    return 2 * (3 * sum(macs) - macs[0])


def _root(arguments: argparse.Namespace) -> list:
    return ["--data-root", arguments.data_root] if arguments.data_root else []


def _machine_options(arguments: argparse.Namespace) -> list:
    return ["--threads", arguments.threads, "--device", arguments.device]


def _answer(command: list, arguments: argparse.Namespace) -> tuple[dict, dict]:
    """Run Python on a command; return the JSON it prints, and its seconds and largest memory, workers included."""
    threads = {"OMP_NUM_THREADS": str(arguments.threads)} if arguments.threads else {}
    begun = time.perf_counter()
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            [sys.executable, *map(str, command)], stdout=out, stderr=complaints, env=os.environ | threads
        ) as process,
    ):
        peak = 0
        while process.poll() is None:
            peak = max(peak, _memory_bytes(process.pid))
            time.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - begun
        out.seek(0)
        complaints.seek(0)
        if process.returncode:
            sys.exit(complaints.read().decode()[-2000:])
        text = out.read().decode()
    return json.loads(text[text.index("{") :]), {"seconds": seconds, "peak_bytes": peak or None}


def _memory_bytes(process: int) -> int:
    """Sum what a process and its children hold, pages that they share counted once (Linux's proportional set size)."""
    total = 0
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            total += int(line.split()[1]) * 1024 if line.startswith("Pss:") else 0
        for task in Path(f"/proc/{process}/task").iterdir():
            total += sum(_memory_bytes(int(child)) for child in (task / "children").read_text().split())
    except (OSError, ValueError):  # it has ended meanwhile, or this is no Linux
        pass
    return total


if __name__ == "__main__":
    main()
