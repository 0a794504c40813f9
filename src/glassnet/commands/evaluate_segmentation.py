"""A segmentation's evaluation: overlap by class, images not picked, and the best, middle and worst of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from glassnet import figures
from glassnet.commands.evaluated import Evaluated, Shown
from glassnet.errors import InputError
from glassnet.models.inference import predict
from glassnet.tables import text_table
from glassnet.tasks.segmentation.learn import nothing_known

UNPICKED, OF_EACH = 12, 4
MEASURES = (
    ("pixel_accuracy", "pixel accuracy"),
    ("mean_accuracy", "mean class accuracy"),
    ("mean_iou", "mean IoU"),
    ("weighted_iou", "frequency-weighted IoU"),
    ("boundary_f", "boundary F-score"),
)


def chosen_images(by_image: list[float | None]) -> dict[str, list[int]]:
    """Choose images by rule: some at equal steps through the part, and those of highest, middle and lowest IoU."""
    count = len(by_image)
    ranked = sorted((i for i, value in enumerate(by_image) if value is not None), key=lambda i: -(by_image[i] or 0))
    each = max(1, min(OF_EACH, len(ranked) // 3))  # of few images fewer, or the worst would be among the best
    middle = max(0, len(ranked) // 2 - each // 2)
    steps = np.linspace(0, count - 1, min(UNPICKED, count)).round().astype(int)
    return {
        "unpicked": list(dict.fromkeys(steps.tolist())),
        "best": ranked[:each],
        "median": ranked[middle : middle + each],
        "worst": ranked[::-1][:each],
    }


def _arrays(found: Evaluated) -> dict[str, np.ndarray]:
    if found.result["mean_iou"] is None:  # here, before the first file is written
        part, name = found.split_name, found.dataset.name
        raise InputError(f"{nothing_known(part)} on {name}; give other images by --data or --split.")
    return {"counts": found.records["counts"].numpy(), "confusion": found.records["confusion"].sum(dim=0).numpy()}


def _draw(found: Evaluated) -> None:
    chosen = chosen_images(found.result["by_image"])
    _draw_grid(
        found,
        dict.fromkeys(chosen["unpicked"], ""),
        name="segmentations",
        title="Segmentations",
        note=f"Not picked: {len(chosen['unpicked'])} of {len(found.split):,} images at equal steps.",
    )
    words = {"best": "best", "median": "middle", "worst": "worst"}
    ranks: dict[int, str] = {}
    for part, word in words.items():
        for index in chosen[part]:
            ranks.setdefault(index, word)  # of few images one may be both
    _draw_grid(
        found,
        ranks,
        name="segmentations-ranked",
        title="Best, middle and worst",
        note="By the mean IoU of the classes in each image: the highest first, then the middle, then the lowest.",
    )
    _draw_bars(found)
    found.result["selection"] = chosen


def _draw_grid(found: Evaluated, ranks: Mapping[int, str], *, name: str, title: str, note: str) -> None:
    """Draw images by their index, each with a word on its rank or none."""
    images, masks = found.split.take(torch.tensor(list(ranks), dtype=torch.int64))
    predicted = predict(found.model, images, batch_size=64, precision=found.precision).argmax(dim=1).to(torch.uint8)
    captions = [_caption(found, index, rank) for index, rank in ranks.items()]
    figure = figures.segmentation_grid(
        images.numpy(), masks.numpy(), predicted.numpy(), found.dataset.classes, captions, title=title, note=note
    )
    found.run.save_figure(
        f"{name}{found.suffix}",
        figure,
        title=title,
        alt=f"{len(ranks)} images, each with its true mask, its predicted mask, and what is right and wrong of it.",
        caption=note,
    )


def _draw_bars(found: Evaluated) -> None:
    rows = found.result["per_class"]
    found.run.save_figure(
        f"class-iou{found.suffix}",
        figures.class_bars(
            [row["iou"] for row in rows],
            [None if row["interval"] is None else tuple(row["interval"]) for row in rows],
            found.dataset.classes,
            baselines=[row["background"] for row in rows],
        ),
        title="Intersection over union by class",
        alt=f"A bar for each of {len(rows)} classes, from the best to the worst.",
        caption="Pixels of the class in both masks over pixels in either; the interval is over images. The marks are "
        "what calling every pixel background would score.",
    )


def _caption(found: Evaluated, index: int, rank: str) -> str:
    value = found.result["by_image"][index]
    told = "no pixel to judge" if value is None else f"IoU {value:.2f}"
    return f"{rank and f'{rank}, '}image {index}: {told}"


def _text(found: Evaluated) -> str:
    result, empty = found.result, found.result["background"]
    bounds = {key: result.get(f"{key}_interval") for key, _ in MEASURES}
    rows = [(label, _number(result[key]), _range(bounds[key]), _number(empty[key])) for key, label in MEASURES]
    classes = [
        (
            row["class"],
            row["images"],
            f"{100 * row['share']:.2f}%",
            _number(row["iou"]),
            _range(row["interval"]),
            _number(row["background"]),
        )
        for row in result["per_class"]
    ]
    parts = [
        f"{found.run.name} on {result['data']} ({result['split']}, {result['images']:,} images), "
        f"loss {result['loss']:.4f} nats per pixel",
        text_table(("measure", "value", "95% interval", "all background"), rows),
        text_table(("class", "images", "share of pixels", "IoU", "95% interval", "all background"), classes),
    ]
    if "flipped" in result:
        told = result["flipped"]
        parts.append(
            f"mean of each image and its mirror image: mean IoU {_number(told['mean_iou'])} (95% interval "
            f"{_range(told['mean_iou_interval'])}; all background {_number(empty['mean_iou'])}), pixel accuracy "
            f"{_number(told['pixel_accuracy'])} (all background {_number(empty['pixel_accuracy'])})"
        )
    return "\n\n".join(parts)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _range(bounds: list[float] | None) -> str:
    return "–" if bounds is None else f"{bounds[0]:.4f} to {bounds[1]:.4f}"


SHOWN = Shown(_arrays, _draw, _text)
