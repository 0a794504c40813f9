"""A model's outputs for any number of images, batch by batch."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glassnet.devices import autocast
from glassnet.models.modes import evaluating


@torch.no_grad()
def predict(
    model: nn.Module, images: Tensor, *, batch_size: int = 512, precision: str = "fp32"
) -> Float[Tensor, "n ..."]:
    """Run a model in evaluation mode over images and gather its outputs on the CPU.

    The model is left in the mode it was found in.

    Args:
        model: Takes float images in [0, 1] on its own device.
        images: (n, channel, height, width), uint8 (scaled to [0, 1] here, a batch at a time) or float.
        batch_size: Images per forward pass.
        precision: "fp32" or "bf16".
    """
    device = next(model.parameters()).device
    outputs = []
    with evaluating(model):
        for batch in images.split(batch_size):
            batch = batch.to(device)
            batch = batch.float() / 255 if batch.dtype == torch.uint8 else batch
            with autocast(device, precision):
                outputs.append(model(batch.to(memory_format=torch.channels_last)).float().cpu())
    return torch.cat(outputs)
