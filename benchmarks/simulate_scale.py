"""What a billion images' features and a sweep of 1,000 cells would cost: on paper, and by simulation of the engines.

    python benchmarks/simulate_scale.py                     both, for 8 to 1,024 workers
    python benchmarks/simulate_scale.py --images 1e7 --workers 16
    python benchmarks/simulate_scale.py --rate 2500 --link 3e9 --mtbf 200

Nothing of this size was run. The rules are those of `glassnet.scale`: shards of eight batches, one more shard ready for
each worker, images and rows by one link of the machine of the command, one writer there, three attempts, a training
that goes on from its last whole epoch. How long the writer takes for a shard is measured here, with the real files;
rates, links and the mean time between a worker's failures are given. Failures are drawn with --seed.
"""

import argparse
import heapq
import random
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from results_file import machine, save

from glassnet.scale.shards import MANIFEST, Shard, ShardFiles
from glassnet.scale.workers import ATTEMPTS

SHARD_IMAGES = 8 * 128
RESTART_SECONDS = 20.0
HOUR = 3600.0
OUT = Path(__file__).parent / "results" / "simulate_scale.json"


@dataclass(frozen=True)
class Features:
    """Features of many images.

    Attributes:
        images: How many.
        image_bytes: Pixels of one, as they are sent.
        columns: Numbers that the layers give for one.
        rate: Images a second of one worker.
        workers: How many.
        link: Bytes a second, in each direction, of the machine of the command.
        writer: Seconds for a shard's rows there: digest, write, fsync, a line of the manifest.
        line_bytes: Of the manifest, a shard.
        mtbf: Hours between two failures of one worker.
    """

    images: int
    image_bytes: int
    columns: int
    rate: float
    workers: int
    link: float
    writer: float
    line_bytes: float
    mtbf: float


def simulate_features(asked: Features, seed: int) -> dict:
    """Send, compute and write shard after shard; a worker that dies loses the two shards that it holds."""
    draw = random.Random(seed)
    shards = -(-asked.images // SHARD_IMAGES)
    send, give = SHARD_IMAGES * asked.image_bytes / asked.link, SHARD_IMAGES * 4 * asked.columns / asked.link
    work, mean = SHARD_IMAGES / asked.rate, asked.mtbf * HOUR
    # Of each worker: when it can be given a shard (one lies ready besides), when it is free, when it fails next.
    ready = [(0.0, number) for number in range(asked.workers)] * 2
    heapq.heapify(ready)
    free = [0.0] * asked.workers
    fails = [draw.expovariate(1 / mean) for _ in range(asked.workers)]
    link_out = link_in = writer = busy = 0.0
    left, lost = shards, 0
    while left:
        now, one = heapq.heappop(ready)
        link_out = max(link_out, now) + send
        begin = max(link_out, free[one])
        end = begin + work
        if fails[one] < end:  # this shard is given again; so is the one behind it, which fails in turn
            lost += 1
            free[one] = max(fails[one], now) + RESTART_SECONDS
            fails[one] = free[one] + draw.expovariate(1 / mean)
            heapq.heappush(ready, (free[one], one))
            continue
        free[one] = end
        busy += work
        link_in = max(link_in, end) + give
        writer = max(writer, link_in) + asked.writer
        heapq.heappush(ready, (begin, one))
        left -= 1
    seconds = max(writer, max(free))
    parts = {
        "workers": shards * work / asked.workers,
        "link": shards * send,
        "writer": shards * asked.writer,
    }
    return {
        **asdict(asked),
        "shards": shards,
        "hours": seconds / HOUR,
        "limit": max(parts, key=parts.get),
        "hours_on_paper": {name: value / HOUR for name, value in parts.items()},
        "busy_share": busy / (seconds * asked.workers),
        "shards_lost": lost,
        "bytes_sent": asked.images * asked.image_bytes + lost * SHARD_IMAGES * asked.image_bytes,
        "bytes_kept": asked.images * 4 * asked.columns,
        "manifest_bytes": shards * asked.line_bytes,
        "command_bytes": 2 * asked.workers * SHARD_IMAGES * (asked.image_bytes + 4 * asked.columns) + shards * 250,
    }


@dataclass(frozen=True)
class Sweep:
    """A grid of trainings.

    Attributes:
        cells: Combinations of the axes.
        seeds: Of each.
        epochs: Of each training.
        epoch_seconds: On one worker.
        parameters: Of the network; 16 bytes of each come home every epoch, and 4 of the best weights.
        workers: How many.
        link: Bytes a second of the machine of the command.
        mtbf: Hours between two failures of one worker.
    """

    cells: int
    seeds: int
    epochs: int
    epoch_seconds: float
    parameters: int
    workers: int
    link: float
    mtbf: float


def simulate_sweep(asked: Sweep, seed: int) -> dict:
    """Train epoch after epoch; a worker's death costs the epoch it is in, and three deaths the training."""
    draw = random.Random(seed)
    trials, mean = asked.cells * asked.seeds, asked.mtbf * HOUR
    bring = 20 * asked.parameters / asked.link
    waiting = [(0, asked.epochs)] * trials  # deaths, epochs left
    heap = [(0.0, number, None) for number in range(min(asked.workers, trials))]
    heapq.heapify(heap)
    fails = [draw.expovariate(1 / mean) for _ in range(asked.workers)]
    link = end = busy = lost_seconds = 0.0
    deaths = left_out = epochs = 0
    while heap:
        now, one, trial = heapq.heappop(heap)
        if trial is None:
            if not waiting:
                continue
            trial = waiting.pop(0) if len(waiting) < 2 else waiting.pop()
        died, to_do = trial
        over = now + asked.epoch_seconds
        if fails[one] < over:
            deaths += 1
            lost_seconds += max(0.0, fails[one] - now) + RESTART_SECONDS
            back = max(fails[one], now) + RESTART_SECONDS
            fails[one] = back + draw.expovariate(1 / mean)
            if died + 1 < ATTEMPTS:
                waiting.append((died + 1, to_do))
            else:
                left_out += 1
            heapq.heappush(heap, (back, one, None))
            continue
        busy += asked.epoch_seconds
        epochs += 1
        link = max(link, over) + bring
        end = max(end, over, link)
        heapq.heappush(heap, (over, one, (died, to_do - 1) if to_do > 1 else None))
    ideal = trials * asked.epochs * asked.epoch_seconds / asked.workers
    return {
        **asdict(asked),
        "trainings": trials,
        "hours": end / HOUR,
        "hours_on_paper": {"workers": ideal / HOUR, "link": trials * asked.epochs * bring / HOUR},
        "busy_share": busy / (end * asked.workers),
        "deaths": deaths,
        "left_out": left_out,
        "hours_lost": lost_seconds / HOUR,
        "bytes_moved": 20 * asked.parameters * epochs,
        "bytes_kept": 20 * asked.parameters * trials,
    }


def measured_writer(columns: int, shards: int = 40) -> tuple[float, float]:
    """Write shards with the real files; return the median of the seconds of one, and the bytes of its line."""
    rows = {"fc": np.random.default_rng(0).random((SHARD_IMAGES, columns), dtype=np.float32)}
    with tempfile.TemporaryDirectory() as name:
        files = ShardFiles(Path(name), {"model": "made"}, shards * SHARD_IMAGES)
        seconds = []
        for number in range(shards):
            began = time.perf_counter()
            files.write(Shard(number, number * SHARD_IMAGES, (number + 1) * SHARD_IMAGES), rows)
            seconds.append(time.perf_counter() - began)
        lines = (Path(name) / MANIFEST).read_bytes().splitlines()
    return float(np.median(seconds)), float(np.mean([len(line) + 1 for line in lines[1:]]))


def main() -> None:
    """Simulate, print tables, save."""
    asked = arguments()
    writer, line_bytes = measured_writer(asked.columns)
    workers = asked.workers or [8, 64, 256, 1024]
    results = {"machine": machine(), "seed": asked.seed, "writer_seconds": writer, "features": [], "sweep": []}
    for pixels in (28, 224):
        image_bytes = pixels * pixels * (1 if pixels == 28 else 3)
        rate = asked.rate or (4000.0 if pixels == 28 else 1000.0)
        for count in workers:
            one = Features(
                int(asked.images), image_bytes, asked.columns, rate, count, asked.link, writer, line_bytes, asked.mtbf
            )
            results["features"].append({"pixels": pixels, **simulate_features(one, asked.seed)})
    for count in workers:
        sweep = Sweep(
            asked.cells, 3, asked.epochs, asked.epoch_seconds, asked.parameters, count, asked.link, asked.mtbf
        )
        results["sweep"].append(simulate_sweep(sweep, asked.seed))
    save(results, asked.out)
    table(results)


def table(results: dict) -> None:
    """Print both as Markdown."""
    print(f"writer: {1000 * results['writer_seconds']:.1f} ms a shard")
    print("| pixels | workers | hours | calculated: workers, link, writer | limit | busy | sent | command's memory |")
    for one in results["features"]:
        paper = ", ".join(f"{value:.1f}" for value in one["hours_on_paper"].values())
        print(
            f"| {one['pixels']} | {one['workers']:,} | {one['hours']:.1f} | {paper} | {one['limit']} "
            f"| {one['busy_share']:.0%} | {one['bytes_sent'] / 1e12:.1f} TB | {one['command_bytes'] / 1e9:.2f} GB |"
        )
    print("| workers | hours | calculated | busy | deaths | left out | hours lost | moved | kept |")
    for one in results["sweep"]:
        print(
            f"| {one['workers']:,} | {one['hours']:.1f} | {one['hours_on_paper']['workers']:.1f} "
            f"| {one['busy_share']:.0%} | {one['deaths']:,} | {one['left_out']} | {one['hours_lost']:.1f} "
            f"| {one['bytes_moved'] / 1e9:.0f} GB | {one['bytes_kept'] / 1e9:.0f} GB |"
        )


def arguments() -> argparse.Namespace:
    """Read what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=float, default=1e9)
    parser.add_argument("--columns", type=int, default=512, help="numbers that are kept of an image")
    parser.add_argument("--rate", type=float, help="images a second of a worker; 4,000 at 28 pixels, 1,000 at 224")
    parser.add_argument("--workers", type=int, nargs="+")
    parser.add_argument("--link", type=float, default=1.25e9, help="bytes a second: 10 Gbit/s")
    parser.add_argument("--mtbf", type=float, default=500, help="hours between two failures of a worker")
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--epoch-seconds", type=float, default=120)
    parser.add_argument("--parameters", type=int, default=3_600_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
