"""Transposed convolutions that begin as bilinear interpolation."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def bilinear_kernel(stride: int) -> Float[Tensor, "{2*stride} {2*stride}"]:
    """Return the weights by which an enlargement of `stride` interpolates: a tent of half width `stride` on each axis.

    Long, Shelhamer and Darrell 2015, https://arxiv.org/abs/1411.4038, section 3.3.
    """
    places = torch.arange(2 * stride, dtype=torch.float64) - (stride - 0.5)
    tent = 1 - places.abs() / stride
    return (tent[:, None] * tent[None]).float()


def upsampling(channels: int, classes: int, stride: int) -> nn.ConvTranspose2d:
    """Build an enlargement by `stride` that begins as bilinear interpolation of the first `classes` channels.

    The other channels begin with weights near 0: they can learn what lies between the pixels.
    """
    layer = nn.ConvTranspose2d(channels, classes, 2 * stride, stride=stride, padding=stride // 2, bias=False)
    with torch.no_grad():
        nn.init.normal_(layer.weight, std=0.01)
        for channel in range(min(channels, classes)):
            layer.weight[channel] = 0
            layer.weight[channel, channel] = bilinear_kernel(stride)
    return layer
