"""Input x gradient: what each pixel adds to the score, were the model linear."""

from jaxtyping import Float
from torch import Tensor


def input_x_gradient(
    images: Float[Tensor, "batch channel height width"],
    input_gradient: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch channel height width"]:
    """Multiply the image with the score's gradient there.

    R = x * dy/dx. Black pixels, being 0, get nothing.

    Shrikumar et al. 2016, https://arxiv.org/abs/1605.01713, section 2.
    """
    return images * input_gradient
