"""The report's claims on reconstruction, and whether the order of its three networks holds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from glassnet.reproduction.claims import ONE_EACH, Verdict, both, higher_in_images, higher_over_seeds
from glassnet.reproduction.numbers import CLAIMS
from glassnet.reproduction.reconstruction_measures import (
    Measured,
    Quality,
    best_network,
    margins,
    nearest,
    nonlocal_means_title,
    weakest,
)
from glassnet.reproduction.reconstruction_plan import DEEP, SIMPLE, VAE, Denoising

ORDERED = ((SIMPLE, VAE, "vae-simple"), (VAE, DEEP, "deep-vae"))
"""Of each pair the second is said to be the better one."""
OURS = "–"
"""In place of a figure's number, where the report has no figure of what is compared."""
CLEAR_DB = 1.0
"""What the best network should be above non-local means by: its error is then a fifth smaller (10^(-0.1) = 0.79)."""
UNITS = {"psnr": "test PSNR in dB", "ssim": "test SSIM"}


def judge(plan: Denoising, found: Measured, *, seed: int) -> list[Verdict]:
    """Judge what the report says of its networks on one data set.

    Args:
        plan: The data set.
        found: What was measured on it.
        seed: Of the bootstrap.
    """
    digits = plan.data.startswith("mnist")
    names = [name for name in (SIMPLE, VAE, DEEP) if name in found.networks]
    verdicts = []
    for name in names:
        figure = plan.figures.get(name)
        if figure is None:
            continue
        fails = name == SIMPLE and not digits
        verdicts.append(_beside_the_best(CLAIMS["simple-fails" if fails else "well"], name, figure, plan, found, seed))
    return verdicts + _ordered(plan, found, seed) + _above_all(plan, found, seed)


def _above_all(plan: Denoising, found: Measured, seed: int) -> list[Verdict]:
    """Decide what is asked of our networks: each above each baseline, the best clearly above non-local means."""
    network, baseline, least = weakest(found)
    told, measure = f"{CLAIMS['all-beat']} on {plan.data}", f"PSNR in dB of {network} to {baseline}, the smallest,"
    verdicts = [higher_in_images(told, OURS, least, measure=measure, seed=seed)]
    title, best = nonlocal_means_title(found), best_network(found)
    if title is not None:
        told, measure = (
            f"{CLAIMS['best-clear']} on {plan.data}",
            f"PSNR in dB of {best} to {title}, less {CLEAR_DB:g} dB,",
        )
        above = margins(found, best)[title] - CLEAR_DB
        verdicts.append(higher_in_images(told, OURS, above, measure=measure, seed=seed))
    return verdicts


def _beside_the_best(claim: str, name: str, figure: str, plan: Denoising, found: Measured, seed: int) -> Verdict:
    """Decide whether a network is better than every baseline, or worse than one where it is said to fail.

    That is decided by the smallest of the mean differences, each over the images that its baseline has.
    """
    title, differences = nearest(margins(found, name))
    if claim == CLAIMS["simple-fails"]:
        differences = -differences
    told = f"{name} on {plan.data}: {claim}"
    return higher_in_images(told, figure, differences, measure=f"PSNR in dB to {title}", seed=seed)


def _ordered(plan: Denoising, found: Measured, seed: int) -> list[Verdict]:
    """Decide the order by PSNR, by SSIM, and by both; it has the report's figure where the report shows both."""
    verdicts: list[Verdict] = []
    for worse, better, key in ORDERED:
        if worse not in found.networks or better not in found.networks:
            continue
        claim = f"{CLAIMS[key]} on {plan.data}"
        figure = plan.figures[better] if {worse, better} <= plan.figures.keys() else OURS
        parts = [
            _higher(f"{claim}, by {name.upper()}", figure, found.networks[better], found.networks[worse], name, seed)
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
