"""What the test of a segmentation found: overlap measures beside the background's, classes, pictures."""

from typing import Any

from glassnet.report import numbers
from glassnet.report.inline import find_picture
from glassnet.report.other_images import Column, on_other_images
from glassnet.report.records import mapping, part, rows, text
from glassnet.report.tables import Table, table
from glassnet.run import RunDirectory

PICTURES = ("segmentations", "segmentations-ranked")
MEASURES = (
    ("pixel_accuracy", "Pixel accuracy", "share of the pixels that are named rightly"),
    ("mean_accuracy", "Mean class accuracy", "the same within each class, averaged over the classes that are there"),
    ("mean_iou", "Mean IoU", "pixels in both masks over pixels in either, averaged over the classes in one of them"),
    ("weighted_iou", "Frequency-weighted IoU", "the same, each class weighed by its pixels"),
    (
        "boundary_f",
        "Boundary F-score",
        "outlines that lie near each other, of any class; harmonic mean of precision and recall",
    ),
)

_OTHERS: tuple[Column, ...] = (
    ("Mean IoU", lambda other: numbers.percent(other.get("mean_iou"))),
    ("95% interval", lambda other: numbers.interval(other.get("mean_iou_interval"))),
    ("All background", lambda other: numbers.percent(part(other, "background").get("mean_iou"))),
    ("Pixel accuracy", lambda other: numbers.percent(other.get("pixel_accuracy"))),
    ("All background", lambda other: numbers.percent(part(other, "background").get("pixel_accuracy"))),
)
"""What is shown of an evaluation on other images."""


def segmented(run: RunDirectory) -> dict[str, Any] | None:
    """Collect what the section on a segmentation's test shows; None where the run was not evaluated.

    Raises:
        InputError: The evaluation is damaged.
    """
    if not run.has("evaluation/test.json"):
        return None
    test = mapping(run, "evaluation/test.json")
    return {
        "leak": part(dict(run.manifest), "data").get("leak") or 0,
        "numbers": _measured(test),
        "flipped": _flipped(test),
        "classes": _classes(test),
        "bars": find_picture(run, "class-iou"),
        "pictures": [(name, find_picture(run, name)) for name in PICTURES],
        "others": on_other_images(run, _OTHERS),
    }


def _measured(test: dict[str, Any]) -> Table:
    empty = part(test, "background")
    cells = [
        (
            name,
            numbers.percent(test.get(key)),
            numbers.interval(test.get(f"{key}_interval")),
            numbers.percent(empty.get(key)),
            meaning,
        )
        for key, name, meaning in MEASURES
    ]
    where = " ".join(filter(None, (text(test.get("data")), text(test.get("split")))))
    columns = ("Measure", "Value", "95% interval", "All background", "Meaning; higher is better")
    return table(f"Results on {numbers.count(test.get('images'))} images of {where}", columns, cells, words=(0, 4))


def _flipped(test: dict[str, Any]) -> str:
    told = part(test, "flipped")
    if not told:
        return ""
    empty = part(test, "background")
    return (
        f"Averaged over each image and its mirror image, the mean IoU is {numbers.percent(told.get('mean_iou'))} "
        f"(95% interval {numbers.interval(told.get('mean_iou_interval'))}; all background "
        f"{numbers.percent(empty.get('mean_iou'))}) and the pixel accuracy "
        f"{numbers.percent(told.get('pixel_accuracy'))} (all background "
        f"{numbers.percent(empty.get('pixel_accuracy'))})."
    )


def _classes(test: dict[str, Any]) -> Table | None:
    cells = [
        (
            text(row.get("class")) or numbers.DASH,
            numbers.count(row.get("images")),
            numbers.percent(row.get("share")),
            numbers.percent(row.get("iou"), 1),
            numbers.interval(row.get("interval"), 1),
            numbers.percent(row.get("background"), 1),
        )
        for row in rows(test, "per_class")
    ]
    columns = ("Class", "Images with it", "Share of the pixels", "IoU", "95% interval", "All background")
    return table("Overlap (IoU) of each class", columns, cells) if cells else None
