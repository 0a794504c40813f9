"""Tables of the reconstruction part: quality of networks and baselines, and by how much the networks are above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from glassnet.bootstrap import mean_interval
from glassnet.experiment import Run
from glassnet.reproduction.reconstruction_measures import (
    Measured,
    Quality,
    best_network,
    code_numbers,
    margins,
    nonlocal_means_title,
    over_seeds,
    weakest,
)
from glassnet.reproduction.reconstruction_plan import Denoising
from glassnet.reproduction.tables import Table
from glassnet.tasks.reconstruction import INTERVAL_SEED
from glassnet.tuning import spread


def quality_table(plan: Denoising, runs: Mapping[str, Mapping[int, Run]], found: Measured) -> Table:
    """Lay out a data set's networks and baselines: over seeds for networks, with an interval over images for both."""
    rows: list[tuple[str, ...]] = []
    for name, by_seed in found.networks.items():
        run = runs[name][min(by_seed)]
        title = f"{name} (Figure {plan.figures[name]})" if name in plan.figures else name
        cells = _over_seeds(by_seed)
        rows.append(
            (title, f"{run.manifest['model']['parameters']:,}", f"{code_numbers(run):,}", *cells, str(len(by_seed)))
        )
    rows += [(title, "–", "–", *_over_seeds({0: one}), "–") for title, one in found.baselines.items()]
    header = ("", "parameters", "numbers of the code", "MSE", "PSNR (dB)", "95% over images", "SSIM",
              "95% over images", "images", "seeds")  # fmt: skip
    note = (
        "Networks: mean ± standard deviation over seeds; the interval is of each image's mean over seeds. The report "
        "has no numbers."
    )
    return Table(f"{plan.data}, noise {plan.noise}", header, tuple(rows), note)


def _over_seeds(by_seed: Mapping[int, Quality]) -> tuple[str, ...]:
    cells: list[str] = []
    for name, digits in (("mse", 5), ("psnr", 2), ("ssim", 4)):
        mean, std = spread([float(np.mean(one[name], dtype=np.float64)) for one in by_seed.values()])
        low, high = mean_interval(over_seeds(by_seed, name), seed=INTERVAL_SEED)
        cells.append(f"{mean:.{digits}f}" + ("" if std is None else f" ± {std:.{digits}f}"))
        cells += [] if name == "mse" else [f"{low:.{digits}f} to {high:.{digits}f}"]
    return (*cells, f"{len(next(iter(by_seed.values()))['psnr']):,}")


def margin_table(plan: Denoising, found: Measured) -> Table:
    """Lay out by how much each network's PSNR lies above each baseline's on the same images, with its interval."""
    above = {name: margins(found, name) for name in found.networks}
    rows = [
        (title, *(_interval(of[title]) for of in above.values()), f"{len(one['psnr']):,}")
        for title, one in found.baselines.items()
    ]
    note = "Mean difference over images and its 95% interval; below 0, the baseline is better."
    return Table(f"{plan.data}: PSNR above what needs no network (dB)", ("", *above, "images"), tuple(rows), note)


def summary_table(measured: Sequence[tuple[Denoising, Measured]]) -> Table:
    """Say of each data set how far the best network is above non-local means, and whether each is above all else."""
    rows = []
    for plan, found in measured:
        best, title = best_network(found), nonlocal_means_title(found)
        network, baseline, least = weakest(found)
        above = "–" if title is None else f"{_interval(margins(found, best)[title])} to {title}"
        psnr = float(over_seeds(found.networks[best], "psnr").mean())
        rows.append((plan.data, best, f"{psnr:.2f}", above, f"{_interval(least)}: {network} to {baseline}"))
    header = (
        "data",
        "best network",
        "its PSNR (dB)",
        "above non-local means (dB)",
        "smallest margin of all pairs (dB)",
    )
    note = (
        "The best network is that of the highest test PSNR. The last column is of the network and the baseline that it "
        "is least above: every network is better than every baseline where its interval lies above 0."
    )
    return Table("Networks beside what needs none", header, tuple(rows), note)


def _interval(differences: np.ndarray) -> str:
    low, high = mean_interval(differences, seed=INTERVAL_SEED)
    return f"{differences.mean():+.2f} [{low:+.2f}, {high:+.2f}]"
