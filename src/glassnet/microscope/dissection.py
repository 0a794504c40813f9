"""Network dissection: how well a channel's map, cut at a high quantile, shows the pixels of a class.

Bau et al. 2017, https://arxiv.org/abs/1704.05796.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor
from torch.nn import functional as F

from glassnet.images import VOID

SHARE = 0.005
"""Share of all places at which a channel is above its threshold."""
TAIL_BYTES = 2**26
"""Bytes of the highest values that are held for a layer; where more would be needed, a random part of the places."""
ROUNDING = 1e-6
"""Share of the threshold by which a resized map must exceed it: rounding lifts a plateau a bit above its own height."""
AT_ONCE = 2**23
"""Pixels, times channels or classes, that are worked on at once."""


class Tail:
    """The highest values of each channel, of which the last is the threshold.

    Where they take more than 64 MiB for a layer, they are those of a random part of the places, the same for all
    channels. Then m values are above the threshold, at least 2^24 / channels, and the share of all places that are
    above it is 0.5% with a relative standard error of 1 / sqrt(m): 0.6% for 512 channels.
    """

    def __init__(self, channels: int, images: int) -> None:
        """Start without values."""
        self.channels, self.images = channels, images
        self.part, self.places = 1.0, 0
        self._most = 0
        self._kept = torch.empty(channels, 0)
        self._generator = torch.Generator().manual_seed(0)

    def add(self, flat: Float[Tensor, "batch channel place"]) -> None:
        """Take a batch of a layer's maps."""
        if not self._most:
            wanted = SHARE * self.images * flat.shape[2]
            self.part = min(1.0, TAIL_BYTES / 4 / self.channels / wanted)
            expected = wanted * self.part
            self._most = int(expected + (0 if self.part == 1 else 6 * expected**0.5)) + 2
        values = flat.transpose(0, 1).flatten(1)
        if self.part < 1:
            values = values[:, torch.rand(values.shape[1], generator=self._generator) < self.part]
        self.places += values.shape[1]
        kept = torch.cat([self._kept.to(values), values], dim=1)
        self._kept = kept.topk(min(self._most, kept.shape[1]), dim=1).values.float()

    def thresholds(self) -> Float32[Tensor, " channel"]:
        """Return the activation that 0.5% of the places exceed, or fewer where there are equals."""
        place = min(int(SHARE * self.places), self._kept.shape[1] - 1)
        return self._kept[:, place].cpu()


class Overlap:
    """Intersections and unions of what is above each channel's threshold with each class, over all images."""

    def __init__(self, thresholds: Float32[Tensor, " channel"], classes: int) -> None:
        self.thresholds, self.classes = thresholds, classes
        # The last column is of all pixels that are of a class.
        self._shared = torch.zeros(len(thresholds), classes + 1, dtype=torch.float64)
        self._pixels = torch.zeros(classes + 1, dtype=torch.float64)

    def add(self, maps: Float[Tensor, "batch channel h w"], masks: Int64[Tensor, "batch height width"]) -> None:
        """Take a batch of a layer's maps, and the images' masks."""
        pixels = masks.shape[1] * masks.shape[2]
        step = max(1, AT_ONCE // (pixels * (self.classes + 1)))
        for some, own in zip(maps.split(step), masks.to(maps.device).split(step), strict=True):
            self._add(some.float(), own)

    def _add(self, maps: Float[Tensor, "some channel h w"], masks: Int64[Tensor, "some height width"]) -> None:
        columns = torch.zeros(masks.numel(), self.classes + 1, device=maps.device)
        known = (masks != VOID).flatten()
        columns[known, masks.flatten()[known]] = 1
        columns[known, -1] = 1
        self._pixels += columns.sum(dim=0, dtype=torch.float64).cpu()
        step = max(1, AT_ONCE // masks.numel())
        thresholds = (self.thresholds + ROUNDING * self.thresholds.abs()).to(maps.device).view(-1, 1, 1)
        for start in range(0, len(thresholds), step):
            chosen = slice(start, start + step)
            resized = F.interpolate(maps[:, chosen], masks.shape[1:], mode="bilinear", align_corners=False)
            above = (resized > thresholds[chosen]).transpose(0, 1).flatten(1)
            self._shared[chosen] += (above.float() @ columns).double().cpu()

    def iou(self) -> Float64[np.ndarray, "channel k"]:
        """Return |above and class| / |above or class| over all pixels that are of a class; NaN where nothing is."""
        shared, above = self._shared[:, :-1], self._shared[:, -1:]
        union = above + self._pixels[:-1] - shared
        return (shared / torch.where(union > 0, union, torch.nan)).numpy()
