"""One layer's responses, summed up batch by batch: strongest images, means by class, share of images that activate."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from glassnet.errors import InputError
from glassnet.microscope.detectors import Maxima, auroc
from glassnet.microscope.dissection import Tail
from glassnet.microscope.layer import LayerCalls
from glassnet.microscope.members import Members
from glassnet.microscope.normalised import Affine
from glassnet.microscope.strongest import Strongest

AT_ONCE = 2**22
"""Numbers of a layer that are gone through again and again while they are in the processor's cache."""


class Responses:
    """What is known of one layer's channels after some batches; it does not grow with them, but for the maxima."""

    def __init__(
        self,
        layer: LayerCalls,
        top: int,
        *,
        affine: Affine | None = None,
        members: Members | None = None,
        maxima: Maxima | None = None,
        tail: Tail | None = None,
    ) -> None:
        """Begin with no images.

        Args:
            layer: Whose output it is.
            top: Images kept for each channel.
            affine: What a normalisation behind the layer makes of it.
            members: Which images are of which class.
            maxima: Takes each image's highest activations, where there are classes.
            tail: Finds the thresholds of dissection, where there are masks.
        """
        self.layer, self.affine, self.members, self.maxima, self.tail = layer, affine, members, maxima, tail
        self.images, self.size = 0, (1, 1)
        count = layer.channels
        self._active, self._sums = (torch.zeros(count, dtype=torch.float64) for _ in range(2))
        if members is not None:
            self._by_class, self._rectified = (torch.zeros(members.count, count, dtype=torch.float64) for _ in range(2))
        self._strongest = Strongest(count, top)
        self._never_negative = True

    def add(self, start: int, maps: Float[Tensor, "batch channel height width"]) -> None:
        """Take what the layer gives for a batch of images.

        Raises:
            InputError: It is NaN or infinite.
        """
        self.size = (maps.shape[2], maps.shape[3])
        flat = _by_place(maps)
        flat = flat.float() if flat.element_size() < 4 else flat
        parts = [torch.stack(self._measure(part)) for part in flat.split(max(1, AT_ONCE // flat[0].numel()))]
        highest, means, behind, *others = torch.cat(parts, dim=1).cpu()
        self._check(start, highest + means)
        self.images = start + len(flat)
        self._active += (behind > 0).sum(dim=0)
        self._sums += means.double().sum(dim=0)
        if self.members is not None:
            rows, classes = self.members.of_batch(start, self.images)
            for sums, values in ((self._by_class, means), (self._rectified, *others)):
                sums.index_add_(0, classes, values.double()[rows])
        if self.maxima is not None:
            self.maxima.put(highest)
        if self.tail is not None:
            self.tail.add(flat.transpose(1, 2))
        self._strongest.add(start, highest, partial(_places, flat))

    def _measure(self, flat: Float[Tensor, "part place channel"]) -> list[Float[Tensor, "part channel"]]:
        """Return each image's highest activation, its mean, the highest behind the normalisation, and, where there are
        classes, the mean of what a ReLU there lets through.
        """
        highest, means = flat.amax(dim=1), flat.mean(dim=1)
        found = [highest, means, self._behind(flat, highest)]
        if self.members is not None:
            found.append(self._let_through(flat, means))
        return found

    def _behind(
        self, flat: Float[Tensor, "part place channel"], highest: Float[Tensor, "part channel"]
    ) -> Float[Tensor, "part channel"]:
        if self.affine is None:
            return highest
        scale, shift = self.affine
        turned = torch.where(scale < 0, flat.amin(dim=1), highest) if bool((scale < 0).any()) else highest
        return turned * scale + shift

    def _let_through(
        self, flat: Float[Tensor, "part place channel"], means: Float[Tensor, "part channel"]
    ) -> Float[Tensor, "part channel"]:
        if self.affine is not None:
            scale, shift = self.affine
            return torch.addcmul(shift, flat, scale).clamp_min_(0).mean(dim=1)
        # Of what is never negative it is the mean, and the lowest value tells that soonest; it is asked until one is.
        self._never_negative = self._never_negative and bool(flat.amin() >= 0)
        return means if self._never_negative else flat.clamp_min(0).mean(dim=1)

    def _check(self, start: int, found: Float[Tensor, "batch channel"]) -> None:
        if not found.isfinite().all():
            image, channel = (~found.isfinite()).nonzero()[0].tolist()
            raise InputError(
                f"layer '{self.layer.name}' gives NaN or infinity in channel {channel} for image {start + image}; look "
                "for NaN in the weights, leave the image out, or ask for other layers."
            )

    def figures(self) -> dict[str, Any]:
        """Return the attributes of `LayerChannels` that are known here."""
        strongest = self._strongest
        places = np.stack(np.divmod(strongest.places(), self.size[1]), axis=2)
        found: dict[str, Any] = {"layer": self.layer.name, "images": self.images, "size": self.size}
        found |= {"top_images": strongest.images(), "top_activations": strongest.activations()}
        found |= {"top_places": places, "active": (self._active / self.images).numpy()}
        found["means"] = (self._sums / self.images).numpy()
        if self.members is not None and self.maxima is not None:
            members = self.members
            by_class, rectified = (
                (sums / members.in_class[:, None]).T.numpy() for sums in (self._by_class, self._rectified)
            )
            found |= {"class_means": by_class, "rectified_means": rectified, "selectivity": selectivity(rectified)}
            found["auroc"] = auroc(self.maxima, members.images, members.classes, members.count)
        return found


def _by_place(maps: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch place channel"]:
    """Return maps with one axis of places, without a copy whether pixels or channels lie next to each other."""
    if maps.stride(1) == 1 and maps.shape[1] > 1:
        return maps.permute(0, 2, 3, 1).flatten(1, 2)
    return maps.flatten(2).transpose(1, 2)


def _places(
    flat: Float[Tensor, "batch place channel"], images: Int64[Tensor, " some"], channels: Int64[Tensor, " some"]
) -> Int64[Tensor, " some"]:
    """Return the first place of the highest activation in some images and channels."""
    maps = flat[images.to(flat.device), :, channels.to(flat.device)]
    numbers = torch.arange(maps.shape[1], device=maps.device)
    return torch.where(maps == maps.amax(dim=1, keepdim=True), numbers, maps.shape[1]).amin(dim=1).cpu()


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
