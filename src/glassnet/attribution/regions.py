"""What is explained of a segmentation: the score of one class, summed over the region that is given to it."""

from __future__ import annotations

from jaxtyping import Float, Int64
from torch import Tensor

from glassnet.attribution.targets import Scorer
from glassnet.errors import InputError


def segmented_region(label: int | None = None) -> Scorer:
    """Return the target of Seg-Grad-CAM: y = sum of the class's logits over the pixels that the model gives to it.

    With `gradcam` as method and this as target, a channel's weight is the mean gradient of y over the layer's pixels,
    and the map is Seg-Grad-CAM. An image in which the class is nowhere predicted has the score 0 and an empty map.
    The region is that of the output at hand: methods that change the image compare scores of different regions.

    Vinogradova, Dibrov and Myers 2020, https://arxiv.org/abs/2002.11434, equation 2 and section 3.

    Args:
        label: The class; None takes in each image the largest that is not class 0, the background.
    """

    def score(output: Tensor) -> Float[Tensor, " batch"]:
        if output.ndim != 4 or (label is not None and not 0 <= label < output.shape[1]):
            raise InputError(
                f"the output has shape {tuple(output.shape)}, expected (n, classes, height, width) with class {label}."
            )
        predicted = output.detach().argmax(dim=1)
        chosen = (
            largest_classes(predicted, output.shape[1]) if label is None else predicted.new_full((len(output),), label)
        )
        region = predicted == chosen[:, None, None]
        logits = output.gather(1, chosen.view(-1, 1, 1, 1).expand(-1, 1, *output.shape[2:]))[:, 0]
        return (logits * region).sum(dim=(1, 2))

    return score


def largest_classes(predicted: Int64[Tensor, "batch height width"], classes: int) -> Int64[Tensor, " batch"]:
    """Return the class of most pixels in each image but for class 0, which is taken where there is no other."""
    rows = predicted.flatten(1)
    counts = rows.new_zeros(len(rows), classes).scatter_add_(1, rows, rows.new_ones(()).expand_as(rows))
    counts[:, 0] = 0
    return counts.argmax(dim=1)
