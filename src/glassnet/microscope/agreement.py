"""Whether the channels that are selective are those that matter: a rank correlation with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from glassnet.display import Shown
from glassnet.formats import between, decimal
from glassnet.stats import DRAWS, Interval, percentile_interval

FEWEST = 4
"""Channels of which a correlation is taken."""
Pairs = tuple[Float64[np.ndarray, " _"], Float64[np.ndarray, " _"]]


@dataclass(frozen=True, repr=False)
class Agreement(Shown):
    """A rank correlation over channels.

    Attributes:
        correlation: Spearman's; of several layers, of the ranks within each layer.
        interval: At 95%, by the percentile bootstrap over channels, those of each layer among themselves; None where
            they do not vary.
        channels: Number of channels; those that no image activates, or without a figure, are left out.
    """

    correlation: float
    interval: Interval | None
    channels: int

    @property
    def words(self) -> str:
        """The correlation with its interval and number of channels."""
        bounds = "" if self.interval is None else f"95% interval {between(self.interval, 2)}, "
        return f"{decimal(self.correlation, 2)} ({bounds}{self.channels} channels)"

    @property
    def short(self) -> str:
        """The correlation with its interval alone, as in "0.44 (0.12 to 0.69)"."""
        return decimal(self.correlation, 2) + ("" if self.interval is None else f" ({between(self.interval, 2)})")


def agreement(layers: Sequence[Pairs], *, seed: int = 0, draws: int = DRAWS) -> Agreement | None:
    """Correlate the ranks of two numbers of each channel, such as its selectivity and what is lost without it.

    Ranks are taken within each layer and divided by its number of channels, so that layers that differ as a whole do
    not make a correlation; of one layer this is Spearman's.

    Args:
        layers: Of each layer the two numbers of its channels; NaN leaves a channel out.
        seed: Of the bootstrap.
        draws: Of the bootstrap.

    Returns:
        None where fewer than four channels have both numbers, or all of one are equal.
    """
    known = [(a[keep], b[keep]) for a, b in layers if (keep := np.isfinite(a) & np.isfinite(b)).sum() > 1]
    count = sum(len(a) for a, _ in known)
    if count < FEWEST:
        return None
    whole = _correlations([(a[None], b[None]) for a, b in known])[0]
    if np.isnan(whole):
        return None
    random = np.random.default_rng(seed)
    sampled = [(a[rows], b[rows]) for a, b in known for rows in [random.integers(0, len(a), (draws, len(a)))]]
    return Agreement(float(whole), percentile_interval(_correlations(sampled)), count)


def _correlations(layers: Sequence[tuple[np.ndarray, np.ndarray]]) -> Float64[np.ndarray, " draws"]:
    """Return Pearson's correlation of the ranks within layers, centred in each, for each draw."""
    first, second = (np.concatenate([_ranks(pair[side]) for pair in layers], axis=1) for side in range(2))
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
        return np.where(scale > 0, (first * second).sum(axis=1) / scale, np.nan).round(12)  # no 1e-16 for 0


def _ranks(values: Float64[np.ndarray, "draws c"]) -> Float64[np.ndarray, "draws c"]:
    from scipy.stats import rankdata  # half a second to import

    ranks = rankdata(values, axis=1) / values.shape[1]
    return ranks - ranks.mean(axis=1, keepdims=True)
