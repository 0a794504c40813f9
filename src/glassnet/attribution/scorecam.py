"""Score-CAM: channels weighed by the score that the image keeps where only their pixels are shown."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from glassnet.attribution.rerun import Rerun
from glassnet.attribution.resize import resize


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
