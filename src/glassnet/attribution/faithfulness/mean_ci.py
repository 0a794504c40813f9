"""A number over images, with how far it would move with other images."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from glassnet.stats import bootstrap_ci


@dataclass(frozen=True)
class MeanCI:
    """One value an image, their mean and its 95% interval.

    Attributes:
        values: NaN where an image has none, as the share of a map that is all zero.
        mean: Over the images that have a value; None where none has.
        low: Lower bound of the mean, bootstrap over images; None where all values are the same, as where there is one.
        high: Upper bound; None likewise.
        count: Images that have a value.
    """

    values: Float[np.ndarray, " n"]
    mean: float | None
    low: float | None
    high: float | None
    count: int


def mean_ci(values: Float[np.ndarray, " n"], *, seed: int = 0) -> MeanCI:
    """Take the mean of values over images with its percentile bootstrap interval, leaving out NaN."""
    defined = np.asarray(values[~np.isnan(values)], dtype=np.float64)
    if not len(defined):
        return MeanCI(values, None, None, None, 0)
    low, high = bootstrap_ci(defined, seed=seed) or (None, None)
    return MeanCI(values, float(defined.mean()), low, high, len(defined))
