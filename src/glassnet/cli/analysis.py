"""`glassnet eval`, `explain`, `report` and `analyses`: measure a model, show where it looks, and put it on a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from glassnet.analysis import analyse
from glassnet.analysis.attribution import Attribution, AttributionRequest, ExplainedGroup, facts_table
from glassnet.analysis.evaluation import copies_learned_from
from glassnet.analysis.faithfulness import MeasuredFaithfulness, MeasuredGroup
from glassnet.attribution.faithfulness import MeanCI
from glassnet.cli import Answer
from glassnet.cli.subjects import answer_about, context_of, kept_at, open_subject, open_subjects, precision_of
from glassnet.errors import InputError
from glassnet.formats import DASH, duration, plain
from glassnet.measures import MEASURES, with_interval
from glassnet.method_titles import METHOD_TITLES
from glassnet.reports import report as write_report
from glassnet.run.legacy import PREFIX
from glassnet.run.store import Entry, Store
from glassnet.settings import AnalysesSettings, EvalSettings, ExplainSettings, ReportSettings
from glassnet.subject import Subject
from glassnet.tables import text_table

BROWSED = "browsed"
"""What `glassnet analyses RUN --remove` takes for all that the explorer made and no command asked for."""
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
    if settings.rank_layers:
        ranking = analyse(subject, "ranking", attribution=AttributionRequest(**asked), context=context)
        done.append(ranking)
        parts += [ranking.result.table().text(), ranking.result.recommendation()]
        about["ranking"] = {**ranking.to_json(), "recommendation": ranking.result.recommendation()}
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
        yield f"{group.title}, {_images(len(group.names))}: mean (95% interval over images)"
        yield _measured(group.inside)
        yield from _not_counted(group.inside, len(group.names))
        yield from _mask(group, result.threshold)


def _images(number: int) -> str:
    return "1 image" if number == 1 else f"{number} images"


def _mask(group: ExplainedGroup, threshold: float | None) -> Iterator[str]:
    if group.mask is not None and threshold is not None:
        share = MEASURES["mask_share"].show(float(group.mask.mean()))
        yield f"mask: the stroke, pixels above {threshold:g}; a uniform map has {share} of its attribution in it"


def _not_counted(numbers: Mapping[tuple[str, str], Mapping[str, MeanCI]], images: int) -> Iterator[str]:
    """Say which means are over fewer images than the heading says."""
    shares = {key: values["mask_share"].count for key, values in numbers.items() if "mask_share" in values}
    fewer = [f"{METHOD_TITLES.get(one, one)} at {at} {n}" for (one, at), n in shares.items() if n < images]
    if fewer:
        yield f"of {_images(images)}, fewer count where a map has no positive value or no mask: {', '.join(fewer)}"


def _faithfulness(result: MeasuredFaithfulness, explained: Attribution) -> Iterator[str]:
    """Say how faithful the maps are; how much of them lies in the mask is among the numbers."""
    for group, maps in zip(result.groups, explained.groups, strict=True):
        yield f"{group.title}, {_images(group.images)}: faithfulness, mean (95% interval over images)"
        yield _measured(group.numbers)
        yield from _not_counted(group.numbers, group.images)
        yield from _mask(maps, explained.threshold)
        areas = [float(area.mean()) for area in (group.random.deletion_area, group.random.insertion_area)]
        texts = [MEASURES[key].show(area) for key, area in zip(("deletion", "insertion"), areas, strict=True)]
        yield f"pixels in random order: deletion {texts[0]}, insertion {texts[1]}"
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
    about = "correlation with the trained network's maps as its weights are randomised"
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


def evaluate(settings: EvalSettings) -> Answer:
    """Measure a run or a network on images, and keep the evaluation."""
    subject = open_subject(settings, settings.run, images=settings.data, out=settings.out)
    context = context_of(settings, batch_size=settings.batch_size)
    done = analyse(
        subject,
        "evaluation",
        split=settings.split,
        data=settings.data if subject.run else None,
        flip=settings.flip,
        nll_samples=settings.nll_samples,
        nll_images=settings.nll_images,
        precision=precision_of(settings),
        name=settings.name,
        context=context,
    )
    data = settings.data or subject.data or subject.name
    measured = subject.task.views().text(done.result)
    text = (
        f"{subject.name} on {data} ({settings.split}, {done.result.images:,} images): {measured}\n\n{kept_at([done])}"
    )
    about = {"run": str(subject.path), "data": data, "split": settings.split, **done.to_json()}
    if settings.data and subject.run:
        about["leak"] = leak = copies_learned_from(subject, settings.data, settings.split, context)
        if leak:
            are = "is a copy of one" if leak == 1 else "are copies of images"
            text += (
                f"\n\nnote: {leak:,} of these images {are} that {subject.name} was trained on or that chose its "
                "epoch, pixel by pixel: the figures are too good."
            )
    return answer_about(subject, text, about)


def report(settings: ReportSettings) -> Answer:
    """Complete what a report needs, and write it."""
    subjects = open_subjects(settings)
    path = write_report(
        subjects,
        out=settings.out,
        seed=settings.seed,
        precision=precision_of(settings),
        device=settings.device,
        data_root=settings.data_root,
    )
    folders = [str(subject.path) for subject in subjects]
    changed = [subject.data_changed or None for subject in subjects]
    notes = [f"note: {one}" for one in changed if one]
    about = {"run": folders[0], "runs": folders, "report": str(path.resolve()), "data_changed": changed}
    return Answer("\n".join([f"report: {path.resolve()}", *notes]), about)


def analyses(settings: AnalysesSettings) -> Answer:
    """List the analyses of a run, or remove or rename one.

    Raises:
        InputError: There is no such folder or analysis.
    """
    if not settings.run.is_dir():
        raise InputError(f"there is no run at {settings.run}; expected a run directory written by `glassnet train`.")
    if not any((settings.run / name).exists() for name in ("run.json", "metrics.jsonl", "analyses")):
        raise InputError(
            f"{settings.run} is not a run and holds no analyses; expected a run directory, or the folder of a "
            "network's analyses."
        )
    store = Store(settings.run)
    if settings.remove == BROWSED:
        number = store.remove_browsed()
        text = f"removed {number:,} {'analysis' if number == 1 else 'analyses'} that the explorer made"
        return Answer(text, {"removed": BROWSED, "analyses": number})
    if settings.remove:
        gone = store.remove(settings.remove)
        return Answer(f"removed {gone.kind}/{gone.name}", {"removed": f"{gone.kind}/{gone.name}"})
    if settings.rename:
        new = store.rename(*settings.rename)
        return Answer(f"renamed {settings.rename[0]} to {new.kind}/{new.name}", {"renamed": f"{new.kind}/{new.name}"})
    entries = store.entries()
    if not entries:
        text = f"{settings.run} holds no analyses yet; `glassnet report {settings.run}` makes some."
        return Answer(text, {"analyses": []})
    listed = [
        {
            "name": f"{one.kind}/{one.name}",
            "path": str(one.path),
            "settings": one.settings,
            "earlier_version": one.elsewhere is not None,
            "browsed": one.browsed,
        }
        for one in entries
    ]
    text = text_table(("analysis", "settings", "made", "took"), [*_rows(entries), *_browsed_rows(entries)])
    if any(one.browsed for one in entries):
        text += (
            "\nThe explorer made the analyses marked browsed, without figures; reports leave them out. A command "
            f"that asks for one keeps it; `--remove {BROWSED}` removes the others."
        )
    if any(one.elsewhere for one in entries):
        text += f"\nAnalyses named {PREFIX}… were made by an earlier version of glassnet."
    return Answer(text, {"analyses": listed})


def _rows(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """Return a row for each entry that somebody asked for."""
    return [
        (f"{one.kind}/{one.name}", _settings(one), _made(one), duration(one.document.get("seconds")))
        for one in entries
        if not one.browsed
    ]


def _browsed_rows(entries: Sequence[Entry]) -> Iterator[tuple[str, ...]]:
    """Yield a row for all entries of a kind that the explorer made as somebody looked around."""
    kinds: dict[str, list[Entry]] = {}
    for one in entries:
        if one.browsed:
            kinds.setdefault(one.kind, []).append(one)
    for kind, browsed in kinds.items():
        seconds = sum(float(one.document.get("seconds") or 0) for one in browsed)
        yield f"{kind}, browsed", f"{len(browsed):,} made by the explorer", _made(browsed[-1]), duration(seconds)


def _settings(entry: Entry) -> str:
    return ", ".join(f"{key} {plain(value)}" for key, value in entry.settings.items() if value not in (None, [], ""))


def _made(entry: Entry) -> str:
    return str(entry.document.get("made", "")).replace("T", " ")[:16]
