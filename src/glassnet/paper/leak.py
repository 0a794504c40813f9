"""What the 2019 report's split gains by testing on images that it trains on or chooses the epoch by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Float64, Int64

from glassnet.paper.claims import Verdict, decide
from glassnet.paper.class_overlap import pixel_accuracy_of
from glassnet.paper.numbers import CLAIMS
from glassnet.tasks.segmentation_metrics import DRAWS, mean_iou_of

Counts = Int64[np.ndarray, "n 3 classes"]
Sums = Int64[np.ndarray, "draws 3 classes"]
MEASURES: Mapping[str, Callable[[Sums], Float64[np.ndarray, " draws"]]] = {
    "pixel accuracy": pixel_accuracy_of,
    "mean IoU": mean_iou_of,
}


def judge_leak(leaky: Counts, clean: Counts, leaked: Bool[np.ndarray, " n"], *, seed: int) -> tuple[Verdict, ...]:
    """Judge the leak by the difference in differences, which neither further images nor easier ones can make.

    effect = (leaky - clean on the leaked images) - (leaky - clean on the other test images). A network of the leaking
    split has more images to learn from, which helps on all test images; the leak helps on those that it trained on or
    chose the epoch by: about a tenth of them are held out of the training to choose it. The interval is a percentile
    bootstrap (Efron 1979) over the images of either kind, the same draws for both networks.

    Args:
        leaky: Counts of the test images of the network that trained on some of them or chose the epoch by them.
        clean: The same images' of the network that did neither with any of them.
        leaked: Which of the images the leaky one trained on or chose the epoch by.
        seed: Of the bootstrap.

    Returns:
        A verdict a measure; none where no image leaked, or all did.
    """
    if not leaked.any() or leaked.all():
        return ()
    ground = (
        f"on the {leaked.sum():,} test images that it trained on or chose the epoch by minus that on the other "
        f"{(~leaked).sum():,}, against the network that did neither, one training each; bootstrap over images"
    )
    return tuple(
        _verdict(label, measure, [(one[leaked], one[~leaked]) for one in (leaky, clean)], ground, seed)
        for label, measure in MEASURES.items()
    )


def _verdict(
    label: str,
    measure: Callable[[Sums], Float64[np.ndarray, " draws"]],
    parts: list[tuple[Counts, Counts]],
    ground: str,
    seed: int,
) -> Verdict:
    """Judge one measure; `parts` are the leaked images' counts and the others', of the leaky and the clean network."""
    rng = np.random.default_rng(seed)
    times = [_times(len(counts), rng) for counts in parts[0]]
    gaps = [
        measure(np.tensordot(times[0], inside, axes=1)) - measure(np.tensordot(times[1], outside, axes=1))
        for inside, outside in parts
    ]
    effects = gaps[0] - gaps[1]
    low, high = np.nanpercentile(effects[1:], (2.5, 97.5))
    interval = (float(low), float(high))
    claim = f"{CLAIMS['leak']} ({label})"
    return Verdict(claim, "5", decide(interval), float(effects[0]), interval, f"difference of {label} {ground}")


def _times(images: int, rng: np.random.Generator) -> Int64[np.ndarray, "draws images"]:
    """Return how often each image counts: once each in the first row, as drawn with replacement in the others."""
    drawn = rng.multinomial(images, np.full(images, 1 / images), size=DRAWS)
    return np.concatenate([np.ones((1, images), dtype=drawn.dtype), drawn])
