"""A segmentation's results drawn and told: overlap by class, and what is right, missed, invented and mistaken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from glassnet import figures
from glassnet.analysis.views import EPOCHS, OF_THE_INPUT, EvaluationView, Views
from glassnet.data import Split
from glassnet.display import drawable
from glassnet.errors import InputError
from glassnet.figures.images import to_pictures
from glassnet.figures.segmentation import overlay
from glassnet.formats import DASH, count, percent
from glassnet.loggers.pictures import SIDE_PIXELS, Picture, stacked
from glassnet.measures import MEASURES, interval, show
from glassnet.models.inference import outputs, predict
from glassnet.models.layers import select_layers
from glassnet.run.store import FigureWords, Plot
from glassnet.settings import ResolvedSettings
from glassnet.subject import Subject
from glassnet.tables import Table, make_table
from glassnet.tasks.segmentation.explain import EXPLAIN
from glassnet.tasks.segmentation.learn import nothing_known
from glassnet.tasks.segmentation.result import Overlap, Segmentation

MEASURED = tuple(field.name for field in dataclasses.fields(Overlap))
EMPTY = "All background"
"""What the column of the baseline is called: every pixel called background."""
EXPLAINED_LAYERS = 6
"""Convolutions in the report's maps, at equal steps: a U-Net has too many for one figure."""
REGION_LOSSES = {"train_dice": "Dice", "train_lovasz": "Lovász-softmax"}


def _complete(view: EvaluationView, result: Segmentation) -> Segmentation:
    if result.mean_iou is None:
        raise InputError(f"{nothing_known(view.part)} on {view.data}; give other images with --data or --split.")
    flipped = result.flipped
    if flipped is not None:  # the measures alone: the rest of another evaluation would double the document
        flipped = Overlap(**{key: getattr(flipped, key) for key in MEASURED})
    return dataclasses.replace(result, flipped=flipped)


def _plots(view: EvaluationView, result: Segmentation) -> Iterable[Plot]:
    chosen = result.chosen
    yield _grid(
        view,
        result,
        dict.fromkeys(chosen.unpicked, ""),
        name="segmentations",
        title="Segmentations",
        note=f"Not hand-picked: {len(chosen.unpicked)} of {len(view.split):,} images at equal steps.",
        lead="Compare truth and prediction; the last picture shows which kind of mistake is most common.",
    )
    ranks: dict[int, str] = {}
    for rank, rows in (("best", chosen.best), ("middle", chosen.median), ("worst", chosen.worst)):
        for row in rows:
            ranks.setdefault(row, rank)  # of few images one may be both
    yield _grid(
        view,
        result,
        ranks,
        name="segmentations-ranked",
        title="Best, middle and worst",
        note="Ranked by the mean IoU of the classes in each image: the highest, the middle and the lowest.",
        lead="The last images are those it segments worst.",
    )
    yield _bars(view, result)


def _grid(
    view: EvaluationView,
    result: Segmentation,
    ranks: Mapping[int, str],
    *,
    name: str,
    title: str,
    note: str,
    lead: str,
) -> Plot:
    """Draw images by their row, each with a word on its rank or none."""
    images, masks = view.split.take(torch.tensor(list(ranks), dtype=torch.int64))
    predicted = predict(view.model, images, batch_size=64, precision=view.precision).argmax(dim=1).to(torch.uint8)
    captions = [_ranked(view, result, row, rank) for row, rank in ranks.items()]
    figure = figures.segmentation_grid(
        images.numpy(), masks.numpy(), predicted.numpy(), view.subject.classes, captions, title=title, note=note
    )
    alt = f"{len(ranks)} images, each with its true mask, its predicted mask, and a map of what is right and wrong."
    return Plot(figure, FigureWords(name=name, title=title, alt=alt, caption=note, lead=lead))


def _ranked(view: EvaluationView, result: Segmentation, row: int, rank: str) -> str:
    value = result.by_image[row]
    overlap = "no pixel has a label" if value is None else f"IoU {show('iou', value)}"
    return f"{rank and f'{rank}, '}{view.label_of(row)}: {overlap}"


def _bars(view: EvaluationView, result: Segmentation) -> Plot:
    rows = result.per_class
    figure = figures.class_bars(
        [row.iou for row in rows],
        [row.interval for row in rows],
        view.subject.classes,
        baselines=[row.background for row in rows],
    )
    return Plot(
        figure,
        FigureWords(
            name="class-iou",
            title="Intersection over union by class",
            alt=f"One bar for each of {len(rows)} classes, from best to worst.",
            caption="Pixels of the class in both masks divided by pixels in either; intervals are over images. The "
            "marks show the score of calling every pixel background.",
            lead="The lowest bars are the classes it segments worst.",
        ),
    )


def _predictions(view: EvaluationView, result: Segmentation) -> tuple[Sequence[str], list[Sequence[str]]]:
    right, known = result.counts[:, 0].sum(axis=1), result.counts[:, 1].sum(axis=1)
    rows: list[Sequence[str]] = [
        (
            view.label_of(row),
            "" if iou is None else f"{iou:.6f}",
            f"{right[row] / known[row]:.6f}" if known[row] else "",
            view.part,
        )
        for row, iou in enumerate(result.by_image)
    ]
    return ("file" if view.split.files is not None else "image", "mean_iou", "pixel_accuracy", "split"), rows


def _text(result: Segmentation) -> str:
    columns = ("measure", "value", "95% interval", EMPTY.lower())
    measured = make_table("", columns, _measured(result), words=(0,)).text()
    parts = [f"loss {show('loss', result.loss)} nats per pixel", measured, _per_class(result).text()]
    return "\n\n".join([*parts, *_flipped(result)])


def _measured(result: Segmentation) -> list[tuple[str, str, str, str]]:
    return [
        (
            MEASURES[key].title,
            show(key, getattr(result, key)),
            interval(key, result.intervals.get(key)),
            show(key, getattr(result.background, key)),
        )
        for key in MEASURED
    ]


def _per_class(result: Segmentation) -> Table:
    rows = [
        (
            row.name,
            count(row.images),
            show("share", row.share),
            show("iou", row.iou),
            interval("iou", row.interval),
            show("iou", row.background),
        )
        for row in result.per_class
    ]
    columns = ("Class", "Images with it", MEASURES["share"].title, MEASURES["iou"].title, "95% interval", EMPTY)
    return make_table("Overlap (IoU) of each class", columns, rows, words=(0,))


def _flipped(result: Segmentation) -> list[str]:
    if result.flipped is None:
        return []
    scored = []
    for key, title in (("mean_iou", "mean IoU"), ("pixel_accuracy", "pixel accuracy")):
        bounds = interval(key, (result.flipped_intervals or {}).get(key))
        empty = show(key, getattr(result.background, key))
        value = show(key, getattr(result.flipped, key))
        scored.append(f"the {title} is {value} (95% interval {bounds}; all background {empty})")
    return [f"Averaged over each image and its mirror image, {' and '.join(scored)}."]


def _tables(result: Segmentation) -> list[Table]:
    rows = [
        (*row, MEASURES[key].meaning, MEASURES[key].better)
        for key, row in zip(MEASURED, _measured(result), strict=True)
    ]
    columns = ("Measure", "Value", "95% interval", EMPTY, "Meaning", "Better")
    note = " ".join(_flipped(result))
    return [make_table("Measures", columns, rows, words=(0, 4, 5), note=note), _per_class(result)]


def _wanted(subject: Subject) -> list[tuple[str, dict[str, Any]]]:
    """What a report needs: the evaluation, and the regions of a few images explained from the first to the last."""
    measured: list[tuple[str, dict[str, Any]]] = [("evaluation", {})] if subject.labelled else []
    try:
        names = select_layers(subject.model(), "conv")
    except InputError:
        return [*measured, ("attribution", OF_THE_INPUT)]
    steps = [round(i * (len(names) - 1) / (EXPLAINED_LAYERS - 1)) for i in range(EXPLAINED_LAYERS)]
    layers = tuple(dict.fromkeys(names[step] for step in steps))
    return [*measured, ("attribution", {"layers": layers, "methods": ("gradcam",)})]


def _background(metrics: Mapping[str, Any], key: str) -> str:
    """Write what calling every pixel background scores on the same images."""
    empty = metrics.get("test_background")
    return show(key, empty.get(key) if isinstance(empty, Mapping) else getattr(empty, key, None))


def _headlines(metrics: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    bounds = interval("mean_iou", metrics.get("test_mean_iou_interval"))
    return (
        (
            "Test mean IoU",
            show("mean_iou", metrics.get("test_mean_iou")),
            f"95% interval {bounds}; all background {_background(metrics, 'mean_iou')}",
        ),
        (
            "Test pixel accuracy",
            show("pixel_accuracy", metrics.get("test_pixel_accuracy")),
            f"all background {_background(metrics, 'pixel_accuracy')}",
        ),
    )


def _epoch_note(metrics: Mapping[str, Any]) -> str:
    overlap = f"validation mean IoU {show('mean_iou', metrics.get('validation_mean_iou'))}"
    empty = show("mean_iou", metrics.get("validation_background_mean_iou"))
    return overlap if empty == DASH else f"{overlap}; all background {empty}"


def _summary(result: Segmentation) -> list[str]:
    empty = result.background
    sentences = [
        f"It labels {show('pixel_accuracy', result.pixel_accuracy)} of the pixels of {count(result.images)} images "
        f"correctly. Calling every pixel background would be right for {show('pixel_accuracy', empty.pixel_accuracy)} "
        "of them.",
        f"Overlap says more: the mean IoU is {show('mean_iou', result.mean_iou)}, compared with "
        f"{show('mean_iou', empty.mean_iou)} for background alone.",
    ]
    bounds = interval("mean_iou", result.mean_iou_interval)
    if bounds != DASH:
        sentences.append(
            f"A test set of this size leaves some uncertainty: the 95% interval of the mean IoU is {bounds}."
        )
    return sentences


def _curves(history: Sequence[Mapping[str, Any]], best: int) -> Any:
    # A loss of regions is no part of the validation loss: only what is in both can be drawn in one picture.
    rows = [{**row, "train_loss": row.get("train_cross_entropy", row.get("train_loss"))} for row in history]
    return figures.learning_curves(rows, best_epoch=best, of="pixels")


def _history_caption(history: Sequence[Mapping[str, Any]]) -> str:
    region = next((title for key, title in REGION_LOSSES.items() if key in history[-1]), "")
    return EPOCHS.replace("nats,", f"nats ({region} added for training),") if region else EPOCHS


def _history_total(last: Mapping[str, Any]) -> Mapping[str, str]:
    """What calling every pixel background scores on the validation images, the same after every epoch."""
    scored = {
        "validation_accuracy": last.get("validation_background_accuracy"),
        "validation_mean_iou": last.get("validation_background_mean_iou"),
    }
    if all(value is None for value in scored.values()):
        return {}
    return {"epoch": EMPTY} | {key: percent(value) for key, value in scored.items()}


def _epoch_pictures(split: Split, rows: Tensor, _settings: ResolvedSettings) -> Callable[[nn.Module], Picture]:
    images, targets = split.take(rows)
    return lambda model: _mask_strip(model, images, targets)


def _mask_strip(model: nn.Module, images: Tensor, truth: Tensor) -> Picture:
    """Draw images, the true classes of their pixels, and those that the model says, from top to bottom."""
    (scores,) = outputs(model, [images])
    rows = [[figures.thumbnail(one, SIDE_PIXELS) for one in drawable(images)]]
    for masks in (truth, scores.argmax(dim=1)):
        drawn = [
            overlay(picture, mask.to(torch.uint8).cpu().numpy())
            for picture, mask in zip(to_pictures(drawable(images)), masks, strict=True)
        ]
        rows.append([figures.thumbnail(one.transpose(2, 0, 1), SIDE_PIXELS) for one in drawn])
    return stacked(*rows)


VIEWS = Views(
    complete=_complete,
    plots=_plots,
    predictions=_predictions,
    text=_text,
    tables=_tables,
    explain=EXPLAIN,
    wanted=_wanted,
    headlines=_headlines,
    epoch_note=_epoch_note,
    summary=_summary,
    comparison=(
        ("Test mean IoU", lambda metrics: show("mean_iou", metrics.get("test_mean_iou"))),
        ("95% interval", lambda metrics: interval("mean_iou", metrics.get("test_mean_iou_interval"))),
        ("Mean IoU of all background", lambda metrics: _background(metrics, "mean_iou")),
        ("Test pixel accuracy", lambda metrics: show("pixel_accuracy", metrics.get("test_pixel_accuracy"))),
        ("Pixel accuracy of all background", lambda metrics: _background(metrics, "pixel_accuracy")),
        ("Test loss", lambda metrics: show("loss", metrics.get("test_loss"))),
    ),
    curves=_curves,
    epoch_pictures=_epoch_pictures,
    history=(
        ("train_loss", "Training loss", MEASURES["loss"].show),
        ("train_accuracy", "Training accuracy", percent),
        ("validation_loss", "Validation loss", MEASURES["loss"].show),
        ("validation_accuracy", "Validation accuracy", percent),
        ("validation_mean_iou", "Validation mean IoU", percent),
    ),
    history_caption=_history_caption,
    history_total=_history_total,
)
