"""`glassnet explain` of a segmentation: where each layer looks for a segmented region (Seg-Grad-CAM)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from glassnet.attribution import Explanation
from glassnet.attribution import explain as explain_images
from glassnet.attribution.engine.targets import largest_classes, segmented_region
from glassnet.attribution.faithfulness import Faithfulness
from glassnet.attribution.methods import METHODS, ingredients
from glassnet.commands.answer import Answer
from glassnet.commands.explain_numbers import Numbers
from glassnet.commands.explain_pictures import draw
from glassnet.commands.selection import Selection, select
from glassnet.commands.subject import Subject
from glassnet.errors import InputError, unknown_name
from glassnet.images import VOID
from glassnet.settings import ExplainSettings
from glassnet.tables import text_table
from glassnet.tasks.segmentation.metrics import mean_iou_of, pixel_counts
from glassnet.versions import versions


def explain_segmentation(subject: Subject, settings: ExplainSettings, precision: Literal["fp32", "bf16"]) -> Answer:
    """Attribute the score of a region of each image, layer by layer, draw the maps and keep them.

    Raises:
        InputError: An image, a layer, a method or a class is unknown, or an option is for classifiers.
    """
    if settings.faithfulness or settings.mask == "stroke":
        option = "faithfulness" if settings.faithfulness else "mask stroke"
        raise InputError(
            f"--{option} measures maps of classifiers, and {subject.name} learned segmentation; leave it out."
        )
    _require_fixed_region(settings.methods)
    label = _label(settings.target, subject)
    explained = [
        (
            selection,
            explain_images(
                subject.model,
                selection.images,
                target=segmented_region(label),
                layers=list(settings.layers),
                methods=settings.methods,
                precision=precision,
            ),
        )
        for selection in select(subject, settings, precision)
        if len(selection.images)
    ]  # all of it before the first file, so that what fails leaves the run as it was
    documents = [_keep(subject, settings, *found, label) for found in explained]
    rows = [
        (d["name"], i["index"], i["target"], f"{100 * i['share']:.1f}%", "–" if i["iou"] is None else f"{i['iou']:.3f}")
        for d in documents
        for i in d["images"]
    ]
    place = subject.kept.path
    text = text_table(("images", "index", "region of", "share of image", "IoU of image"), rows)
    empty = [i["target"] for d in documents for i in d["images"] if not i["share"]]
    if empty:
        text += f"\n{empty[0]} is predicted nowhere in {len(empty)} of {len(rows)} images: their maps are all zero."
    return Answer(f"{text}\nfigures: {place / 'figures'}", {"run": str(place), "explained": documents})


def _require_fixed_region(methods: Sequence[str]) -> None:
    """Refuse methods that set scores of changed images against each other: their segmented regions are others."""
    changing = [name for name in METHODS if "rerun" in ingredients(name)]
    refused = [name for name in methods if name in changing]
    if refused:
        fitting = ", ".join(name for name in METHODS if name not in changing)
        raise InputError(
            f"{' and '.join(refused)} compare{'s' if len(refused) == 1 else ''} changed images, whose segmented "
            f"regions are others; take one of {fitting}."
        )


def _label(word: str, subject: Subject) -> int | None:
    if word == "predicted":
        return None
    if word == "label":
        raise InputError(
            "--target is label, but an image of a segmentation has a label at every pixel; give predicted or a class."
        )
    if word in subject.classes:
        return subject.classes.index(word)
    if word.isdecimal() and int(word) < len(subject.classes):
        return int(word)
    choices = ("predicted", *subject.classes)
    raise unknown_name("target", word, choices, where=f" in {subject.name}", noun="targets")


def _keep(
    subject: Subject,
    settings: ExplainSettings,
    selection: Selection,
    explanation: Explanation,
    label: int | None,
) -> dict[str, Any]:
    assert explanation.output is not None  # what was explained is its regions
    predicted = torch.from_numpy(explanation.output).argmax(dim=1)
    count = len(subject.classes)
    chosen = largest_classes(predicted, count) if label is None else predicted.new_full((len(predicted),), label)
    regions = predicted == chosen[:, None, None]
    shares = regions.float().mean(dim=(1, 2))
    images = [
        {
            "index": selection.names[row],
            "target": subject.classes[int(chosen[row])],
            "share": float(shares[row]),
            "iou": _iou(predicted[row], selection, row, count),
        }
        for row in range(len(predicted))
    ]
    nothing = Numbers(None, Faithfulness({key: {} for key in explanation.maps}, {}), None, None, {})
    captions = [_caption(about) for about in images]
    shown = dataclasses.replace(selection, title=f"{selection.title}: the segmented region")
    arrays = {f"{method}/{layer}": values for (method, layer), values in explanation.maps.items()}
    subject.kept.save_arrays(
        f"attributions/{selection.name}.npz", {"images": selection.images.numpy(), "regions": regions.numpy(), **arrays}
    )
    document = {
        "name": selection.name,
        "rule": f"{selection.rule} Explained is the score of the class named, summed over the pixels given to it.",
        "target": settings.target,
        "methods": list(explanation.methods),
        "layers": list(explanation.layers),
        "figures": draw(subject, shown, explanation, nothing, captions, regions.numpy()),
        "images": images,
        "versions": versions("torch", "matplotlib"),
    }
    subject.kept.save_json(f"attributions/{selection.name}.json", document)
    return document


def _iou(predicted: torch.Tensor, selection: Selection, row: int, classes: int) -> float | None:
    if selection.labels is None or (selection.labels[row] == VOID).all():
        return None
    counts = pixel_counts(predicted[None].to(torch.uint8), selection.labels[row][None], classes)
    value = mean_iou_of(np.asarray(counts))[0]
    return None if np.isnan(value) else float(value)


def _caption(about: dict[str, Any]) -> str:
    index = about["index"]
    shown = Path(index).name if isinstance(index, str) else f"test image {index}"
    told = "" if about["iou"] is None else f", IoU {about['iou']:.2f}"
    return f"{shown}{told}\nregion of {about['target']}: {100 * about['share']:.0f}% of the image"
