"""Normalisation as a model's first layer, so that a saved model takes plain images."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glassnet.errors import InputError


class Normalize(nn.Module):
    """Shift and scale each channel: (x - mean) / std; the two are saved with the weights, but never trained.

    Attributes:
        fixed: Whether the weights that follow were trained with this mean and deviation, so that they must stay,
            whatever images the model is trained on next.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, fixed: bool = False) -> None:
        super().__init__()
        self.fixed = fixed
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))

    def forward(
        self, images: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        """Normalise images in [0, 1].

        Raises:
            InputError: They have another number of channels, which broadcasting would hide.
        """
        if images.ndim != 4 or images.shape[1] != len(self.mean):
            raise InputError(
                f"the model got images of shape {tuple(images.shape)}, "
                f"expected (batch, {len(self.mean)}, height, width); convert them first."
            )
        return (images - self.mean) / self.std

    def extra_repr(self) -> str:
        """Show mean and standard deviation."""
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"
