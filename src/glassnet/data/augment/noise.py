"""Noise on images in [0, 1], as a reconstructing network is fed with: named as in gaussian:0.3.

Random numbers are drawn apart from what they do, so that a training step draws them afresh for the whole batch, and a
test image gets those that belong to its own number, in whatever batches it is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from glassnet.errors import InputError, unknown_name
from glassnet.settings.convert import from_text

Images = Float[Tensor, "batch channel height width"]
Drawn = Float[Tensor, "batch numbers height width"]
_EXAMPLE = "gaussian:0.3, saltpepper:0.1 or mask:0.25"
Amount = float | Float[Tensor, "batch 1 1 1"]


def gaussian(images: Images, drawn: Drawn, amount: Amount) -> Images:
    """Add `amount` times a standard normal number to each value, and clip to [0, 1]."""
    return (images + amount * drawn).clamp(0, 1)


def saltpepper(images: Images, drawn: Drawn, amount: Amount) -> Images:
    """Set a share `amount` of the pixels, all channels of a pixel together, to 0 or 1, each with half the chance."""
    return torch.where(drawn < amount, (drawn < amount / 2).to(images.dtype), images)


def mask(images: Images, drawn: Drawn, amount: Amount) -> Images:
    """Set a share `amount` of the pixels, all channels of a pixel together, to 0."""
    return torch.where(drawn < amount, 0.0, images)


@dataclass(frozen=True)
class Kind:
    """A kind of noise.

    Attributes:
        apply: (images, drawn numbers, amount for all or for each image) to noisy images.
        normal: Whether it takes a standard normal number for each value, or else one from 0 to 1 for each pixel.
    """

    apply: Callable[[Images, Drawn, Amount], Images]
    normal: bool


NOISES: dict[str, Kind] = {
    "gaussian": Kind(gaussian, normal=True),
    "saltpepper": Kind(saltpepper, normal=False),
    "mask": Kind(mask, normal=False),
}


@dataclass(frozen=True)
class Noise:
    """A kind of noise and how much of it.

    Attributes:
        kind: A key of NOISES.
        amount: Standard deviation for gaussian, share of the pixels for the others.
        least: Where each image has an amount of its own, drawn uniformly from `least` to `amount`; None for one amount.
    """

    kind: str
    amount: float
    least: float | None = None


def parse_noise(text: str) -> Noise | None:
    """Read a noise model such as gaussian:0.3, or gaussian:0.02-0.5 for an amount of each image; "none" gives None.

    Raises:
        InputError: The kind is unknown, or an amount is no number in its range.
    """
    kind, _, amount = text.partition(":")
    if text == "none":
        return None
    if kind not in NOISES:
        error = unknown_name("noise model", kind, [*NOISES, "none"], noun="noise models")
        raise InputError(f"{error} Give one with its amount, as in {_EXAMPLE}.")
    what = "a standard deviation" if kind == "gaussian" else "a share of the pixels"
    expected = f"{what} above 0 and at most 1, as in {_EXAMPLE}, or the least and the most, as in gaussian:0.02-0.5"
    low, dash, high = amount.partition("-") if "e-" not in amount else (amount, "", "")
    words = [low, high] if low and dash else [amount]
    values: list[float] = [from_text(one, float, "the amount of the noise", expected=expected) for one in words]
    if not 0 < values[0] <= values[-1] <= 1 or len(values) > len(set(values)):  # a NaN fails every comparison
        raise InputError(f"the noise is '{text}', expected {expected}.")
    return Noise(kind, values[-1], values[0] if len(values) == 2 else None)


@dataclass(frozen=True)
class NoiseCorruption:
    """What is done to an image before a network sees it, and what the network should give back.

    Attributes:
        noise: Put on the network's input; None for a clean input.
        binarize: Whether each pixel is first drawn as 0 or 1, its grey value being the chance of 1: both the input and
            what should come out of it. Salakhutdinov and Murray 2008, https://doi.org/10.1145/1390156.1390266.
    """

    noise: Noise | None
    binarize: bool = False

    def draw(self, shape: tuple[int, ...], generator: Generator) -> Drawn:
        """Draw the numbers that change images of this shape (n, channel, height, width), from a CPU generator."""
        n, channels, height, width = shape
        parts = [torch.rand((n, channels, height, width), generator=generator)] if self.binarize else []
        if self.noise is not None and NOISES[self.noise.kind].normal:
            parts.append(torch.randn((n, channels, height, width), generator=generator))
        elif self.noise is not None:
            parts.append(torch.rand((n, 1, height, width), generator=generator))
        if self.noise is not None and self.noise.least is not None:
            parts.append(torch.rand((n, 1, 1, 1), generator=generator).expand(n, 1, height, width))
        return torch.cat(parts, dim=1) if parts else torch.empty(n, 0, height, width)

    def apply(self, images: Images, drawn: Drawn) -> tuple[Images, Images]:
        """Return the network's input, and the images that it should give back."""
        if self.binarize:
            chance, drawn = drawn[:, : images.shape[1]], drawn[:, images.shape[1] :]
            images = (chance < images).to(images.dtype)
        if self.noise is None:
            return images, images
        amount: Amount = self.noise.amount
        if self.noise.least is not None:
            drawn, level = drawn[:, :-1], drawn[:, -1:, :1, :1]
            amount = self.noise.least + (self.noise.amount - self.noise.least) * level
        return NOISES[self.noise.kind].apply(images, drawn, amount), images
