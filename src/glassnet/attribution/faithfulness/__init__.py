"""How faithful a map is to the model: hide pixels, compare with a mask, randomise the model, compare methods."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from glassnet.attribution.explanation import Explanation
from glassnet.attribution.faithfulness.comparison import (
    STROKE_THRESHOLD,
    agreement,
    classes_of,
    pointing_game,
    rank_correlation,
    share_inside,
    stroke_mask,
    structural_similarity,
)
from glassnet.attribution.faithfulness.hiding import Curves, confidence_change, deletion_insertion
from glassnet.attribution.faithfulness.sanity import SanityCheck, sanity_check
from glassnet.images import Images
from glassnet.stats import MeanCI, mean_ci, share_ci

__all__ = [
    "STROKE_THRESHOLD",
    "Curves",
    "Faithfulness",
    "MeanCI",
    "SanityCheck",
    "agreement",
    "confidence_change",
    "deletion_insertion",
    "faithfulness",
    "inside",
    "mean_ci",
    "pointing_game",
    "rank_correlation",
    "sanity_check",
    "share_inside",
    "stroke_mask",
    "structural_similarity",
]


Key = tuple[str, str]
"""Method and layer."""
SUCCESSES = ("increase", "pointing_game")
"""Measures that are 1 or 0 for an image."""


@dataclass(frozen=True)
class Faithfulness:
    """How faithful maps are to the model, by (method, layer).

    Attributes:
        numbers: By name: "deletion" and "insertion" (areas below the curves, 0 to 1), "average_drop" and "increase"
            (shares of 1), and with a mask "mask_share" and "pointing_game" (shares of 1). "increase" and
            "pointing_game" are shares of the images, with Wilson's interval; all others have that of the bootstrap.
        curves: Deletion and insertion curves.
    """

    numbers: Mapping[Key, Mapping[str, MeanCI]]
    curves: Mapping[Key, Curves]


def faithfulness(
    model: nn.Module,
    images: Images,
    explanation: Explanation,
    *,
    mask: np.ndarray | Tensor | None = None,
    steps: int = 28,
    batch_size: int = 128,
    seed: int = 0,
) -> Faithfulness:
    """Measure every map of an explanation by what the model does when pixels are hidden, and by a mask if there is one.

    It costs 2 (steps + 2) forward passes an image, method and layer. `deletion_insertion`, `confidence_change`,
    `share_inside` and `pointing_game` say what the numbers are.

    Args:
        model: That the explanation is of; it is left as it was found.
        images: That were explained.
        explanation: What `explain` returned for them, for class targets.
        mask: bool (n, height, width), where attribution should lie, as the stroke of a digit.
        steps: Points of the deletion and insertion curves, less one.
        batch_size: Images per forward pass.
        seed: Of the order of equal pixels, and of the bootstrap.

    Raises:
        InputError: The arrays do not fit each other, or the explanation's target was a callable.
    """
    targets = classes_of(explanation.targets, len(images))
    curves, numbers = {}, {}
    for key, maps in explanation.maps.items():
        hidden = deletion_insertion(model, images, maps, targets, steps=steps, batch_size=batch_size, seed=seed)
        drop, increase = confidence_change(model, images, maps, targets, batch_size=batch_size)
        values = {"deletion": hidden.deletion_area, "insertion": hidden.insertion_area}
        values |= {"average_drop": drop, "increase": increase}
        curves[key] = hidden
        numbers[key] = _means(values, seed)
        if mask is not None:
            numbers[key] |= inside(maps, mask, seed=seed)
    return Faithfulness(numbers, curves)


def inside(maps: np.ndarray, mask: np.ndarray | Tensor, *, seed: int = 0) -> dict[str, MeanCI]:
    """Measure maps by a mask alone, which costs no forward pass."""
    array = mask.cpu().numpy() if isinstance(mask, Tensor) else mask
    values = {"mask_share": share_inside(maps, array), "pointing_game": pointing_game(maps, array)}
    return _means(values, seed)


def _means(values: Mapping[str, np.ndarray], seed: int) -> dict[str, MeanCI]:
    return {name: share_ci(each) if name in SUCCESSES else mean_ci(each, seed=seed) for name, each in values.items()}
