"""`glassnet features`: what layers know, as pictures with numbers beside them, and the layers compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from glassnet.analysis import Analysis, Context, analyse, build_request
from glassnet.analysis.base import is_stored
from glassnet.analysis.embedding import EMBEDDING, QUALITY_MEASURES, check
from glassnet.analysis.features import Extract, layer_names, prepare, width_of
from glassnet.analysis.layers import LayerComparison
from glassnet.analysis.views import last_hidden_layer
from glassnet.cli import Answer
from glassnet.cli.rows import rows_of
from glassnet.cli.subjects import answer_about, context_of, kept_at, open_subject, precision_of
from glassnet.console import progress, say
from glassnet.errors import InputError
from glassnet.measures import MEASURES, show, with_interval
from glassnet.method_titles import EMBEDDING_TITLES
from glassnet.settings import FeaturesSettings
from glassnet.subject import Subject
from glassnet.tables import text_table


def features(settings: FeaturesSettings) -> Answer:
    """Embed, cluster, measure and compare layers, and keep all of it."""
    subject = _subject(settings)
    context = context_of(settings)
    requests = _requests(subject, settings, context)
    compares = bool(settings.compare or settings.against)
    if settings.name and len(requests) + compares > 1:
        raise InputError(
            f"--name is {settings.name}, but the settings ask for {len(requests) + compares} analyses; choose one "
            "layer, method and number of dimensions, or leave it out."
        )
    compared = _compared(subject, settings, context) if compares else None  # first: it refuses before the others work
    with rows_of(settings, subject, context) as extract:
        done = list(_embedded(subject, requests, settings, context, extract))
    parts = [_pictures(done)] if done else []
    answer: dict[str, Any] = {"run": str(subject.path), "pictures": [one.to_json() for one in done]}
    if compared is not None:
        parts += _comparison(compared.result)
        done.append(compared)
        answer["comparison"] = compared.to_json()
    return answer_about(subject, "\n\n".join([*parts, kept_at(done)]), answer)


def _subject(settings: FeaturesSettings) -> Subject:
    """Open the run, or the network with its images, which --images names where it is no number."""
    if isinstance(settings.images, int):
        return open_subject(settings, settings.run, images=settings.data, out=settings.out)
    subject = open_subject(settings, settings.run, images=settings.images, out=settings.out)
    if subject.run is not None:
        raise InputError(
            f"--images is {settings.images}, expected a number: {subject.run.path} is a run with images of its own."
        )
    return subject


def _compared(subject: Subject, settings: FeaturesSettings, context: Context) -> Analysis:
    return analyse(
        subject,
        "layers",
        layers=settings.compare or ("conv", "linear"),
        against=None if settings.against is None else str(settings.against),
        images=settings.most,
        seed=settings.seed,
        precision=precision_of(settings),
        context=context,
    )


def _requests(subject: Subject, settings: FeaturesSettings, context: Context) -> list[dict[str, Any]]:
    """Return the settings of every picture that is asked for, after extracting the layers' features in one pass."""
    usual = [settings_of["layer"] for kind, settings_of in subject.task.views().wanted(subject) if kind == "embedding"]
    # A report has no picture of a few images without labels; who asks for one gets it.
    last = None if usual or settings.layers else last_hidden_layer(subject)
    words = settings.layers or tuple(dict.fromkeys(usual)) or (() if last is None else (last,))
    if not words:
        raise InputError(f"{subject.name} has no layer to embed by default; name some with --layers.")
    layers = layer_names(subject, words, context)
    common: dict[str, Any] = {
        "images": settings.most,
        "split": settings.split,
        "seed": settings.seed,
        "precision": precision_of(settings),
        "engine": settings.tsne_engine,
        "perplexity": settings.perplexity,
        "landmarks": settings.landmarks,
        "clustering": settings.clustering,
        "clusters": settings.clusters,
    }
    pictures = [
        (method, dims)
        for method in dict.fromkeys(settings.methods)
        for dims in dict.fromkeys(settings.dims or ((2, 3) if method == "pca" else (2,)))
    ]
    return [{"layer": layer, "method": method, "dims": dims, **common} for layer in layers for method, dims in pictures]


def _embedded(
    subject: Subject,
    requests: list[dict[str, Any]],
    settings: FeaturesSettings,
    context: Context,
    extract: Extract | None,
) -> Iterator[Analysis]:
    built = [build_request("embedding", one) for one in requests]
    new = [one for one in built if not is_stored(EMBEDDING, subject, one, context)]
    for request in new:
        check(subject, request, context)
    if wanted := built if settings.rows else new:  # in one pass
        prepare(subject, list(dict.fromkeys(one.layer for one in wanted)), wanted[0], context, extract=extract)
    with progress("embedding features", len(built)) as advance:
        for one, request in zip(requests, built, strict=True):
            if request in new and request.dims > (width := width_of(subject, request, context)):
                say(f"{request.layer} has {width} features, too few for {request.dims} dimensions; left out.")
                continue
            yield analyse(subject, "embedding", name=settings.name, context=context, **one)
            advance(note=f"{request.layer}: {EMBEDDING_TITLES[request.method]} {request.dims}-D")


def _pictures(done: list[Analysis]) -> str:
    rows = [
        (
            one.result.layer,
            f"{EMBEDDING_TITLES[one.result.method]} {one.request.dims}-D",
            *(show(key, one.result.measures[key]) for key in QUALITY_MEASURES),
        )
        for one in done
    ]
    sizes = sorted({(len(one.result.points), one.result.sample) for one in done})
    split = done[0].request.split
    measured = ", ".join(f"{images:,} {split} images, measured on {sample:,}" for images, sample in sizes)
    columns = ("layer", "picture", *(MEASURES[key].heading for key in QUALITY_MEASURES))
    lines = [text_table(columns, rows, names=2), measured]
    lines += [f"{one.result.title}: {cost.words}" for one in done if (cost := one.result.landmark_accuracy)]
    return "\n".join(lines)


def _comparison(result: LayerComparison) -> Iterator[str]:
    keys = ("nearest_mean_accuracy", "scatter_ratio", "effective_rank")
    rows = [
        (
            row.layer,
            f"{row.features:,}",
            with_interval("probe_accuracy", row.probe_accuracy, row.probe_interval),
            with_interval("knn_accuracy", row.knn_accuracy, row.knn_interval),
            *(show(key, getattr(row, key)) for key in keys),
        )
        for row in result.rows
    ]
    heads = [MEASURES[key].heading for key in ("probe_accuracy", "knn_accuracy", *keys)]
    yield text_table(("layer", "features", *heads), rows)
    sample = max(row.rank_sample for row in result.rows)
    yield (
        f"probe and kNN: fitted to {result.fitted:,} {result.part}, scored on {result.scored:,}; effective rank: on "
        f"{sample:,} of them; feature maps are averaged over their pixels"
    )
