"""Grad-CAM of one network at every convolution and its ReLU: its share on the stroke, and how round it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import nn
from torch.nn import functional as F

from glassnet.attribution import explain
from glassnet.attribution.faithfulness import STROKE_THRESHOLD, share_inside, stroke_mask
from glassnet.data import Split
from glassnet.data.split import balanced_draw
from glassnet.devices import code_digest
from glassnet.experiment import Run
from glassnet.reproduction.part import Stage, stage
from glassnet.run import RunDirectory

FIGURE_IMAGES = 4
"""Images of the figures: the first ones of the test set, not picked."""
CHUNK = 250
"""Images whose maps are in memory at once."""
METHODS = ("gradcam", "guided_gradcam")

Place = Literal["convolution", "ReLU"]
PLACES: tuple[Place, Place] = ("convolution", "ReLU")
"""Where a convolution's maps are taken: at its own output, and at the ReLU that follows it."""


@dataclass(frozen=True, eq=False)
class PlaceMaps:
    """Grad-CAM at every convolution of a network, or at the ReLU after each.

    Attributes:
        layers: Names, in the network's order.
        shares: Of each map inside the stroke, NaN where a map is all zero.
        sides: Of the maps in pixels.
        last: The last layer's maps at their own size.
    """

    layers: tuple[str, ...]
    shares: Float[np.ndarray, "layers n"]
    sides: Integer[np.ndarray, " layers"]
    last: Float[np.ndarray, "n _ _"]

    def reduced(self, side: int) -> Float[np.ndarray, "n side side"]:
        """Return the last layer's maps averaged down to `side` pixels a side."""
        return F.adaptive_avg_pool2d(torch.from_numpy(self.last), side).numpy()


@dataclass(frozen=True, eq=False)
class GradcamMaps:
    """What one network looks at, in the same test images as the others.

    Attributes:
        run: The network.
        arrays: Of the stage: "mask" (n, h, w); "images", "probability", "targets", "labels" and "METHOD/LAYER" of the
            images shown, at each ReLU.
        at: The maps, by place.
    """

    run: Run
    arrays: Mapping[str, np.ndarray]
    at: Mapping[Place, PlaceMaps]

    @property
    def name(self) -> str:
        """The network's name."""
        return str(self.run.manifest["model"]["name"])

    @cached_property
    def area(self) -> Float[np.ndarray, " n"]:
        """The stroke's share of each image's area, which a uniform map has inside it."""
        return self.arrays["mask"].mean(axis=(1, 2))

    def share(self, maps: Float[np.ndarray, "n _ _"]) -> Float[np.ndarray, " n"]:
        """Return the share of maps of any size inside the stroke, once they are at the images' size."""
        return share_inside(resized(maps, self.size), self.arrays["mask"])

    def roundness(self, maps: Float[np.ndarray, "n _ _"]) -> Float[np.ndarray, " n"]:
        """Return how round the hottest places of maps of any size are, once they are at the images' size."""
        return roundness(resized(maps, self.size))

    def chance(self, maps: Float[np.ndarray, "n _ _"]) -> float:
        """Return how round random maps of the size of these are on the average."""
        return random_roundness(maps.shape[1], self.size)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        height, width = self.arrays["mask"].shape[1:]
        return height, width


def gradcam_maps(
    run: Run, folder: RunDirectory, *, device: torch.device, data_root: Path | None, images: int, seed: int
) -> GradcamMaps:
    """Explain the predicted class of test images at every convolution and its ReLU, or read what was done before."""
    name = str(run.manifest["model"]["name"])
    digest = hashlib.sha256((run.path / "model.safetensors").read_bytes()).hexdigest()
    inputs = {
        "weights_sha256": digest,
        "data": run.manifest["data"]["name"],
        "images": images,
        "seed": seed,
        "figure_images": FIGURE_IMAGES,
        "threshold": STROKE_THRESHOLD,
        "code": code_digest("attribution", "reproduction"),
    }

    def compute() -> Stage:
        test = run.dataset(data_root).test
        chosen = balanced_draw(test.targets, images, seed=seed)
        model = run.model(device)
        layers = rectified(model)
        arrays = _measure(model, Split(test.images[chosen], test.targets[chosen]), layers)
        layer_names = {"convolution": list(layers), "ReLU": list(layers.values())}
        return Stage(arrays | _figure_maps(model, test, layer_names["ReLU"]), layer_names)

    made = stage(folder, f"gradcam-{name}", inputs, compute)
    at = {
        place: PlaceMaps(
            tuple(made.numbers[place]), *(made.arrays[f"{what}/{place}"] for what in ("shares", "sides", "last"))
        )
        for place in PLACES
    }
    return GradcamMaps(run, made.arrays, at)


def rectified(model: nn.Module) -> dict[str, str]:
    """Name every convolution and the ReLU that follows it, after a batch-norm and a pool where there are."""
    pairs, waiting = {}, ""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            waiting = name
        elif isinstance(module, nn.ReLU) and waiting:
            pairs[waiting], waiting = name, ""
    return pairs


def _measure(model: nn.Module, part: Split, pairs: Mapping[str, str]) -> dict[str, np.ndarray]:
    mask = stroke_mask(part.images)
    layers: dict[str, list[str]] = {"convolution": list(pairs), "ReLU": list(pairs.values())}
    parts_of: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(part), CHUNK):
        rows = slice(start, start + CHUNK)
        explanation = explain(
            model, part.images[rows], layers=[*layers["convolution"], *layers["ReLU"]], methods="gradcam"
        )
        for place, names in layers.items():
            shares = np.stack([share_inside(explanation["gradcam", layer], mask[rows]) for layer in names], axis=1)
            parts_of.setdefault(f"shares/{place}", []).append(shares)
            parts_of.setdefault(f"last/{place}", []).append(explanation.raw["gradcam", names[-1]])
    arrays = {name: np.concatenate(parts) for name, parts in parts_of.items()}
    for place, names in layers.items():
        arrays[f"shares/{place}"] = arrays[f"shares/{place}"].T
        arrays[f"sides/{place}"] = np.array([explanation.raw["gradcam", layer].shape[1] for layer in names])
    return arrays | {"mask": mask}


def _figure_maps(model: nn.Module, test: Split, layers: list[str]) -> dict[str, np.ndarray]:
    images = test.images[:FIGURE_IMAGES]
    explanation = explain(model, images, layers=layers, methods=METHODS)
    assert explanation.output is not None
    assert explanation.targets is not None
    probability = (
        torch.from_numpy(explanation.output).softmax(dim=1).numpy()[np.arange(len(images)), explanation.targets]
    )
    predictions = {
        "probability": probability,
        "targets": explanation.targets,
        "labels": test.targets[:FIGURE_IMAGES].numpy(),
    }
    maps = {f"{method}/{layer}": values for (method, layer), values in explanation.maps.items()}
    return {"images": images.numpy(), **predictions, **maps}


RANDOM = 2000
"""Random maps that the chance level is the mean of."""


def roundness(maps: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, " n"]:
    """Return how much of each map's hottest region a disc covers: 1 for a disc, less for a stroke.

    The region is where the map has at least half of its maximum. The disc is as large as the region, around its centre
    of gravity, cut off at the image's border. A ring does not count as round: its disc lies in its hole.

    Returns:
        0 to 1; NaN for a map of zeros, and where the region is the whole frame, which has no shape.
    """
    covered = np.full(len(maps), np.nan)
    rows, columns = (np.asarray(axis) for axis in np.indices(maps.shape[1:]))
    for number in np.flatnonzero(maps.max(axis=(1, 2)) > 0):
        region: np.ndarray = maps[number] >= maps[number].max() / 2
        if region.all():
            continue
        away = (rows - rows[region].mean()) ** 2 + (columns - columns[region].mean()) ** 2
        covered[number] = region.ravel()[np.argsort(away, axis=None, kind="stable")[: region.sum()]].mean()
    return covered


@cache
def random_roundness(side: int, size: tuple[int, int]) -> float:
    """Return the mean roundness of maps of independent uniform numbers, brought to an image's size as Grad-CAM's are.

    The fewer pixels a map has, the rounder what is left after upsampling: this is what a map's size alone gives.

    Args:
        side: Of the maps before, in pixels.
        size: Of the image.
    """
    maps = np.random.default_rng(0).random((RANDOM, side, side), dtype=np.float32)
    return float(np.nanmean(roundness(resized(maps, size))))


def resized(maps: Float[np.ndarray, "n _ _"], size: tuple[int, int]) -> Float[np.ndarray, "n h w"]:
    """Bring maps to an image's size, as Grad-CAM does."""
    return F.interpolate(torch.from_numpy(maps)[:, None], size, mode="bilinear", align_corners=False)[:, 0].numpy()
