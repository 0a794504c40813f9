"""`glassnet explain`: where each layer looks, for images chosen by rule, and how faithful its maps are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from glassnet.analysis import analyse
from glassnet.analysis.attribution import Attribution, AttributionRequest, ExplainedGroup, facts_table
from glassnet.analysis.faithfulness import MeasuredFaithfulness, MeasuredGroup
from glassnet.attribution.faithfulness import MeanCI
from glassnet.cli import Answer
from glassnet.cli.subjects import answer_about, context_of, kept_at, open_subject, precision_of
from glassnet.formats import DASH
from glassnet.measures import MEASURES, METHOD_TITLES, with_interval
from glassnet.settings import ExplainSettings
from glassnet.subject import Subject
from glassnet.tables import text_table

NOTICES = {True: "yes", False: "no", None: "undecided"}
"""What `SanityCheck.passes` says."""


def explain(settings: ExplainSettings) -> Answer:
    """Attribute a model's scores on some images, layer by layer, measure and draw the maps, and keep all of it."""
    subject = open_subject(settings, settings.run, images=settings.data or settings.images, out=settings.out)
    class_folders = subject.run is None and settings.data is None and subject.labelled
    context = context_of(settings)
    asked: dict[str, Any] = {
        "images": "" if class_folders else settings.images or "",
        "layers": settings.layers,
        "methods": settings.methods,
        "target": settings.target,
        "mask": settings.mask,
        "split": settings.split,
        "precision": precision_of(settings),
    }
    explained = analyse(subject, "attribution", name=settings.name, context=context, **asked)
    parts = [_facts(subject, explained.result), *_notes(explained.result)]
    done = [explained]
    if not settings.faithfulness:
        parts += _shares(explained.result)
    else:
        measured = analyse(subject, "faithfulness", attribution=AttributionRequest(**asked), context=context)
        parts += _faithfulness(measured.result, explained.result)
        done.append(measured)
    about = {"run": str(subject.path), "explained": explained.to_json()}
    about |= {"faithfulness": done[1].to_json()} if settings.faithfulness else {}
    return answer_about(subject, "\n\n".join([*parts, kept_at(done)]), about)


def _facts(subject: Subject, result: Attribution) -> str:
    """Lay out the explained images; the groups by their short names, so that a row fits a terminal."""
    short = {group.title: group.name for group in result.groups}
    header, rows = facts_table(subject, result)
    return text_table(header, [(short[title], *cells) for title, *cells in rows], names=2)


def _notes(result: Attribution) -> Iterator[str]:
    for group in result.groups:
        if group.note:
            yield group.note


def _shares(result: Attribution) -> Iterator[str]:
    """Say how much of each map lies in the mask."""
    for group in result.groups:
        if group.mask is None:
            continue
        yield f"{group.title}, {len(group.names)} images: mean (95% interval over images)"
        yield _measured(group.inside)
        yield from _mask(group, result.threshold)


def _mask(group: ExplainedGroup, threshold: float | None) -> Iterator[str]:
    if group.mask is not None and threshold is not None:
        share = MEASURES["mask_share"].show(float(group.mask.mean()))
        yield f"mask: the stroke, pixels brighter than {threshold:g}; a uniform map has {share} of itself in it"


def _faithfulness(result: MeasuredFaithfulness, explained: Attribution) -> Iterator[str]:
    """Say how faithful the maps are; how much of them lies in the mask is among the numbers."""
    for group, maps in zip(result.groups, explained.groups, strict=True):
        yield f"{group.title}, {group.images} images: faithfulness, mean (95% interval over images)"
        yield _measured(group.numbers)
        yield from _mask(maps, explained.threshold)
        areas = [float(area.mean()) for area in (group.random.deletion_area, group.random.insertion_area)]
        shown = [MEASURES[key].show(area) for key, area in zip(("deletion", "insertion"), areas, strict=True)]
        yield f"pixels in random order: deletion {shown[0]}, insertion {shown[1]}"
        yield from _agreement(group)
        yield _sanity(group)


def _agreement(group: MeasuredGroup) -> Iterator[str]:
    if group.agreement:
        rows = [
            (
                f"{METHOD_TITLES.get(one, one)} and {METHOD_TITLES.get(other, other)}",
                layer,
                _cell("rank_correlation", value),
            )
            for (one, other, layer), value in group.agreement.items()
        ]
        yield text_table(("agreement of", "layer", "rank correlation"), rows)


def _sanity(group: MeasuredGroup) -> str:
    rows = []
    for method in group.sanity.rank_correlation:
        steps = group.sanity.steps(method)
        half, whole = (_cell("rank_correlation", steps[place]) for place in (len(steps) // 2, -1))
        rows.append((METHOD_TITLES.get(method, method), half, whole, NOTICES[group.passes[method]]))
    about = "correlation with the trained network's maps when its weights are randomised"
    return f"{about}:\n{text_table(('method', 'upper half', 'all layers', 'map notices'), rows)}"


def _measured(numbers: Mapping[tuple[str, str], Mapping[str, MeanCI]]) -> str:
    keys = list(dict.fromkeys(key for values in numbers.values() for key in values))
    rows = [
        (METHOD_TITLES.get(method, method), layer, *(_cell(key, values.get(key)) for key in keys))
        for (method, layer), values in numbers.items()
    ]
    return text_table(("method", "layer", *(MEASURES[key].heading for key in keys)), rows, names=2)


def _cell(key: str, value: MeanCI | None) -> str:
    if value is None or value.mean is None:
        return DASH
    return with_interval(key, value.mean, (value.low, value.high))
