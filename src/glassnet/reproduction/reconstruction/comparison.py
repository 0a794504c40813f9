"""Networks compared with baselines and with each other: the tables, and the report's claims on reconstruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from glassnet.experiment import Run
from glassnet.formats import between
from glassnet.reproduction.claims import CLAIMS, ONE_EACH, Verdict, both, higher_in_images, higher_over_seeds
from glassnet.reproduction.reconstruction.measures import (
    Measurements,
    Quality,
    best_network,
    latent_dimensions,
    margins,
    nearest,
    nonlocal_means_title,
    over_seeds,
    weakest,
)
from glassnet.reproduction.reconstruction.plan import DEEP, SIMPLE, VAE, Denoising
from glassnet.tables import Table
from glassnet.tasks.reconstruction.learn import mean_interval
from glassnet.tuning import spread


def quality_table(plan: Denoising, runs: Mapping[str, Mapping[int, Run]], measurements: Measurements) -> Table:
    """Lay out a data set's networks and baselines: over seeds for networks, with an interval over images for both."""
    rows: list[tuple[str, ...]] = []
    for name, by_seed in measurements.networks.items():
        run = runs[name][min(by_seed)]
        title = f"{name} (Figure {plan.figures[name]})" if name in plan.figures else name
        cells = _over_seeds(by_seed)
        rows.append(
            (
                title,
                f"{run.manifest['model']['parameters']:,}",
                f"{latent_dimensions(run):,}",
                *cells,
                str(len(by_seed)),
            )
        )
    rows += [(title, "–", "–", *_over_seeds({0: one}), "–") for title, one in measurements.baselines.items()]
    header = ("", "parameters", "latent dimensions", "MSE", "PSNR (dB)", "95% over images", "SSIM",
              "95% over images", "images", "seeds")  # fmt: skip
    note = (
        "Networks: mean ± standard deviation over seeds; the interval is of each image's mean over seeds. The report "
        "has no numbers."
    )
    return Table(f"{plan.data}, noise {plan.noise}", header, tuple(rows), note=note)


def _over_seeds(by_seed: Mapping[int, Quality]) -> tuple[str, ...]:
    cells: list[str] = []
    for name, digits in (("mse", 5), ("psnr", 2), ("ssim", 4)):
        mean, std = spread([float(np.mean(one[name], dtype=np.float64)) for one in by_seed.values()])
        cells.append(f"{mean:.{digits}f}" + ("" if std is None else f" ± {std:.{digits}f}"))
        cells += [] if name == "mse" else [between(mean_interval(over_seeds(by_seed, name)), digits)]
    return (*cells, f"{len(next(iter(by_seed.values()))['psnr']):,}")


def margin_table(plan: Denoising, measurements: Measurements) -> Table:
    """Lay out by how much each network's PSNR lies above each baseline's on the same images, with its interval."""
    above = {name: margins(measurements, name) for name in measurements.networks}
    rows = [
        (title, *(_interval(of[title]) for of in above.values()), f"{len(one['psnr']):,}")
        for title, one in measurements.baselines.items()
    ]
    note = "Mean difference over images and its 95% interval; below 0, the baseline is better."
    return Table(f"{plan.data}: PSNR minus that of the baseline (dB)", ("", *above, "images"), tuple(rows), note=note)


def summary_table(measured: Sequence[tuple[Denoising, Measurements]]) -> Table:
    """Say of each data set how far the best network is above non-local means, and whether each is above all else."""
    rows = []
    for plan, measurements in measured:
        best, title = best_network(measurements), nonlocal_means_title(measurements)
        network, baseline, least = weakest(measurements)
        above = "–" if title is None else f"{_interval(margins(measurements, best)[title])} to {title}"
        psnr = float(over_seeds(measurements.networks[best], "psnr").mean())
        rows.append((plan.data, best, f"{psnr:.2f}", above, f"{_interval(least)}: {network} to {baseline}"))
    header = (
        "data",
        "best network",
        "its PSNR (dB)",
        "above non-local means (dB)",
        "smallest margin of all pairs (dB)",
    )
    note = (
        "The best network is the one with the highest test PSNR. The last column shows the smallest margin of any "
        "network over any baseline: if its interval lies above 0, every network beats every baseline."
    )
    return Table("Networks compared with baselines", header, tuple(rows), note=note)


def _interval(differences: np.ndarray) -> str:
    bounds = mean_interval(differences)
    return f"{differences.mean():+.2f} [{'–' if bounds is None else ', '.join(f'{bound:+.2f}' for bound in bounds)}]"


ORDERED = ((SIMPLE, VAE, "vae-simple"), (VAE, DEEP, "deep-vae"))
"""Of each pair the second is said to be the better one."""
OURS = "–"
"""In place of a figure's number, where the report has no figure of what is compared."""
CLEAR_DB = 1.0
"""What the best network should be above non-local means by: its error is then a fifth smaller (10^(-0.1) = 0.79)."""
UNITS = {"psnr": "test PSNR in dB", "ssim": "test SSIM"}


def judge(plan: Denoising, measurements: Measurements, *, seed: int) -> list[Verdict]:
    """Judge what the report says of its networks on one data set.

    Args:
        plan: The data set.
        measurements: What was measured on it.
        seed: Of the bootstrap.
    """
    digits = plan.data.startswith("mnist")
    names = [name for name in (SIMPLE, VAE, DEEP) if name in measurements.networks]
    verdicts = []
    for name in names:
        figure = plan.figures.get(name)
        if figure is None:
            continue
        fails = name == SIMPLE and not digits
        verdicts.append(
            _beside_the_best(CLAIMS["simple-fails" if fails else "well"], name, figure, plan, measurements, seed)
        )
    return verdicts + _ordered(plan, measurements, seed) + _above_all(plan, measurements, seed)


def _above_all(plan: Denoising, measurements: Measurements, seed: int) -> list[Verdict]:
    """Decide what is asked of our networks: each above each baseline, the best clearly above non-local means."""
    network, baseline, least = weakest(measurements)
    claim, measure = f"{CLAIMS['all-beat']} on {plan.data}", f"PSNR in dB of {network} to {baseline}, the smallest,"
    verdicts = [higher_in_images(claim, OURS, least, measure=measure, seed=seed)]
    title, best = nonlocal_means_title(measurements), best_network(measurements)
    if title is not None:
        claim, measure = (
            f"{CLAIMS['best-clear']} on {plan.data}",
            f"PSNR in dB of {best} to {title}, less {CLEAR_DB:g} dB,",
        )
        above = margins(measurements, best)[title] - CLEAR_DB
        verdicts.append(higher_in_images(claim, OURS, above, measure=measure, seed=seed))
    return verdicts


def _beside_the_best(
    claim: str, name: str, figure: str, plan: Denoising, measurements: Measurements, seed: int
) -> Verdict:
    """Decide whether a network is better than every baseline, or worse than one where it is said to fail.

    That is decided by the smallest of the mean differences, each over the images that its baseline has.
    """
    title, differences = nearest(margins(measurements, name))
    if claim == CLAIMS["simple-fails"]:
        differences = -differences
    claim = f"{name} on {plan.data}: {claim}"
    return higher_in_images(claim, figure, differences, measure=f"PSNR in dB to {title}", seed=seed)


def _ordered(plan: Denoising, measurements: Measurements, seed: int) -> list[Verdict]:
    """Decide the order by PSNR, by SSIM, and by both; it has the report's figure where the report shows both."""
    verdicts: list[Verdict] = []
    for worse, better, key in ORDERED:
        if worse not in measurements.networks or better not in measurements.networks:
            continue
        claim = f"{CLAIMS[key]} on {plan.data}"
        figure = plan.figures[better] if {worse, better} <= plan.figures.keys() else OURS
        parts = [
            _higher(
                f"{claim}, by {name.upper()}",
                figure,
                measurements.networks[better],
                measurements.networks[worse],
                name,
                seed,
            )
            for name in UNITS
        ]
        whole = f"{claim}, {ONE_EACH}" if parts[0].claim.endswith(ONE_EACH) else claim
        verdicts += [*parts, both(whole, figure, parts)]
    return verdicts


def _higher(
    claim: str, figure: str, better: Mapping[int, Quality], worse: Mapping[int, Quality], name: str, seed: int
) -> Verdict:
    """Decide whether a network is better: over the seeds by their means, of one common seed over the images."""
    if len(common := sorted(better.keys() & worse.keys())) == 1:
        differences = better[common[0]][name].astype(np.float64) - worse[common[0]][name]
        return higher_in_images(f"{claim}, {ONE_EACH}", figure, differences, measure=UNITS[name], seed=seed)
    return higher_over_seeds(claim, figure, _means(better, name), _means(worse, name), measure=UNITS[name])


def _means(by_seed: Mapping[int, Quality], name: str) -> Mapping[int, float]:
    return {seed: float(np.mean(one[name])) for seed, one in by_seed.items()}
