"""The results of a classifier with several labels an image, drawn and told: label by label, and where it looks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from glassnet import figures
from glassnet.analysis.views import EvaluationView, Material, Views, wanted_of_classes
from glassnet.blocks import Gallery, Picture, Section
from glassnet.formats import count, percent
from glassnet.measures import MEASURES, interval, show, with_interval
from glassnet.method_titles import METHOD_TITLES
from glassnet.reports.material import pictures
from glassnet.run.store import FigureWords, Plot
from glassnet.tables import Table, make_table
from glassnet.tasks.multilabel.explain import EXPLAIN
from glassnet.tasks.multilabel.result import MultiLabel

BARS = "Average precision by label"
MEASURED = ("mean_average_precision", "exact_match", "hamming_loss", "loss")
DRAWN, MISTAKES, TYPICAL = 20, 24, 20
"""Mistakes in the figure, mistakes explained for the report, and labels of which it explains a typical image."""


def _plots(view: EvaluationView, result: MultiLabel) -> Iterable[Plot]:
    if result.mean_average_precision is not None:
        yield _bars(result)
    if result.wrong:
        yield _worst(view, result)


def _bars(result: MultiLabel) -> Plot:
    rows = result.per_label
    title = BARS
    figure = figures.class_bars(
        [row.average_precision for row in rows],
        [row.interval for row in rows],
        [row.name for row in rows],
        baselines=[row.by_chance for row in rows],
        title=title,
        measure="average precision",
        baseline="images in random order",
    )
    caption = (
        "Area under the precision–recall curve; intervals are over images. The marks show what a random order of the "
    )
    caption += "images would score: the fraction of images that have the label."
    words = FigureWords(
        name="average-precision",
        title=title,
        alt=f"One bar for each of {len(rows)} labels, from best to worst.",
        caption=f"{caption} {_absent(result)}".strip(),
        lead="The lowest bars are the labels it recognises worst.",
    )
    return Plot(figure, words)


def _absent(result: MultiLabel) -> str:
    """Say which labels are left out of the mean."""
    if not result.absent:
        return ""
    return f"Left out because no image has it: {', '.join(result.absent)}."


def _worst(view: EvaluationView, result: MultiLabel) -> Plot:
    chosen = result.mistakes()[:DRAWN]
    images = view.split.take(torch.tensor([row for row, _ in chosen]))[0].numpy()
    title = "Worst mistakes"
    note = f"{len(result.mistakes()):,} labels of {result.wrong:,} of {result.images:,} images are wrong."
    figure = figures.image_grid(
        images, [_mistake(view, result, row, label) for row, label in chosen], title=title, note=note
    )
    words = FigureWords(
        name="worst-mistakes",
        title=title,
        alt=f"{len(chosen)} images, each with a wrong label and its probability.",
        caption=f"{note} The most confident are shown.",
        lead="These are the wrong labels that the network was most confident about.",
    )
    return Plot(figure, words)


def _mistake(view: EvaluationView, result: MultiLabel, row: int, label: int) -> str:
    what = "missed" if result.targets[row, label] else "invented"
    name, probability = result.per_label[label].name, show("probability", float(result.probabilities[row, label]))
    return f"{what} {name}\n{view.label_of(row)}, p = {probability}"


def _predictions(view: EvaluationView, result: MultiLabel) -> tuple[Sequence[str], list[Sequence[str]]]:
    names, answers = [row.name for row in result.per_label], result.answers
    rows: list[Sequence[str]] = [
        (
            view.label_of(row),
            ";".join(names[label] for label in np.flatnonzero(result.targets[row])),
            ";".join(names[label] for label in np.flatnonzero(answers[row])),
            view.part,
            *(f"{value:.6f}" for value in result.probabilities[row]),
        )
        for row in range(result.images)
    ]
    first = "file" if view.split.files is not None else "image"
    return (first, "true", "predicted", "split", *(f"p({name})" for name in names)), rows


def _text(result: MultiLabel) -> str:
    precision = with_interval(
        "mean_average_precision", result.mean_average_precision, result.mean_average_precision_interval
    )
    parts = (
        f"loss {show('loss', result.loss)}",
        f"mean average precision {precision}",
        f"exact match {with_interval('exact_match', result.exact_match, result.exact_match_interval)}",
        f"Hamming loss {show('hamming_loss', result.hamming_loss)}",
    )
    return "\n\n".join([", ".join(parts), _per_label(result, "").text()])


def _per_label(result: MultiLabel, caption: str) -> Table:
    keys = ("precision", "recall", "f1")
    rows = [
        (
            row.name,
            count(row.images),
            show("average_precision", row.average_precision),
            interval("average_precision", row.interval),
            show("average_precision", row.by_chance),
            *(show(key, getattr(row, key)) for key in keys),
        )
        for row in result.per_label
    ]
    heads = ("Label", "Images", MEASURES["average_precision"].heading, "95% interval", "Chance level")
    titles = (MEASURES[key].title for key in keys)
    return make_table(caption, (*heads, *titles), rows, words=(0,), note=_absent(result))


def _tables(result: MultiLabel) -> list[Table]:
    measured = [
        (
            MEASURES[key].title,
            show(key, getattr(result, key)),
            interval(key, getattr(result, f"{key}_interval", None)),
            MEASURES[key].meaning,
            MEASURES[key].better,
        )
        for key in MEASURED
    ]
    columns = ("Measure", "Value", "95% interval", "Meaning", "Better")
    caption = "Average precision of each label; precision, recall and F1 if probabilities of 0.5 and above count as yes"
    return [make_table("Measures", columns, measured, words=(0, 3, 4)), _per_label(result, caption)]


def _examples(result: MultiLabel) -> dict[int, int]:
    """Choose images by rule, each with the label to explain: the worst mistakes, and a typical image of each label."""
    chosen: dict[int, int] = {}
    for row, label in result.mistakes():
        if len(chosen) < MISTAKES:
            chosen.setdefault(row, label)
    for label in range(min(TYPICAL, len(result.per_label))):
        for typical in [one for one in result.typical(label) if one not in chosen][:1]:
            chosen[typical] = label
    return chosen


def _results(material: Material) -> list[Section]:
    """The first sections of the report: which labels are recognised, and where the network looks for each."""
    result: MultiLabel = material.evaluation.result
    drawn = pictures(material.evaluation)
    bars = [one for one in drawn if isinstance(one, Picture) and one.title == BARS]
    sections = [Section("labels", "Which labels are recognised", tuple(bars))] if bars else []
    if material.examples is not None:
        sections.append(Section("mistakes", "Where it looks", tuple(_galleries(result, material))))
    return sections or [Section("labels", "Results", tuple(drawn))]


def _galleries(result: MultiLabel, material: Material) -> Iterable[Gallery]:
    assert material.examples is not None
    how = f"{METHOD_TITLES.get(material.examples.method, material.examples.method)} at {material.examples.layer}"
    known, mistaken = set(material.examples.rows), set(result.mistakes())
    explained = [(row, label) for row, label in _examples(result).items() if row in known]
    worst = tuple(row for row, label in explained if (row, label) in mistaken)
    if worst:
        yield Gallery(
            "Worst mistakes",
            worst[:6],
            "The wrong labels that the network was most confident about, and the places that support them.",
            f"{how} of the label that was missed or invented. Each map is scaled by its own largest value.",
        )
    typical = tuple(row for row, label in explained if (row, label) not in mistaken)
    if typical:
        yield Gallery(
            "A typical image of each label",
            typical,
            "What the network recognises a label by: for each label, an image of median confidence that has it.",
            f"{how} of that label.",
            compact=True,
        )


def _headlines(metrics: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (
            title,
            show(key, metrics.get(f"test_{key}")),
            f"95% interval {interval(key, metrics.get(f'test_{key}_interval'))}",
        )
        for title, key in (("Test mAP", "mean_average_precision"), ("Exact match", "exact_match"))
    )


def _epoch_note(metrics: Mapping[str, Any]) -> str:
    key = "mean_average_precision"
    return f"validation mAP {show(key, metrics.get(f'validation_{key}'))}"


def _summary(result: MultiLabel) -> list[str]:
    right = result.images - result.wrong
    sentences = [f"It gets every label right for {count(right)} of {count(result.images)} images."]
    known = [row for row in result.per_label if row.average_precision is not None]
    if len(known) > 1:
        worst = min(known, key=lambda row: row.average_precision or 0)
        precision = show("average_precision", worst.average_precision)
        sentences.append(f"The label it recognises worst is {worst.name}, with an average precision of {precision}.")
    return [*sentences, *([_absent(result)] if result.absent else [])]


def _curves(history: Sequence[Mapping[str, Any]], best: int) -> Any:
    """Draw loss and wrong labels: each label of each image counts."""
    parts = ("train", "validation")
    rows = [row | {f"{part}_accuracy": 1 - row[f"{part}_hamming_loss"] for part in parts} for row in map(dict, history)]
    return figures.learning_curves(rows, best_epoch=best, of="labels")


VIEWS = Views(
    complete=lambda _found, result: result,
    plots=_plots,
    predictions=_predictions,
    text=_text,
    tables=_tables,
    explain=EXPLAIN,
    wanted=wanted_of_classes,
    headlines=_headlines,
    epoch_note=_epoch_note,
    summary=_summary,
    comparison=(
        ("Test mAP", lambda metrics: show("mean_average_precision", metrics.get("test_mean_average_precision"))),
        (
            "95% interval",
            lambda metrics: interval("mean_average_precision", metrics.get("test_mean_average_precision_interval")),
        ),
        ("Exact match", lambda metrics: show("exact_match", metrics.get("test_exact_match"))),
        ("Test loss", lambda metrics: show("loss", metrics.get("test_loss"))),
    ),
    curves=_curves,
    example_rows=lambda result: tuple(_examples(result)),
    example_targets=lambda result: tuple(_examples(result).values()),
    results=_results,
    history=(
        ("train_loss", "Training loss", MEASURES["loss"].show),
        ("train_hamming_loss", "Training labels wrong", percent),
        ("validation_loss", "Validation loss", MEASURES["loss"].show),
        ("validation_hamming_loss", "Validation labels wrong", percent),
        ("validation_mean_average_precision", "Validation mAP", percent),
    ),
)
