"""Whether features of many images stream: memory of the command and of its workers by the images that are done.

    python benchmarks/engines_memory.py --figure docs/results/figures/engines-memory.svg    # 1,000,000 images
    python benchmarks/engines_memory.py --images 40000                                      # a look

Two workers of the engine `processes`, one thread each, take two layers of `convnet` from images of noise of 28 px,
which lie in a file. Memory is private: what Linux counts as anonymous (RssAnon), without pages of files.
"""

import argparse
import os
import re
import tempfile
import threading
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from engines import write_images
from results_file import machine, save

import glassnet as gn


def private_bytes(process: int) -> tuple[int, int]:
    """Return what a process holds, and its largest child (a worker), in bytes."""
    own, children = 0, []
    try:
        own = int(re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())[1]) * 1024
        for task in Path(f"/proc/{process}/task").iterdir():
            children += [private_bytes(int(child))[0] for child in (task / "children").read_text().split()]
    except (OSError, TypeError):  # it has just ended
        pass
    return own, max(children, default=0)


def main() -> None:
    """Extract, look twice a second, print, keep, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--figure", type=Path, help="SVG file to draw")
    options = parser.parse_args()
    looks, ended = [], threading.Event()
    with tempfile.TemporaryDirectory() as name:
        images, out = write_images(Path(name) / "images.npy", options.images), Path(name) / "features"
        torch.manual_seed(0)
        network = gn.create_model("convnet", in_channels=1, num_classes=10, image_size=28)

        def look() -> None:
            log = out / "features.jsonl"
            while not ended.wait(0.5):
                shards = max(0, log.read_bytes().count(b"\n") - 1) if log.exists() else 0  # its first line is a head
                looks.append((shards, *private_bytes(os.getpid())))

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            gn.extract_features(
                network, images, ["conv4", "fc1"], out=out, engine="processes", workers=2, worker_cpus=1
            )
        finally:
            ended.set()
            watcher.join()
        shards = (out / "features.jsonl").read_bytes().count(b"\n") - 1
    rows = [[round(done / shards * options.images), own >> 20, worker >> 20] for done, own, worker in looks]
    results = {"machine": machine(), "images": options.images, "images_command_worker_megabytes": rows}
    _, own, worker = zip(*(row for row in rows if row[0] > options.images * 0.05), strict=True)
    print(f"MB of the command {min(own)} to {max(own)}, of its larger worker {min(worker)} to {max(worker)}")
    if options.out:
        save(results, options.out)
    if options.figure:
        draw(rows, options.figure)


def draw(rows: list[list[int]], path: Path) -> None:
    """Draw memory by images done."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
    done, own, worker = zip(*rows, strict=True)
    axes.plot([one / 1000 for one in done], own, label="the command")
    axes.plot([one / 1000 for one in done], worker, label="its larger worker")
    axes.set(xlabel="images done (thousands)", ylabel="private memory (MB)", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
