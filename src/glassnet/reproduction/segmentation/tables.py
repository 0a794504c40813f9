"""Tables of section 3: every network's measures, and the overlap of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glassnet.experiment import Run
from glassnet.reproduction.reported import OWN_SEGMENTER, PIXEL_ACCURACY, compare
from glassnet.reproduction.segmentation.evaluations import (
    Evaluations,
    Overlap,
    class_overlaps,
    intervals_over_images,
    pixel_accuracy_of,
)
from glassnet.stats import Interval
from glassnet.tables import Table
from glassnet.tasks.segmentation.metrics import mean_iou_of
from glassnet.tuning import spread

LEAKY = "voc-aug-union"
"""The report's own split, with its leak."""
Runs = Mapping[tuple[str, str], Sequence[Run]]
"""The runs of a network and a data set, one a seed."""


def measures_table(runs: Runs, tests: Evaluations) -> Table:
    """List every network's measures beside the report's number, where it has one, and all background."""
    rows = []
    for (model, where), by_seed in runs.items():
        reported = PIXEL_ACCURACY if (model, where) == (OWN_SEGMENTER, LEAKY) else None  # it tells of no other split
        tested = [tests.evaluated(run) for run in by_seed]
        empty, counts = tested[0].background, tests.counts(by_seed)
        accuracy = compare(reported, [one.pixel_accuracy for one in tested if one.pixel_accuracy is not None]).cells
        rows.append(
            (
                model,
                where,
                f"{by_seed[0].manifest['model']['parameters']:,}",
                *accuracy[:2],
                _bounds(*intervals_over_images(counts, pixel_accuracy_of)),
                f"{empty.pixel_accuracy:.4f}",
                _spread([one.mean_iou for one in tested]),
                _bounds(*intervals_over_images(counts, mean_iou_of)),
                f"{empty.mean_iou:.4f}",
                _spread([one.boundary_f for one in tested]),
            )
        )
    header = (
        "network", "data", "parameters", "pixel accuracy: report", "ours (seeds)", "95% interval", "all background",
        "mean IoU: ours", "95% interval", "all background", "boundary F",
    )  # fmt: skip
    note = (
        "Ours: mean ± standard deviation over seeds; intervals of that mean are bootstraps over images. "
        "All background: calling every pixel background, which finds no outline, so that its boundary F is 0."
    )
    return Table("Section 3: segmentation on the test images", header, tuple(rows), note=note)


def classes_table(runs: Mapping[str, Sequence[Run]], tests: Evaluations) -> Table:
    """List each class's overlap in networks, each with its runs, on the same data."""
    overlaps = [class_overlaps(tests.counts(by_seed)) for by_seed in runs.values()]
    per_class = tests.evaluated(next(iter(runs.values()))[0]).per_class  # of the truth, which is the same for all
    rows = []
    for number, about in enumerate(per_class):
        empty = "–" if about.background is None else f"{about.background:.3f}"
        share = f"{100 * about.share:.2f}%"
        cells = [_overlap(classes[number]) for classes in overlaps]
        rows.append((about.name, str(about.images), share, empty, *cells))
    header = ("class", "images", "share of pixels", "all background", *(f"{model}: IoU" for model in runs))
    note = (
        "IoU: mean ± standard deviation over seeds, and in brackets the mean's 95% interval, a bootstrap over images; "
        "a class that is in no mask, true or predicted, has none."
    )
    return Table("Overlap by class", header, tuple(rows), note=note)


def _overlap(one: Overlap) -> str:
    if one.mean is None:
        return "–"
    deviation = "" if one.deviation is None else f" ± {one.deviation:.3f}"
    bounds = "–" if one.interval is None else f"{one.interval[0]:.3f}, {one.interval[1]:.3f}"
    return f"{one.mean:.3f}{deviation} [{bounds}]"


def _bounds(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean, deviation = spread(known)
    return f"{mean:.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")
