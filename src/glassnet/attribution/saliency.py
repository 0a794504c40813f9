"""Saliency: which pixels change the score fastest."""

from jaxtyping import Float
from torch import Tensor


def saliency(input_gradient: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch height width"]:
    """Return the magnitude of the score's gradient at each pixel, of the channels the greatest.

    M = max_c |dy/dx_c|.

    Simonyan et al. 2013, https://arxiv.org/abs/1312.6034, section 3.1.
    """
    return input_gradient.abs().amax(dim=1)
