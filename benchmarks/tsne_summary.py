"""The tables of the t-SNE benchmark: medians with their spread, ratios, and how time grows with the points."""

from collections import defaultdict

import numpy as np


def print_summary(fits: list[dict]) -> None:
    """Print a line for each engine and size, with ours as the share of the others' time."""
    groups: dict[tuple, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for fit in fits:
        key = tuple(fit[name] for name in ("source", "dims", "points", "threads", "perplexity", "seed"))
        groups[key][fit["engine"]].append(fit)
    for (source, dims, points, threads, perplexity, seed), engines in sorted(groups.items()):
        told = f"perplexity {perplexity:g}, seed {seed}, {threads} threads"
        print(f"\n{points:,} points, {dims}-D, {source}, {told}")
        print("| engine | seconds: median (least - most) | ours / it | KL divergence | kNN accuracy | peak memory |")
        print("|---|---|---|---|---|---|")
        mine = _middle(engines["ours"], "seconds") if "ours" in engines else None
        for engine, same in engines.items():
            seconds = [fit["seconds"] for fit in same]
            ratio = "" if mine is None else f"{mine / np.median(seconds):.3f}"
            print(
                f"| {engine} | {np.median(seconds):.2f} ({min(seconds):.2f} - {max(seconds):.2f}, {len(same)} runs) "
                f"| {ratio} | {_shown(same, 'kl_divergence', '.4f')} | {_shown(same, 'knn_accuracy', '.4f')} "
                f"| {_middle(same, 'peak_bytes') / 2**30:.2f} GiB |"
            )


def print_scaling(fits: list[dict], sizes: tuple[int, ...]) -> None:
    """Print how our seconds grow: the b of seconds = a (n log n)^b by least squares of the logarithms."""
    times = defaultdict(list)
    for fit in fits:
        if fit["engine"] == "ours" and fit["dims"] == 2 and fit["points"] in sizes:
            times[fit["points"]].append(fit["seconds"])
    if len(times) < 2:
        print("\nscaling: too few sizes yet")
        return
    n = np.array(sorted(times), dtype=float)
    seconds = np.array([np.median(times[int(points)]) for points in n])
    slope = np.polyfit(np.log(n * np.log(n)), np.log(seconds), 1)[0]
    print("\n| points | seconds | microseconds / (n log n) |\n|---|---|---|")
    for points, time in zip(n, seconds, strict=True):
        print(f"| {int(points):,} | {time:.2f} | {1e6 * time / (points * np.log(points)):.3f} |")
    print(f"\nseconds grow as (n log n)^{slope:.3f} from {int(n[0]):,} to {int(n[-1]):,} points")


def _middle(fits: list[dict], name: str) -> float:
    return float(np.median([fit[name] for fit in fits]))


def _shown(fits: list[dict], name: str, form: str) -> str:
    return format(_middle(fits, name), form) if all(name in fit for fit in fits) else ""
