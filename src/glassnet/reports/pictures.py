"""Embeddings as a page shows them: points that show their images, and how far to trust each picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from glassnet.analysis import Analysis
from glassnet.analysis.embedding import QUALITY_MEASURES
from glassnet.analysis.points import EmbeddedLayer, label_names
from glassnet.analysis.views import image_name
from glassnet.blocks import Block, Example, Fold, Picture, Points, Row, Scatter, Terms
from glassnet.figures.style import PALETTE
from glassnet.formats import count, is_number, percent, plain
from glassnet.measures import MEASURES, show
from glassnet.method_titles import CLUSTERING_TITLES, EMBEDDING_TITLES
from glassnet.reports.material import pictures, sheet
from glassnet.subject import Subject
from glassnet.tables import Table, make_table

UNTOLD = ("dims", "solver", "device")
READING: dict[str, str] = {
    "pca": "PCA rotates the features without distorting them: points far apart in the plot are far apart among the "
    "features. Points close together may still differ in the components that are left out.",
    "tsne": "t-SNE keeps neighbours together and distorts everything else: which images lie side by side is "
    "meaningful, but group sizes and distances between groups mean little.",
    "umap": "UMAP keeps neighbours together and distorts everything else: which images lie side by side is meaningful, "
    "but distances between groups mean little.",
    "pacmap": "PaCMAP keeps neighbours together and preserves distances between groups better than t-SNE: which images "
    "lie side by side is meaningful, and distances between groups are a rough guide.",
}


SETTINGS: dict[str, Callable[[Any], str]] = {
    "images": lambda value: f"at most {count(value)} images",
    "split": lambda value: f"{value} images",
    "seed": lambda value: f"seed {value}",
    "engine": str,
    "landmarks": lambda value: f"{count(value)} landmarks" if value else "no landmarks",
    "perplexity": lambda value: f"perplexity {plain(value)}" if value else "usual perplexity",
    "clustering": lambda value: f"{CLUSTERING_TITLES[value]} clusters",
    "clusters": lambda value: f"{value} clusters" if value else "usual number of clusters",
    "precision": str,
}
"""Settings by which pictures of one title may differ, and how a heading says them."""


def embedding_blocks(
    subject: Subject, embedded: Sequence[Analysis], evaluation: Analysis | None, examples: Sequence[Example]
) -> Iterator[Block]:
    """Return the pictures of features: the last two side by side, the others folded, and how to read them."""
    shared: dict[tuple[str, int, bytes], Points] = {}
    drawn = [
        (one, _scatter(subject, one, heading_of(one, embedded), shared, evaluation, examples))
        for one in _ordered(embedded)
    ]
    first = tuple(scatter for _, scatter in drawn[:2])
    yield first[0] if len(first) == 1 else Row(first)
    for one, scatter in drawn[2:]:
        yield Fold(f"{scatter.title} ({count(len(one.result.points))} images)", (scatter,))
    if len(drawn) > 1:
        yield Fold("All plots compared", (_summary(embedded),))
    components = [picture for one in embedded for picture in pictures(one) if _is_scree(picture)]
    if components:
        yield Fold("Variance by principal component", tuple(components))
    yield Fold("How to read these plots and numbers", (_reading(subject, embedded),))


def _is_scree(block: Block) -> bool:
    return isinstance(block, Picture) and "scree" in block.name


def heading_of(analysis: Analysis, embedded: Sequence[Analysis]) -> str:
    """Return a picture's title, with the settings by which others of the same title differ from it."""
    return ", ".join([analysis.result.title, *_differences(analysis, embedded)])


def _differences(analysis: Analysis, embedded: Sequence[Analysis]) -> list[str]:
    alike = [one.request for one in embedded if one.result.title == analysis.result.title]
    return [
        write(getattr(analysis.request, key))
        for key, write in SETTINGS.items()
        if len({getattr(request, key) for request in alike}) > 1
    ]


def _ordered(embedded: Sequence[Analysis]) -> list[Analysis]:
    """Put the newest picture in two dimensions first, then one in three, then the others."""
    newest = list(reversed(embedded))
    rank = {"tsne": 0, "umap": 1, "pacmap": 2, "pca": 3}
    flat = sorted((one for one in newest if one.request.dims == 2), key=lambda one: rank[one.request.method])
    deep = [one for one in newest if one.request.dims == 3]
    return [*flat[:1], *deep[:1], *flat[1:], *deep[1:]]


def _scatter(
    subject: Subject,
    analysis: Analysis,
    title: str,
    shared: dict[tuple[str, int, bytes], Points],
    evaluation: Analysis | None,
    examples: Sequence[Example],
) -> Scatter:
    result: EmbeddedLayer = analysis.result
    key = (analysis.request.split, len(result.points), result.numbers.tobytes())
    if key not in shared:
        shared[key] = _points(subject, analysis, evaluation, examples)
    dims = result.points.shape[1]
    colours = ", coloured by class" if subject.labelled else ""
    axes = " Its axes are the first three principal components." if result.method == "pca" and dims == 3 else ""
    return Scatter(
        title=title,
        alt=f"{count(len(result.points))} images as points in {dims} dimensions{colours}.",
        positions=np.asarray(result.points, dtype=np.float32),
        points=shared[key],
        lead=_lead(result),
        caption=f"{count(len(result.points))} {analysis.request.split} images, {count(result.features)} features "
        f"each.{axes}",
        clusters=result.assignment,
        axes=("component 1", "component 2") if result.method == "pca" and dims == 2 else (),
        measures=_measures(subject, result),
    )


def _points(subject: Subject, analysis: Analysis, evaluation: Analysis | None, examples: Sequence[Example]) -> Points:
    result: EmbeddedLayer = analysis.result
    part = analysis.request.split
    split = subject.part(part)
    place = {int(number): row for row, number in enumerate(split.numbers.tolist())}
    rows = [place[int(number)] for number in result.numbers]
    known = {example.id for example in examples} if part == "test" else set()
    predicted = getattr(evaluation.result, "predicted", None) if evaluation is not None and part == "test" else None
    return Points(
        names=tuple(image_name(split, row, part) for row in rows),
        labels=result.labels,
        classes=label_names(subject, result),
        colours=tuple(PALETTE),
        predicted=None if predicted is None else np.asarray(predicted)[rows],
        examples=np.array([row if row in known else -1 for row in rows]),
        thumbnails=sheet(split, rows),
    )


def _lead(result: EmbeddedLayer) -> str:
    """Say what to see: how far images of a class lie together, and how much of the features a PCA keeps."""
    near, variance = result.measures.get("knn_accuracy"), result.measures.get("explained_variance")
    together = f"{percent(near, 1)} of the images have neighbours mostly of their own class" if is_number(near) else ""
    retained = f"{result.points.shape[1]} components keep {percent(variance, 1)} of the features’ variance"
    if is_number(variance):
        return f"{retained}, and {together}." if together else f"{retained}; each point is an image."
    if together:
        return f"{together}; the higher this number, the better this plot of {result.layer} separates the classes."
    close = show("trustworthiness", result.measures.get("trustworthiness"))
    return (
        f"Each point is an image. Neighbours here are neighbours in {result.layer} with a trustworthiness of {close}."
    )


def _measures(subject: Subject, result: EmbeddedLayer) -> Table:
    rows = [
        (MEASURES[key].title, show(key, result.measures[key]), _ends(subject, key))
        for key in QUALITY_MEASURES
        if result.measures.get(key) is not None
    ]
    notes = [
        *(
            f"{key.replace('_', ' ')} {plain(value)}"
            for key, value in result.method_settings.items()
            if key not in UNTOLD
        ),
        *([result.landmark_accuracy.words] if result.landmark_accuracy else []),
        f"{CLUSTERING_TITLES[result.clustering]}, {result.clusters} clusters",
        f"neighbourhoods of {result.neighbours}",
        f"measured on {count(result.sample)} images",
        *([f"{percent(result.noise_share, 1)} in no cluster"] if result.noise_share is not None else []),
    ]
    return make_table(
        "What the plot preserves", ("Measure", "Value", "Scale"), rows, words=(0, 2), note=f"{'; '.join(notes)}."
    )


def _ends(subject: Subject, key: str) -> str:
    return MEASURES[key].ends.format(chance=percent(1 / max(1, len(subject.classes)), 0))


def _summary(embedded: Sequence[Analysis]) -> Table:
    """Set all pictures side by side, the best value of each measure standing out."""
    results: list[EmbeddedLayer] = [one.result for one in embedded]
    keys = [key for key in QUALITY_MEASURES if any(result.measures.get(key) is not None for result in results)]
    best = {key: _best(key, [result.measures.get(key) for result in results]) for key in keys}
    rows = [
        (
            Markup("<code>{}</code>").format(result.layer),
            ", ".join([f"{EMBEDDING_TITLES[result.method]} {result.points.shape[1]}-D", *_differences(one, embedded)]),
            *(_cell(key, result.measures.get(key), best[key]) for key in keys),
        )
        for one, result in zip(embedded, results, strict=True)
    ]
    columns = ("Layer", "Picture", *(MEASURES[key].title for key in keys))
    return make_table("All plots; the best value of each measure is bold", columns, rows, words=(0, 1), names=2)


def _best(key: str, values: Sequence[float | None]) -> float | None:
    known = [value for value in values if is_number(value)]
    if len(known) < 2:
        return None
    return min(known) if MEASURES[key].better == "lower" else max(known)


def _cell(key: str, value: float | None, best: float | None) -> str:
    written = show(key, value)
    return Markup("<strong>{}</strong>").format(written) if best is not None and value == best else written


def _reading(subject: Subject, embedded: Sequence[Analysis]) -> Terms:
    methods = [
        (EMBEDDING_TITLES[method], text)
        for method, text in READING.items()
        if any(a.request.method == method for a in embedded)
    ]
    keys = [key for key in QUALITY_MEASURES if any(one.result.measures.get(key) is not None for one in embedded)]
    measures = [(MEASURES[key].title, f"{MEASURES[key].meaning} {_ends(subject, key)}.") for key in keys]
    return Terms((*methods, *measures))
