"""Mean and spread over seeds, and the paired test that tells a difference from the luck of the seeds."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from glassnet.errors import InputError

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Difference:
    """A mean difference over paired seeds.

    Attributes:
        mean: Of the differences.
        low: Lower end of the 95% interval of the mean, for this comparison taken alone.
        high: Its upper end.
        p: Two-sided p-value of the paired t-test.
        adjusted_p: The same after Holm's correction for all comparisons made together.
        pairs: Number of seeds.
    """

    mean: float
    low: float
    high: float
    p: float
    adjusted_p: float
    pairs: int

    @property
    def real(self) -> bool:
        """Whether it is more than the luck of the seeds: the corrected p-value is below 0.05."""
        return self.adjusted_p < SIGNIFICANCE


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and standard deviation (n - 1 in the denominator), or None for it where there is one value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Test whether first - second has mean 0 by Student's t-test on the differences d of n pairs.

    t = mean(d) / (s / sqrt(n)), with s the standard deviation of d, against n - 1 degrees of freedom; the interval is
    mean(d) ± t_0.975 s / sqrt(n). Where all d are the same there is no spread to judge by, so p is 1.

    Args:
        first: One figure a seed.
        second: Another's figures for the same seeds, in the same order.

    Raises:
        InputError: There are fewer than two pairs, the lengths differ, or a figure is not finite.
    """
    if len(first) != len(second) or len(first) < 2:
        raise InputError(
            f"a paired test got {len(first)} and {len(second)} figures, expected as many of each and at least 2: "
            "train with more seeds."
        )
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    if not np.isfinite(differences).all():
        raise InputError("a paired test got a figure that is not finite, expected finite numbers.")
    count = len(differences)
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(count)
    # Differences that are equal but for rounding would give a t of some 1e16.
    if error <= 1e-12 * max(1.0, float(np.abs(first).max()), float(np.abs(second).max())):
        return Difference(mean, mean, mean, 1.0, 1.0, count)
    half = float(stats.t.ppf(0.975, count - 1)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, count - 1))
    return Difference(mean, mean - half, mean + half, p, p, count)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the chance of even one false discovery among them stays below the level.

    The i-th smallest of m (i from 0) is multiplied by m - i, made no smaller than the one before it, and at most 1.

    Holm 1979, https://www.jstor.org/stable/4615733.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def compare_all(figures: Mapping[str, Mapping[int, float]]) -> dict[tuple[str, str], Difference]:
    """Test every pair of cells over the seeds that both have, with Holm's correction over all pairs.

    All pairs are counted, although only those with the best cell are shown: which cell is the best was read off the
    same figures, and a correction for fewer comparisons would trust its luck.

    Args:
        figures: For each cell's name its figure by seed.

    Returns:
        The difference first - second for each ordered pair with two common seeds or more.
    """
    found: dict[tuple[str, str], Difference] = {}
    for first, second in itertools.combinations(figures, 2):
        seeds = [seed for seed in figures[first] if seed in figures[second]]
        if len(seeds) > 1:
            found[first, second] = paired_difference(
                [figures[first][seed] for seed in seeds], [figures[second][seed] for seed in seeds]
            )
    adjusted = holm([difference.p for difference in found.values()])
    one_way = {pair: replace(d, adjusted_p=p) for (pair, d), p in zip(found.items(), adjusted, strict=True)}
    return one_way | {
        (second, first): replace(d, mean=-d.mean, low=-d.high, high=-d.low) for (first, second), d in one_way.items()
    }
