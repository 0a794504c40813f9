"""What is logged of fixed images at each epoch: maps of a class, masks and the true ones, images restored.

A picture is made of rows, and has a column for each image.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from glassnet import figures
from glassnet.attribution.engine.targets import Target
from glassnet.attribution.explain import explain
from glassnet.data import Split
from glassnet.display import drawable
from glassnet.figures.overlay import overlay
from glassnet.images import Images
from glassnet.models.layers import LayerChoice
from glassnet.settings import ResolvedSettings
from glassnet.tasks import TASKS
from glassnet.training.callbacks import TrainingInfo

Picture = UInt8[np.ndarray, "height width 3"]
SIDE_PIXELS = 224
"""Longer side of an image in a logged picture."""


def map_strip(
    model: nn.Module,
    images: Images,
    *,
    target: Target = "predicted",
    layers: LayerChoice = "last-conv",
    method: str = "gradcam",
) -> Picture:
    """Draw images side by side, above, and below each its map at the last of the layers; the model stays as it is.

    Raises:
        InputError: As `glassnet.explain` says.
    """
    explanation = explain(model, images, target=target, layers=layers, methods=method)
    pictures = drawable(images)
    maps = [maps for (known, _), maps in explanation.maps.items() if known == method][-1]
    above = [figures.thumbnail(one, SIDE_PIXELS) for one in pictures]
    below = [overlay(one, values, size_pixels=SIDE_PIXELS) for one, values in zip(pictures, maps, strict=True)]
    return stacked(above, below)


def fixed_maps(split: Split, rows: Tensor, _settings: ResolvedSettings) -> Callable[[nn.Module], Picture]:
    """Return what draws these images with the map of their class, or of the likeliest one where they have several."""
    images, targets = split.take(rows)
    target: Target = targets if targets.ndim == 1 else "predicted"
    return lambda model: map_strip(model, images, target=target)


def fixed_pictures(info: TrainingInfo, count: int) -> Callable[[nn.Module], Picture]:
    """Return what draws held-out images, spread over all, always the same, as the task of the training needs it."""
    rows = torch.linspace(0, len(info.validation) - 1, count).long().unique()
    return TASKS[info.task].views().epoch_pictures(info.validation, rows, info.settings)


def stacked(*rows: list[Picture]) -> Picture:
    """Join pictures of one size: a list is a row, the first above."""
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])
