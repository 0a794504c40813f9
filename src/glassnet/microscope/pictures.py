"""How a picture is written as numbers to optimise: frequencies, uncorrelated colours, random transformations."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from glassnet.errors import InputError

_COLOURS = ((0.5576, 0.1897, 0.0549), (0.5767, 0.0148, -0.1013), (0.5971, -0.1915, 0.0466))
"""Columns: the principal axes of the colours of CIFAR-10's training images, as long as their standard deviations.

The first, from dark to light, is the unit of length.
"""
_AT_BOUND = 0.9999
"""Of the bound on a picture's length: the share from which it counts as there."""
_BEYOND, _CONTRAST = 0.05, 0.01
"""How far the sigmoid reaches beyond black and white, where it is cut, and the starting noise's contrast."""


@dataclass(frozen=True)
class Transforms:
    """Random transformations, drawn anew for each picture and step, so that no picture depends on single pixels.

    They become weaker from step to step, down to none: the picture becomes robust first and sharp later.

    Attributes:
        shift: Largest shift, as a share of height and width; for a neuron, of those of its receptive field.
        scale: Largest change of size, as a share.
        rotation: Largest rotation, in degrees.
    """

    shift: float = 0.06
    scale: float = 0.05
    rotation: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what is no strength.

        Raises:
            InputError: A number is negative or not finite, or the scale reaches 1.
        """
        for name in ("shift", "scale", "rotation"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0) or (name == "scale" and value >= 1):
                raise InputError(
                    f"transforms.{name} is {value}, expected 0 or more{' and below 1' * (name == 'scale')}."
                )

    def __call__(
        self,
        pictures: Float[Tensor, "batch channel height width"],
        drawn: Float[Tensor, "batch 4"],
        strength: float,
        seen: tuple[float, float] = (1.0, 1.0),
    ) -> Float[Tensor, "batch channel height width"]:
        """Turn, resize and shift each picture; what comes in from outside is 0.

        Args:
            pictures: As their differences from the level that is to come in.
            drawn: Uniform in -1..1: turn, size, shift across, shift down.
            strength: Share of the largest changes, from 0 to 1.
            seen: Shares of height and width of which the shift is one.
        """
        turn, size, across, down = (drawn * strength).unbind(1)
        angle, zoom = turn * self.rotation * math.pi / 180, 1 + size * self.scale
        cosine, sine = angle.cos() * zoom, angle.sin() * zoom
        ratio = pictures.shape[2] / pictures.shape[3]  # a turn is one of pixels, also where they are not square
        rows = (
            cosine,
            -sine * ratio,
            2 * across * self.shift * seen[1],
            sine / ratio,
            cosine,
            2 * down * self.shift * seen[0],
        )
        grid = F.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), list(pictures.shape), align_corners=False)
        return F.grid_sample(pictures, grid, align_corners=False)


@dataclass(frozen=True, eq=False)
class Canvas:
    """The space of pictures of one size: x = s(s^-1(level) + C F^-1(z / f)), with z what is optimised.

    s is the sigmoid, stretched a little beyond [0, 1] and cut, so that black and white can be reached. F^-1 is the
    inverse Fourier transform. Its frequencies f, in cycles a pixel, divide z, so that a step changes all of them by the
    shares that they have in photographs; C turns three channels from axes that do not correlate to colours.
    With a norm, x = level + norm v / max(1, |v|), cut to [0, 1], v = C F^-1(z / f) / sqrt(channel height width).

    Olah et al. 2017, https://distill.pub/2017/feature-visualization, "preconditioning and parameterization".

    Attributes:
        height: In pixels.
        width: In pixels.
        level: (channel, 1, 1): the grey or colour at which a picture starts.
        norm: The largest Euclidean length of a picture's difference from its level; None sets no bound.
    """

    height: int
    width: int
    level: Float[Tensor, "channel 1 1"]
    norm: float | None = None

    def noise(self, generator: Generator) -> Float[Tensor, "channel height half 2"]:
        """Draw what a picture starts from, on the CPU: real and imaginary parts of half of the frequencies."""
        shape = (len(self.level), self.height, self.width // 2 + 1, 2)
        return _CONTRAST * torch.randn(shape, generator=generator)

    def field(
        self, spectrum: Float[Tensor, "batch channel height half 2"]
    ) -> Float[Tensor, "batch channel height width"]:
        """Return C F^-1(z / f)."""
        scaled = torch.view_as_complex(spectrum) / self._frequencies().to(spectrum.device)
        plain = torch.fft.irfft2(scaled, s=(self.height, self.width), norm="ortho")
        return torch.einsum("ij,bjhw->bihw", torch.tensor(_COLOURS).to(plain), plain) if plain.shape[1] == 3 else plain

    def pictures(
        self, spectrum: Float[Tensor, "batch channel height half 2"]
    ) -> Float[Tensor, "batch channel height width"]:
        """Return the pictures, in [0, 1]."""
        field, level = self.field(spectrum), self.level.to(spectrum.device)
        if self.norm is None:
            wide = (1 + 2 * _BEYOND) * torch.sigmoid(field + _logit(level)) - _BEYOND
            return wide + (wide.clamp(0, 1) - wide).detach()  # cut, but with the gradient of what is not
        unit = self.norm / field[0].numel() ** 0.5
        size = _root_mean_square(field)
        # At the bound, where `bounded` leaves it, the gradient is that along the sphere.
        return (level + unit * torch.where(size < _AT_BOUND, field, field / size)).clamp(0, 1)

    def bounded(
        self, spectrum: Float[Tensor, "batch channel height half 2"]
    ) -> Float[Tensor, "batch channel height half 2"]:
        """Return numbers that make the same pictures, no longer than the bound needs, so that steps keep their size."""
        if self.norm is None:
            return spectrum
        return spectrum / _root_mean_square(self.field(spectrum)).unsqueeze(-1).clamp_min(1)

    def spectrum(self, picture: Float[Tensor, "channel height width"]) -> Float[Tensor, "channel height half 2"]:
        """Return the numbers that make a picture."""
        plain = _logit(picture) - _logit(self.level)
        if len(plain) == 3:
            plain = torch.einsum("ij,jhw->ihw", torch.linalg.inv(torch.tensor(_COLOURS)), plain)
        return torch.view_as_real(torch.fft.rfft2(plain, norm="ortho") * self._frequencies())

    def _frequencies(self) -> Float[Tensor, "height half"]:
        """Return each frequency in cycles a pixel; the mean counts as the lowest."""
        down, across = torch.fft.fftfreq(self.height), torch.fft.rfftfreq(self.width)
        return torch.hypot(down[:, None], across[None]).clamp_min(1 / max(self.height, self.width))


def _logit(grey: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return ((grey + _BEYOND) / (1 + 2 * _BEYOND)).logit()


def _root_mean_square(field: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch 1 1 1"]:
    return field.square().mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12).sqrt()


def generator_of(seed: int, layer: str, channel: int, copy: int) -> Generator:
    """Return the random numbers of one picture, which are the same whatever is optimised beside it."""
    digest = hashlib.sha256(f"{seed}:{layer}:{channel}:{copy}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:4]))
