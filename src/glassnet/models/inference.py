"""A model's outputs for any number of images, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from glassnet.devices import autocast
from glassnet.models.fold import fold_batchnorm
from glassnet.models.modes import evaluating


def predict(
    model: nn.Module, images: Tensor, *, batch_size: int = 512, precision: str = "fp32", fold: bool = True
) -> Float[Tensor, "n ..."]:
    """Run a model in evaluation mode over images and gather its outputs on the CPU.

    The model is left in the mode it was found in.

    Args:
        model: Takes float images in [0, 1] on its own device.
        images: (n, channel, height, width), uint8 (scaled to [0, 1] here, a batch at a time) or float.
        batch_size: Images per forward pass.
        precision: "fp32" or "bf16".
        fold: Whether to fold batch-norms first, where that changes no output by more than `fold.TOLERANCE`.
    """
    return torch.cat([one.cpu() for one in outputs(model, images.split(batch_size), precision=precision, fold=fold)])


def outputs(
    model: nn.Module, batches: Iterable[Tensor], *, precision: str = "fp32", fold: bool = True
) -> Iterator[Any]:
    """Yield a model's output for each batch of images, on its device and in float32, whatever tensors it is made of.

    While this generator is at work the model is in evaluation mode; then it is put back.

    Args:
        model: Takes float images in [0, 1] on its own device.
        batches: Images as `predict` takes them, at least one a batch.
        precision: "fp32" or "bf16".
        fold: Whether to fold batch-norms first, judged on the first image.
    """
    device = next(model.parameters()).device
    network: nn.Module | None = None
    with evaluating(model):
        for batch in batches:
            with torch.no_grad():
                images = _ready(batch, device)
                network = network or (fold_batchnorm(model, images[:1]) if fold else model)
                with autocast(device, precision):
                    found = network(images)
                found = tree_map(lambda one: one.float() if isinstance(one, Tensor) else one, found)
            yield found


def _ready(images: Tensor, device: torch.device) -> Float[Tensor, "batch channel height width"]:
    images = images.to(device)
    images = images.float() / 255 if images.dtype == torch.uint8 else images
    return images.to(memory_format=torch.channels_last)
