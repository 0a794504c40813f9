"""What a map says of each pixel, and how much lies inside a mask: its share there, and the pointing game."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from glassnet.errors import InputError
from glassnet.images import Images, check_images

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
        raise InputError("maps hold NaN or infinity, expected finite numbers; mend what computed them.")
    return maps if maps.ndim == 3 else maps.sum(axis=1)


def positive(maps: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n height width"]:
    """Return what of each pixel speaks for the target: the positive part of `per_pixel`."""
    return per_pixel(maps).clip(min=0)


def magnitude(maps: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n height width"]:
    """Return how much each pixel matters, whichever way: absolute values, summed over the channels."""
    return per_pixel(np.abs(maps))


def stroke_mask(images: Images, *, threshold: float = STROKE_THRESHOLD) -> Bool[np.ndarray, "n height width"]:
    """Mark the stroke of bright digits on a dark ground: the pixels whose mean over channels exceeds `threshold`.

    Args:
        images: (n, channel, height, width), uint8 or float in [0, 1].
        threshold: Brightness, 0 to 1.

    Raises:
        InputError: The images are no image batch, or the threshold is none.
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
            f"mask is {array.dtype} of shape {array.shape}, expected bool of shape {shape}, one a pixel of each image."
        )
    return array


def refuse_several(targets: np.ndarray | Tensor | None) -> None:
    """Refuse several classes an image, whose maps have an axis more that would be read as channels.

    Raises:
        InputError: There are several.
    """
    if targets is not None and targets.ndim > 1:
        raise InputError(
            f"targets have shape {tuple(targets.shape)}, expected ({len(targets)},), one class an image; explain and "
            "compare one class at a time."
        )


def classes_of(targets: Classes | None, count: int) -> Tensor:
    """Return one class number an image.

    Raises:
        InputError: There are none, as where a callable was explained, or not as many as images.
    """
    if targets is None:
        raise InputError(
            "the explanation's target is a callable, and probabilities need a class; explain a class number, one an "
            'image, or "predicted".'
        )
    classes = torch.as_tensor(targets).cpu().long()
    if classes.shape != (count,):
        raise InputError(f"targets have shape {tuple(classes.shape)}, expected ({count},), one class an image.")
    return classes


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
