"""EigenCAM: the pattern in which a layer's channels are active together, whatever the class."""

import torch
from jaxtyping import Float
from torch import Tensor


def eigencam(activation: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch height width"]:
    """Project the activation onto its first principal direction; no gradient and no score takes part.

    L = ReLU(A v), with A the (pixels, channels) matrix of one image and v its first right singular vector. A singular
    vector has no sign: it gets the one that makes the map add up to what is not negative.

    Muhammad & Yeasin 2020, https://arxiv.org/abs/2008.00299, section III.
    """
    pixels = activation.flatten(2).transpose(1, 2)
    # v from the channels' products: a singular value decomposition of all pixels takes far longer.
    _, directions = torch.linalg.eigh(pixels.transpose(1, 2) @ pixels)
    projected = (pixels @ directions[:, :, -1:]).squeeze(2)
    upright = torch.where(projected.sum(dim=1, keepdim=True) < 0, -projected, projected)
    return upright.relu().view(len(activation), *activation.shape[2:])
