"""Integrated gradients: the score's rise from a baseline to the image, divided among the pixels."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

from glassnet.attribution.rerun import Rerun
from glassnet.errors import InputError


def integrated_gradients(
    images: Float[Tensor, "batch channel height width"],
    rerun: Rerun,
    *,
    steps: int = 32,
    baseline: float = 0,
) -> Float[Tensor, "batch channel height width"]:
    """Average the gradient on the straight way from a uniform image to the image, times the way.

    R = (x - b) 1/N sum_i dy/dx at b + (i - 1/2) / N (x - b): the paper's integral by the midpoint rule. It adds up to
    y(x) - y(b), up to the rule's error.

    Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365, equation 1.

    Args:
        images: (n, channel, height, width), values in the model's own range.
        rerun: Gives the gradients.
        steps: Points N on the way.
        baseline: The value b of the uniform image; 0 is black.

    Raises:
        InputError: There is no step.
    """
    if steps < 1:
        raise InputError(f"steps is {steps}, expected at least 1.")
    way = images - baseline

    def points() -> Iterator[Tensor]:
        for step in range(steps):
            yield baseline + (step + 0.5) / steps * way

    total = images.new_zeros(images.shape)
    for gradient in rerun("input_gradient", points()):
        total += gradient
    return way * total / steps
