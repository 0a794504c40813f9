"""Gradients whose means are rounding errors, as those of a convolution straight before an instance norm.

The norm takes each channel's mean out of what it gets, so the score cannot depend on it: the gradients of a channel add
up to 0 over the pixels. In floating point they add up to a rounding error, and a map that weighs channels by it shows
noise, which the colours of a figure stretch to their full range.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def spatial_mean(
    gradient: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch channel"]:
    """Return each channel's mean, and 0 for an image of which every channel's is a rounding error."""
    mean = gradient.mean(dim=(2, 3))
    vanishing = mean_vanishes(gradient, mean)
    return mean.masked_fill(vanishing[:, None], 0) if bool(vanishing.any()) else mean


def mean_vanishes(
    gradient: Float[Tensor, "batch channel height width"], mean: Float[Tensor, "batch channel"] | None = None
) -> Bool[Tensor, " batch"]:
    """Tell of which images every channel's mean is a rounding error, without being 0 by itself.

    |sum_ij g_kij| <= b e sum_ij |g_kij| for all k, e being the float type's spacing at 1 and b a quarter of the pixels,
    at least 16: sums of n numbers, and the norm's own backward pass, were seen to err by up to a tenth of n. A mean
    that is none lies above this by a factor of a thousand or more.
    """
    mean = gradient.mean(dim=(2, 3)) if mean is None else mean
    pixels = gradient[0, 0].numel()
    bound = max(16, pixels / 4) * torch.finfo(gradient.dtype).eps / pixels
    # The channel of the greatest mean alone tells that an image is none of these, at a fraction of the cost.
    greatest = mean.abs().argmax(dim=1)
    rows = torch.arange(len(mean), device=mean.device)
    size = torch.linalg.vector_norm(gradient[rows, greatest], ord=1, dim=(1, 2))
    vanishing = (mean[rows, greatest].abs() <= bound * size) & (size > 0)
    for row in vanishing.nonzero().flatten().tolist():
        sizes = torch.linalg.vector_norm(gradient[row], ord=1, dim=(1, 2))
        vanishing[row] = (mean[row].abs() <= bound * sizes).all()
    return vanishing
