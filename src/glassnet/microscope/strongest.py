"""The images that activate each channel most, kept batch by batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from glassnet.microscope.detectors import LOW_HALF, ordered

PlaceOf = Callable[[Int64[Tensor, " some"], Int64[Tensor, " some"]], Int64[Tensor, " some"]]
"""From numbers of images of the batch, and channels, to the place of each of these maxima."""


class Strongest:
    """The highest activations of each channel so far, the images that they are of, and their places.

    An activation and its image are kept as one whole number: the activation in the upper half, the image, counted
    backwards, in the lower. So the highest of these numbers are the highest activations, of equals the first images.
    """

    def __init__(self, channels: int, top: int) -> None:
        self.top = top
        self._keys = torch.empty(channels, 0, dtype=torch.int64)
        self._places = torch.empty(channels, 0, dtype=torch.int64)

    def add(self, start: int, highest: Float[Tensor, "batch channel"], place_of: PlaceOf) -> None:
        """Take the highest activations of the images from `start` on.

        Places are looked up for those alone that are among the highest.
        """
        keys = torch.from_numpy(ordered(highest.float().numpy().T)) << 32
        keys |= LOW_HALF - torch.arange(start, start + len(highest))
        if self._keys.shape[1] < self.top:
            rows = torch.arange(len(keys))
        else:  # with more batches ever fewer channels have a new one
            rows = (keys > self._keys[:, -1:]).any(dim=1).nonzero().flatten()
            if not len(rows):
                return
            keys = keys[rows]
        keys = torch.cat([self._keys[rows], keys], dim=1)
        places = torch.cat([self._places[rows], torch.full((len(rows), len(highest)), -1)], dim=1)
        keys, order = keys.topk(min(self.top, keys.shape[1]), dim=1)
        places = places.gather(1, order)
        own, ranks = (places < 0).nonzero(as_tuple=True)
        places[own, ranks] = place_of(LOW_HALF - (keys[own, ranks] & LOW_HALF) - start, rows[own])
        if keys.shape[1] > self._keys.shape[1]:
            self._keys, self._places = keys, places
        else:
            self._keys[rows], self._places[rows] = keys, places

    def images(self) -> Int64[np.ndarray, "channel top"]:
        """Return the images' numbers, those with the highest activation first."""
        return (LOW_HALF - (self._keys & LOW_HALF)).numpy()

    def activations(self) -> Float32[np.ndarray, "channel top"]:
        """Return their activations."""
        bits = (self._keys >> 32).numpy().astype(np.int32)
        return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.float32)

    def places(self) -> Int64[np.ndarray, "channel top"]:
        """Return the place of each activation in the layer's map, row by row."""
        return self._places.numpy()
