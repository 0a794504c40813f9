"""Intervals and tests: Wilson's interval of a share, the percentile bootstrap, the paired t-test, Holm's correction.

An interval is a pair (low, high), or None where the data have no spread to judge by: one value, or several equal ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64, Num

from glassnet.display import Shown, brief
from glassnet.errors import InputError

Interval = tuple[float, float]
DRAWS = 2000
_COUNTED = 16
"""A count takes as long to draw as so many single values."""
_DRAWN_AT_ONCE = 2**18
"""Values, so that they stay in the cache."""
SIGNIFICANCE = 0.05
ROUNDING = 1e-12
"""Differences up to this share of the values are rounding, not spread."""


def wilson_interval(correct: int, total: int, *, confidence: float = 0.95) -> Interval:
    """Bound the true share behind `correct` of `total`: the shares p that |p̂ - p| <= z sqrt(p (1 - p) / n) allows.

    (p̂ + z²/2n ± z sqrt(p̂ (1 - p̂)/n + z²/4n²)) / (1 + z²/n), with z the normal quantile of (1 + confidence) / 2.

    Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953.

    Raises:
        InputError: There is no image, `correct` is not in 0 … total, or `confidence` is not between 0 and 1.
    """
    from scipy.stats import binomtest  # half a second to import

    if total < 1 or not 0 <= correct <= total:
        raise InputError(f"got {correct} correct of {total}, expected 0 to total, and a total of at least 1.")
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}, expected a share above 0 and below 1.")
    bounds = binomtest(correct, total).proportion_ci(confidence, method="wilson")
    # At none or all correct one bound is exactly 0 or 1, which rounding may miss by an ulp.
    return (0.0 if correct == 0 else float(bounds.low)), (1.0 if correct == total else float(bounds.high))


def bootstrap_ci(values: Float64[np.ndarray, " n"], *, seed: int, draws: int = DRAWS) -> Interval | None:
    """Bound the mean of `values` at 95%, by the means of n values drawn with replacement.

    Where few values differ, as those of hits, only their multinomial counts are drawn: the same distribution, faster.

    Efron 1979, https://doi.org/10.1214/aos/1176344552.

    Returns:
        The interval; None where all values are the same, as where there is one.

    Raises:
        InputError: There is no value, or one is not finite.
    """
    if not len(values) or not np.isfinite(values).all():
        raise InputError(f"the bootstrap got {len(values)} values, expected at least one, and only finite ones.")
    distinct, counts = np.unique(values, return_counts=True)
    n, rng = len(values), np.random.default_rng(seed)
    if len(distinct) * _COUNTED <= n:
        return percentile_interval(rng.multinomial(n, counts / n, size=draws) @ distinct / n)
    means = np.empty(draws)
    for some in np.array_split(means, -(-draws * n // _DRAWN_AT_ONCE)):
        some[:] = values[rng.integers(n, size=(len(some), n), dtype=np.int32)].mean(axis=1)
    return percentile_interval(means)


def resampled_sums(
    rows: Num[np.ndarray, "n ..."], *, seed: int | np.random.Generator, draws: int = DRAWS
) -> Num[np.ndarray, "draws ..."]:
    """Sum n rows drawn with replacement, `draws` times; the same seed draws the same rows of any array of n.

    A statistic of sums (an accuracy, an IoU over all images) is bounded by `percentile_interval` of its value for each
    draw. Rows are never copied: each counts as often as it was drawn, which is multinomial.
    """
    n = len(rows)
    times: Int64[np.ndarray, "draws n"]
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    return np.tensordot(times, rows, axes=1)


def percentile_interval(drawn: Float64[np.ndarray, " draws"]) -> Interval | None:
    """Bound a statistic at 95%: percentiles 2.5 and 97.5 of its values in the draws of a bootstrap, NaN left out.

    Returns:
        The interval; None where no draw has a value, or all have the same, but for rounding.
    """
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return None
    low, high = (float(bound) for bound in np.percentile(known, (2.5, 97.5)))
    return (low, high) if high - low > ROUNDING * max(1.0, abs(low), abs(high)) else None


@dataclass(frozen=True, repr=False)
class PairedDifference(Shown):
    """A mean difference over paired seeds.

    Attributes:
        mean: Of the differences.
        low: Lower end of the 95% interval of the mean, for this comparison taken alone; None where all differences are
            the same.
        high: Its upper end; None likewise.
        p: Two-sided p-value of the paired t-test.
        adjusted_p: The same after Holm's correction for all comparisons made together.
        pairs: Number of seeds.
    """

    mean: float
    low: float | None
    high: float | None
    p: float
    adjusted_p: float
    pairs: int

    @property
    def interval(self) -> Interval | None:
        """The 95% interval of the mean; None where there is none."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def real(self) -> bool:
        """Whether it is more than the luck of the seeds: the corrected p-value is below 0.05."""
        return self.adjusted_p < SIGNIFICANCE


def paired_t(first: Sequence[float], second: Sequence[float]) -> PairedDifference:
    """Test whether first - second has mean 0 by Student's t-test on the differences d of n pairs.

    t = mean(d) / (s / sqrt(n)), with s the standard deviation of d, against n - 1 degrees of freedom; the interval is
    mean(d) ± t_0.975 s / sqrt(n). Where all d are the same there is no spread to judge by, so p is 1.

    Args:
        first: One figure a seed.
        second: Another's figures for the same seeds, in the same order.

    Raises:
        InputError: There are fewer than two pairs, the lengths differ, or a figure is not finite.
    """
    from scipy.stats import ttest_rel

    if len(first) != len(second) or len(first) < 2:
        raise InputError(
            f"a paired test got {len(first)} and {len(second)} values, expected the same number of each, at least 2; "
            "train with more seeds."
        )
    pair = np.asarray([first, second], dtype=np.float64)
    if not np.isfinite(pair).all():
        raise InputError("a paired test got a value that is not finite, expected finite numbers.")
    differences = pair[0] - pair[1]
    mean, count = float(differences.mean()), len(differences)
    # Differences that are equal but for rounding would give a t of some 1e16.
    if float(differences.std(ddof=1)) / count**0.5 <= ROUNDING * max(1.0, float(np.abs(pair).max())):
        return PairedDifference(mean, None, None, 1.0, 1.0, count)
    test = ttest_rel(*pair)
    low, high = test.confidence_interval(0.95)
    return PairedDifference(mean, float(low), float(high), float(test.pvalue), float(test.pvalue), count)


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


@dataclass(frozen=True, eq=False, repr=False)
class MeanCI(Shown):
    """One value an image, their mean and its 95% interval.

    Attributes:
        values: NaN where an image has none, as the share of a map that is all zero.
        mean: Over the images that have a value; None where none has.
        low: Lower bound of the mean: Wilson's of a share of successes; of other values by bootstrap over images, and
            None where all are the same. None of one image.
        high: Upper bound; None likewise.
        count: Images that have a value.
    """

    values: Float[np.ndarray, " n"]
    mean: float | None
    low: float | None
    high: float | None
    count: int

    def __repr__(self) -> str:
        """Say mean, interval and number of images in one line."""
        bounds = "" if self.low is None or self.high is None else f", {brief(self.low)} to {brief(self.high)}"
        return f"MeanCI({brief(self.mean)}{bounds}, {self.count:,} images)"


def mean_ci(values: Float[np.ndarray, " n"], *, seed: int = 0) -> MeanCI:
    """Take the mean of values over images with its percentile bootstrap interval, leaving out NaN."""
    defined = np.asarray(values[~np.isnan(values)], dtype=np.float64)
    if not len(defined):
        return MeanCI(values, None, None, None, 0)
    low, high = bootstrap_ci(defined, seed=seed) or (None, None)
    return MeanCI(values, float(defined.mean()), low, high, len(defined))


def share_ci(successes: Float[np.ndarray, " n"]) -> MeanCI:
    """Take the share of images that succeed, 1 or 0 each, with its Wilson interval, leaving out NaN.

    Where some count in part, as a tie does, the bounds are those of the next whole numbers below and above. One image
    has no bounds, as in `mean_ci`.

    Raises:
        InputError: A value is not between 0 and 1.
    """
    defined = np.asarray(successes[~np.isnan(successes)], dtype=np.float64)
    if len(defined) < 2:
        return MeanCI(successes, float(defined[0]) if len(defined) else None, None, None, len(defined))
    total = float(defined.sum())
    low, high = (wilson_interval(whole, len(defined)) for whole in (math.floor(total), math.ceil(total)))
    return MeanCI(successes, float(defined.mean()), low[0], high[1], len(defined))
