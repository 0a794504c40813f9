"""One t-SNE by one engine in a process of its own: prints its seconds and peak memory, writes its points."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Fit = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    """Import the engine, then time its fit alone: rows in memory to points, neighbours included."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dims", type=int, default=2)
    parser.add_argument("--perplexity", type=float, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = np.load(arguments.rows)
    fit = ENGINES[arguments.engine](arguments.dims, arguments.perplexity, arguments.threads, arguments.seed)
    before = peak_bytes()
    wall, cpu = time.perf_counter(), time.process_time()
    points = fit(rows)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    np.save(arguments.out, np.asarray(points, dtype=np.float32))
    peak = peak_bytes()
    json.dump(
        {"seconds": wall, "cpu_seconds": cpu, "peak_bytes": peak, "peak_bytes_before": before, "rows": len(rows)},
        sys.stdout,
    )


def ours(dims: int, perplexity: float, _threads: int, seed: int) -> Fit:
    """Make glassnet's own engine; it takes its threads from the environment."""
    from glassnet.embedding import embed

    return lambda rows: (
        embed(rows, method="tsne", dims=dims, perplexity=perplexity, pca_components=None, seed=seed).points
    )


def open_tsne(dims: int, perplexity: float, threads: int, seed: int) -> Fit:
    """Make openTSNE as it comes; in 3-D by Barnes-Hut, its only gradient there."""
    from openTSNE import TSNE

    method = "auto" if dims < 3 else "bh"
    model = TSNE(
        n_components=dims,
        perplexity=perplexity,
        n_jobs=threads,
        negative_gradient_method=method,
        random_state=seed,
    )
    return model.fit


def scikit_learn(dims: int, perplexity: float, threads: int, seed: int) -> Fit:
    """Make scikit-learn's TSNE as it comes (Barnes-Hut, 1,000 steps)."""
    from sklearn.manifold import TSNE

    return TSNE(n_components=dims, perplexity=perplexity, n_jobs=threads, random_state=seed).fit_transform


def peak_bytes() -> int:
    """Return the largest resident memory that this process had."""
    status = Path("/proc/self/status")
    if status.exists():
        # Unlike getrusage's, this peak is not inherited from the process that started this one.
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


ENGINES: dict[str, Callable[[int, float, int, int], Fit]] = {
    "ours": ours,
    "opentsne": open_tsne,
    "sklearn": scikit_learn,
}

if __name__ == "__main__":
    main()
