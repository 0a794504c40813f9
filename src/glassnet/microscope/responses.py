"""One layer's responses, summed up batch by batch: strongest images, means by class, share of images that activate."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from glassnet.errors import InputError
from glassnet.microscope.detectors import Maxima, auroc
from glassnet.microscope.dissection import Tail
from glassnet.microscope.layer import LayerCalls
from glassnet.microscope.members import Members
from glassnet.microscope.normalised import Affine


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
        self.affine = affine
        self.layer, self.top, self.members, self.maxima, self.tail = layer, top, members, maxima, tail
        self.images, self.size = 0, (1, 1)
        count = layer.channels
        self._active, self._sums = (torch.zeros(count, dtype=torch.float64) for _ in range(2))
        if members is not None:
            self._by_class, self._rectified = (torch.zeros(members.count, count, dtype=torch.float64) for _ in range(2))
        self._values, self._numbers = torch.empty(count, 0), torch.empty(count, 0, dtype=torch.int64)
        self._places = torch.empty(count, 0, dtype=torch.int64)

    def add(self, start: int, maps: Float[Tensor, "batch channel height width"]) -> None:
        """Take what the layer gives for a batch of images.

        Raises:
            InputError: It is NaN or infinite.
        """
        self.size = (maps.shape[2], maps.shape[3])
        flat = maps.flatten(2)
        flat = flat.float() if flat.element_size() < 4 else flat
        highest, means = flat.amax(dim=2), flat.mean(dim=2)
        self._check(start, highest + means)
        self.images = start + len(flat)
        self._active += (self._behind(flat, highest) > 0).sum(dim=0).cpu()
        self._sums += means.double().sum(dim=0).cpu()
        if self.members is not None:
            rows, classes = self.members.of_batch(start, self.images)
            for sums, values in ((self._by_class, means), (self._rectified, self._let_through(flat))):
                sums.index_add_(0, classes, values.double().cpu()[rows])
        if self.maxima is not None:
            self.maxima.put(start, highest)
        if self.tail is not None:
            self.tail.add(flat)
        self._keep(start, flat, highest.float().cpu())

    def _behind(
        self, flat: Float[Tensor, "batch channel place"], highest: Float[Tensor, "batch channel"]
    ) -> Float[Tensor, "batch channel"]:
        """Return each image's highest activation behind the normalisation, if there is one."""
        if self.affine is None:
            return highest
        scale, shift = self.affine
        return torch.where(scale < 0, flat.amin(dim=2), highest) * scale + shift

    def _let_through(self, flat: Float[Tensor, "batch channel place"]) -> Float[Tensor, "batch channel"]:
        """Return the means of what a ReLU there lets through."""
        if self.affine is not None:
            scale, shift = self.affine
            flat = flat * scale[:, None] + shift[:, None]
        return flat.clamp_min(0).mean(dim=2)

    def _check(self, start: int, found: Float[Tensor, "batch channel"]) -> None:
        if not found.isfinite().all():
            image, channel = (~found.isfinite()).nonzero()[0].tolist()
            raise InputError(
                f"layer '{self.layer.name}' gives NaN or infinity in channel {channel} for image {start + image}; look "
                "for NaN in the weights, leave the image out, or ask for other layers."
            )

    def _keep(self, start: int, flat: Tensor, highest: Float[Tensor, "batch channel"]) -> None:
        """Keep the highest so far; the places of the maxima are looked up for those alone that are among them."""
        # A stable sort after what is there: of equals the first images stay, however the batches are cut.
        first = highest.T.sort(dim=1, descending=True, stable=True)
        values = torch.cat([self._values, first.values[:, : self.top]], dim=1)
        numbers = torch.cat([self._numbers, first.indices[:, : self.top] + start], dim=1)
        places = torch.cat([self._places, torch.full_like(first.indices[:, : self.top], -1)], dim=1)
        order = values.sort(dim=1, descending=True, stable=True).indices[:, : self.top]
        self._values, self._numbers, self._places = (one.gather(1, order) for one in (values, numbers, places))
        channels, ranks = (self._places < 0).nonzero(as_tuple=True)
        maps = flat[(self._numbers[channels, ranks] - start).to(flat.device), channels.to(flat.device)]
        self._places[channels, ranks] = maps.argmax(dim=1).cpu()

    def figures(self) -> dict[str, Any]:
        """Return the attributes of `LayerChannels` that are known here."""
        places = np.stack(np.divmod(self._places.numpy(), self.size[1]), axis=2)
        found: dict[str, Any] = {"layer": self.layer.name, "images": self.images, "size": self.size}
        found |= {"top_images": self._numbers.numpy(), "top_activations": self._values.float().numpy()}
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
