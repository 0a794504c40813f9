"""What the 2019 report's split gains by testing on images that it trains on or chooses the epoch by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Float64, Int64

from glassnet.reproduction.claims import ONE_EACH, Verdict, decide
from glassnet.reproduction.class_overlap import pixel_accuracy_of
from glassnet.reproduction.numbers import CLAIMS
from glassnet.tasks.segmentation_metrics import DRAWS, iou_of

Counts = Int64[np.ndarray, "n 3 classes"]
Sums = Int64[np.ndarray, "draws 3 classes"]
Measure = Callable[[Sums], Float64[np.ndarray, " draws"]]


def judge_leak(leaky: Counts, clean: Counts, leaked: Bool[np.ndarray, " n"], *, seed: int) -> tuple[Verdict, ...]:
    """Judge the leak by the difference in differences, which neither further images nor easier ones can make.

    effect = (leaky - clean on the leaked images) - (leaky - clean on the other test images). A network of the leaking
    split has more images to learn from, which helps on all test images; the leak helps on those that it trained on or
    chose the epoch by: about a tenth of them are held out of the training to choose it. The interval is a percentile
    bootstrap (Efron 1979) over the images of either kind, the same draws for both networks. Mean IoU is taken over the
    classes that the masks of both kinds of image have: one that is called by mistake alone would count 0 for one
    network, and not at all for the other.

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
        f"{(~leaked).sum():,}, against the network that did neither; bootstrap over images"
    )
    common = leaky[leaked][:, 1].any(axis=0) & leaky[~leaked][:, 1].any(axis=0)
    parts = [(one[leaked], one[~leaked]) for one in (leaky, clean)]
    measures: Mapping[str, Measure] = {
        "pixel accuracy": pixel_accuracy_of,
        "mean IoU": lambda sums: _overlap(sums[:, :, common]),
    }
    return tuple(_verdict(label, measure, parts, ground, seed) for label, measure in measures.items())


def _overlap(sums: Sums) -> Float64[np.ndarray, " draws"]:
    """Mean IoU of the classes that a draw's masks have."""
    there = sums[:, 1] > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        means: np.ndarray = np.where(there, iou_of(sums), 0).sum(axis=1) / there.sum(axis=1)
    return means


def _verdict(label: str, measure: Measure, parts: list[tuple[Counts, Counts]], ground: str, seed: int) -> Verdict:
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
    claim = f"{CLAIMS['leak']} ({label}), {ONE_EACH}"
    return Verdict(claim, "5", decide(interval), float(effects[0]), interval, f"difference of {label} {ground}")


def _times(images: int, rng: np.random.Generator) -> Int64[np.ndarray, "draws images"]:
    """Return how often each image counts: once each in the first row, as drawn with replacement in the others."""
    drawn = rng.multinomial(images, np.full(images, 1 / images), size=DRAWS)
    return np.concatenate([np.ones((1, images), dtype=drawn.dtype), drawn])
