"""What a class loses or gains where pixels are hidden: all that a map does not mark, or those that it ranks first."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from glassnet.attribution.faithfulness.comparison import Classes, classes_of, per_pixel, positive
from glassnet.errors import InputError
from glassnet.images import Images, check_images, image_batches
from glassnet.models.capture import undisturbed
from glassnet.models.inference import translate_torch_errors


def confidence_change(
    model: nn.Module,
    images: Images,
    maps: Float[np.ndarray, "n ..."],
    targets: Classes,
    *,
    batch_size: int = 128,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Compare each image's probability y with that of the image times its map, o: what the map does not mark is black.

    drop = max(0, y - o) / y and increase = 1 if o > y, else 0; their means over images are the paper's average drop
    and increase in confidence, here as shares of 1. The map is its positive part divided by its maximum.

    Chattopadhay et al. 2018, https://arxiv.org/abs/1710.11063, section 4.1.

    Args:
        model: Gives class scores (n, classes); it is left as it was found.
        images: As `glassnet.explain` takes them.
        maps: At the images' size, (n, h, w) or (n, c, h, w), which is summed over the channels.
        targets: Class of each image.
        batch_size: Images per forward pass.

    Returns:
        Drop and increase of each image.

    Raises:
        InputError: The arrays do not fit each other.
    """
    check_images(images, batch_size)
    classes, shares = classes_of(targets, len(images)), positive(maps)
    if shares.shape != (len(images), *images.shape[-2:]):
        raise InputError(
            f"maps have shape {maps.shape}, expected one value a pixel of the images, {tuple(images.shape)}."
        )
    shares = shares / np.maximum(shares.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
    before, after = [], []
    with undisturbed(model), torch.no_grad():
        for start, batch in image_batches(model, images, batch_size):
            part = slice(start, start + len(batch))
            weight = torch.from_numpy(shares[part]).to(batch).unsqueeze(1)
            before.append(probabilities(model, batch, classes[part], batch_size=batch_size))
            after.append(probabilities(model, batch * weight, classes[part], batch_size=batch_size))
    y, o = (torch.cat(rows).numpy().astype(np.float64) for rows in (before, after))
    return np.maximum(0, y - o) / np.maximum(y, np.finfo(np.float32).tiny), (o > y).astype(np.float64)


def probabilities(
    model: nn.Module,
    images: Float[Tensor, "n channel height width"],
    classes: Int64[Tensor, " n"],
    *,
    batch_size: int,
) -> Float[Tensor, " n"]:
    """Return the softmax probability of one class for each image, on the CPU.

    The caller sees to it that the model is in evaluation mode and without gradients.

    Raises:
        InputError: The model gives no class scores, or a class is out of range.
    """
    parts = []
    for batch, wanted in zip(images.split(batch_size), classes.split(batch_size), strict=True):
        with translate_torch_errors(model, batch):
            output = model(batch.contiguous(memory_format=torch.channels_last))
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(batch):
            shape = f"of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
            raise InputError(f"the model's output is {shape}, expected class scores (n, classes) to take a softmax of.")
        if int(wanted.max()) >= output.shape[1]:
            raise InputError(f"target {int(wanted.max())} is out of range: the model has {output.shape[1]} classes.")
        shares = output.float().softmax(dim=1)
        parts.append(shares.gather(1, wanted.to(shares.device).unsqueeze(1)).squeeze(1).cpu())
    return torch.cat(parts)


Ground = Literal["mean", "blur", "black"]
"""What stands where an image's own pixels do not: its mean colour, itself blurred beyond recognition, or black."""

BLUR_SHARE = 1 / 8
"""Standard deviation of the blur as a share of the image's shorter side."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Probability of the target while pixels go, or come, in the order of a map.

    Attributes:
        fractions: Share of the pixels that have gone or come, 0 to 1.
        deletion: Probability after so many have gone.
        insertion: Probability after so many have come.
    """

    fractions: Float[np.ndarray, " steps"]
    deletion: Float[np.ndarray, "n steps"]
    insertion: Float[np.ndarray, "n steps"]

    @property
    def deletion_area(self) -> Float[np.ndarray, " n"]:
        """Area below each deletion curve, 0 to 1 (trapezoids); lower is better."""
        return _area(self.deletion, self.fractions)

    @property
    def insertion_area(self) -> Float[np.ndarray, " n"]:
        """Area below each insertion curve, 0 to 1 (trapezoids); higher is better."""
        return _area(self.insertion, self.fractions)


def _area(heights: Float[np.ndarray, "n steps"], at: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " n"]:
    return ((heights[:, 1:] + heights[:, :-1]) / 2 * np.diff(at)).sum(axis=1)


def deletion_insertion(
    model: nn.Module,
    images: Images,
    maps: Float[np.ndarray, "n ..."],
    targets: Classes,
    *,
    steps: int = 28,
    deleted: Ground = "mean",
    inserted: Ground = "blur",
    batch_size: int = 128,
    seed: int = 0,
) -> Curves:
    """Delete and insert pixels in a map's order, highest first, and follow the target's probability.

    Deletion replaces pixels of the image by its mean colour, insertion puts pixels of the image over its blur, as in
    the paper. Pixels of equal value, such as all of a map of zeros, come in random order.

    Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421, section 3.2.

    Args:
        model: Gives class scores (n, classes); it is left as it was found.
        images: As `glassnet.explain` takes them.
        maps: At the images' size, (n, h, w) or (n, c, h, w), which is summed over the channels.
        targets: Class of each image.
        steps: Equal numbers of pixels in which all go; a curve has one point more.
        deleted: What stands where pixels were deleted.
        inserted: What stands where pixels were not yet inserted.
        batch_size: Images per forward pass.
        seed: Of the order of equal pixels.

    Raises:
        InputError: The arrays do not fit each other, or steps is not 1 to the number of pixels.
    """
    check_images(images, batch_size)
    classes = classes_of(targets, len(images))
    ranks = _ranks(maps, (len(images), *images.shape[-2:]), seed)
    pixels = ranks[0].size
    if not 1 <= steps <= pixels:
        raise InputError(f"steps is {steps}, expected 1 to {pixels}, the number of pixels.")
    cuts = np.linspace(0, pixels, steps + 1).round().astype(int)
    rows: list[tuple[Tensor, Tensor]] = []
    with undisturbed(model), torch.no_grad():
        for start, batch in image_batches(model, images, max(1, batch_size // (steps + 1))):
            part = slice(start, start + len(batch))
            first_ranked = torch.from_numpy(ranks[part, None] < cuts[:, None, None]).to(batch.device)
            frames = ((~first_ranked, deleted), (first_ranked, inserted))
            first, second = (
                _along(model, batch, keep, _ground(batch, g), classes[part], batch_size) for keep, g in frames
            )
            rows.append((first, second))
    deletion, insertion = (torch.cat(side).numpy().astype(np.float64) for side in zip(*rows, strict=True))
    return Curves(cuts / pixels, deletion, insertion)


def _ranks(maps: np.ndarray, shape: tuple[int, ...], seed: int) -> Int64[np.ndarray, "n height width"]:
    """Rank each image's pixels, 0 the highest, equal ones at random."""
    values = per_pixel(maps)
    if values.shape != shape:
        raise InputError(f"maps have shape {maps.shape}, expected one value a pixel of the images, {shape}.")
    flat = -values.reshape(len(values), -1)
    order = np.lexsort((np.random.default_rng(seed).random(flat.shape), flat), axis=-1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[None], axis=1)
    return ranks.reshape(shape)


def _along(
    model: nn.Module, images: Tensor, keep: Tensor, ground: Tensor, classes: Tensor, batch_size: int
) -> Float[Tensor, "batch steps"]:
    """Return each image's probabilities with the pixels of `keep` (batch, steps, h, w) its own, the others `ground`."""
    frames = torch.where(keep[:, :, None], images[:, None], ground[:, None])
    wanted = classes.repeat_interleave(keep.shape[1])
    return probabilities(model, frames.flatten(0, 1), wanted, batch_size=batch_size).view(keep.shape[:2])


def _ground(images: Float[Tensor, "batch channel height width"], kind: Ground) -> Tensor:
    if kind == "mean":
        return images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    return blurred(images) if kind == "blur" else torch.zeros_like(images)


def blurred(images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
    """Blur by a Gaussian of an eighth of the shorter side, so that no class is left to be seen."""
    sigma = BLUR_SHARE * min(images.shape[-2:])
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    window = torch.exp(-0.5 * (offsets / sigma) ** 2)
    window = (window / window.sum()).expand(images.shape[1], 1, 1, -1)
    for kernel in (window, window.transpose(2, 3)):
        sides = (radius, radius, 0, 0) if kernel.shape[3] > 1 else (0, 0, radius, radius)
        images = F.conv2d(F.pad(images, sides, mode="replicate"), kernel, groups=images.shape[1])
    return images
