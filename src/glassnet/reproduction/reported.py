"""The report's numbers as data, and tables that put them beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glassnet.errors import InputError
from glassnet.reproduction.claims import Verdict
from glassnet.tables import Table
from glassnet.tuning import spread


@dataclass(frozen=True)
class Reported:
    """A row of the report: mean cross-entropy in nats and share of right answers, both on the test images."""

    loss: float
    accuracy: float


FIGURE_1 = {
    "alexnet_small": Reported(0.0921, 0.9797),
    "resnet_small": Reported(0.0798, 0.9812),
    "vgg_small": Reported(0.0144, 0.9955),
}
"""Simplified networks compared; by the name of ours that stands for each."""

FIGURE_3: dict[tuple[int, ...], Reported] = {
    (16, 16, 16, 16): Reported(0.0389, 0.9872),
    (16, 16, 32, 32): Reported(0.0272, 0.9914),
    (32, 32, 32, 32): Reported(0.0254, 0.9918),
    (32, 32, 64, 64): Reported(0.0173, 0.9943),
    (64, 64, 64, 64): Reported(0.0174, 0.9941),
}
"""Filters of the four convolutions of the report's own network, from few to many."""

OWN_NETWORK = "convnet"
"""The report's own network, its Figure 2; Figure 1 has no row for it."""
OWN_FILTERS = (32, 32, 64, 64)
"""The report's choice among Figure 3's settings: the highest accuracy and the lowest loss."""
FEATURE_LAYER = "fc1"
"""The layer whose outputs Figures 12 to 14 show: the first fully connected one."""

ATTRIBUTED = {"vgg16": "15", "vgg19": "16", "convnet": "17"}
"""The networks whose Grad-CAM the report shows, and its figure of each."""
MAINLY = 0.5
"""What "mainly on the track of the number" is taken to mean where the report gives no yardstick: more than half."""

OWN_SEGMENTER = "fcn8_small"
"""The report's own network of section 3, its Figure 4."""
PIXEL_ACCURACY = 0.78
"""Of that network, as section 3 gives it ("about")."""
SEGMENTATION_IMAGES = {"training": 8829, "test": 3748}
"""Images of the report's segmentation data, as section 3 counts them."""


@dataclass(frozen=True)
class Comparison:
    """One of the report's numbers beside ours."""

    report: float | None
    """None where the report has no such number."""
    mean: float
    std: float | None
    """Standard deviation over seeds, n - 1 in the denominator; None for one seed."""
    seeds: int

    @property
    def difference(self) -> float | None:
        """Ours minus the report's."""
        return None if self.report is None else self.mean - self.report

    @property
    def cells(self) -> tuple[str, str, str]:
        """Report, ours, difference, as text."""
        ours = f"{self.mean:.4f}" + (f" ± {self.std:.4f}" if self.std is not None else "")
        reported = "–" if self.report is None else f"{self.report:.4f}"
        return reported, f"{ours} ({self.seeds})", "–" if self.difference is None else f"{self.difference:+.4f}"


def compare(report: float | None, ours: Sequence[float]) -> Comparison:
    """Put the report's number beside our mean ± standard deviation over seeds.

    Raises:
        InputError: We have no number.
    """
    if not ours:
        raise InputError("there is no result to compare with the report's number; train at least one seed.")
    mean, std = spread(ours)
    return Comparison(report, mean, std, len(ours))


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """List the claims with what our figures say of them."""
    rows = tuple((v.claim, v.figure, v.supported, effect_text(v), v.decided) for v in verdicts)
    return Table("The report's claims", ("claim", "figure", "verdict", "effect [95% interval]", "decided by"), rows)


def effect_text(verdict: Verdict) -> str:
    """Write a verdict's effect with its interval."""
    if verdict.effect is None:
        return "–"
    if verdict.interval is None:
        return f"{verdict.effect:+.4f}"
    low, high = verdict.interval
    return f"{verdict.effect:+.4f} [{low:+.4f}, {high:+.4f}]"
