"""How round the hottest place of a map is, and how round it would be by chance."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F

RANDOM = 2000
"""Random maps that the chance level is the mean of."""


def roundness(maps: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, " n"]:
    """Return how much of each map's hottest region a disc covers: 1 for a disc, less for a stroke.

    The region is where the map has at least half of its maximum. The disc is as large as the region, around its centre
    of gravity, cut off at the image's border. A ring does not count as round: its disc lies in its hole.

    Returns:
        0 to 1; NaN for a map of zeros, and where the region is the whole frame, which has no shape.
    """
    found = np.full(len(maps), np.nan)
    rows, columns = (np.asarray(axis) for axis in np.indices(maps.shape[1:]))
    for number in np.flatnonzero(maps.max(axis=(1, 2)) > 0):
        region: np.ndarray = maps[number] >= maps[number].max() / 2
        if region.all():
            continue
        away = (rows - rows[region].mean()) ** 2 + (columns - columns[region].mean()) ** 2
        found[number] = region.ravel()[np.argsort(away, axis=None, kind="stable")[: region.sum()]].mean()
    return found


@cache
def random_roundness(side: int, size: tuple[int, int]) -> float:
    """Return the mean roundness of maps of independent uniform numbers, brought to an image's size as Grad-CAM's are.

    The fewer pixels a map has, the rounder what is left after upsampling: this is what a map's size alone gives.

    Args:
        side: Of the maps before, in pixels.
        size: Of the image.
    """
    maps = np.random.default_rng(0).random((RANDOM, side, side), dtype=np.float32)
    return float(np.nanmean(roundness(resized(maps, size))))


def resized(maps: Float[np.ndarray, "n _ _"], size: tuple[int, int]) -> Float[np.ndarray, "n h w"]:
    """Bring maps to an image's size, as Grad-CAM does."""
    return F.interpolate(torch.from_numpy(maps)[:, None], size, mode="bilinear", align_corners=False)[:, 0].numpy()
