"""The images that activate each channel most, kept batch by batch."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int32, Int64
from torch import Tensor

from glassnet.microscope.detectors import LOW_HALF, ordered

AT_ONCE = 4096
"""Channels whose images are put in order at once."""
_NONE = torch.iinfo(torch.int64).min


class Strongest:
    """The highest activations of each channel so far, the images that they are of, and their places.

    An activation and its image are kept as one whole number: the activation in the upper half, the image, counted
    backwards, in the lower. So the highest of these numbers are the highest activations, of equals the first images.
    """

    def __init__(self, channels: int, top: int) -> None:
        self.images = 0
        self._keys = torch.full((channels, top), _NONE)
        self._places = torch.zeros(channels, top, dtype=torch.int32)
        self._lowest = torch.full((channels,), -torch.inf)

    def candidates(self, highest: Float32[Tensor, "batch some"], channels: slice) -> Bool[Tensor, "batch some"]:
        """Tell which activations of a batch may be among the highest; with more batches they are ever fewer.

        Args:
            highest: Of each image and of some of the channels.
            channels: Which these are.
        """
        top = self._keys.shape[1]
        if self.images < top < len(highest):
            return highest >= highest.topk(top, dim=0).values[-1]
        return highest > self._lowest[channels]

    def add(self, highest: Float32[Tensor, "batch channel"], places: Int32[Tensor, "batch channel"]) -> None:
        """Take the highest activations of the next images.

        Args:
            highest: Of each image and channel.
            places: Where they are in the layers' maps, of the candidates.
        """
        numbers = LOW_HALF - torch.arange(self.images, self.images + len(highest))
        self.images += len(highest)
        for rows in (highest > self._lowest).any(dim=0).nonzero().flatten().split(AT_ONCE):
            keys = torch.from_numpy(ordered(highest[:, rows].T.contiguous().numpy()))
            keys = torch.cat([self._keys[rows], (keys << 32) | numbers], dim=1)
            keys, order = keys.topk(self._keys.shape[1], dim=1)
            self._keys[rows] = keys
            self._places[rows] = torch.cat([self._places[rows], places[:, rows].T], dim=1).gather(1, order)
            self._lowest[rows] = torch.where(keys[:, -1] == _NONE, -torch.inf, _activations(keys[:, -1]))

    def numbers(self, channels: slice) -> Int64[np.ndarray, "some top"]:
        """Return the images' numbers, those with the highest activation first; fewer than `top` if there are fewer."""
        return (LOW_HALF - (self._keys[channels, : self.images] & LOW_HALF)).numpy()

    def activations(self, channels: slice) -> Float32[np.ndarray, "some top"]:
        """Return their activations."""
        return _activations(self._keys[channels, : self.images]).numpy()

    def places(self, channels: slice) -> Int64[np.ndarray, "some top"]:
        """Return the place of each activation in its layer's map, counted row by row."""
        return self._places[channels, : self.images].numpy().astype(np.int64)


def _activations(keys: Int64[Tensor, "*shape"]) -> Float32[Tensor, "*shape"]:
    """Return the activations in the upper halves."""
    bits = (keys >> 32).to(torch.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(torch.float32)
