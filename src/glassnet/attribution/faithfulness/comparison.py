"""Maps compared: with a mask, by what lies inside it, and with each other, by ranks, structure and their methods."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage, stats
from torch import Tensor

from glassnet.attribution.explanation import Explanation
from glassnet.errors import InputError
from glassnet.images import Images, check_images
from glassnet.stats import MeanCI, mean_ci
from glassnet.tasks.reconstruction.image_quality import ssim_of_windows

STROKE_THRESHOLD = 0.5
"""Pixels brighter than this, of 1, are a digit's stroke: half of white, where its blurred edge is cut in the middle."""


Classes = Sequence[int] | np.ndarray | Tensor
"""One class number an image."""


def per_pixel(maps: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n height width"]:
    """Return one signed number a pixel: a map (n, h, w) as it is, (n, c, h, w) summed over the channels.

    Raises:
        InputError: The array has another number of dimensions, or holds NaN.
    """
    if maps.ndim not in (3, 4):
        raise InputError(f"maps have shape {maps.shape}, expected (n, height, width) or (n, channel, height, width).")
    if not np.isfinite(maps).all():
        raise InputError("maps contain NaN or infinity, expected finite numbers; fix what computed them.")
    return maps if maps.ndim == 3 else maps.sum(axis=1)


def positive(maps: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n height width"]:
    """Return what of each pixel speaks for the target: the positive part of `per_pixel`."""
    return per_pixel(maps).clip(min=0)


def magnitude(maps: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n height width"]:
    """Return how much each pixel matters, whichever way: absolute values, summed over the channels."""
    return per_pixel(np.abs(maps))


def stroke_mask(images: Images, *, threshold: float = STROKE_THRESHOLD) -> Bool[np.ndarray, "n height width"]:
    """Mark the stroke of bright digits on a dark background: the pixels whose mean over channels exceeds `threshold`.

    Args:
        images: (n, channel, height, width), uint8 or float in [0, 1].
        threshold: Brightness, 0 to 1.

    Raises:
        InputError: The images are not a batch of images, or the threshold is out of range.
    """
    check_images(images, 1)
    if not 0 <= threshold < 1:
        raise InputError(f"threshold is {threshold}, expected a brightness of at least 0 and below 1.")
    pixels: np.ndarray = images.detach().cpu().numpy() if isinstance(images, Tensor) else images
    mean = pixels.mean(axis=1, dtype=np.float64)
    return mean / (255 if pixels.dtype == np.uint8 else 1) > threshold


def check_mask(mask: np.ndarray | Tensor, shape: tuple[int, ...]) -> Bool[np.ndarray, "n height width"]:
    """Return a mask as an array of booleans.

    Raises:
        InputError: It is not one boolean a pixel.
    """
    array = mask.cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    if array.shape != shape or array.dtype != bool:
        raise InputError(
            f"mask is {array.dtype} of shape {array.shape}, expected bool of shape {shape}, one value per pixel of "
            "each image."
        )
    return array


def refuse_several(targets: np.ndarray | Tensor | None) -> None:
    """Refuse several classes an image, whose maps have an axis more that would be read as channels.

    Raises:
        InputError: There are several.
    """
    if targets is not None and targets.ndim > 1:
        raise InputError(
            f"targets have shape {tuple(targets.shape)}, expected ({len(targets)},), one class per image; explain and "
            "compare one class at a time."
        )


def classes_of(targets: Classes | None, count: int) -> Tensor:
    """Return one class number an image.

    Raises:
        InputError: There are none, as where a callable was explained, or not as many as images.
    """
    if targets is None:
        raise InputError(
            "the explanation's target is a callable that it no longer holds; pass the callable as target, or explain "
            'a class number, one class per image, or "predicted".'
        )
    try:
        classes = torch.as_tensor(targets).cpu()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"targets are {targets!r:.60}, expected whole numbers, one class per image.") from None
    if classes.is_floating_point() or classes.is_complex() or classes.dtype == torch.bool:
        kind = str(classes.dtype).removeprefix("torch.")
        raise InputError(f"targets are of type {kind}, expected whole numbers, one class per image.")
    if classes.numel() and int(classes.min()) < 0:
        raise InputError(f"target {int(classes.min())} is negative; class numbers start at 0.")
    classes = classes.long()
    if classes.shape != (count,):
        raise InputError(f"targets have shape {tuple(classes.shape)}, expected ({count},), one class per image.")
    return classes


def share_inside(maps: Float[np.ndarray, "n ..."], mask: Bool[np.ndarray, "n height width"]) -> Float[np.ndarray, " n"]:
    """Return the share of each map's positive attribution that lies inside its mask.

    s = sum_{p in M} max(m_p, 0) / sum_p max(m_p, 0). For a uniform map, this is the mask's share of the image's area.

    Args:
        maps: (n, h, w), or (n, c, h, w), which is summed over the channels first.
        mask: bool (n, h, w), True inside.

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
        raise InputError(f"the maps have shapes {first.shape} and {second.shape}, expected the same size; resize one.")
    return a, b


def _scaled(maps: np.ndarray) -> Float[np.ndarray, "n height width"]:
    highest = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, highest, out=np.zeros(maps.shape), where=highest > 0)


def _smooth(maps: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(maps, (0, _SIGMA_PIXELS, _SIGMA_PIXELS), truncate=_TRUNCATE)
