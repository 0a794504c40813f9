"""What the 2019 report's split gains by testing on images that it trains on or chooses the epoch by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Int64

from glassnet.paper.claims import Verdict, higher_over_seeds
from glassnet.paper.numbers import CLAIMS
from glassnet.tasks.segmentation_metrics import mean_iou_of

Counts = Int64[np.ndarray, "n 3 classes"]


def accuracy_of(counts: Counts) -> float:
    """Share of the pixels of all images that are named rightly."""
    return float(counts[:, 0].sum() / max(counts[:, 1].sum(), 1))


def overlap_of(counts: Counts) -> float:
    """Mean IoU of the pixels of all images."""
    return float(mean_iou_of(counts.sum(axis=0)))


MEASURES: dict[str, Callable[[Counts], float]] = {"pixel accuracy": accuracy_of, "mean IoU": overlap_of}


def judge_leak(
    leaky: Mapping[int, Counts], clean: Mapping[int, Counts], leaked: Bool[np.ndarray, " n"]
) -> tuple[Verdict, ...]:
    """Judge the leak by the difference in differences, which neither further images nor easier ones can make.

    effect = (leaky - clean on the leaked images) - (leaky - clean on the other test images). A network of the leaking
    split has more images to learn from, which helps on all test images; the leak helps on those that it trained on or
    chose the epoch by: about a tenth of them are held out of the training to choose it.

    Args:
        leaky: Counts of the test images of networks that trained on some of them or chose the epoch by them, by seed.
        clean: The same images' of networks that did neither with any of them.
        leaked: Which of the images the leaky ones trained on or chose the epoch by.

    Returns:
        A verdict a measure; none where no image leaked, or all did.
    """
    if not leaked.any() or leaked.all():
        return ()
    where = (
        f"on the {leaked.sum():,} test images that it trained on or chose the epoch by minus that on the other "
        f"{(~leaked).sum():,}"
    )

    def gaps(found: Mapping[int, Counts], measure: Callable[[Counts], float]) -> dict[int, float]:
        return {seed: measure(counts[leaked]) - measure(counts[~leaked]) for seed, counts in found.items()}

    return tuple(
        higher_over_seeds(
            f"{CLAIMS['leak']} ({label})", "5", gaps(leaky, measure), gaps(clean, measure), measure=f"{label} {where}"
        )
        for label, measure in MEASURES.items()
    )
