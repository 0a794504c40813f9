"""A layer's channels on one image, each at the layer's own size."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from glassnet.attribution import explain
from glassnet.errors import InputError

MOST_NUMBERS = 1 << 24
"""Numbers of one layer that are sent to a page, at most: 64 MB."""


def channel_maps(model: nn.Module, inputs: Tensor, layer: str) -> Float32[np.ndarray, "channels height width"]:
    """Return what each channel of a layer gives for one image; tokens are laid out as the patches that they are of.

    Args:
        model: Any network.
        inputs: The image (1, channel, height, width).
        layer: A layer whose output has height and width.

    Raises:
        InputError: There is no such layer, it gives no maps, or they are too large for a page.
    """
    passed = explain(
        model,
        inputs,
        target=lambda _output, images: images.new_zeros(len(images)),  # no score is explained, whatever the task
        layers=[layer],
        methods={"channels": lambda activation: activation},
    )
    maps = passed["channels", layer][0]
    if maps.size > MOST_NUMBERS:
        shape = "×".join(map(str, maps.shape))
        raise InputError(f"{layer} gives {shape} numbers, too many to show; choose a layer with smaller maps.")
    return maps


def strongest(maps: Float[np.ndarray, "channels height width"]) -> Int64[np.ndarray, " channels"]:
    """Order the channels by their mean activation, the largest first; equal ones by number."""
    return np.argsort(-maps.mean(axis=(1, 2), dtype=np.float64), kind="stable")
