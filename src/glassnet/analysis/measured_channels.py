"""The settings and the result of an analysis of channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64

from glassnet.analysis.base import Context
from glassnet.data import Split
from glassnet.data.split import training_parts
from glassnet.display import Shown
from glassnet.errors import InputError
from glassnet.formats import count
from glassnet.microscope.ablation_result import Ablation, Value
from glassnet.microscope.agreement import Agreement, agreement
from glassnet.microscope.channels_result import Channels, LayerChannels
from glassnet.microscope.visualized import Visualized
from glassnet.subject import Subject
from glassnet.tables import Table

ChannelsPart = Literal["test", "validation", "train"]
PAGE = 16
"""Channels of a page of a sheet."""
SHOWN = 4
"""Channels that are named of a layer: so many of the most selective, and so many of the most needed."""


@dataclass(frozen=True)
class ChannelsRequest:
    """What is asked of the channels.

    Attributes:
        layers: Layers by name, pattern or kind. The kinds "conv" and "last-conv" mean each convolution after its batch
            normalisation, where it has one.
        split: Part of the images; "validation" are those that a run chose its epoch by.
        images: Most images to use; of more, a random sample with the classes in the same proportions.
        top: Images to keep for each channel, those that activate it most.
        ablation_images: Most images, sampled from those likewise, on which channels are removed; 0 removes none.
        value: What a removed channel is set to: "zero", or its "mean".
        visualize: Whether to optimise, for each channel on a sheet, a synthetic image that activates it most.
        sheet: Most channels on a layer's sheet: half of them the most selective, half the most needed.
        seed: Of the samples and of the synthetic images.
    """

    layers: tuple[str, ...] = ("conv",)
    split: ChannelsPart = "test"
    images: int = 5000
    top: int = 9
    ablation_images: int = 1000
    value: Value = "zero"
    visualize: bool = False
    sheet: int = 16
    seed: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class MeasuredChannels(Shown):
    """What the channels of some layers have learned.

    Attributes:
        channels: What they respond to; the strongest images by their places in the part.
        ablations: By layer, what the network loses without each channel; empty where that is not known.
        pictures: By layer, the synthetic images of the live channels on its sheet; empty where none were asked for.
            `real_index` is a place in the part, too.
        sheets: By layer, the channels on its sheet, the most selective first.
        convolutions: By layer, the convolution whose channels it holds, where it is the batch normalisation after one.
        split: Part of the images; empty of a network without a run, which has but one.
        notes: What was left out, and why.
    """

    channels: Channels
    ablations: Mapping[str, Ablation]
    pictures: Mapping[str, Visualized]
    sheets: Mapping[str, Int64[np.ndarray, " shown"]]
    convolutions: Mapping[str, str]
    split: str
    notes: tuple[str, ...] = ()

    def __getitem__(self, layer: str) -> LayerChannels:
        """Return what a layer's channels respond to.

        Raises:
            InputError: It is not among the layers.
        """
        return self.channels[layer]

    @property
    def images_words(self) -> str:
        """Count the images, as in "1,000 test images"."""
        return " ".join(filter(None, (count(self.channels.images), self.split, "images")))

    @property
    def frames(self) -> dict[str, Int64[np.ndarray, "c top 4"]]:
        """By layer, what a channel sees of its strongest images where it is highest, as `LayerChannels.boxes`.

        A layer of which that is not known, or that sees the same wherever it is highest, is not there.
        """
        known = {name: one.boxes for name, one in self.channels.layers.items() if one.boxes is not None}
        return {name: boxes for name, boxes in known.items() if (boxes != boxes[0, 0]).any()}

    def title(self, layer: str) -> str:
        """Name a layer, and the convolution whose channels it holds."""
        return f"{self.convolutions[layer]} (after {layer})" if layer in self.convolutions else layer

    def pages(self, layer: str) -> int:
        """Count the figures of a layer's sheet."""
        return -(-len(self.sheets[layer]) // PAGE)

    def selective(self, layer: str, most: int = SHOWN) -> Int64[np.ndarray, " m"]:
        """Return the most selective channels of a layer, the most selective first; none without classes."""
        one = self.channels[layer]
        if one.selectivity is None:
            return np.empty(0, np.int64)
        order = one.order()
        return order[np.isfinite(one.selectivity[order]) & ~one.is_dead[order]][:most]

    def needed(self, layer: str, most: int = SHOWN) -> Int64[np.ndarray, " m"]:
        """Return the channels of a layer without which the network is worse, those whose removal costs most first.

        Channels that cost the same by the first measure are ordered by the last: of equal accuracies, by the loss.
        """
        if layer not in self.ablations:
            return np.empty(0, np.int64)
        found = self.ablations[layer]
        first, last = found.lost(), found.lost(list(found.baseline)[-1])
        order = np.lexsort((found.channels, -np.nan_to_num(last), -np.nan_to_num(first, nan=-np.inf)))
        worse = (first > 0) | ((first == 0) & (last > 0))
        return found.channels[order[worse[order]]][:most]

    def agreement(self, layer: str | None = None, *, measure: str | None = None, seed: int = 0) -> Agreement | None:
        """Say whether the selective channels are those that the network needs.

        Args:
            layer: One layer; all together if not given.
            measure: By which the cost of removal is taken; if not given, the last of the ablation's, such as the loss,
                which has fewer ties.
            seed: Of the bootstrap.

        Returns:
            Spearman's correlation of selectivity and the cost of removal, with an interval; None where one of them is
            not known.
        """
        pairs = []
        for name in self.channels if layer is None else (layer,):
            one, found = self.channels[name], self.ablations.get(name)
            if one.selectivity is not None and found is not None:
                cost = found.lost(measure or list(found.baseline)[-1])
                pairs.append((one.selectivity[found.channels], cost))
        return agreement(pairs, seed=seed)

    def __repr__(self) -> str:
        """Say in one line what was measured."""
        more = [f"{len(self.ablations)} layers ablated"] if self.ablations else []
        more += [f"{sum(map(len, (one.channels for one in self.pictures.values())))} pictures"] if self.pictures else []
        return f"MeasuredChannels({', '.join([repr(self.channels), *more])})"

    def _table(self) -> Table:
        return self.channels.table()


def part_of(subject: Subject, split: ChannelsPart, context: Context) -> Split:
    """Return a part of the images; "validation" are those that a run chose its epoch by.

    Raises:
        InputError: There is no such part.
    """
    if split != "validation":
        return subject.part(split)
    settings = subject.settings
    if settings is None:
        raise InputError(
            f"{subject.name} has no validation images, because it is not a run; leave --split validation out."
        )
    validation: Split = context.once(
        ("validation", id(subject)),
        lambda: training_parts(subject.dataset, settings.validation, seed=settings.seed)[1],
    )
    return validation
