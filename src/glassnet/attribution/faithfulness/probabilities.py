"""Probabilities of classes for images that were changed, batch by batch."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.models.inference import translate_torch_errors


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
    found = []
    for batch, wanted in zip(images.split(batch_size), classes.split(batch_size), strict=True):
        with translate_torch_errors(model, batch):
            output = model(batch.contiguous(memory_format=torch.channels_last))
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(batch):
            shape = f"of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
            raise InputError(f"the model's output is {shape}, expected class scores (n, classes) to take a softmax of.")
        if int(wanted.max()) >= output.shape[1]:
            raise InputError(f"target {int(wanted.max())} is out of range: the model has {output.shape[1]} classes.")
        shares = output.float().softmax(dim=1)
        found.append(shares.gather(1, wanted.to(shares.device).unsqueeze(1)).squeeze(1).cpu())
    return torch.cat(found)
