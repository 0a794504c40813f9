"""A subject's report put together from its analyses: results first, then features and layers, settings last."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from glassnet.analysis import KINDS, Analysis, Context, analyse, build_request, load
from glassnet.analysis.base import is_current
from glassnet.analysis.views import Material, Views
from glassnet.blocks import Block, Example, Fold, Headline, Missing, Prose, RunReport, Section, Template
from glassnet.console import say
from glassnet.errors import InputError, OtherDataError
from glassnet.formats import count
from glassnet.reports.answers import answer_sections
from glassnet.reports.channels import channel_blocks
from glassnet.reports.layers import layer_blocks
from glassnet.reports.material import as_far_as_made, examples_of, pictures
from glassnet.reports.network import learning_blocks, network_blocks
from glassnet.reports.pictures import embedding_blocks
from glassnet.reports.provenance import earlier_figures, provenance
from glassnet.reports.summary import about, summary, when
from glassnet.run.codec import encode
from glassnet.run.entry import Entry, read_entry
from glassnet.run.legacy import old_entries
from glassnet.settings import to_json
from glassnet.subject import Subject

WORDS = {"evaluation": "glassnet eval", "embedding": "glassnet features", "attribution": "glassnet explain"}
"""Kind → the command that makes it."""
LACKING = {
    "evaluation": "The images were not evaluated",
    "predictions": "The network’s answers for the images are missing",
    "embedding": "Some plots of its features are missing",
    "attribution": "Some maps of its predictions are missing",
}


@dataclasses.dataclass(frozen=True)
class ReportAnalyses:
    """A subject's analyses for its report.

    Attributes:
        subject: The subject.
        analyses: All of them, the oldest first.
        lacking: What could not be made, by kind: why.
        outdated: Names of those that are left out, as they are of other images or weights than are there now.
        context: What they share.
    """

    subject: Subject
    analyses: Sequence[Analysis]
    lacking: Mapping[str, str]
    context: Context
    outdated: Sequence[str] = ()

    def of(self, kind: str) -> list[Analysis]:
        """Return the analyses of a kind."""
        return [one for one in self.analyses if one.kind == kind]

    @property
    def evaluation(self) -> Analysis | None:
        """The latest evaluation of the subject's own test images."""
        own = [one for one in self.of("evaluation") if one.request.data is None and one.request.split == "test"]
        return own[-1] if own else None


def gather(subject: Subject, *, seed: int, precision: str, context: Context) -> ReportAnalyses:
    """Make what a report needs and does not find; what cannot be made is left out, and said."""
    lacking: dict[str, str] = {}
    analyses, outdated = [], []
    for one in _readable(subject, lacking):
        if is_current(KINDS[one.kind], subject, one, context):
            analyses.append(one)
        else:
            say(f"left out: {one.name} was made with images or weights that have changed since")
            outdated.append(one.name)
    for kind, settings in _wanted(subject, lacking):
        asked = settings | ({"seed": seed} if kind == "embedding" and seed else {})
        resolved = KINDS[kind].resolve(subject, build_request(kind, dict(asked)))
        if any(one.kind == kind and _has(one, {key: getattr(resolved, key) for key in asked}) for one in analyses):
            continue
        say(f"making {kind}{''.join(f', {key} {value}' for key, value in settings.items() if isinstance(value, str))}")
        try:
            analyses.append(analyse(subject, kind, context=context, **asked, precision=precision))
        except OtherDataError:
            raise
        except InputError as error:
            _leave_out(lacking, kind, error)
    return ReportAnalyses(subject, analyses, lacking, context, outdated)


def _wanted(subject: Subject, lacking: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """Return what the task wants a report to have; the evaluation alone where its layers do not tell the rest."""
    try:
        return subject.task.views().wanted(subject)
    except InputError as error:
        _leave_out(lacking, "attribution", error)
        return [("evaluation", {"split": "test", "data": None})] if subject.labelled else []


def _readable(subject: Subject, lacking: dict[str, str]) -> Iterator[Analysis]:
    """Yield the analyses that are kept, the oldest first, without browsed ones; a damaged one is left out, and said."""
    if subject.store is None:
        return
    readable = []
    places: list[Path | Entry] = [*subject.store.places(), *old_entries(subject.store.folder)]
    for place in places:
        try:
            entry = place if isinstance(place, Entry) else read_entry(place)
            if entry is not None and entry.kind in KINDS and not entry.browsed:
                readable.append((entry.made, load(KINDS[entry.kind], subject, entry)))
        except InputError as error:
            _leave_out(lacking, place.kind if isinstance(place, Entry) else place.parent.name, error)
    yield from (one for _, one in sorted(readable, key=lambda pair: pair[0]))


def _leave_out(lacking: dict[str, str], kind: str, error: InputError) -> None:
    """Say on the terminal what the report leaves out, once, and note it for the page."""
    if lacking.get(kind) != str(error):
        say(f"left out: {error}")
    lacking.setdefault(kind, str(error))


def _has(analysis: Analysis, asked: Mapping[str, Any]) -> bool:
    settings, _ = encode(analysis.request)
    wanted, _ = encode(dict(asked))
    return all(settings.get(key) == value for key, value in wanted.items())


def run_report(gathered: ReportAnalyses) -> RunReport:
    """Put the report of one subject together."""
    subject = gathered.subject
    evaluation = gathered.evaluation
    examples, material = _examples(gathered)
    metrics = metrics_of(gathered)
    sections = [
        *_results(gathered, material),
        Section("embedding", "What it distinguishes", tuple(as_far_as_made(_embedding(gathered, examples)))),
        Section("layers", "Layer by layer", tuple(as_far_as_made(_layers(gathered)))),
        Section("channels", "What its channels have learned", tuple(as_far_as_made(_channels(gathered)))),
        *([Section("other", "The same network on other images", others)] if (others := _others(gathered)) else []),
        Section(
            "network",
            _network_title(subject),
            tuple(as_far_as_made(learning_blocks(subject), network_blocks(subject))),
        ),
        Section("methods", "How these numbers were made", (_methods(subject),), folded=True),
    ]
    if earlier := earlier_figures(subject, sections):
        sections.append(Section("earlier", "Figures from an earlier version", earlier, folded=True))
    if subject.run is not None:
        sections.append(Section("settings", "Settings and versions", provenance(subject.run), folded=True))
    return RunReport(
        name=subject.name,
        model=subject.model_name,
        data=str(subject.data or f"{count(len(subject.part('test')))} images"),
        headlines=(*_headlines(subject, metrics), *about(subject, metrics)),
        summary=(*_changed(gathered), *summary(subject, evaluation)),
        sections=tuple(one for one in sections if one.blocks),
        examples=examples,
        when=when(subject),
    )


def _network_title(subject: Subject) -> str:
    return "Learning curves and the network" if subject.run is not None else "The network"


def _examples(gathered: ReportAnalyses) -> tuple[tuple[Example, ...], Material | None]:
    """Explain the images that the first sections show."""
    evaluation, subject = gathered.evaluation, gathered.subject
    if evaluation is None:
        return (), None
    views = subject.task.views()
    rows, targets = tuple(views.example_rows(evaluation.result)), tuple(views.example_targets(evaluation.result))
    if not rows:
        return (), Material(subject, evaluation, None)
    try:
        precision = evaluation.request.precision  # so that an image's numbers are those of the evaluation
        asked = {"rows": rows, "targets": targets, "precision": precision}
        made = analyse(subject, "examples", context=gathered.context, **asked).result
    except OtherDataError:
        raise
    except InputError as error:
        say(f"left out: {error}")
        return (), Material(subject, evaluation, None)
    return examples_of(made), Material(subject, evaluation, made)


def _results(gathered: ReportAnalyses, material: Material | None) -> list[Section]:
    evaluation, subject = gathered.evaluation, gathered.subject
    if evaluation is None or material is None:
        if not subject.labelled:
            return answer_sections(subject, gathered.of("predictions"))
        return [Section("results", "Results", (_missing(gathered, "evaluation"),))]
    views = subject.task.views()
    tables = Fold("Measures, classes and confusions as tables", tuple(views.tables(evaluation.result)))
    *others, last = _task_sections(views, material)
    return [*others, dataclasses.replace(last, blocks=(*last.blocks, tables))]


def _task_sections(views: Views, material: Material) -> list[Section]:
    """Return the task's own sections, or the evaluation's figures where it has none or they cannot be made."""
    figures, reason = pictures(material.evaluation), []
    try:
        if views.results is not None:
            return list(views.results(material))
    except OtherDataError:
        raise
    except InputError as error:
        say(f"left out: {error}")
        reason = [Missing(f"Some figures of the results are left out: {error}")]
    return [Section("results", "Results", (*reason, *figures))]


def _embedding(gathered: ReportAnalyses, examples: Sequence[Example]) -> Iterator[Block]:
    embedded = gathered.of("embedding")
    if embedded:
        yield from embedding_blocks(gathered.subject, embedded, gathered.evaluation, examples)
    needed = gathered.subject.task.labels_images and gathered.subject.labelled
    if "embedding" in gathered.lacking or (not embedded and needed):
        yield _missing(gathered, "embedding")


def _layers(gathered: ReportAnalyses) -> Iterator[Block]:
    explained = gathered.of("attribution")
    others = (gathered.of(kind) for kind in ("faithfulness", "layers", "ranking"))
    yield from layer_blocks(gathered.subject, explained, *others)
    if "attribution" in gathered.lacking or not explained:
        yield _missing(gathered, "attribution")


def _channels(gathered: ReportAnalyses) -> Iterator[Block]:
    yield from channel_blocks(gathered.of("channels"))


def _missing(gathered: ReportAnalyses, kind: str) -> Missing:
    why = gathered.lacking.get(kind)
    where = shlex.quote(str(gathered.subject.path)) if gathered.subject.run is not None else ""
    if why:  # it says what to do
        return Missing(f"{LACKING[kind]}: {why}")
    return Missing(f"{LACKING[kind]}.", f"{WORDS[kind]} {where}" if where else "")


def _others(gathered: ReportAnalyses) -> tuple[Block, ...]:
    """Return the evaluations but that of the test images, each folded."""
    views = gathered.subject.task.views()
    own = gathered.evaluation
    others = [one for one in gathered.of("evaluation") if one is not own]
    return tuple(
        Fold(
            f"{one.request.data or gathered.subject.data} ({one.request.split}, {one.result.images:,} images"
            f"{', with mirror images' if one.request.flip else ''}, {one.request.precision})",
            (Prose(tuple(views.summary(one.result))), *views.tables(one.result)),
        )
        for one in others
    )


def metrics_of(gathered: ReportAnalyses) -> dict[str, Any]:
    """Return the run's metrics, those of the test images as they were evaluated, where they were.

    A training of an earlier version tested in its own precision, and an evaluation may be asked for in bf16: their last
    digits differ, and a report that took one number from here and the next from there would contradict itself.
    """
    metrics = {} if gathered.subject.run is None else gathered.subject.run.metrics
    if gathered.evaluation is None:
        return metrics
    result = gathered.evaluation.result
    names = gathered.subject.task.saved_metrics
    return metrics | {f"test_{name}": encode(getattr(result, name))[0] for name in names}


def _headlines(subject: Subject, metrics: Mapping[str, Any]) -> Iterator[Headline]:
    """Yield the main numbers; none where nothing was measured."""
    if metrics:
        yield from (Headline(*one) for one in subject.task.views().headlines(metrics))


def _changed(gathered: ReportAnalyses) -> Iterator[str]:
    """Say, before all else, where numbers and data no longer belong together."""
    if changed := gathered.subject.data_changed:
        yield f"{changed[0].upper()}{changed[1:]} The learning curves show the data as they were."
    if gathered.outdated:
        names = ", ".join(gathered.outdated)
        yield f"Left out, because they were made with images or weights that have changed since: {names}."


def _methods(subject: Subject) -> Template:
    """Return the task's own page on how its numbers are made."""
    source = (files("glassnet.tasks") / subject.task.name / "report.html.j2").read_text(encoding="utf-8")
    settings = {} if subject.run is None else to_json(subject.run.settings)
    leak = 0 if subject.run is None else subject.run.manifest["data"].get("leak") or 0
    return Template(source, {"settings": settings, "leak": leak, "trained": subject.run is not None})
