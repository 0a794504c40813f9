"""A denoiser without a bottleneck: a U-Net that predicts the noise, told how strong it is."""

from __future__ import annotations

import itertools
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.models.blocks import Normalize

Images = Float[Tensor, "batch channel height width"]
NORMAL_MEDIAN = 0.6745
"""Median of the absolute value of a standard normal number."""


def estimate_level(images: Images) -> Float[Tensor, " batch"]:
    """Estimate the standard deviation of each image's Gaussian noise from the image alone.

    s = median |d| / 0.6745, d the diagonal coefficients of the finest Haar wavelets, (a - b - c + e) / 2 of each square
    of two by two pixels: there, an image has little else than noise.

    Donoho and Johnstone 1994, https://doi.org/10.1093/biomet/81.3.425, section 4.1.
    """
    height, width = images.shape[2] // 2 * 2, images.shape[3] // 2 * 2
    if not height or not width:
        return images.new_zeros(len(images))
    with torch.no_grad():
        even = images[:, :, :height, :width].float()
        rows = even[:, :, 0::2] - even[:, :, 1::2]
        diagonal = (rows[..., 0::2] - rows[..., 1::2]) / 2
        return diagonal.abs().flatten(1).median(dim=1).values / NORMAL_MEDIAN


class ResidualBlock(nn.Module):
    """x + conv2(ReLU(conv1(x))), 3x3 convolutions without normalisation: He et al. 2016, as in DRUNet."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, maps: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
        """Return maps of the same shape."""
        return maps + self.conv2(self.relu(self.conv1(maps)))


class UNetDenoiser(nn.Module):
    """A denoising residual U-Net: head, down1 shrink1 down2 shrink2 ..., middle, ... grow2 up2 grow1 up1, tail.

    The input is the image and a map of its noise level. The tail predicts the noise, which is subtracted from the
    image. Each level's maps are added to those that return to it (skip connections), so there is no bottleneck code.
    Shrinks are 2x2 convolutions with stride 2. Takes images in [0, 1] of shape (batch, in_channels, height, width), of
    any height and width: they are padded by repeating the edge, and the result is cropped. Returns images of that
    shape, in [0, 1] outside training.

    Zhang, Zuo and Zhang 2018 (FFDNet, the level as a map), https://arxiv.org/abs/1710.04026; Zhang et al. 2021 (DRUNet,
    the layers, in small), https://arxiv.org/abs/2008.13751; Zhang et al. 2017 (the noise as the output),
    https://arxiv.org/abs/1608.03981.
    """

    output: ClassVar[str] = "image"
    learning_rate: ClassVar[float] = 0.001
    """Without batch-norm it takes smaller steps than the task's other models."""
    batch_size: ClassVar[int] = 32
    """It gains more from many steps than from large batches: docs/log.md."""

    def __init__(self, *, in_channels: int, filters: tuple[int, ...] = (32, 64, 128), blocks: int = 2) -> None:
        """Build the network with random weights; the last are 0, so that it begins by giving the image back.

        Args:
            in_channels: Channels of the image.
            filters: Channels of the levels, two or more, each at half of the height and width of the one before.
            blocks: Residual blocks of each level, on each side.

        Raises:
            InputError: An option has a value that no network of this kind has.
        """
        super().__init__()
        if len(filters) < 2 or min(filters) < 1:
            raise InputError(f"filters is {filters}, expected two or more positive numbers, as in 32,64,128.")
        if blocks < 1:
            raise InputError(f"blocks is {blocks}, expected at least 1.")
        self.normalize = Normalize([0.0] * in_channels, [1.0] * in_channels)
        self.levels = len(filters)
        self.head = nn.Conv2d(in_channels + 1, filters[0], 3, padding=1)
        for level, (own, below) in enumerate(itertools.pairwise(filters), 1):
            setattr(self, f"down{level}", nn.Sequential(*(ResidualBlock(own) for _ in range(blocks))))
            setattr(self, f"shrink{level}", nn.Conv2d(own, below, 2, stride=2))
        self.middle = nn.Sequential(*(ResidualBlock(filters[-1]) for _ in range(blocks)))
        for level in range(self.levels - 1, 0, -1):
            own, below = filters[level - 1], filters[level]
            setattr(self, f"grow{level}", nn.ConvTranspose2d(below, own, 2, stride=2))
            setattr(self, f"up{level}", nn.Sequential(*(ResidualBlock(own) for _ in range(blocks))))
        self.tail = nn.Conv2d(filters[0], in_channels, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        if self.tail.bias is not None:
            nn.init.zeros_(self.tail.bias)

    def forward(self, images: Images, level: float | Float[Tensor, " batch"] | None = None) -> Images:
        """Take the noise off images in [0, 1].

        Args:
            images: Noisy images.
            level: Standard deviation of the noise, one for all or one an image; estimated from each image if not given,
                as in the training. It stands for what `estimate_level` would say: noise that was cut at 0 and 1 counts
                as weaker than it was before.
        """
        noise = self._noise(images, self._levels(images, level))
        clean = images - noise
        return clean if self.training else clean.clamp(0, 1)

    def _levels(self, images: Images, level: float | Tensor | None) -> Float[Tensor, " batch"]:
        if level is None:
            return estimate_level(images)
        return torch.as_tensor(level, dtype=images.dtype, device=images.device).expand(len(images))

    def _noise(self, images: Images, level: Float[Tensor, " batch"]) -> Images:
        height, width = images.shape[2:]
        stride = 2 ** (self.levels - 1)
        more = (0, -width % stride, 0, -height % stride)
        padded = F.pad(images, more, mode="replicate") if any(more) else images
        plane = level.to(padded.dtype).view(-1, 1, 1, 1).expand(-1, 1, *padded.shape[2:])
        maps, across = self.head(torch.cat([self.normalize(padded), plane], dim=1)), []
        for number in range(1, self.levels):
            maps = getattr(self, f"down{number}")(maps)
            across.append(maps)
            maps = getattr(self, f"shrink{number}")(maps)
        maps = self.middle(maps)
        for number in range(self.levels - 1, 0, -1):
            maps = getattr(self, f"up{number}")(getattr(self, f"grow{number}")(maps) + across[number - 1])
        return self.tail(maps)[:, :, :height, :width]


@torch.no_grad()
def self_ensemble(model: nn.Module, images: Images, level: float | Float[Tensor, " batch"] | None = None) -> Images:
    """Denoise an image in its eight orientations, turn the results back, and average them.

    A network is not quite the same in all directions, so the mean has less error than one pass; it takes eight.

    Timofte, Rothe and Van Gool 2016, https://arxiv.org/abs/1511.02228, section 3.3 ("enhanced prediction").

    Args:
        model: A `unet_denoiser` in evaluation mode, or any module that takes images and levels and returns images.
        images: Noisy images of shape (batch, channels, height, width).
        level: Standard deviation of the noise; see `UNetDenoiser.forward`.

    Returns:
        Images of the same shape.
    """
    total = torch.zeros_like(images)
    for turns, mirrored in itertools.product(range(4), (False, True)):
        view = images.rot90(turns, (2, 3))
        view = view.flip(3) if mirrored else view
        clean = model(view.contiguous(), level)
        total += (clean.flip(3) if mirrored else clean).rot90(-turns, (2, 3))
    return total / 8


def check_denoising(model: nn.Module, noise: str) -> None:
    """Refuse to train a denoiser on images without noise, which it gives back from the start.

    Raises:
        InputError: There is no noise to learn from.
    """
    if isinstance(model, UNetDenoiser) and noise == "none":
        raise InputError(
            "unet_denoiser learns to remove noise, but --noise is none; give a noise, such as --noise gaussian:0.1, or "
            "a range of levels, such as --noise gaussian:0.02-0.5."
        )
