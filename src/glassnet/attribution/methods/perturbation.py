"""Occlusion: how much the score falls where a gray square covers the image."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from glassnet.attribution.engine.budget import Rerun
from glassnet.errors import InputError


def occlusion(
    images: Float[Tensor, "batch channel height width"],
    rerun: Rerun,
    *,
    window: int | None = None,
    stride: int | None = None,
    fill: float = 0.5,
) -> Float[Tensor, "batch height width"]:
    """Cover the image by a square at every place, and give each pixel the mean fall of the score below it.

    M_p = mean over the squares w that cover p of y(x) - y(x with w filled). Negative where covering raises the score.

    Zeiler & Fergus 2013, https://arxiv.org/abs/1311.2901, section 4.2.

    Args:
        images: (n, channel, height, width), values in the model's own range.
        rerun: Gives the scores.
        window: Side of the square in pixels; an eighth of the image's shorter side if not given.
        stride: Pixels between squares; half a square if not given. The last ones may end at the border.
        fill: What covers; 0.5 is gray where images are in [0, 1].

    Raises:
        InputError: The square or its stride has no pixel.
    """
    window = max(min(images.shape[2:]) // 8, 1) if window is None else window
    stride = max(window // 2, 1) if stride is None else stride
    if window < 1 or stride < 1:
        raise InputError(f"window is {window} and stride {stride}, expected at least 1 pixel each.")
    places = [
        (y, x) for y in _starts(images.shape[2], window, stride) for x in _starts(images.shape[3], window, stride)
    ]

    def covered() -> Iterator[Tensor]:
        yield images
        for y, x in places:
            changed = images.clone()
            changed[:, :, y : y + window, x : x + window] = fill
            yield changed

    scores = rerun("score", covered())
    whole = next(scores)
    fall, count = images.new_zeros(len(images), *images.shape[2:]), images.new_zeros(images.shape[2:])
    for (y, x), score in zip(places, scores, strict=True):
        fall[:, y : y + window, x : x + window] += (whole - score).view(-1, 1, 1)
        count[y : y + window, x : x + window] += 1
    return torch.where(count > 0, fall / count, 0)


def _starts(side: int, window: int, stride: int) -> range:
    return range(0, max(side - window, 0) + stride, stride)
