"""How faithful a map is to the model: hide pixels, compare with a mask, randomise the model, compare methods."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from glassnet.attribution.engine.outputs import Output
from glassnet.attribution.engine.targets import Scorer
from glassnet.attribution.explanation import Explanation
from glassnet.attribution.faithfulness.comparison import (
    STROKE_THRESHOLD,
    agreement,
    pointing_game,
    rank_correlation,
    share_inside,
    stroke_mask,
    structural_similarity,
)
from glassnet.attribution.faithfulness.following import Unit, following
from glassnet.attribution.faithfulness.hiding import (
    Curves,
    confidence_change,
    deletion_insertion,
    followed_change,
    followed_curves,
)
from glassnet.attribution.faithfulness.sanity import SanityCheck, sanity_check
from glassnet.display import Shown
from glassnet.images import Images
from glassnet.models.inference import ModelCall
from glassnet.stats import MeanCI, mean_ci, share_ci
from glassnet.tables import Table, make_table

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


@dataclass(frozen=True, repr=False)
class Faithfulness(Shown):
    """How faithful the maps are to the model, by (method, layer).

    Attributes:
        numbers: By name: "deletion" and "insertion" (areas under the curves, 0 to 1), "average_drop" and "increase"
            (0 to 1), and with a mask "mask_share" and "pointing_game" (0 to 1). "increase" and "pointing_game" are
            shares of the images with a Wilson interval; the others have a bootstrap interval. For a callable target the
            areas are means of its score, in the unit of the score; "increase" is the share of images whose score rises;
            and there is no "average_drop", because a score has no natural zero.
        curves: Deletion and insertion curves.
        unit: What the curves show: "probability", or the "score" of a callable target.
    """

    numbers: Mapping[Key, Mapping[str, MeanCI]]
    curves: Mapping[Key, Curves]
    unit: Unit = "probability"

    def _table(self) -> Table:
        measures = list(dict.fromkeys(name for numbers in self.numbers.values() for name in numbers))
        rows = [
            (*key, *(_with_interval(numbers.get(name)) for name in measures)) for key, numbers in self.numbers.items()
        ]
        titles = [name.replace("_", " ") for name in measures]
        return make_table("Mean over images, 95% interval", ("method", "layer", *titles), rows)


def _with_interval(number: MeanCI | None) -> str:
    if number is None or number.mean is None:
        return "–"
    bounds = "" if number.low is None or number.high is None else f" ({number.low:.3f} to {number.high:.3f})"
    return f"{number.mean:.3f}{bounds}"


def faithfulness(
    model: nn.Module,
    images: Images,
    explanation: Explanation,
    *,
    mask: np.ndarray | Tensor | None = None,
    steps: int = 28,
    batch_size: int = 128,
    seed: int = 0,
    target: Scorer | None = None,
    output: Output = None,
    forward: ModelCall | None = None,
) -> Faithfulness:
    """Measure how faithful every map of an explanation is, by hiding pixels and, if given, with a mask.

    The cost is 2 (steps + 2) forward passes per image, method and layer. `deletion_insertion`, `confidence_change`,
    `share_inside` and `pointing_game` define the measures.

    Args:
        model: The explained model; it is left as it was found.
        images: The explained images.
        explanation: What `explain` returned for them, for one class per image or for a callable.
        mask: bool (n, height, width), where attribution should lie, such as the stroke of a digit.
        steps: Points of the deletion and insertion curves, minus one.
        batch_size: Images per forward pass.
        seed: Seed for the order of equal pixels, and for the bootstrap.
        target: The callable that was explained; by default that of the explanation. A callable that takes each image's
            highest class is held to the class of the unchanged image; one that chooses in another way cannot be held.
            A message says so in both cases.
        output: Where the class scores are, as in `explain` (by default as in the explanation), or what they are:
            "logits" go through a softmax, "probabilities" are used as they are, and "sigmoid" takes the sigmoid of
            each, for labels that do not exclude each other. By default the scale is inferred, and a message says so:
            from the model's graph (does it end in a softmax or a sigmoid?) and from the scores of the first 8 images
            (are they between 0 and 1, with a sum of one?); otherwise scores count as logits. A single output is a
            binary classifier: class 1 has the probability p = sigmoid(y), or p = y if the model ends in a sigmoid, and
            class 0 has 1 - p.
        forward: How the model is called, as in `explain`; by default as in the explanation.

    Raises:
        InputError: The arrays do not fit each other, several classes per image were explained, or the explanation's
            callable is no longer known.
    """
    asked = explanation.asked
    curves, numbers = {}, {}
    with following(
        model,
        images,
        explanation.targets if explanation.targets is not None else target or asked.get("target"),
        output=asked.get("output") if output is None else output,
        forward=forward or asked.get("forward"),
        batch_size=batch_size,
    ) as followed:
        for key, maps in explanation.maps.items():
            curves[key] = followed_curves(followed, images, maps, steps=steps, seed=seed)
            drop, increase = followed_change(followed, images, maps)
            values = {"deletion": curves[key].deletion_area, "insertion": curves[key].insertion_area}
            values |= {"average_drop": drop} if followed.unit == "probability" else {}
            numbers[key] = _means(values | {"increase": increase}, seed)
            if mask is not None:
                numbers[key] |= inside(maps, mask, seed=seed)
        return Faithfulness(numbers, curves, followed.unit)


def inside(maps: np.ndarray, mask: np.ndarray | Tensor, *, seed: int = 0) -> dict[str, MeanCI]:
    """Measure maps by a mask alone, which costs no forward pass."""
    array = mask.cpu().numpy() if isinstance(mask, Tensor) else mask
    values = {"mask_share": share_inside(maps, array), "pointing_game": pointing_game(maps, array)}
    return _means(values, seed)


def _means(values: Mapping[str, np.ndarray], seed: int) -> dict[str, MeanCI]:
    return {name: share_ci(each) if name in SUCCESSES else mean_ci(each, seed=seed) for name, each in values.items()}
