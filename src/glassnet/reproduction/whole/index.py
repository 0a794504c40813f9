"""The index: every table and figure of the 2019 report, its number beside ours with an interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from glassnet.formats import between, count
from glassnet.reproduction.part import Reproduction
from glassnet.reproduction.reconstruction.plan import DENOISING
from glassnet.reproduction.reported import (
    ATTRIBUTED,
    FEATURE_LAYER,
    OWN_FILTERS,
    OWN_NETWORK,
    OWN_SEGMENTER,
    PIXEL_ACCURACY,
    SEGMENTATION_IMAGES,
)
from glassnet.stats import Interval, paired_t, wilson_interval
from glassnet.tables import Table

DASH = "–"


@dataclass(frozen=True)
class Entry:
    """A number of the report beside ours, or ours alone for a figure without one.

    Attributes:
        figure: Of the report, as in "3"; "§3" for a number that stands in its section's text.
        shows: What the number is of.
        measure: What it is, with its unit.
        report: The report's number; None where it shows a picture alone.
        ours: Our number.
        interval: Its 95% interval; None where there is none.
        basis: What the interval is over, as in "3 seeds".
        data: Data set of our number.
        digits: After the point.
        picture: File in figures/ without its suffix; "" for none.
    """

    figure: str
    shows: str
    measure: str
    report: float | None
    ours: float
    interval: Interval | None
    basis: str
    data: str
    digits: int = 4
    picture: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return figure, what is shown, measure, the report's number, ours, the interval, what it is over, and data."""
        text = "no number" if self.report is None else self._text(self.report)
        bounds = DASH if self.interval is None else between(self.interval, self.digits)
        ours = (self.figure, self.shows, self.measure, text, self._text(self.ours))
        return (*ours, bounds, self.basis or DASH, self.data)

    def _text(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


COLUMNS = ("figure", "shows", "measure", "2019", "ours", "95% interval", "over", "data")


def entries_table(entries: Sequence[Entry], title: str) -> Table:
    """Lay out entries of the index."""
    rows = tuple(entry.cells() for entry in entries)
    return Table(title, COLUMNS, rows, words=frozenset({0, 1, 2, 6, 7}), names=2)


def index_to_json(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the entries as JSON values, with the difference from the report's number."""
    return [
        asdict(entry) | {"difference": None if entry.report is None else entry.ours - entry.report} for entry in entries
    ]


def make_index(parts: Mapping[str, Reproduction]) -> tuple[Entry, ...]:
    """List the numbers of all figures, in the report's order."""
    makers = {
        "classification": _classification,
        "segmentation": _segmentation,
        "reconstruction": _reconstruction,
        "features": _features,
        "gradcam": _gradcam,
    }
    return tuple(entry for name, make in makers.items() if name in parts for entry in make(parts[name].details))


def mean_interval_of(values: Sequence[float], *, images: int = 0) -> tuple[Interval | None, str]:
    """Bound a mean over seeds by Student's t; with one seed a share by Wilson's interval over the images.

    Args:
        values: One a seed.
        images: That each value is a share of; 0 for a value that is no share.
    """
    if len(values) > 1:
        return paired_t(values, [0.0] * len(values)).interval, f"{len(values)} seeds"
    if not images:
        return None, "1 seed"
    return wilson_interval(round(values[0] * images), images), f"{count(images)} images, 1 seed"


def _classification(told: Mapping[str, Any]) -> Iterator[Entry]:
    data, images = told["data"], told["test_images"]
    yield from _rows(told["figure_1"], "1", "figure-1", data, images)
    own = next((row for row in told["figure_3"] if row["name"] == ",".join(map(str, OWN_FILTERS))), None)
    if own is not None:
        yield Entry(
            "2", f"the report's network, {OWN_NETWORK}", "parameters", None, own["parameters"], None, "", data, 0,
            "figure-2",
        )  # fmt: skip
    yield from _rows(told["figure_3"], "3", "figure-3", data, images)


def _rows(rows: Sequence[Mapping[str, Any]], figure: str, picture: str, data: str, images: int) -> Iterator[Entry]:
    for row in rows:
        for measure in ("accuracy", "loss"):
            compared = row[measure]
            if compared is None or compared["report"] is None:
                continue
            interval, basis = mean_interval_of(row[f"test_{measure}"], images=images if measure == "accuracy" else 0)
            name = f"{OWN_NETWORK}, filters {row['name']}" if figure == "3" else row["name"]
            yield Entry(
                figure, name, f"test {measure}", compared["report"], compared["mean"], interval, basis, data, 4, picture
            )


def _segmentation(told: Mapping[str, Any]) -> Iterator[Entry]:
    own = [one for one in told["runs"] if one["model"] == OWN_SEGMENTER]
    # The report's own split, where it was trained on: no other number is comparable with 0.78.
    compared = next((one for one in own if one["data"] == "voc-aug-union"), own[0])
    for name, reported in SEGMENTATION_IMAGES.items():
        yield Entry(
            "§3", f"{name} images", "number", reported, compared[f"{name}_images"], None, "", compared["data"], 0
        )
    yield _measured("§3", compared, "pixel_accuracy", PIXEL_ACCURACY)
    yield Entry(
        "4", f"segmentation network, {OWN_SEGMENTER}", "parameters", None, own[0]["parameters"], None, "",
        own[0]["data"], 0, "figure-4",
    )  # fmt: skip
    yield _measured("5", own[0], "pixel_accuracy", None)
    yield _measured("5", own[0], "mean_iou", None)


def _measured(figure: str, run: Mapping[str, Any], name: str, reported: float | None) -> Entry:
    values, interval = run[name]["values"], run[name]["interval"]
    seeds = f"{len(values)} seed{'' if len(values) == 1 else 's'}"
    measure = {"pixel_accuracy": "pixel accuracy", "mean_iou": "mean IoU"}[name]
    return Entry(
        figure, f"segmentations by {OWN_SEGMENTER}", measure, reported, float(np.mean(values)),
        None if interval is None else tuple(interval), f"{count(run['test_images'])} images, {seeds}", run["data"], 4,
        "figure-5" if figure == "5" else "",
    )  # fmt: skip


def _reconstruction(told: Mapping[str, Any]) -> Iterator[Entry]:
    made = [name for name in DENOISING if name in told]
    yield Entry("6", "structure of the VAE", "parameters", None, told["parameters"], None, "", DASH, 0, "figure-6")
    rows = []
    for data in made:
        plan = DENOISING[data]
        stands_for = {"mnist-sample": DENOISING["mnist"], "photos-sample": DENOISING["cifar10"]}.get(data, plan)
        numbers = dict(stands_for.figures)
        if data == "photos-sample" and "stanford_dogs" not in told:
            numbers |= DENOISING["stanford_dogs"].figures
        for name, figure in numbers.items():
            if name in told[data]["quality"]:
                picture = f"figure-{figure}" if figure in plan.figures.values() else f"{plan.name}-{name}"
                rows.append(_denoised(figure, data, name, told[data]["quality"][name]["psnr"], picture))
    yield from sorted(rows, key=lambda entry: int(entry.figure))


def _denoised(figure: str, data: str, name: str, psnr: Mapping[str, Any], picture: str) -> Entry:
    interval = None if psnr["interval"] is None else tuple(psnr["interval"])
    basis = f"{count(psnr['images'])} images"
    return Entry(
        figure, f"images denoised by {name}", "PSNR (dB)", None, psnr["mean"], interval, basis, data, 2, picture
    )


PICTURES = {
    "pca2": ("12", "figure-12"),
    "pca3": ("13", "figure-13"),
    "tsne": ("14", "figure-14"),
    "tsne-pca": ("14", "figure-14"),
}
SHOWS = {
    "pca2": "two principal components",
    "pca3": "three principal components",
    "tsne": "t-SNE",
    "tsne-pca": "t-SNE of the principal components",
}


def _features(told: Mapping[str, Any]) -> Iterator[Entry]:
    images = told["images"]
    for name, (figure, picture) in PICTURES.items():
        for measure, title in (("accuracy", "matched accuracy"), ("knn_accuracy", "kNN accuracy")):
            share = told["pictures"][name][measure]
            interval = wilson_interval(round(share * images), images)
            shows = f"{SHOWS[name]} of {FEATURE_LAYER}"
            yield Entry(
                figure, shows, title, None, share, interval, f"{count(images)} images", told["data"], 4, picture
            )


def _gradcam(told: Mapping[str, Any]) -> Iterator[Entry]:
    for name, figure in ATTRIBUTED.items():
        if name not in told["stroke_share"]:
            continue
        last = told["stroke_share"][name][-1]
        for place, row in (("convolution", last), ("its ReLU", last["relu"])):
            if row["mean"] is None:
                continue
            interval = None if row["low"] is None else (row["low"], row["high"])
            shows = f"Grad-CAM of {name}, last {place}" if place == "convolution" else f"Grad-CAM of {name}, {place}"
            yield Entry(
                figure, shows, "share inside the stroke", None, row["mean"], interval, f"{count(row['images'])} images",
                told["data"], 3, f"figure-{figure}",
            )  # fmt: skip
