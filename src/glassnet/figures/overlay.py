"""Maps over images: heat where a map is high, both signs in two colours, words where it is zero; and their scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Real, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle
from PIL import Image

from glassnet.errors import InputError
from glassnet.figures.images import FEW_PIXELS, draw_picture, to_pictures
from glassnet.figures.style import GRID, MUTED, SURFACE, require_finite
from glassnet.method_titles import METHOD_TITLES

HEAT = LinearSegmentedColormap.from_list("heat", ["#e62e00", "#ff6a00", "#ffa51f"])
COVER = 0.85
"""Opacity of the heat at a map's maximum: the image stays visible below."""
ZEROS = "all zero: nothing here raises the score, or no gradient reaches the layer; the map is left empty."
"""What a map of zeros means, for the foot of a figure that has one."""
SIGNED = LinearSegmentedColormap.from_list("signed", ["#a8e0ff", "#1f8ae0", "#15171c", "#e07b00", "#ffdd99"])


def method_name(method: str) -> str:
    """Write a method's name as its paper does, or without underscores."""
    return METHOD_TITLES.get(method, method.replace("_", " "))


def draw_map(
    axes: Axes, picture: Float[np.ndarray, "h w 3"], values: np.ndarray, corner: tuple[float, float], side: float
) -> None:
    """Draw a map over its image, or "all zero" where it is.

    Args:
        axes: A canvas measured in inches.
        picture: The image.
        values: (h, w), 0 or more, drawn as heat over the image; or (c, h, w), drawn with its sign.
        corner: Top left corner in inches.
        side: Side of the square that it fills, in inches.
    """
    if values.any():
        drawn = _heat(picture, values) if values.ndim == 2 else _signed(values)
        draw_picture(axes, drawn, *corner, side)
        return
    frame = Rectangle(corner, side, side, facecolor="none", edgecolor=GRID, linewidth=0.8, hatch="///", zorder=1)
    axes.add_patch(frame)
    words = {"facecolor": SURFACE, "edgecolor": "none", "boxstyle": "square,pad=0.25"}
    axes.text(
        corner[0] + side / 2, corner[1] + side / 2, "all zero", fontsize=8.5, ha="center", va="center", bbox=words
    )


def _heat(picture: Float[np.ndarray, "h w 3"], values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Lay a map over the image's luminance."""
    grey = picture @ np.array([0.299, 0.587, 0.114])
    share = (values / (np.abs(values).max() or 1.0)).clip(0, 1)
    cover = COVER * share[..., None]
    return grey[..., None] * (1 - cover) + HEAT(share)[..., :3] * cover


def _signed(values: Float[np.ndarray, "c h w"]) -> Float[np.ndarray, "h w 3"]:
    """Colour each pixel by its channel of greatest magnitude, with its sign."""
    strongest = np.take_along_axis(values, np.abs(values).argmax(axis=0)[None], axis=0)[0]
    return SIGNED(0.5 + 0.5 * strongest / (np.abs(strongest).max() or 1.0))[..., :3]


def thumbnail(image: Real[np.ndarray, "c h w"], size_pixels: int) -> UInt8[np.ndarray, "height width 3"]:
    """Scale an image so that its longer side has `size_pixels`.

    An image of few pixels keeps them as sharp squares; one of many, or one made smaller, is smoothed.

    Args:
        image: Float in [0, 1] or uint8, with 1 or 3 channels.
        size_pixels: Length of the longer side, 1 or more.

    Raises:
        InputError: The image cannot be drawn, or the size is not 1 or more.
    """
    return _scaled(_picture(image), size_pixels)


def heat_overlay(
    image: Real[np.ndarray, "c h w"], values: Real[np.ndarray, "h w"], *, size_pixels: int = 160
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay a map as heat over the grey image, as opaque as it is high, and scale both as `thumbnail` does.

    The colours are those of the attribution grids: equal steps of the map look about equally far apart (in OKLab over
    black within a factor of 1.2, from a tenth of the maximum on). The map is scaled by its own maximum; what is
    negative, and a map of zeros, leaves the grey image.

    Args:
        image: Float in [0, 1] or uint8, with 1 or 3 channels.
        values: What each pixel adds to the score.
        size_pixels: Length of the longer side, 1 or more.

    Raises:
        InputError: The image cannot be drawn, or the map is not one finite number for each of its pixels.
    """
    picture, heights = _picture(image), require_finite("the map", values).astype(np.float64)
    if heights.shape != picture.shape[:2]:
        raise InputError(
            f"the map has shape {heights.shape}, expected {picture.shape[:2]}, like the image; resize it first."
        )
    return _scaled(_heat(picture, heights.clip(0, None)), size_pixels)


def signed_map(values: Real[np.ndarray, "c h w"], *, size_pixels: int = 160) -> UInt8[np.ndarray, "height width 3"]:
    """Colour a guided map by its sign, blue below 0 and orange above, and scale it as `thumbnail` does.

    Of a pixel's channels the one of greatest magnitude counts. The map is scaled by its greatest magnitude; zero is
    nearly black.

    Args:
        values: A number for each channel and pixel.
        size_pixels: Length of the longer side, 1 or more.

    Raises:
        InputError: The map has no three dimensions or is not finite, or the size is not 1 or more.
    """
    signs = require_finite("the map", values).astype(np.float64)
    if signs.ndim != 3 or not signs.size:
        raise InputError(f"the map has shape {signs.shape}, expected (channels, height, width); pass one map.")
    return _scaled(_signed(signs), size_pixels)


def overlay(image: Any, values: Any, *, size_pixels: int | None = None) -> UInt8[np.ndarray, "height width 3"]:
    """Lay a map over its image, in the colours of glassnet's figures.

    A map (h, w) without negative values is drawn as heat over the grey image: the higher the value, the more opaque. It
    is scaled by its maximum (`heat_overlay`). A map with negative values, or with channels (c, h, w), is drawn without
    the image, blue below 0 and orange above (`signed_map`). A smaller map, such as a layer's own, is enlarged first
    (bilinear).

    Args:
        image: (c, h, w) or (h, w, c): float in [0, 1] or uint8, with 1 or 3 channels; or (h, w), grey. An array, a
            tensor or a Pillow image.
        values: The map: (h, w) or (c, h, w).
        size_pixels: Length of the result's longer side, at least 1; by default that of the image.

    Raises:
        InputError: The image cannot be drawn, or the map is not finite or has another number of dimensions.
    """
    planes = _planes(image)
    heights = require_finite("the map", _array(values)).astype(np.float64)
    if heights.ndim not in (2, 3) or not heights.size:
        raise InputError(f"the map has shape {heights.shape}, expected (height, width) or (channels, height, width).")
    if heights.shape[-2:] != planes.shape[1:]:
        heights = _enlarged(heights, planes.shape[1:])
    longest = size_pixels if size_pixels is not None else max(planes.shape[1:])
    if heights.ndim == 2 and heights.min() >= 0:
        return heat_overlay(planes, heights, size_pixels=longest)
    return signed_map(heights if heights.ndim == 3 else heights[None], size_pixels=longest)


def _array(values: Any) -> np.ndarray:
    """Return an array of what may be a tensor, without asking for torch."""
    detached = values.detach().cpu() if hasattr(values, "detach") else values
    return np.asarray(detached.float() if str(getattr(detached, "dtype", "")) == "torch.bfloat16" else detached)


def _planes(image: Any) -> Real[np.ndarray, "c h w"]:
    array = _array(image)
    if array.ndim == 2:
        return array[None]
    last = array.ndim == 3 and array.shape[0] not in (1, 3) and array.shape[2] in (1, 3)
    return array.transpose(2, 0, 1) if last else array


def _enlarged(values: Float[np.ndarray, "*channels _ _"], shape: tuple[int, ...]) -> Float[np.ndarray, "*channels _ _"]:
    """Resize a map, each of its channels by itself."""
    planes = [
        np.asarray(Image.fromarray(plane.astype(np.float32)).resize((shape[-1], shape[0]), Image.Resampling.BILINEAR))
        for plane in values.reshape(-1, *values.shape[-2:])
    ]
    return np.stack(planes).reshape(*values.shape[:-2], *shape).astype(np.float64)


def _picture(image: Real[np.ndarray, "c h w"]) -> Float[np.ndarray, "h w 3"]:
    array = np.asarray(image)
    if array.ndim != 3 or not array.size:
        raise InputError(f"the image has shape {array.shape}, expected (channels, height, width); pass one image.")
    return to_pictures(array[None])[0]


def _scaled(picture: Float[np.ndarray, "h w 3"], size_pixels: int) -> UInt8[np.ndarray, "height width 3"]:
    if size_pixels < 1:
        raise InputError(f"size_pixels is {size_pixels}, expected 1 or more.")
    longest = max(picture.shape[:2])
    height, width = (max(1, round(side * size_pixels / longest)) for side in picture.shape[:2])
    levels = np.rint(255 * picture).astype(np.uint8)
    few = longest <= FEW_PIXELS and size_pixels >= longest
    how = Image.Resampling.NEAREST if few else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(levels).resize((width, height), how))


def draw_scales(axes: Axes, left: float, top: float, kinds: set[int]) -> None:
    """Draw the colour bars of maps: of those with three dimensions (n, h, w) the heat, of those with four the signs.

    Args:
        axes: A canvas measured in inches.
        left: Left end in inches.
        top: Top in inches.
        kinds: Numbers of dimensions of the maps.
    """
    ramp = np.linspace(0, 1, 128)[None]
    if 3 in kinds:
        bars = np.concatenate([_heat(np.full((1, 128, 3), shade), ramp) for shade in (0.0, 1.0)])
        _bar(axes, bars, left, top, ("0", "maximum"), "raises the score (on black, on white pixels)")
        left += 2.65
    if 4 in kinds:
        _bar(axes, SIGNED(ramp)[..., :3], left, top, ("−max", "0", "max"), "lowers / raises the score")


def _bar(axes: Axes, colours: np.ndarray, left: float, top: float, ticks: Sequence[str], label: str) -> None:
    width = 1.9
    axes.imshow(colours, extent=(left, left + width, top + 0.13, top), aspect="auto", interpolation="none")
    for index, tick in enumerate(ticks):
        place = index / (len(ticks) - 1)
        side = "left" if place == 0 else "right" if place == 1 else "center"
        axes.text(left + width * place, top + 0.23, tick, fontsize=8, ha=side, va="center")
    axes.text(left, top + 0.4, label, fontsize=8, color=MUTED, va="center")
