"""What a class loses or gains where pixels are hidden: all that a map does not mark, or those that it ranks first."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from glassnet.attribution.engine.outputs import Output
from glassnet.attribution.engine.targets import Scorer
from glassnet.attribution.faithfulness.comparison import Classes, per_pixel, positive
from glassnet.attribution.faithfulness.following import Followed, Unit, following
from glassnet.display import Shown
from glassnet.errors import InputError
from glassnet.images import Images, image_batches
from glassnet.models.inference import ModelCall


def confidence_change(
    model: nn.Module,
    images: Images,
    maps: Float[np.ndarray, "n ..."],
    targets: Classes | Scorer,
    *,
    batch_size: int = 128,
    output: Output = None,
    forward: ModelCall | None = None,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Compare each image's probability y with that of the image times its map, o: what the map does not mark is black.

    drop = max(0, y - o) / y and increase = 1 if o > y, else 0; their means over images are the paper's average drop
    and increase in confidence, here as shares of 1. The map is its positive part divided by its maximum.

    Chattopadhay et al. 2018, https://arxiv.org/abs/1710.11063, section 4.1.

    Args:
        model: Gives class scores (n, classes), or what a callable takes; it is left as it was found.
        images: As `glassnet.explain` takes them.
        maps: At the images' size, (n, h, w) or (n, c, h, w), which is summed over the channels.
        targets: Class of each image; or a callable, as `explain` takes it, whose score is compared in place of a
            probability: a score has no zero to be a share of, so that the drop is NaN, and only the increase is known.
        batch_size: Images per forward pass.
        output: As `faithfulness` takes it.
        forward: As `faithfulness` takes it.

    Returns:
        Drop and increase of each image.

    Raises:
        InputError: The arrays do not fit each other.
    """
    with following(model, images, targets, output=output, forward=forward, batch_size=batch_size) as followed:
        return followed_change(followed, images, maps)


def followed_change(
    followed: Followed, images: Images, maps: Float[np.ndarray, "n ..."]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return `confidence_change` of what is followed."""
    shares = positive(maps)
    if shares.shape != (len(images), *images.shape[-2:]):
        raise InputError(
            f"maps have shape {maps.shape}, expected one value per pixel of the images, {tuple(images.shape)}."
        )
    shares = shares / np.maximum(shares.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
    before, after = [], []
    for start, batch in image_batches(followed.network.model, images, followed.batch_size):
        weight = torch.from_numpy(shares[start : start + len(batch)]).to(batch).unsqueeze(1)
        before.append(followed.values(batch, start, batch))
        after.append(followed.values(batch * weight, start, batch))
    y, o = (torch.cat(rows).numpy().astype(np.float64) for rows in (before, after))
    drop = np.maximum(0, y - o) / np.maximum(y, np.finfo(np.float32).tiny)
    return drop if followed.unit == "probability" else np.full(len(y), np.nan), (o > y).astype(np.float64)


Ground = Literal["mean", "blur", "black"]
"""What stands where an image's own pixels do not: its mean colour, itself blurred beyond recognition, or black."""

BLUR_SHARE = 1 / 8
"""Standard deviation of the blur as a share of the image's shorter side."""


@dataclass(frozen=True, eq=False, repr=False)
class Curves(Shown):
    """Probability of the target, or a callable target's score, while pixels go, or come, in the order of a map.

    Attributes:
        fractions: Share of the pixels that have gone or come, 0 to 1.
        deletion: Probability, or score, after so many have gone.
        insertion: Probability, or score, after so many have come.
        unit: "probability" where a class was followed; "score" where a callable was.
    """

    fractions: Float[np.ndarray, " steps"]
    deletion: Float[np.ndarray, "n steps"]
    insertion: Float[np.ndarray, "n steps"]
    unit: Unit = "probability"

    @property
    def deletion_area(self) -> Float[np.ndarray, " n"]:
        """Area below each deletion curve (trapezoids over fractions of 0 to 1), so the curve's mean; lower is better.

        Of probabilities it is 0 to 1; of scores it is a score, and no share of anything.
        """
        return _area(self.deletion, self.fractions)

    @property
    def insertion_area(self) -> Float[np.ndarray, " n"]:
        """Area below each insertion curve, as `deletion_area`; higher is better."""
        return _area(self.insertion, self.fractions)


def _area(heights: Float[np.ndarray, "n steps"], at: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " n"]:
    return ((heights[:, 1:] + heights[:, :-1]) / 2 * np.diff(at)).sum(axis=1)


def deletion_insertion(
    model: nn.Module,
    images: Images,
    maps: Float[np.ndarray, "n ..."],
    targets: Classes | Scorer,
    *,
    steps: int = 28,
    deleted: Ground = "mean",
    inserted: Ground = "blur",
    batch_size: int = 128,
    seed: int = 0,
    output: Output = None,
    forward: ModelCall | None = None,
) -> Curves:
    """Delete and insert pixels in a map's order, highest first, and record the target's probability.

    As in the paper, deletion replaces pixels by the image's mean colour, and insertion puts the image's pixels over a
    blurred copy. Pixels of equal value, such as those of an all-zero map, come in random order.

    Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421, section 3.2.

    Args:
        model: A model that returns class scores (n, classes), or what the callable takes; it is left as it was found.
        images: As in `explain`.
        maps: Maps at the images' size, (n, h, w) or (n, c, h, w), which is summed over the channels.
        targets: Class of each image; or a callable, as in `explain`, whose score is followed instead of a probability.
        steps: Number of equal steps in which all pixels go; a curve has one more point.
        deleted: What replaces deleted pixels.
        inserted: What stands in for pixels that are not yet inserted.
        batch_size: Images per forward pass.
        seed: Seed for the order of equal pixels.
        output: As in `faithfulness`.
        forward: As in `faithfulness`.

    Raises:
        InputError: The arrays do not fit each other, or `steps` is not from 1 to the number of pixels.
    """
    with following(model, images, targets, output=output, forward=forward, batch_size=batch_size) as followed:
        return followed_curves(followed, images, maps, steps=steps, deleted=deleted, inserted=inserted, seed=seed)


def followed_curves(
    followed: Followed,
    images: Images,
    maps: Float[np.ndarray, "n ..."],
    *,
    steps: int,
    deleted: Ground = "mean",
    inserted: Ground = "blur",
    seed: int,
) -> Curves:
    """Return `deletion_insertion` of what is followed."""
    ranks = _ranks(maps, (len(images), *images.shape[-2:]), seed)
    pixels = ranks[0].size
    if isinstance(steps, bool) or steps != int(steps) or not 1 <= steps <= pixels:
        raise InputError(f"steps is {steps}, expected a whole number from 1 to {pixels}, the number of pixels.")
    cuts = np.linspace(0, pixels, steps + 1).round().astype(int)
    rows: list[tuple[Tensor, Tensor]] = []
    for start, batch in image_batches(followed.network.model, images, max(1, followed.batch_size // (steps + 1))):
        first_ranked = torch.from_numpy(ranks[start : start + len(batch), None] < cuts[:, None, None]).to(batch.device)
        sides = ((~first_ranked, deleted), (first_ranked, inserted))
        first, second = (_along(followed, batch, keep, _ground(batch, ground), start) for keep, ground in sides)
        rows.append((first, second))
    deletion, insertion = (torch.cat(side).numpy().astype(np.float64) for side in zip(*rows, strict=True))
    return Curves(cuts / pixels, deletion, insertion, followed.unit)


def _ranks(maps: np.ndarray, shape: tuple[int, ...], seed: int) -> Int64[np.ndarray, "n height width"]:
    """Rank each image's pixels, 0 the highest, equal ones at random."""
    values = per_pixel(maps)
    if values.shape != shape:
        raise InputError(f"maps have shape {maps.shape}, expected one value per pixel of the images, {shape}.")
    flat = -values.reshape(len(values), -1)
    order = np.lexsort((np.random.default_rng(seed).random(flat.shape), flat), axis=-1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[None], axis=1)
    return ranks.reshape(shape)


def _along(
    followed: Followed, images: Tensor, keep: Tensor, ground: Tensor, start: int
) -> Float[Tensor, "batch steps"]:
    """Return what is followed of each image with the pixels of `keep` (batch, steps, h, w) its own, others `ground`."""
    frames = torch.where(keep[:, :, None], images[:, None], ground[:, None])
    return followed.values(frames.flatten(0, 1), start, images).view(keep.shape[:2])


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
