"""Mean and spread over seeds, and which differences between the cells of a grid are real."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from glassnet.stats import PairedDifference, holm, paired_t


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and standard deviation (n - 1 in the denominator), or None for it where there is one value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def compare_all(figures: Mapping[str, Mapping[int, float]]) -> dict[tuple[str, str], PairedDifference]:
    """Test every pair of cells over the seeds that both have, with Holm's correction over all pairs.

    All pairs are counted, although only those with the best cell are shown: which cell is the best was read off the
    same figures, and a correction for fewer comparisons would trust its luck.

    Args:
        figures: For each cell's name its figure by seed.

    Returns:
        The difference first - second for each ordered pair with two common seeds or more.
    """
    differences: dict[tuple[str, str], PairedDifference] = {}
    for first, second in itertools.combinations(figures, 2):
        seeds = [seed for seed in figures[first] if seed in figures[second]]
        if len(seeds) > 1:
            differences[first, second] = paired_t(
                [figures[first][seed] for seed in seeds], [figures[second][seed] for seed in seeds]
            )
    adjusted = holm([difference.p for difference in differences.values()])
    one_way = {pair: replace(d, adjusted_p=p) for (pair, d), p in zip(differences.items(), adjusted, strict=True)}
    return one_way | {(second, first): _negated(d) for (first, second), d in one_way.items()}


def _negated(difference: PairedDifference) -> PairedDifference:
    low, high = (None, None) if difference.interval is None else (-difference.interval[1], -difference.interval[0])
    return replace(difference, mean=-difference.mean, low=low, high=high)
