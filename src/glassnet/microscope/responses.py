"""What layers give, summed up batch by batch: strongest images, means by class, share of images that activate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int32, Int64
from torch import Tensor

from glassnet.errors import InputError
from glassnet.microscope.detectors import Maxima, auroc
from glassnet.microscope.dissection import Tail
from glassnet.microscope.layer import LayerCalls
from glassnet.microscope.members import Members
from glassnet.microscope.strongest import Strongest

AT_ONCE = 2**22
"""Numbers of a layer that are gone through again and again while they are in the processor's cache."""


@dataclass
class _Layer:
    """Where a layer's channels stand among those of all layers, and what is known of the layer as a whole."""

    calls: LayerCalls
    channels: slice
    tail: Tail | None
    size: tuple[int, int] = (1, 1)
    never_negative: bool = True
    rectifies: _Layer | None = None
    is_rectified: bool = False


class Responses:
    """What is known of the layers' channels after some batches; it does not grow with them, but for the maxima.

    While a batch goes through the network, each layer's maps are reduced to a few numbers an image and channel; when
    it is through, those of all layers are worked on together.
    """

    def __init__(
        self,
        layers: Mapping[str, LayerCalls],
        *,
        top: int,
        batch_size: int,
        rectified: Mapping[str, str],
        members: Members | None = None,
        maxima: Maxima | None = None,
        tails: Mapping[str, Tail] | None = None,
    ) -> None:
        """Begin with no images.

        Args:
            layers: Whose outputs they are, by name.
            top: Images kept for each channel.
            batch_size: Images of a batch, at most.
            rectified: By the name of a ReLU, that of the layer whose very output it takes.
            members: Which images are of which class.
            maxima: Takes each image's highest activations, where there are classes.
            tails: By layer, what finds the thresholds of dissection, where there are masks.
        """
        self.members, self.maxima, self.images = members, maxima, 0
        self._layers: dict[str, _Layer] = {}
        count = 0
        for name, calls in layers.items():
            channels = slice(count, count + calls.channels)
            self._layers[name] = _Layer(calls, channels, None if tails is None else tails[name])
            count = channels.stop
        for name, source in rectified.items():
            self._layers[name].rectifies, self._layers[source].is_rectified = self._layers[source], True
        self._found = torch.empty(2 if members is None else 3, batch_size, count)
        self._places = torch.zeros(batch_size, count, dtype=torch.int32)
        self._active, self._sums = (torch.zeros(count, dtype=torch.float64) for _ in range(2))
        if members is not None:
            self._by_class, self._rectified = (torch.zeros(members.count, count, dtype=torch.float64) for _ in range(2))
        self._strongest = Strongest(count, top)

    def add(self, name: str, maps: Float[Tensor, "batch channel height width"]) -> None:
        """Take what a layer gives for a batch of images."""
        layer = self._layers[name]
        layer.size = (maps.shape[2], maps.shape[3])
        flat = _by_place(maps)
        flat = flat.float() if flat.element_size() < 4 else flat
        found = self._found[:, : len(flat)]
        if layer.rectifies is None:
            step = max(1, AT_ONCE // flat[0].numel())
            for part, room in zip(flat.split(step), found[:, :, layer.channels].split(step, dim=1), strict=True):
                self._measure(layer, part, room)
        else:
            self._rectify(layer, layer.rectifies, flat)
        candidates = self._strongest.candidates(found[0, :, layer.channels], layer.channels)
        images, channels = candidates.nonzero(as_tuple=True)
        self._places[images, channels + layer.channels.start] = _places(flat, images, channels)
        if layer.tail is not None:
            layer.tail.add(flat.transpose(1, 2))

    def _measure(
        self, layer: _Layer, flat: Float[Tensor, "part place channel"], room: Float32[Tensor, "figure part channel"]
    ) -> None:
        """Put down each image's highest activation and its mean; where there are classes, that above 0, too."""
        means = flat.mean(dim=1)
        room[0], room[1] = flat.amax(dim=1), means
        if self.members is not None and not layer.is_rectified:
            room[2] = _let_through(layer, flat, means)

    def _rectify(self, layer: _Layer, source: _Layer, flat: Float[Tensor, "batch place channel"]) -> None:
        """Put down the same of a ReLU, by what its source gave, and what it lets through of that."""
        highest, means, *others = self._found[:, : len(flat)]
        highest[:, layer.channels] = highest[:, source.channels].clamp_min(0)
        means[:, layer.channels] = flat.mean(dim=1).cpu()
        for one in others:
            one[:, layer.channels] = one[:, source.channels] = means[:, layer.channels]

    def end(self, start: int, size: int) -> None:
        """Sum up a batch that is through.

        Raises:
            InputError: A layer gave NaN or infinity.
        """
        highest, means, *others = self._found[:, :size]
        self._check(start, highest + means)
        self.images = start + size
        self._active += (highest > 0).sum(dim=0)
        self._sums += means.sum(dim=0, dtype=torch.float64)
        if self.members is not None:
            rows, classes = self.members.of_batch(start, self.images)
            present, numbers = classes.unique(return_inverse=True)
            belongs = torch.zeros(len(present), size)
            belongs[numbers, rows] = 1
            self._by_class[present] += belongs @ means
            self._rectified[present] += belongs @ others[0]
        if self.maxima is not None:
            self.maxima.put(highest)
        self._strongest.add(highest, self._places[:size])

    def _check(self, start: int, found: Float32[Tensor, "batch channel"]) -> None:
        if not found.isfinite().all():
            image, channel = (~found.isfinite()).nonzero()[0].tolist()
            layer = next(one for one in self._layers.values() if channel < one.channels.stop)
            raise InputError(
                f"layer '{layer.calls.name}' gives NaN or infinity in channel {channel - layer.channels.start} for "
                f"image {start + image}; look for NaN in the weights, leave the image out, or choose other layers."
            )

    def figures(self) -> dict[str, dict[str, Any]]:
        """Return the attributes of `LayerChannels` that are known here, by layer."""
        found: dict[str, Any] = {"active": (self._active / self.images).numpy()}
        found["means"] = (self._sums / self.images).numpy()
        if self.members is not None and self.maxima is not None:
            members = self.members
            for name, sums in (("class_means", self._by_class), ("rectified_means", self._rectified)):
                found[name] = (sums / members.in_class[:, None]).T.numpy()
            found["selectivity"] = selectivity(found["rectified_means"])
            found["auroc"] = auroc(self.maxima, members.images, members.classes, members.count)
        return {
            name: {**self._of_layer(layer), **{key: one[layer.channels].copy() for key, one in found.items()}}
            for name, layer in self._layers.items()
        }

    def _of_layer(self, layer: _Layer) -> dict[str, Any]:
        strongest = self._strongest
        return {
            "layer": layer.calls.name,
            "images": self.images,
            "size": layer.size,
            "top_images": strongest.numbers(layer.channels),
            "top_activations": strongest.activations(layer.channels),
            "top_places": np.stack(np.divmod(strongest.places(layer.channels), layer.size[1]), axis=2),
        }

    def thresholds(self) -> dict[str, Float32[Tensor, " _"]]:
        """Return the thresholds of dissection by layer, where there are masks."""
        return {name: layer.tail.thresholds() for name, layer in self._layers.items() if layer.tail is not None}


def _let_through(
    layer: _Layer, flat: Float[Tensor, "part place channel"], means: Float[Tensor, "part channel"]
) -> Float[Tensor, "part channel"]:
    """Return the means of what a ReLU there lets through."""
    # Of what is never negative it is the mean, and the lowest value tells that soonest; it is asked until one is.
    layer.never_negative = layer.never_negative and bool(flat.amin() >= 0)
    return means if layer.never_negative else flat.clamp_min(0).mean(dim=1)


def _by_place(maps: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch place channel"]:
    """Return maps with one axis of places, without a copy whether pixels or channels lie next to each other."""
    if maps.stride(1) == 1 and maps.shape[1] > 1:
        return maps.permute(0, 2, 3, 1).flatten(1, 2)
    return maps.flatten(2).transpose(1, 2)


def _places(
    flat: Float[Tensor, "batch place channel"], images: Int64[Tensor, " some"], channels: Int64[Tensor, " some"]
) -> Int32[Tensor, " some"]:
    """Return the first place of the highest activation in some images and channels."""
    maps = flat[images.to(flat.device), :, channels.to(flat.device)]
    numbers = torch.arange(maps.shape[1], dtype=torch.int32, device=maps.device)
    return torch.where(maps == maps.amax(dim=1, keepdim=True), numbers, maps.shape[1]).amin(dim=1).int().cpu()


def selectivity(means: Float64[np.ndarray, "c k"]) -> Float64[np.ndarray, " c"]:
    """Return (m - m') / (m + m') of non-negative means by class: the highest, and the mean of the others.

    NaN where that is 0 / 0, or fewer than two classes are known. Morcos et al. 2018, https://arxiv.org/abs/1803.06959.
    """
    known = means[:, ~np.isnan(means).all(axis=0)]
    if known.shape[1] < 2:
        return np.full(len(means), np.nan)
    highest = known.max(axis=1)
    others = (known.sum(axis=1) - highest) / (known.shape[1] - 1)
    total = highest + others
    return np.divide(highest - others, total, out=np.full(len(means), np.nan), where=total > 0)
