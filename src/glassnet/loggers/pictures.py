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
from glassnet.data.batches import corrupt
from glassnet.display import drawable
from glassnet.experiment import corruption_of
from glassnet.figures.images import to_pictures
from glassnet.figures.overlay import overlay
from glassnet.figures.segmentation import overlay as mask_overlay
from glassnet.images import Images, to_float
from glassnet.models.inference import outputs
from glassnet.models.layers import LayerChoice
from glassnet.rng import PerImageRNG
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
    return _stacked(above, below)


def mask_strip(model: nn.Module, images: Tensor, truth: Tensor) -> Picture:
    """Draw images, above, the true classes of their pixels, and those that the model says, below."""
    (scores,) = outputs(model, [images])
    rows = [[figures.thumbnail(one, SIDE_PIXELS) for one in drawable(images)]]
    for masks in (truth, scores.argmax(dim=1)):
        drawn = [
            mask_overlay(picture, mask.to(torch.uint8).cpu().numpy())
            for picture, mask in zip(to_pictures(drawable(images)), masks, strict=True)
        ]
        rows.append([figures.thumbnail(one.transpose(2, 0, 1), SIDE_PIXELS) for one in drawn])
    return _stacked(*rows)


def restored_strip(model: nn.Module, given: Tensor, original: Tensor) -> Picture:
    """Draw what the model is given, above, what it makes of it, and the originals, below."""
    (output,) = outputs(model, [given])
    restored = output if isinstance(output, Tensor) else output.images
    rows = (given, restored.float().cpu().clamp(0, 1), original)
    return _stacked(*([figures.thumbnail(one, SIDE_PIXELS) for one in drawable(images)] for images in rows))


def fixed_pictures(info: TrainingInfo, count: int) -> Callable[[nn.Module], Picture]:
    """Return what draws held-out images, spread over all, always the same, as the task of the training needs it.

    A reconstruction is given them with the noise that it is validated with.
    """
    rows = torch.linspace(0, len(info.validation) - 1, count).long().unique()
    images, targets = info.validation.take(rows)
    if info.task == "segmentation":
        return lambda model: mask_strip(model, images, targets)
    if info.task == "reconstruction":
        rng = PerImageRNG(info.settings.seed, "validation")
        places = info.validation.numbers[rows].tolist()
        given, original = corrupt(to_float(images), places, corruption=corruption_of(info.settings), rng=rng)
        return lambda model: restored_strip(model, given, original)
    target: Target = targets if targets.ndim == 1 else "predicted"
    return lambda model: map_strip(model, images, target=target)


def _stacked(*rows: list[Picture]) -> Picture:
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])
