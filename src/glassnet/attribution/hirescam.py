"""HiResCAM: which pixels of a layer raise the score, without averaging the gradient over them."""

import torch
from jaxtyping import Float
from torch import Tensor


def hirescam(
    activation: Float[Tensor, "batch channel height width"],
    gradient: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch height width"]:
    """Multiply activation and gradient pixel by pixel, add up the channels, and keep what raises the score.

    L = ReLU(sum_k g_k A_k), with g = dy/dA. Where only linear layers follow, its sum before the ReLU is the score less
    what biases add.

    Draelos & Carin 2020, https://arxiv.org/abs/2011.08891, section 3.2.
    """
    return torch.einsum("nkhw,nkhw->nhw", gradient, activation).relu()
