"""A model's outputs for any number of images, batch by batch."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glassnet.devices import autocast
from glassnet.models.fold import fold_batchnorm
from glassnet.models.modes import evaluating


@torch.no_grad()
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
    device = next(model.parameters()).device
    outputs = []
    with evaluating(model):
        network = fold_batchnorm(model, _ready(images[:1], device)) if fold else model
        for batch in images.split(batch_size):
            with autocast(device, precision):
                outputs.append(network(_ready(batch, device)).float().cpu())
    return torch.cat(outputs)


def _ready(images: Tensor, device: torch.device) -> Float[Tensor, "batch channel height width"]:
    images = images.to(device)
    images = images.float() / 255 if images.dtype == torch.uint8 else images
    return images.to(memory_format=torch.channels_last)
