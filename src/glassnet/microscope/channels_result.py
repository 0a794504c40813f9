"""What the channels of layers respond to: their strongest images, how selective they are, which never respond."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64, Shaped
from torch import Tensor

from glassnet.display import Shown, fraction
from glassnet.errors import InputError
from glassnet.files import atomic, writable_target
from glassnet.images import ImageRows, Images
from glassnet.run.codec import decode, encode
from glassnet.tables import Table, make_table

SHOWN_CHANNELS = 12
"""Channels of a layer that a notebook shows."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LayerChannels(Shown):
    """What the c channels of one layer respond to, for k classes. NaN means that there is no value.

    An image's activation of a channel is the maximum over the layer's map, except in the means.

    Attributes:
        layer: The layer.
        images: Number of images.
        size: Rows and columns of the layer's map; 1 x 1 for vectors.
        top_images: Numbers of the images with the highest activation, highest first, ties by number (c, top).
        top_activations: These activations (c, top).
        top_places: Row and column of these activations in the layer's map, the first if several are equal (c, top, 2).
        boxes: The receptive-field box at that place, as (x0, y0, x1, y1) in pixels, x1 and y1 excluded, clipped to the
            image (c, top, 4). None where it is not known.
        active: Share of the images that activate the channel (c,): its output is above 0 somewhere.
        means: Mean activation over all images and places (c,).
        class_means: The same over the images of each class (c, k); NaN for a class without images. None without labels.
        rectified_means: The same of max(x, 0), what a ReLU on the layer's output would pass (c, k).
        selectivity: (m - m') / (m + m'), where m is the highest rectified mean and m' the mean over the other classes
            (c,): 0 if all classes are alike, 1 if only one activates the channel. NaN for a channel that no class
            activates, or with fewer than two classes. Morcos et al. 2018, https://arxiv.org/abs/1803.06959.
        auroc: Area under the ROC curve of the channel as a detector of each class: the probability that an image of the
            class activates it more than an image of no such class, ties counting half (c, k).
        thresholds: Activation that 0.5% of all places exceed (c,). None without masks.
        iou: Intersection over union, over all images, of each class's pixels and the pixels where the map, resized
            bilinearly to the mask, exceeds the threshold by more than a millionth of it (less may be rounding) (c, k).
            None without masks. Bau et al. 2017, https://arxiv.org/abs/1704.05796.
    """

    layer: str
    images: int
    size: tuple[int, int]
    top_images: Int64[np.ndarray, "c top"] = field(repr=False)
    top_activations: Float32[np.ndarray, "c top"] = field(repr=False)
    top_places: Int64[np.ndarray, "c top 2"] = field(repr=False)
    active: Float64[np.ndarray, " c"]
    means: Float64[np.ndarray, " c"]
    class_means: Float64[np.ndarray, "c k"] | None = None
    rectified_means: Float64[np.ndarray, "c k"] | None = None
    selectivity: Float64[np.ndarray, " c"] | None = None
    auroc: Float64[np.ndarray, "c k"] | None = None
    thresholds: Float32[np.ndarray, " c"] | None = None
    iou: Float64[np.ndarray, "c k"] | None = None
    boxes: Int64[np.ndarray, "c top 4"] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Count the channels."""
        return len(self.active)

    @property
    def is_dead(self) -> Bool[np.ndarray, " c"]:
        """Whether no image activates the channel (c,)."""
        return self.active == 0

    @property
    def dead(self) -> tuple[int, ...]:
        """The numbers of the channels that no image activates."""
        return tuple(np.flatnonzero(self.is_dead).tolist())

    @property
    def preferred(self) -> Int64[np.ndarray, " c"] | None:
        """The class with the highest rectified mean, to which the selectivity refers; -1 where that is NaN (c,)."""
        if self.rectified_means is None or self.selectivity is None:
            return None
        best = np.nan_to_num(self.rectified_means, nan=-1).argmax(axis=1)
        return np.where(np.isnan(self.selectivity), -1, best)

    def order(self) -> Int64[np.ndarray, " c"]:
        """Return the channels, the most selective first; without classes, by activation. Dead channels come last."""
        keys = self.top_activations[:, 0] if self.selectivity is None else self.selectivity
        return np.lexsort((np.arange(len(self)), -np.nan_to_num(keys, nan=-np.inf), self.is_dead))

    def __repr__(self) -> str:
        """Say in one line how many channels there are, how many of them are dead, and which is the most selective."""
        height, width = self.size
        words = [f"{len(self)} channels of {self.layer}, {height} x {width}", f"{self.images:,} images"]
        words.append(f"{len(self.dead)} dead")
        first = int(self.order()[0])
        if self.selectivity is not None and np.isfinite(self.selectivity[first]):
            words.append(f"channel {first} is the most selective: {fraction(float(self.selectivity[first]))}")
        return f"LayerChannels({', '.join(words)})"

    def table(self, most: int | None = None, classes: tuple[str, ...] | None = None) -> Table:
        """Return a table of the channels, the most selective first.

        Args:
            most: Number of rows; all by default.
            classes: Names of the classes.
        """
        columns: dict[str, Callable[[int], str]] = {
            "highest activation": lambda c: f"{self.top_activations[c, 0]:.4g}",
            "in image": lambda c: str(self.top_images[c, 0]),
            "active": lambda c: fraction(float(self.active[c])),
        }
        if self.selectivity is not None:
            selectivity = self.selectivity
            columns["selectivity"] = lambda c: fraction(float(selectivity[c]))
        for head, scores in (("detects", self.auroc), ("shows", self.iou)):
            if scores is not None:
                columns[head] = partial(_best, scores, classes)
        rows = [(str(c), *(cell(c) for cell in columns.values())) for c in self.order()[:most].tolist()]
        return make_table(f"{self.layer}: {self.images:,} images, {_dead(self)}", ("channel", *columns), rows)

    def _table(self) -> Table:
        return self.table(SHOWN_CHANNELS)

    def to_json(self) -> dict[str, Any]:
        """Return all numbers as JSON values; None for numbers that do not exist."""
        arrays = (
            "top_images",
            "top_activations",
            "top_places",
            "boxes",
            "active",
            "means",
            "class_means",
            "rectified_means",
        )
        more = ("selectivity", "auroc", "thresholds", "iou")
        plain = {name: _plain(getattr(self, name)) for name in (*arrays, *more)}
        return {"layer": self.layer, "images": self.images, "size": list(self.size), "dead": list(self.dead), **plain}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Channels(Shown):
    """What the channels of a network's layers respond to, by layer: `channels["conv4"]`.

    Attributes:
        layers: Results by layer name, in the network's order.
        images: Number of images.
        classes: Names of the classes, or their numbers if they have no names; None without labels or masks.
    """

    layers: Mapping[str, LayerChannels]
    images: int
    classes: tuple[str, ...] | None = None

    def __getitem__(self, layer: str) -> LayerChannels:
        """Return a layer's channels.

        Raises:
            InputError: It is not among the layers.
        """
        if layer not in self.layers:
            raise InputError(f"no layer '{layer}' here, expected one of {', '.join(self.layers)}.")
        return self.layers[layer]

    def __iter__(self) -> Iterator[str]:
        """Yield the layers' names."""
        return iter(self.layers)

    def __len__(self) -> int:
        """Count the layers."""
        return len(self.layers)

    def crops(self, images: Images | ImageRows, layer: str, channel: int) -> list[Shaped[np.ndarray, "c height width"]]:
        """Crop a channel's strongest images to the receptive-field box of the maximum, the strongest image first.

        Args:
            images: The images passed to `channels`.
            layer: Name of the layer.
            channel: Number of the channel.

        Returns:
            Part of each image (c, height, width), of the same type; smaller at a border.

        Raises:
            InputError: There is no such layer or channel, its receptive field is not known, or these are other images.
        """
        one = self[layer]
        if not 0 <= channel < len(one):
            raise InputError(f"channel is {channel}, expected 0 to {len(one) - 1}, the channels of {layer}.")
        if one.boxes is None:
            raise InputError(f"the receptive field of {layer} is not known, so there are no crops of it.")
        numbers, boxes = one.top_images[channel], one.boxes[channel]
        count, height, width = len(images), int(images.shape[2]), int(images.shape[3])
        if numbers.max() >= count or (boxes[:, 2:].max(axis=0) > (width, height)).any():
            raise InputError(
                f"there are {count} images of {height} x {width} pixels, but the boxes of {layer} reach row "
                f"{boxes[:, 3].max()}, column {boxes[:, 2].max()} and image {numbers.max()}; pass the images given to "
                "channels."
            )
        cut = zip(numbers.tolist(), boxes.tolist(), strict=True)
        return [_array(images[number : number + 1])[0, :, y0:y1, x0:x1].copy() for number, (x0, y0, x1, y1) in cut]

    @property
    def dead(self) -> dict[str, tuple[int, ...]]:
        """The numbers of the channels that no image activates, for each layer that has some."""
        return {name: one.dead for name, one in self.layers.items() if one.dead}

    def __repr__(self) -> str:
        """Say in one line how many channels of how many layers there are, and how many of them are dead."""
        count, dead = sum(map(len, self.layers.values())), sum(map(len, self.dead.values()))
        classes = "" if self.classes is None else f", {len(self.classes)} classes"
        return f"Channels({count:,} channels of {len(self)} layers, {self.images:,} images{classes}, {dead:,} dead)"

    def table(self) -> Table:
        """Return a table of the layers: channels, dead channels, median selectivity, and the best class detector."""
        heads = ["layer", "map", "channels", "dead", "median active"]
        heads += ["median selectivity", "best detector"] if self.classes is not None else []
        rows = []
        for name, one in self.layers.items():
            row = [name, f"{one.size[0]} x {one.size[1]}", str(len(one)), str(len(one.dead))]
            row.append(fraction(float(np.median(one.active))))
            if self.classes is not None:
                row += [_median(one.selectivity), _best_of_all(one.auroc, self.classes)]
            rows.append(row)
        return make_table(f"channels over {self.images:,} images", heads, rows)

    def _table(self) -> Table:
        return self.table()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all values to a file that `Channels.load` and NumPy can read.

        Each array has a key such as data["layers/conv1/auroc"]; everything else is JSON in data["document"]. The file
        is written completely or not at all.

        Args:
            path: File to write, ending in .npz.

        Raises:
            InputError: The name does not end in .npz, or the file cannot be written.
        """
        if Path(path).suffix.lower() != ".npz":
            raise InputError(f"the path is {os.fspath(path)}, expected one that ends in .npz.")
        document, arrays = encode(self)
        with atomic(writable_target(path, "the path")) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, document=np.array(json.dumps(document)), **arrays)  # type: ignore[arg-type]
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Channels:
        """Read a file written by `save`.

        Raises:
            InputError: There is no such file, or it is damaged.
        """
        try:
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            document = json.loads(str(arrays.pop("document")))
        except FileNotFoundError:
            raise InputError(f"{os.fspath(path)} does not exist, expected a file written by Channels.save.") from None
        except Exception as error:  # zip, zlib, NumPy and JSON each raise their own on damaged bytes
            raise InputError(f"{os.fspath(path)} was not written by Channels.save, or is damaged ({error}).") from None
        return decode(cls, document, arrays, source=os.fspath(path), again="call glassnet.channels again.")

    def to_json(self) -> dict[str, Any]:
        """Return all values as JSON; None where there is no value."""
        return {
            "images": self.images,
            "classes": None if self.classes is None else list(self.classes),
            "layers": [one.to_json() for one in self.layers.values()],
        }


def _array(images: Tensor | np.ndarray) -> Shaped[np.ndarray, "n c height width"]:
    if isinstance(images, np.ndarray):
        return images
    plain = images.detach().cpu()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


def _dead(layer: LayerChannels) -> str:
    count = len(layer.dead)
    return f"{count} of {len(layer)} channels dead" if count else "no channel dead"


def _median(values: np.ndarray | None) -> str:
    known = np.empty(0) if values is None else values[np.isfinite(values)]
    return fraction(float(np.median(known)) if len(known) else None)


def _best(scores: Float64[np.ndarray, "c k"], classes: tuple[str, ...] | None, channel: int) -> str:
    """Name the class with a channel's highest score, and the score."""
    own = scores[channel]
    if not np.isfinite(own).any():
        return fraction(None)
    best = int(np.nanargmax(own))
    return f"{classes[best] if classes else best}: {fraction(float(own[best]))}"


def _best_of_all(scores: Float64[np.ndarray, "c k"] | None, classes: tuple[str, ...]) -> str:
    if scores is None or not np.isfinite(scores).any():
        return fraction(None)
    channel = int(np.unravel_index(np.nanargmax(scores), scores.shape)[0])
    return f"channel {channel}, {_best(scores, classes, channel)}"


def _plain(values: np.ndarray | None) -> Any:
    """Return an array as nested lists, with None for NaN and infinity."""
    if values is None:
        return None
    plain = values.astype(object)
    plain[~np.isfinite(values)] = None
    return plain.tolist()
