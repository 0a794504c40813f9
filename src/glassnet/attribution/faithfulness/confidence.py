"""Probabilities of changed images, and what a class loses or gains where only what a map marks is visible."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from glassnet.attribution.faithfulness.masks import Classes, classes_of, positive
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
