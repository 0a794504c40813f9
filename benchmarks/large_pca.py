"""How much memory PCA of a large set takes: random features are written to a file in chunks, then read from it.

    python benchmarks/large_pca.py                        one million rows of 128 columns
    python benchmarks/large_pca.py --rows 100000 --columns 512

Prints one JSON line: the seconds of processor time and of the clock, and the peak of the process's memory before and
after. The features are a known mixture, and the script fails where PCA does not find its directions again.
"""

import argparse
import json
import platform
import re
import tempfile
import time
from pathlib import Path

import numpy as np

from glassnet.embedding import embed

CHUNK_ROWS = 10_000


def peak_bytes() -> int:
    """Read this process's largest resident memory so far, memory-mapped pages included."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def write_features(path: Path, rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Write normal features whose standard deviations fall from 10, along random directions; return these."""
    axes = np.linalg.qr(rng.normal(size=(columns, columns)))[0]
    deviations = 10 * 0.8 ** np.arange(columns)
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, columns)}
    with path.open("wb") as file:  # not through a memory map, whose pages would count as this process's memory
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, rows, CHUNK_ROWS):
            chunk = rng.normal(size=(min(CHUNK_ROWS, rows - start), columns)) * deviations @ axes.T + 3
            file.write(chunk.astype("<f4").tobytes())
    return axes.T


def main() -> None:
    """Write, embed, check, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=128)
    parser.add_argument("--dims", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.npy"
        axes = write_features(path, options.rows, options.columns, np.random.default_rng(0))
        features = np.load(path, mmap_mode="r")
        before, clock, processor = peak_bytes(), time.perf_counter(), time.process_time()
        embedding = embed(features, method="pca", dims=options.dims)
        seconds, cpu_seconds, after = time.perf_counter() - clock, time.process_time() - processor, peak_bytes()
    assert embedding.restore is not None
    found = embedding.inverse(np.eye(options.dims)) - embedding.inverse(np.zeros((1, options.dims)))
    cosines = np.abs((found * axes[: options.dims]).sum(axis=1))
    assert (cosines > 0.999).all(), f"the axes found are off the true ones: cosines {cosines}"
    print(
        json.dumps(
            {
                "rows": options.rows, "columns": options.columns, "dims": options.dims,
                "solver": embedding.settings["solver"], "cpu_seconds": round(cpu_seconds, 2),
                "wall_seconds": round(seconds, 2), "features_megabytes": round(features.nbytes / 1e6),
                "peak_megabytes_before": round(before / 1e6), "peak_megabytes": round(after / 1e6),
                "least_cosine": round(float(cosines.min()), 6), "numpy": np.__version__, "machine": platform.machine(),
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
