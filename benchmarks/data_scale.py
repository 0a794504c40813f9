"""Data larger than memory: how fast its cache is built, how fast it trains from there, and how much memory that takes.

    python benchmarks/data_scale.py                          100,000 JPEGs of 64 pixels, made by this script
    python benchmarks/data_scale.py --quick                  2,000 of them
    python benchmarks/data_scale.py --work DIR               keep the folder of images there for the next time

Peers: two processes that decode the same files with Pillow alone (open, convert, array), in turn with this library; and
the same training with all images in memory. The training is one epoch of --model on a random permutation of all images.
Last, a build is killed in the middle and started again, and the bytes are compared with those of one that was not.
Exit code 1 where a claim fails; with --quick only that of the same bytes counts.
"""

import argparse
import hashlib
import json
import multiprocessing
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from results_file import machine, save

PIXELS, CLASSES, PEER_PROCESSES, PATTERNS = 64, 10, 2, 200
MOST_RESIDENT, LEAST_TRAINING, LEAST_BUILD = 1.5e9, 0.9, 0.8
"""What is claimed: bytes; shares of the peers' rates."""


def make_images(folder: Path, first: int, count: int, step: int) -> None:
    """Write every so many-th of the images: a smooth pattern with noise, and its number in a corner."""
    rng = np.random.default_rng(first)
    patterns = []
    for _ in range(PATTERNS):
        smooth = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((PIXELS, PIXELS))
        noise = rng.normal(0, 10, (PIXELS, PIXELS, 1))
        patterns.append(Image.fromarray((np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8)))
    for i in range(first, count, step):
        image = patterns[i // step % PATTERNS].copy()
        image.paste((i % 256, i // 256 % 256, i // 65536), (0, 0, 16, 16))
        path = folder / f"class{i % CLASSES}" / f"{i:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=90)


def decode_alone(files: list[str]) -> None:
    """Decode files with Pillow and nothing else."""
    for file in files:
        with Image.open(file) as image:
            np.asarray(image.convert("RGB"))


def in_processes(function: object, each: list[tuple]) -> float:
    """Run a function once in each of several processes; return the seconds that took."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=function, args=given) for given in each]
    begun = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("a process failed")
    return time.perf_counter() - begun


def start(role: str, options: argparse.Namespace, root: Path, *more: str) -> subprocess.Popen:
    """Start this script in a role of its own, in a process of its own, so that its memory is its own."""
    command = [sys.executable, __file__, "--role", role, "--work", str(options.work), "--images", str(options.images)]
    command += ["--root", str(root), "--model", options.model, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def measured(process: subprocess.Popen) -> dict:
    """Wait for a process and return what it printed, the most that it and its children held at once, and its seconds.

    Memory is in bytes. The seconds are those until its end, when all that it wrote is on the disk.
    """
    most, begun = 0, time.perf_counter()
    while process.poll() is None:
        most = max(most, resident(process.pid))
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"a role failed with exit code {process.returncode}")
    return {
        **json.loads(process.stdout.read().splitlines()[-1]),
        "tree_bytes": most,
        "process_seconds": time.perf_counter() - begun,
    }


def resident(process: int) -> int:
    """Return what a process and its children hold, each page that they share counted by its share (Pss)."""
    total = 0
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            total += int(line.split()[1]) * 1024 if line.startswith("Pss:") else 0
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:  # it has just ended
        return total
    return total + sum(resident(int(child)) for child in children)


def peak_bytes() -> int:
    """Return this process's highest resident memory so far, mapped files included."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def build(options: argparse.Namespace) -> dict:
    """Build the cache: as a whole, and without listing the folder and looking for copies."""
    from glassnet.data import large
    from glassnet.data.datasets import folder

    seconds, stored_pictures = [], large.stored_pictures

    def timed(*given: object, **named: object) -> object:
        begun = time.perf_counter()
        found = stored_pictures(*given, **named)
        seconds.append(time.perf_counter() - begun)
        return found

    folder.stored_pictures, large.IN_MEMORY_BYTES = timed, -1
    begun = time.perf_counter()
    folder.load(images_of(options), PIXELS, root=options.root)
    return {"seconds": time.perf_counter() - begun, "decoding_seconds": seconds[0], "peak_bytes": peak_bytes()}


def train(options: argparse.Namespace) -> dict:
    """Train an epoch; return its rate, and that of its batches alone."""
    import torch

    import glassnet as gn
    from glassnet.data import large
    from glassnet.data.batches import shuffled_batches

    large.IN_MEMORY_BYTES = 1 << 62 if options.in_memory else -1
    with tempfile.TemporaryDirectory() as out:
        run = gn.train(
            gn.TrainSettings(
                data=f"folder:{images_of(options)}",
                data_root=options.root,
                model=options.model,
                image_size=PIXELS,
                epochs=options.epochs,
                out=Path(out) / "run",
            )
        )
        peak = peak_bytes()
        count = run.manifest["data"]["train"]
        seconds = [row["train_seconds"] for row in run.history]
        weights = hashlib.sha256(b"".join(one.float().numpy().tobytes() for one in run.model().state_dict().values()))
        training = run.dataset().train
    begun = time.perf_counter()
    for _ in shuffled_batches(
        training, batch_size=128, generator=torch.Generator().manual_seed(0), device=torch.device("cpu")
    ):
        pass
    return {
        "images_per_second": count * len(seconds) / sum(seconds),
        "batches_alone_images_per_second": len(training) / (time.perf_counter() - begun),
        "peak_bytes": peak,
        "weights": weights.hexdigest(),
    }


def images_of(options: argparse.Namespace) -> Path:
    """Return the folder of so many images."""
    return options.work / f"jpegs-{options.images}"


def killed_and_resumed(options: argparse.Namespace, whole: Path, root: Path) -> dict:
    """Kill a build in the middle, start it again, and compare the bytes with those of a whole one."""
    process = start("build", options, root)
    wanted, deadline = options.images * 0.3, time.monotonic() + 600
    done = 0
    while done < wanted and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
        done = entries_done(root)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = entries_done(root)
    measured(start("build", options, root))
    return {"done_when_killed": done, "same_bytes": digest(root) == digest(whole)}


def entries_done(root: Path) -> int:
    """Count the images that an index says are there."""
    from glassnet.data.shards.index import entry_type

    kind = entry_type(["images"])
    for file in root.glob("cache/*/index.bin"):
        content = file.read_bytes()
        return int((np.frombuffer(content[: len(content) // kind.itemsize * kind.itemsize], kind)["flags"] != 0).sum())
    return 0


def digest(root: Path) -> str:
    """Return a digest of the files of a cache."""
    total = hashlib.sha256()
    for file in sorted(root.glob("cache/*/*")):
        with file.open("rb") as content:
            total.update(file.name.encode() + hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()


def main() -> None:
    """Make, build, train, kill, compare; print and keep the figures."""
    options = parse()
    if options.role:
        print(json.dumps({"build": build, "train": train}[options.role](options)))
        return
    with tempfile.TemporaryDirectory(dir=options.work) as place:
        results = measure(options, Path(place))
    results["claims"] = claims(results)
    print(json.dumps(results, indent=1))
    if options.out:
        save(results, options.out)
    failed = [name for name, holds in results["claims"].items() if not holds and (not options.quick or "by" in name)]
    if failed:
        raise SystemExit(f"not so: {'; '.join(failed)}")


def measure(options: argparse.Namespace, place: Path) -> dict:
    """Take all figures."""
    folder = images_of(options)
    if not folder.exists():
        making = folder.with_suffix(".making")
        in_processes(make_images, [(making, i, options.images, PEER_PROCESSES) for i in range(PEER_PROCESSES)])
        making.rename(folder)
    files = sorted(str(file) for file in folder.glob("*/*.jpg"))
    assert len(files) == options.images
    alone, builds = [], []
    for turn in range(options.repeats + 1):
        seconds = in_processes(decode_alone, [(files[i::PEER_PROCESSES],) for i in range(PEER_PROCESSES)])
        if turn:
            # Its pages serve the next build: pages that a virtual machine has never used cost it more.
            shutil.rmtree(place / f"root{turn - 1}")
        root = place / f"root{turn}"
        figures = measured(start("build", options, root))
        if turn:  # the first has read the files from the disk, and the others have not
            alone.append(options.images / seconds)
            builds.append(figures)
    rates = [options.images / one["decoding_seconds"] for one in builds]
    whole = [options.images / one["seconds"] for one in builds]
    cache, memory = (
        [measured(start("train", options, root, *more)) for _ in range(options.trainings)]
        for more in ((), ("--in-memory",))
    )
    kept = {} if options.trainings else json.loads(options.out.read_text())
    cache, memory = (kept.get(f"training_from_{name}", some) for name, some in both(cache, memory))
    rate = {name: statistics.median(one["images_per_second"] for one in some) for name, some in both(cache, memory)}
    return {
        "machine": machine(),
        "images": options.images,
        "model": options.model,
        "pillow_alone_images_per_second": alone,
        "build_images_per_second": rates,
        "build_with_listing_images_per_second": whole,
        "build_to_pillow": statistics.median(a / b for a, b in zip(rates, alone, strict=True)),
        "build_process_seconds": [one["process_seconds"] for one in builds],
        "build_with_listing_to_pillow": statistics.median(a / b for a, b in zip(whole, alone, strict=True)),
        "build": builds,
        "training_from_cache": cache,
        "training_from_memory": memory,
        "training_cache_to_memory": rate["cache"] / rate["memory"],
        "killed": killed_and_resumed(options, root, place / "killed"),
    }


def both(cache: list, memory: list) -> list:
    """Name the two sides."""
    return [("cache", cache), ("memory", memory)]


def claims(results: dict) -> dict[str, bool]:
    """Hold the figures against what is claimed."""
    cache, memory = results["training_from_cache"], results["training_from_memory"]
    return {
        "at most 1.5 GB resident": max(one["peak_bytes"] for one in [*cache, *results["build"]]) <= MOST_RESIDENT,
        "trains at 0.9 of memory's rate": results["training_cache_to_memory"] >= LEAST_TRAINING,
        "built at 0.8 of Pillow's rate": results["build_to_pillow"] >= LEAST_BUILD,
        "killed, it ends with the same bytes": results["killed"]["same_bytes"],
        "the weights are, bit by bit, those trained from memory": len({one["weights"] for one in [*cache, *memory]})
        == 1,
    }


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3, help="builds, and as many of the peer's, in turn")
    parser.add_argument(
        "--trainings", type=int, default=2, help="from the cache, and as many from memory; 0: as in --out"
    )
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--model", default="convnet")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "glassnet-data-scale")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--quick", action="store_true", help="2,000 images, once")
    parser.add_argument("--role", choices=("build", "train"), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--in-memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.images, options.repeats, options.trainings = 2_000, 1, 1
    if not options.trainings and not (options.out and options.out.is_file()):
        parser.error("--trainings is 0, expected 1 or more where --out names no file with trainings to keep")
    options.work.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    main()
