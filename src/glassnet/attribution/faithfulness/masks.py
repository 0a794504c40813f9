"""How much of a map lies where it should: the share inside a mask, and the pointing game."""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from glassnet.attribution.faithfulness.pixels import check_mask, positive
from glassnet.errors import InputError


def share_inside(maps: Float[np.ndarray, "n ..."], mask: Bool[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]:
    """Return the share of each map's positive attribution that lies inside its mask.

    s = sum_{p in M} max(m_p, 0) / sum_p max(m_p, 0). A uniform map has the mask's share of the image's area.

    Args:
        maps: (n, h, w), or (n, c, h, w), which is summed over the channels first.
        mask: True inside.

    Returns:
        0 to 1; NaN for a map without positive attribution and for an empty mask.
    """
    mass = positive(maps).astype(np.float64)
    inside = check_mask(mask, mass.shape)
    total, within = mass.sum(axis=(1, 2)), (mass * inside).sum(axis=(1, 2))
    defined = (total > 0) & inside.any(axis=(1, 2))
    return np.divide(within, total, out=np.full(len(mass), np.nan), where=defined)


def pointing_game(
    maps: Float[np.ndarray, "n ..."], mask: Bool[np.ndarray, "n height width"], *, tolerance_pixels: float = 0
) -> Float[np.ndarray, " n"]:
    """Tell whether each map's maximum lies in its mask, or at most `tolerance_pixels` away from it.

    Several pixels that share the maximum count with the share of them that hits, which is the chance of a hit if one of
    them is taken at random.

    Zhang et al. 2016, https://arxiv.org/abs/1608.00507, section 4.1 (tolerance 15 pixels, on photographs).

    Returns:
        1 for a hit, 0 for a miss; NaN for a map without positive attribution and for an empty mask.

    Raises:
        InputError: The tolerance is negative.
    """
    if tolerance_pixels < 0:
        raise InputError(f"tolerance_pixels is {tolerance_pixels}, expected 0 or more.")
    mass = positive(maps)
    inside = check_mask(mask, mass.shape)
    hits = np.full(len(mass), np.nan)
    for number in np.flatnonzero(mass.any(axis=(1, 2)) & inside.any(axis=(1, 2))):
        near = ndimage.distance_transform_edt(~inside[number]) <= tolerance_pixels
        hits[number] = near[mass[number] == mass[number].max()].mean()
    return hits
