"""LayerCAM: maps that stay sharp in early layers, since every pixel of a channel has a weight of its own."""

import torch
from jaxtyping import Float
from torch import Tensor


def layercam(
    activation: Float[Tensor, "batch channel height width"],
    gradient: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch height width"]:
    """Weigh each pixel of each channel by its positive gradient, and keep what raises the score.

    L = ReLU(sum_k ReLU(g_k) A_k), with g = dy/dA.

    Jiang et al. 2021, https://doi.org/10.1109/TIP.2021.3089943, equations 5 to 7.
    """
    return torch.einsum("nkhw,nkhw->nhw", gradient.relu(), activation).relu()
