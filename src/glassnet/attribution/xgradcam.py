"""XGrad-CAM: Grad-CAM whose channel weights are chosen so that the map adds up to the score."""

import torch
from jaxtyping import Float
from torch import Tensor


def xgradcam(
    activation: Float[Tensor, "batch channel height width"],
    gradient: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch height width"]:
    """Weigh each channel by its gradient, averaged with the activation as the weight, and keep what raises the score.

    L = ReLU(sum_k w_k A_k), w_k = sum_ij A_kij g_kij / sum_ij A_kij, with g = dy/dA; 0 where a channel adds up to 0.

    Fu et al. 2020, https://arxiv.org/abs/2008.02312, equation 8.
    """
    total = activation.sum(dim=(2, 3))
    raised = torch.einsum("nkhw,nkhw->nk", activation, gradient)
    weight = torch.where(total != 0, raised / total, 0)
    return torch.einsum("nk,nkhw->nhw", weight, activation).relu()
