"""How alike two maps of the same image are: rank correlation, structural similarity, and the agreement of methods."""

from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy import ndimage, stats

from glassnet.attribution.explanation import Explanation
from glassnet.attribution.faithfulness.masks import magnitude, refuse_several
from glassnet.errors import InputError
from glassnet.stats import MeanCI, mean_ci
from glassnet.tasks.reconstruction.image_quality import ssim_of_windows

_SIGMA_PIXELS, _TRUNCATE = 1.5, 3.5


def rank_correlation(first: Float[np.ndarray, "n ..."], second: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, " n"]:
    """Return Spearman's correlation of two maps' magnitudes over the pixels, image by image.

    -1 to 1, ties at their mean rank. A map that is the same everywhere ranks nothing: with another such it counts as 1,
    with any other as 0.

    Raises:
        InputError: The maps differ in size or number.
    """
    a, b = _pair(first, second)
    if not len(a):
        return np.zeros(0)
    ranks = [stats.rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (a, b)]
    x, y = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    spread = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    both_flat = ~(x.any(axis=1) | y.any(axis=1))
    correlation = np.divide((x * y).sum(axis=1), spread, out=np.zeros(len(a)), where=spread > 0)
    return np.where(both_flat, 1.0, correlation.clip(-1, 1))


def structural_similarity(
    first: Float[np.ndarray, "n ..."], second: Float[np.ndarray, "n ..."]
) -> Float[np.ndarray, " n"]:
    """Return the structural similarity of two maps' magnitudes, each divided by its maximum, image by image.

    SSIM = (2 m_a m_b + C1)(2 s_ab + C2) / ((m_a^2 + m_b^2 + C1)(s_a^2 + s_b^2 + C2)), m means and s (co)variances in a
    Gaussian window of 1.5 pixels around each pixel, C1 = 0.01^2, C2 = 0.03^2; the mean over all pixels, 1 for equal
    maps. At the border the maps are mirrored.

    Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861, equation 13.

    Raises:
        InputError: The maps differ in size or number.
    """
    a, b = (_scaled(maps) for maps in _pair(first, second))
    return ssim_of_windows(a, b, _smooth).mean(axis=(1, 2))


def agreement(explanation: Explanation, *, seed: int = 0) -> dict[tuple[str, str, str], MeanCI]:
    """Return the rank correlation of every two methods' maps of the same layer.

    A method that explains the input alone is compared with the others at every layer.

    Args:
        explanation: Of any images, for one score an image.
        seed: Of the bootstrap.

    Returns:
        By (method, method, layer), Spearman's correlation of the magnitudes, -1 to 1.

    Raises:
        InputError: Several classes an image were explained.
    """
    refuse_several(explanation.targets)
    maps = explanation.maps
    places = {m: [layer for method, layer in maps if method == m] for m in explanation.methods}
    correlations = {}
    for first, second in combinations(explanation.methods, 2):
        for layer in explanation.layers or ("input",):
            keys = [(m, layer if layer in places[m] else "input") for m in (first, second)]
            if all(key in maps for key in keys):
                correlations[first, second, layer] = mean_ci(rank_correlation(maps[keys[0]], maps[keys[1]]), seed=seed)
    return correlations


def _pair(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = magnitude(first), magnitude(second)
    if a.shape != b.shape:
        raise InputError(f"the maps have shapes {first.shape} and {second.shape}, expected one size; resize one.")
    return a, b


def _scaled(maps: np.ndarray) -> Float[np.ndarray, "n height width"]:
    highest = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, highest, out=np.zeros(maps.shape), where=highest > 0)


def _smooth(maps: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(maps, (0, _SIGMA_PIXELS, _SIGMA_PIXELS), truncate=_TRUNCATE)
