"""The report's claims, each a function of measured values that returns a verdict with its interval and its reason.

Between networks the sample is the seeds: paired differences, Student's t. Between pictures of one network it is the
test images: paired hits, bootstrap. Where two networks have one training each, it is the images too, and the claim says
that it is of these trainings: another seed may decide otherwise. Every interval is a 95% one, taken alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from glassnet.stats import Interval, bootstrap_ci, paired_t, wilson_interval

Decision = Literal["supported", "refuted", "undecided"]
Hits = Bool[np.ndarray, " n"]

ONE_EACH = "of one training each"
"""Added to a claim on networks that is judged over images."""
CLEAR = 0.95
"""What "separated clearly" is taken to mean where the report gives no yardstick: this share of the images is right."""

CLAIMS = {
    "vgg-resnet": "VGG beats ResNet here",
    "vgg-alexnet": "VGG beats AlexNet here",
    "more-filters": "More filters help, up to 32,32,64,64",
    "overfitting": "Still more filters, 64,64,64,64, do worse",
    "filters": "More filters help until overfitting",
    "three-two": "Three components separate the classes where two do not",
    "three-better": "Three components separate the classes better than two",
    "tsne-pca": "t-SNE separates the classes better than PCA",
    "own-mainly": "The report's network looks mainly at the stroke",
    "own-stroke": "The maps of the report's network lie more on the stroke than",
    "vgg-round": "are rounder than random maps of their size",
    "vgg-circle": "are more like a circle than those of the report's network",
    "leak": "The split that trains on some of its test images looks better than it is",
    "people-animals": "People are segmented better than animals",
    "people-things": "People are segmented better than things",
    "centre": "Objects near the centre are segmented better",
    "centre-explains": "Standing in the centre is why people are segmented better",
    "well": "performs well, better than any classical denoiser",
    "simple-fails": "fails, worse than the best classical denoiser",
    "vae-simple": "The VAE beats the fully connected network",
    "deep-vae": "The deeper VAE beats the VAE",
    "all-beat": "Every network is better than every baseline",
    "best-clear": "The best network is 1 dB or more above non-local means",
    "attention": "The report's network looks at the stroke, VGG at a circle",
}
"""The claims that its figures are to show, in our words."""


@dataclass(frozen=True)
class Verdict:
    """Whether our figures support a claim.

    Attributes:
        claim: In words.
        figure: Of the report, that the claim was read off.
        supported: "undecided" where the interval holds both answers, or there is none.
        effect: The difference or margin that decided, above 0 where the claim would be true; None without one.
        interval: 95% interval of the effect; None without one.
        decided: On what ground.
        joins: The claims of the verdicts that it joins, which are listed too; none where it stands by itself.
    """

    claim: str
    figure: str
    supported: Decision
    effect: float | None
    interval: Interval | None
    decided: str
    joins: tuple[str, ...] = ()


def higher_over_seeds(
    claim: str, figure: str, first: Mapping[int, float], second: Mapping[int, float], *, measure: str
) -> Verdict:
    """Decide whether one network's figure is the higher one, by its paired differences over the seeds that both have.

    The claim is supported where the t interval of the mean difference lies above 0, refuted where it lies below.

    Args:
        claim: What is supported if `first` is higher than `second`.
        figure: Of the report.
        first: Figure by seed.
        second: Likewise.
        measure: What the figures are, as in "test accuracy".

    Raises:
        InputError: A figure is not finite.
    """
    seeds = sorted(first.keys() & second.keys())
    if len(seeds) < 2:
        effect = first[seeds[0]] - second[seeds[0]] if seeds else None
        ground = f"{_count(len(seeds), 'common seed')} of the two networks: an interval needs two or more"
        return Verdict(claim, figure, "undecided", effect, None, ground)
    test = paired_t([first[seed] for seed in seeds], [second[seed] for seed in seeds])
    if test.interval is None:
        ground = f"difference of {measure} equal in all {len(seeds)} seeds, which leaves no spread to judge by"
    else:
        ground = f"difference of {measure} over {len(seeds)} paired seeds, t interval, p = {test.p:.2g}"
    return Verdict(claim, figure, decide(test.interval), test.mean, test.interval, ground)


def separates_better(claim: str, figure: str, first: Hits, second: Hits, *, measure: str, seed: int) -> Verdict:
    """Decide whether more images are right in one picture than in another of the same images, by a paired bootstrap.

    Args:
        claim: What is supported if `first` has more hits.
        figure: Of the report.
        first: Whether each image is right.
        second: The same images in the other picture.
        measure: What a hit is a part of, as in "kNN accuracy".
        seed: Seed of the bootstrap.
    """
    return higher_in_images(claim, figure, first.astype(np.float64) - second, measure=measure, seed=seed)


def higher_in_images(
    claim: str, figure: str, differences: Float[np.ndarray, " n"], *, measure: str, seed: int
) -> Verdict:
    """Decide whether a difference is above 0 on the average over images, by a bootstrap.

    Args:
        claim: What is supported then.
        figure: Of the report.
        differences: One an image; NaN where an image has none.
        measure: What the differences are of.
        seed: Seed of the bootstrap.
    """
    there = np.asarray(differences[~np.isnan(differences)], dtype=np.float64)
    if not len(there):
        return Verdict(claim, figure, "undecided", None, None, f"no image has a difference of {measure}")
    interval = bootstrap_ci(there, seed=seed)
    ground = f"difference of {measure} over {len(there):,} images, bootstrap"
    if interval is None:
        ground = f"difference of {measure} equal in all {len(there):,} images, which leaves no spread to judge by"
    return Verdict(claim, figure, decide(interval), float(there.mean()), interval, ground)


def separates_where_not(
    claim: str, figure: str, first: Hits, second: Hits, *, measure: str, seed: int, clear: float = CLEAR
) -> Verdict:
    """Decide whether one picture separates the classes clearly and another does not.

    Supported where the first's share of hits lies above `clear` and the second's below, each with its whole interval;
    refuted where either lies wholly on the other side. The effect is the margin to the line of the one that is nearer
    to failing.

    Args:
        claim: What is supported then.
        figure: Of the report.
        first: Whether each image is right.
        second: The same images in the other picture.
        measure: What a hit is a part of.
        seed: Seed of the bootstrap.
        clear: Share of images from which on the classes count as separated.
    """
    above, below = (_share_interval(hits, seed) for hits in (first, second))
    margins = {
        (above[0] - clear, above[1] - clear): float(first.mean()) - clear,
        (clear - below[1], clear - below[0]): clear - float(second.mean()),
    }
    weaker = min(margins)  # the one that decides: both must lie above 0
    ground = (
        f"{measure} {first.mean():.4f} [{above[0]:.4f}, {above[1]:.4f}] against {second.mean():.4f} "
        f"[{below[0]:.4f}, {below[1]:.4f}], the line drawn at {clear:g}, bootstrap over {len(first):,} images"
    )
    decision = _all([decide(margin) for margin in margins])
    return Verdict(claim, figure, decision, margins[weaker], weaker, ground)


def _share_interval(hits: Hits, seed: int) -> Interval:
    """Bound a share of hits by the bootstrap, and by Wilson's interval where all images are alike."""
    return bootstrap_ci(hits.astype(np.float64), seed=seed) or wilson_interval(int(hits.sum()), len(hits))


def both(claim: str, figure: str, parts: Sequence[Verdict]) -> Verdict:
    """Join the verdicts on a claim's parts: all must be supported, and one that is refuted refutes the whole."""
    decision = _all([part.supported for part in parts])
    return Verdict(claim, figure, decision, None, None, _part_decisions(parts), _claims_of(parts))


def agreed(claim: str, figure: str, parts: Sequence[Verdict]) -> Verdict:
    """Join verdicts on one claim by several measures: what all of them say, undecided where they do not agree."""
    decisions = {part.supported for part in parts}
    decision = decisions.pop() if len(decisions) == 1 else "undecided"
    return Verdict(claim, figure, decision, None, None, _part_decisions(parts), _claims_of(parts))


def whole_claims(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts that no other one joins: a claim once, however many comparisons decide it."""
    joined = {claim for verdict in verdicts for claim in verdict.joins}
    return [verdict for verdict in verdicts if verdict.claim not in joined]


def _claims_of(parts: Sequence[Verdict]) -> tuple[str, ...]:
    return tuple(part.claim for part in parts)


def _part_decisions(parts: Sequence[Verdict]) -> str:
    if len({part.supported for part in parts}) == 1:
        return f"all {len(parts)} parts are {parts[0].supported}"
    return "; ".join(f"“{part.claim}” {part.supported}" for part in parts)


def decide(interval: Interval | None) -> Decision:
    """Take a claim for supported where the whole interval lies above 0, for refuted where it lies below."""
    if interval is None:
        return "undecided"
    low, high = interval
    return "supported" if low > 0 else "refuted" if high < 0 else "undecided"


def _all(decisions: Sequence[Decision]) -> Decision:
    if "refuted" in decisions:
        return "refuted"
    return "undecided" if "undecided" in decisions else "supported"


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
