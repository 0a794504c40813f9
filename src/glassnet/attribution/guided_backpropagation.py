"""Guided backpropagation: which pixels excite the target score through excited ReLUs only."""

from jaxtyping import Float
from torch import Tensor


def guided_backpropagation(
    guided_gradient: Float[Tensor, "batch channel height width"],
) -> Float[Tensor, "batch channel height width"]:
    """Return the gradient dy/dx of the score by the input, with each ReLU's backward pass guided.

    R_in = R_out [f > 0] [R_out > 0]: a ReLU passes a gradient where its input f was positive, as always, and where
    the gradient R_out itself is positive. The engine's second backward pass does it (`rectifiers.py`).

    Springenberg et al. 2015, https://arxiv.org/abs/1412.6806, section 3.4 and figure 1.
    """
    return guided_gradient
