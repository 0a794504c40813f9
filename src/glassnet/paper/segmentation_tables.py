"""Tables of section 3: every network's measures, and the overlap of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glassnet.experiment import Run
from glassnet.paper.numbers import OWN_SEGMENTER, PIXEL_ACCURACY
from glassnet.paper.segmentation_runs import Evaluations
from glassnet.paper.tables import Table, beside
from glassnet.tuning import spread

LEAKY = "voc-aug-union"
"""The report's own split, with its leak."""
Runs = Mapping[tuple[str, str], Sequence[Run]]
"""The runs of a network and a data set, one a seed."""


def measures_table(runs: Runs) -> Table:
    """List every network's measures beside the report's number, where it has one, and all background."""
    rows = []
    for (model, where), found in runs.items():
        reported = PIXEL_ACCURACY if (model, where) == (OWN_SEGMENTER, LEAKY) else None  # it tells of no other split
        empty = found[0].metrics["test_background"]
        accuracy = beside(reported, [run.metrics["test_pixel_accuracy"] for run in found]).cells
        rows.append(
            (
                model,
                where,
                f"{found[0].manifest['model']['parameters']:,}",
                *accuracy[:2],
                f"{empty['pixel_accuracy']:.4f}",
                _spread([run.metrics["test_mean_iou"] for run in found]),
                f"{empty['mean_iou']:.4f}",
                _spread([run.metrics["test_boundary_f"] or 0.0 for run in found]),
            )
        )
    header = (
        "network", "data", "parameters", "pixel accuracy: report", "ours (seeds)", "all background",
        "mean IoU: ours", "all background", "boundary F",
    )  # fmt: skip
    note = "Ours: mean ± standard deviation over seeds. All background: calling every pixel background."
    return Table("Section 3: segmentation on the test images", header, tuple(rows), note)


def classes_table(runs: Sequence[Run], tests: Evaluations) -> Table:
    """List each class's overlap in runs of different networks on the same data."""
    tested = {run.settings.model: tests.evaluated(run) for run in runs}
    names = runs[0].classes
    rows = []
    for number, name in enumerate(names):
        cells = [tested[model]["per_class"][number] for model in tested]
        shown = ["–" if one["iou"] is None else f"{one['iou']:.3f} [{_range(one['interval'])}]" for one in cells]
        empty = cells[0]["background"]
        alone = "–" if empty is None else f"{empty:.3f}"
        rows.append((name, str(cells[0]["images"]), f"{100 * cells[0]['share']:.2f}%", alone, *shown))
    told = (f"{model}: IoU [95% interval]" for model in tested)
    header = ("class", "images", "share of pixels", "all background", *told)
    return Table("Overlap by class, first seed", header, tuple(rows), "Intervals: bootstrap over images.")


def _spread(values: Sequence[float]) -> str:
    mean, deviation = spread(values)
    return f"{mean:.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")


def _range(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.3f}, {bounds[1]:.3f}"
