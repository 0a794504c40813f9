"""Grad-CAM++: Grad-CAM whose channels are weighed pixel by pixel, so that several objects of a class all count."""

import torch
from jaxtyping import Float
from torch import Tensor


def gradcam_plus_plus(
    activation: Float[Tensor, "batch channel height width"],
    gradient: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch height width"]:
    """Weigh each channel by its positive gradients, each with its own coefficient, and keep what raises the score.

    L = ReLU(sum_k w_k A_k), w_k = sum_ij alpha_kij ReLU(g_kij), with g = dy/dA and
    alpha_kij = g_kij² / (2 g_kij² + sum_ab A_kab g_kij³), and 0 where that is 0 / 0.

    The paper explains exp(y), whose derivatives are powers of g times exp(y); that factor cancels in alpha, and
    elsewhere scales a whole map. It is left out here, since it overflows.

    Chattopadhyay et al. 2018, https://arxiv.org/abs/1710.11063, equations 5, 19 and 20.
    """
    total = activation.sum(dim=(2, 3), keepdim=True)
    # The fraction is reduced by g², which in float32 is 0 for gradients that are small, but not 0.
    below = 2 + total * gradient
    alpha = torch.where((gradient != 0) & (below != 0), 1 / below, 0)
    weight = (alpha * gradient.relu()).sum(dim=(2, 3))
    return torch.einsum("nk,nkhw->nhw", weight, activation).relu()
