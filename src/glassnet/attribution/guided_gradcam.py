"""Guided Grad-CAM: the pixels that excite the score, inside the regions where the layer raises it."""

from jaxtyping import Float
from torch import Tensor

from glassnet.attribution.resize import resize


def guided_gradcam(
    gradcam: Float[Tensor, "batch layer_height layer_width"],
    guided_backpropagation: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch channel height width"]:
    """Multiply guided backpropagation with Grad-CAM, upsampled bilinearly to the input's size.

    G = R up(L), the map L being the same for all channels of the input.

    Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391, section 3.2.
    """
    return guided_backpropagation * resize(gradcam, guided_backpropagation.shape[-2:]).unsqueeze(1)
