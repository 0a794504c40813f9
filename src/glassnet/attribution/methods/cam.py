"""Class activation maps: where a layer's channels are active, each method with weights of its own.

Grad-CAM keeps what raises the score; Grad-CAM++ weighs channels pixel by pixel, so that several objects of a class all
count; XGrad-CAM chooses weights for which the map adds up to the score; HiResCAM does not average the gradient over
pixels; LayerCAM stays sharp in early layers, since every pixel of a channel has a weight of its own; EigenCAM shows the
pattern in which channels are active together, whatever the class; Finer-CAM shows what tells the class from similar
ones; ShapleyCAM also counts how channels act together, to second order; Score-CAM weighs channels by the score that
the image keeps where only their pixels are visible; Guided Grad-CAM shows the pixels that excite the score inside such
a region.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from glassnet.attribution.engine.budget import Rerun
from glassnet.attribution.engine.maps import resize
from glassnet.attribution.engine.rounding import spatial_mean


def gradcam(
    activation: Float[Tensor, "batch channel height width"],
    gradient: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch height width"]:
    """Weigh each channel by its mean gradient and keep what raises the score.

    L = ReLU(sum_k a_k A_k), with a_k the mean of dy/dA_k over the layer's pixels, and 0 where all of an image's means
    are rounding errors, as straight before an instance norm.

    Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391, equations 1 and 2.
    """
    weight = spatial_mean(gradient)
    # einsum, since weight * activation would be written out at the activation's full size: 5 times slower.
    return torch.einsum("nk,nkhw->nhw", weight, activation).relu()


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


def layercam(
    activation: Float[Tensor, "batch channel height width"],
    gradient: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch height width"]:
    """Weigh each pixel of each channel by its positive gradient, and keep what raises the score.

    L = ReLU(sum_k ReLU(g_k) A_k), with g = dy/dA.

    Jiang et al. 2021, https://doi.org/10.1109/TIP.2021.3089943, equations 5 to 7.
    """
    return torch.einsum("nkhw,nkhw->nhw", gradient.relu(), activation).relu()


def eigencam(activation: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch height width"]:
    """Project the activation onto its first principal direction; no gradient and no score takes part.

    L = ReLU(A v), with A the (pixels, channels) matrix of one image and v its first right singular vector. A singular
    vector has no sign: it gets the one that makes the map add up to what is not negative.

    Muhammad & Yeasin 2020, https://arxiv.org/abs/2008.00299, section III.
    """
    pixels = activation.flatten(2).transpose(1, 2)
    # v from the channels' products: a singular value decomposition of all pixels takes far longer.
    scaled = _near_one(pixels)
    _, directions = torch.linalg.eigh(scaled.transpose(1, 2) @ scaled)
    projected = (pixels @ directions[:, :, -1:]).squeeze(2)
    upright = torch.where(projected.sum(dim=1, keepdim=True) < 0, -projected, projected)
    return upright.relu().view(len(activation), *activation.shape[2:])


def _near_one(pixels: Float[Tensor, "batch pixel channel"]) -> Float[Tensor, "batch pixel channel"]:
    """Scale images whose squares would overflow or vanish, and so cost a copy, to a largest magnitude of 1."""
    largest = torch.linalg.vector_norm(pixels, ord=torch.inf, dim=(1, 2), keepdim=True)
    if bool(((largest < 1e12) & ((largest > 1e-12) | (largest == 0))).all()):
        return pixels
    return pixels / torch.where(largest > 0, largest, 1)


def finercam(
    activation: Float[Tensor, "batch channel height width"],
    contrast_gradient: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch height width"]:
    """Weigh each channel by what it adds to the class over similar classes, as Grad-CAM does by what it adds to one.

    L = ReLU(sum_k w_k A_k), with w_k the mean of dz/dA_k over the layer's pixels and z = y_c - 0.6 mean_d y_d, d being
    the three other classes whose scores are nearest to y_c. The authors' code weighs them by their probabilities
    instead of equally. The score must be a class's.

    Zhang et al. 2025, https://arxiv.org/abs/2501.11309, section 3.2.
    """
    return gradcam(activation, contrast_gradient)


def shapleycam(
    activation: Float[Tensor, "batch channel height width"],
    gradient: Float[Tensor, "batch channel height width"],
    curvature: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch height width"]:
    """Weigh each channel by the mean of its pixels' Shapley values per activation, to second order.

    L = ReLU(sum_k w_k A_k), with w_k the mean of g - H A / 2 over the layer's pixels, g = dy/dA and H = d²y/dA². The
    Shapley values of the pixels of A, in the game whose worth is y where some are set to 0, are A (g - H A / 2) if y
    is quadratic. Of a logit behind ReLUs and linear layers H is 0, and the map is Grad-CAM's; the paper explains
    y_c + log softmax(y)_c, which a function of the output as target gives.

    Cai 2025, https://arxiv.org/abs/2501.06261, section 4.
    """
    return gradcam(activation, gradient - curvature / 2)


def scorecam(
    activation: Float[Tensor, "batch layer_channel layer_height layer_width"],
    images: Float[Tensor, "batch channel height width"],
    rerun: Rerun,
) -> Float[Tensor, "batch layer_height layer_width"]:
    """Show the model the image through each channel as a mask, and weigh the channel by the score it then gives.

    L = ReLU(sum_k w_k A_k), w = softmax_k y(x * s(up(A_k))), where up resizes bilinearly to the image and s brings the
    mask to [0, 1]; a channel that is the same everywhere masks all. The paper subtracts the score of a baseline image
    from each y, which the softmax undoes. No gradient takes part; a layer costs one forward pass a channel.

    Wang et al. 2020, https://arxiv.org/abs/1910.01279, equations 5 to 8.
    """

    def masked() -> Iterator[Tensor]:
        for channel in activation.unbind(dim=1):
            yield images * _to_unit_range(resize(channel, images.shape[2:])).unsqueeze(1)

    weight = torch.stack(list(rerun("score", masked())), dim=1).softmax(dim=1)
    return torch.einsum("nk,nkhw->nhw", weight, activation).relu()


def _to_unit_range(mask: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch height width"]:
    low, high = mask.amin(dim=(1, 2), keepdim=True), mask.amax(dim=(1, 2), keepdim=True)
    return torch.where(high > low, (mask - low) / (high - low), 0)


def guided_gradcam(
    gradcam: Float[Tensor, "batch layer_height layer_width"],
    guided_backpropagation: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch channel height width"]:
    """Multiply guided backpropagation with Grad-CAM, upsampled bilinearly to the input's size.

    G = R up(L), the map L being the same for all channels of the input.

    Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391, section 3.2.
    """
    return guided_backpropagation * resize(gradcam, guided_backpropagation.shape[-2:]).unsqueeze(1)
