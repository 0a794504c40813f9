"""Random changes of colour: brightness, contrast, saturation and tint, drawn on the CPU and applied on the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

LUMINANCE = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in how bright a colour looks (ITU-R BT.601)."""


@dataclass(frozen=True)
class Colours:
    """An affine map of colours for each image of a batch, x -> matrix x + offset."""

    matrix: Float[Tensor, "batch 3 3"]
    offset: Float[Tensor, "batch 3 1"]

    def __getitem__(self, part: slice | Tensor) -> Colours:
        """Return the maps of some of the images."""
        return Colours(self.matrix[part], self.offset[part])

    def to(self, device: torch.device) -> Colours:
        """Return the maps on a device."""
        return Colours(self.matrix.to(device), self.offset.to(device))


def random_colours(
    count: int, generator: Generator, *, brightness: float, contrast: float, saturation: float, tint: float
) -> Colours:
    """Draw maps that change colours about middle grey: M = c diag(t) (s I + (1 - s) 1 w), offset (1 - c) / 2 + b.

    c, s and t are 1 plus or minus the given shares, uniform; w are the shares of luminance.

    Args:
        count: Number of maps.
        generator: Source of randomness, on the CPU.
        brightness: Largest shift b, as a share of white.
        contrast: Largest change of the contrast c.
        saturation: Largest change of the saturation s.
        tint: Largest change of a channel's factor t.
    """

    def around(centre: float, spread: float, *shape: int) -> Tensor:
        return torch.empty(count, *shape).uniform_(centre - spread, centre + spread, generator=generator)

    c, s, b, t = (
        around(1, contrast, 1, 1),
        around(1, saturation, 1, 1),
        around(0, brightness, 1, 1),
        around(1, tint, 3, 1),
    )
    grey = torch.tensor(LUMINANCE).expand(3, 3)
    return Colours(c * t * (s * torch.eye(3) + (1 - s) * grey), ((1 - c) / 2 + b).expand(-1, 3, 1))


def apply_colours(
    images: Float[Tensor, "batch 3 height width"], colours: Colours
) -> Float[Tensor, "batch 3 height width"]:
    """Map each image's colours, and cut off what is darker than black or brighter than white."""
    flat = torch.baddbmm(colours.offset.to(images), colours.matrix.to(images), images.flatten(2))
    return flat.clamp_(0, 1).view_as(images)
