"""A subject's report put together from its analyses: results first, then features and layers, settings last."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from glassnet.analysis import Analysis, Context, analyse, stored
from glassnet.blocks import Block, Example, Fold, Headline, Missing, Prose, RunReport, Section, Template
from glassnet.console import say
from glassnet.errors import InputError
from glassnet.formats import count, duration
from glassnet.reports.layers import layer_blocks
from glassnet.reports.material import Material, examples_of, pictures
from glassnet.reports.network import learning_blocks, network_blocks
from glassnet.reports.pictures import embedding_blocks
from glassnet.reports.provenance import provenance
from glassnet.run.codec import encode
from glassnet.subject import Subject

WORDS = {"evaluation": "glassnet eval", "embedding": "glassnet features", "attribution": "glassnet explain"}
"""Kind → the command that makes it."""
DONE = {
    "evaluation": "Its images were not evaluated",
    "embedding": "Its features were not embedded",
    "attribution": "Its predictions were not explained",
}


@dataclasses.dataclass(frozen=True)
class Gathered:
    """A subject's analyses for its report.

    Attributes:
        subject: The subject.
        analyses: All of them, the oldest first.
        lacking: What could not be made, by kind: why.
        context: What they share.
    """

    subject: Subject
    analyses: Sequence[Analysis]
    lacking: Mapping[str, str]
    context: Context

    def of(self, kind: str) -> list[Analysis]:
        """Return the analyses of a kind."""
        return [one for one in self.analyses if one.kind == kind]

    @property
    def evaluation(self) -> Analysis | None:
        """The latest evaluation of the subject's own test images."""
        own = [one for one in self.of("evaluation") if one.request.data is None and one.request.split == "test"]
        return own[-1] if own else None


def gather(subject: Subject, *, seed: int, precision: str, context: Context) -> Gathered:
    """Make what a report needs and does not find; what cannot be made is left out, and said."""
    kept: list[Analysis] = list(_readable(subject))
    lacking: dict[str, str] = {}
    for kind, settings in subject.task.views().wanted(subject):
        asked = settings | ({"seed": seed} if kind == "embedding" and seed else {})
        if any(one.kind == kind and _has(one, asked) for one in kept):
            continue
        say(f"making {kind}{''.join(f', {key} {value}' for key, value in settings.items() if isinstance(value, str))}")
        try:
            kept.append(analyse(subject, kind, context=context, **asked, precision=precision))
        except InputError as error:
            say(f"left out: {error}")
            lacking.setdefault(kind, str(error))
    return Gathered(subject, kept, lacking, context)


def _readable(subject: Subject) -> Iterator[Analysis]:
    """Yield the analyses that are kept; a damaged one is left out, and said."""
    if subject.store is None:
        return
    for entry in subject.store.entries():
        try:
            yield from (one for one in stored(subject, entry.kind) if one.entry and one.entry.name == entry.name)
        except InputError as error:
            say(f"left out: {error}")


def _has(analysis: Analysis, asked: Mapping[str, Any]) -> bool:
    settings, _ = encode(analysis.request)
    wanted, _ = encode(dict(asked))
    return all(settings.get(key) == value for key, value in wanted.items())


def run_report(found: Gathered) -> RunReport:
    """Put the report of one subject together."""
    subject, views = found.subject, found.subject.task.views()
    evaluation = found.evaluation
    examples, material = _examples(found)
    metrics = _metrics(found)
    sections = [
        *_results(found, material),
        Section("embedding", "What it tells apart", tuple(_embedding(found, examples))),
        Section("layers", "Layer by layer", tuple(_layers(found))),
        *([Section("other", "The same network on other images", others)] if (others := _others(found)) else []),
        Section("network", _network_title(subject), (*learning_blocks(subject), *network_blocks(subject))),
        Section("methods", "How these numbers were made", (_methods(subject),), folded=True),
    ]
    if subject.run is not None:
        sections.append(Section("settings", "Settings and versions", provenance(subject.run), folded=True))
    return RunReport(
        name=subject.name,
        model=subject.model_name,
        data=str(subject.data or "its own images"),
        headlines=tuple(Headline(*one) for one in views.headlines(metrics)) + _about(subject, metrics),
        summary=tuple(_summary(subject, evaluation)),
        sections=tuple(one for one in sections if one.blocks),
        examples=examples,
        when=_when(subject),
    )


def _network_title(subject: Subject) -> str:
    return "Learning curves and the network" if subject.run is not None else "The network"


def _examples(found: Gathered) -> tuple[tuple[Example, ...], Material | None]:
    """Explain the images that the first sections show."""
    evaluation, subject = found.evaluation, found.subject
    if evaluation is None:
        return (), None
    rows = tuple(subject.task.views().shown(evaluation.result))
    if not rows:
        return (), Material(subject, evaluation, None)
    try:
        made = analyse(subject, "examples", rows=rows, context=found.context).result
    except InputError as error:
        say(f"left out: {error}")
        return (), Material(subject, evaluation, None)
    return examples_of(made), Material(subject, evaluation, made)


def _results(found: Gathered, material: Material | None) -> list[Section]:
    evaluation, subject = found.evaluation, found.subject
    if evaluation is None or material is None:
        if not subject.labelled:
            return []
        return [Section("results", "Results", (_missing(found, "evaluation"),))]
    views = subject.task.views()
    tables = Fold("Measures, classes and confusions as tables", tuple(views.tables(evaluation.result)))
    if views.results is not None:
        first, *more = views.results(material)
        return [first, *more[:-1], *[dataclasses.replace(one, blocks=(*one.blocks, tables)) for one in more[-1:]]]
    return [Section("results", "Results", (*pictures(evaluation), tables))]


def _embedding(found: Gathered, examples: Sequence[Example]) -> Iterator[Block]:
    embedded = found.of("embedding")
    if embedded:
        yield from embedding_blocks(found.subject, embedded, found.evaluation, examples)
    elif found.subject.task.labels_images:
        yield _missing(found, "embedding")


def _layers(found: Gathered) -> Iterator[Block]:
    explained = found.of("attribution")
    yield from layer_blocks(found.subject, explained, found.of("faithfulness"), found.of("layers"))
    if not explained:
        yield _missing(found, "attribution")


def _missing(found: Gathered, kind: str) -> Missing:
    why = found.lacking.get(kind)
    where = shlex.quote(str(found.subject.path)) if found.subject.run is not None else ""
    return Missing(f"{DONE[kind]}: {why}" if why else f"{DONE[kind]}.", f"{WORDS[kind]} {where}" if where else "")


def _others(found: Gathered) -> tuple[Block, ...]:
    """Return the evaluations but that of the test images, each folded."""
    views = found.subject.task.views()
    own = found.evaluation
    others = [one for one in found.of("evaluation") if one is not own]
    return tuple(
        Fold(
            f"{one.request.data or found.subject.data} ({one.request.split}, {one.result.images:,} images"
            f"{', with mirror images' if one.request.flip else ''}, {one.request.precision})",
            (Prose(tuple(views.summary(one.result))), *views.tables(one.result)),
        )
        for one in others
    )


def _metrics(found: Gathered) -> dict[str, Any]:
    """Return the run's metrics, those of the test images as they were evaluated, where they were.

    A training tests in its own precision and an evaluation in fp32 by default: their last digits differ, and a report
    that took one number from here and the next from there would contradict itself.
    """
    metrics = {} if found.subject.run is None else found.subject.run.metrics
    if found.evaluation is None:
        return metrics
    result = found.evaluation.result
    names = found.subject.task.saved_metrics
    return metrics | {f"test_{name}": encode(getattr(result, name))[0] for name in names}


def _about(subject: Subject, metrics: Mapping[str, Any]) -> tuple[Headline, ...]:
    parameters = sum(parameter.numel() for parameter in subject.model().parameters())
    about = (Headline("Parameters", count(parameters), "numbers that are learned"),)
    if subject.run is None:
        return about
    manifest = subject.run.manifest
    where = f"on {manifest.get('device')} in {manifest.get('precision')}"
    return (
        *about,
        Headline("Training time", duration(manifest.get("seconds")), where),
        Headline("Saved epoch", count(metrics.get("epoch")), subject.task.views().epoch_note(metrics)),
    )


def _summary(subject: Subject, evaluation: Analysis | None) -> Iterator[str]:
    if subject.run is not None:
        data, epochs = subject.run.manifest["data"], subject.run.settings.epochs
        yield (
            f"The network {subject.model_name} learned from {count(data['train'])} images of {data['name']} in "
            f"{epochs} epochs; {count(data['validation'])} further images, held out, chose the weights of epoch "
            f"{count(subject.run.metrics['epoch'])}."
        )
    if evaluation is not None:
        yield from subject.task.views().summary(evaluation.result)
    elif not subject.labelled:
        yield "Its images have no labels, so that right and wrong cannot be told apart."


def _methods(subject: Subject) -> Template:
    """Return the task's own page on how its numbers are made."""
    source = (files("glassnet.tasks") / subject.task.name / "report.html.j2").read_text(encoding="utf-8")
    settings = {} if subject.run is None else dict(subject.run.manifest["settings"])
    leak = 0 if subject.run is None else subject.run.manifest["data"].get("leak") or 0
    return Template(source, {"settings": settings, "leak": leak})


def _when(subject: Subject) -> str:
    if subject.run is None:
        return ""
    started = str(subject.run.manifest.get("started", ""))
    zone = " UTC" if started.endswith(("+0000", "+00:00", "Z")) else ""
    return started.replace("T", " ")[:16] + zone
