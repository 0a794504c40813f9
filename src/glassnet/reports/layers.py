"""Layer by layer: where each layer looks, how faithful its maps are, where the classes come apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from glassnet.analysis import Analysis
from glassnet.analysis.attribution import ATTRIBUTION, AttributionRequest, ExplainedGroup, facts_table
from glassnet.analysis.faithfulness import MeasuredGroup
from glassnet.analysis.layers import AlignedLayers, LayerComparison
from glassnet.analysis.ranking import ranking_of
from glassnet.attribution.faithfulness import MeanCI
from glassnet.blocks import Block, Fold, Picture, Prose
from glassnet.formats import DASH, count
from glassnet.measures import MEASURES, show, with_interval
from glassnet.method_titles import METHOD_TITLES
from glassnet.reports.material import pictures
from glassnet.subject import Subject
from glassnet.tables import Table, make_table

NOTICES = {True: "notices it", False: "does not notice it", None: "is undecided, for want of images"}


def layer_blocks(
    subject: Subject,
    explained: Sequence[Analysis],
    faithful: Sequence[Analysis],
    compared: Sequence[Analysis],
    ranked: Sequence[Analysis] = (),
) -> Iterator[Block]:
    """Return the newest attribution, the older ones folded, and what was measured of them and of the layers.

    Attributions of the subject's own images come before those of others, such as own photographs.
    """
    newest = list(reversed(explained))
    for one in reversed(ranked):
        yield Prose((one.result.recommendation(),))
    for place, one in enumerate(sorted(newest, key=lambda one: ATTRIBUTION.elsewhere(one.request))):
        blocks = tuple(_explained(subject, one))
        if place == 0:
            yield from blocks
        else:
            yield Fold(f"Also explained: {explained_words(subject, one)}", blocks)
    for one in reversed(faithful):
        yield Fold(f"How faithful the maps are: {explained_words(subject, one)}", tuple(_faithful(one)))
    for one in reversed(ranked):
        yield Fold(f"The layers ranked: {ranked_words(subject, one)}", (one.result.table(),))
    for one in reversed(compared):
        yield Fold("The layers compared", tuple(_compared(one)))


def explained_words(subject: Subject, analysis: Analysis) -> str:
    """Say what an attribution, or the faithfulness of one, is of: images, methods, layers, and what is not usual."""
    request = getattr(analysis.request, "attribution", analysis.request)
    groups = analysis.result.groups
    images = ", ".join(f"{group.title} ({_number(group)})" for group in groups)
    keys = list(dict.fromkeys(key for group in groups for key in getattr(group, "maps", getattr(group, "numbers", ()))))
    methods = ", ".join(dict.fromkeys(METHOD_TITLES.get(method, method) for method, _ in keys))
    layers = list(dict.fromkeys(layer for _, layer in keys if layer != "input"))
    where = f"{layers[0]} to {layers[-1]}" if len(layers) > 3 else ", ".join(layers) or "the input"
    return f"{images}: {', '.join([f'{methods} at {where}', *_unusual(subject, request)])}"


def _unusual(subject: Subject, request: AttributionRequest) -> list[str]:
    return [
        *([f"of {request.target}"] if request.target != subject.task.views().explain.default_target else []),
        *([f"{request.split} images"] if request.split != "test" else []),
        *([f"mask: {request.mask}"] if request.mask != "auto" else []),
        *([request.precision] if request.precision != "fp32" else []),
    ]


def _number(group: ExplainedGroup | MeasuredGroup) -> int:
    return group.images if isinstance(group, MeasuredGroup) else len(group.names)


def _explained(subject: Subject, analysis: Analysis) -> Iterator[Block]:
    result = analysis.result
    drawn = pictures(analysis)
    for place, (group, picture) in enumerate(zip(reversed(result.groups), reversed(drawn), strict=False)):
        block: Block = picture
        if isinstance(picture, Picture):
            caption = " ".join(filter(None, (group.rule, group.note, picture.caption)))
            block = dataclasses.replace(picture, caption=caption)
        yield block if place == 0 else Fold(f"{group.title}, layer by layer", (block,))
    header, rows = facts_table(subject, result)
    words = range(min(len(header), 6))
    tables = [make_table("The images shown", header, rows, words=words, names=2)]
    shares = [
        _numbers(group.inside, f"{group.title}: fraction of each map inside the stroke") for group in result.groups
    ]
    tables += [table for table in shares if table is not None]
    yield Fold("The images shown and their numbers", tuple(tables))


def ranked_words(subject: Subject, analysis: Analysis) -> str:
    """Say what layers were ranked on: images and methods, and what is not usual."""
    request, result = analysis.request.attribution, analysis.result
    methods = ", ".join(dict.fromkeys(METHOD_TITLES.get(one.method, one.method) for one in result.layers))
    return ", ".join([f"{count(result.images)} images ({request.images})", methods, *_unusual(subject, request)])


def _faithful(analysis: Analysis) -> Iterator[Block]:
    drawn = pictures(analysis)
    ranking = ranking_of(analysis.result, seed=analysis.request.seed)
    if ranking is not None:
        yield Prose((ranking.recommendation(),))
    for place, group in enumerate(analysis.result.groups):
        table = _numbers(
            group.numbers, f"{group.title}: faithfulness, mean and 95% interval over {group.images} images"
        )
        yield Prose(tuple(_notes(group)))
        yield from (one for one in (table, _agreement(group), _randomised(group)) if one is not None)
        yield from drawn[2 * place : 2 * place + 2]


def _notes(group: MeasuredGroup) -> Iterator[str]:
    areas = (float(group.random.deletion_area.mean()), float(group.random.insertion_area.mean()))
    texts = [show(key, area) for key, area in zip(("deletion", "insertion"), areas, strict=True)]
    yield f"Pixels in random order have a deletion area of {texts[0]} and an insertion area of {texts[1]}."
    verdicts = [f"{METHOD_TITLES.get(method, method)} {NOTICES[passed]}" for method, passed in group.passes.items()]
    yield f"When the weights are randomised from the output down: {'; '.join(verdicts)}."


def _agreement(group: MeasuredGroup) -> Table | None:
    """Lay out how alike the maps of two methods are."""
    if not group.agreement:
        return None
    rows = [
        (METHOD_TITLES.get(first, first), METHOD_TITLES.get(second, second), layer, _cell("rank_correlation", value))
        for (first, second, layer), value in group.agreement.items()
    ]
    columns = ("Method", "Other method", "Layer", MEASURES["rank_correlation"].title)
    return make_table(f"{group.title}: how much the methods agree", columns, rows, words=(0, 1, 2), names=3)


def _randomised(group: MeasuredGroup) -> Table | None:
    """Lay out how alike each method's map stays to the trained network's, step by step."""
    if not group.randomised:
        return None
    columns = (
        "Weights randomised from the output down to",
        *(METHOD_TITLES.get(method, method) for method in group.randomised),
    )
    rows = [
        (layer, *(_cell("rank_correlation", steps[place]) for steps in group.randomised.values()))
        for place, layer in enumerate(group.sanity.layers)
        if place  # the first step is the trained network itself
    ]
    caption = f"{group.title}: rank correlation with the trained network’s map as weights are randomised"
    return make_table(caption, columns, rows, words=(0,))


def _numbers(numbers: Mapping[tuple[str, str], Mapping[str, MeanCI]], caption: str) -> Table | None:
    keys = list(dict.fromkeys(key for values in numbers.values() for key in values))
    if not keys:
        return None
    rows = [
        (METHOD_TITLES.get(method, method), layer, *(_cell(key, values.get(key)) for key in keys))
        for (method, layer), values in numbers.items()
    ]
    heads = [f"{MEASURES[key].title} ({MEASURES[key].better} is better)" for key in keys]
    return make_table(caption, ("Method", "Layer", *heads), rows, words=(0, 1), names=2)


def _cell(key: str, value: MeanCI | None) -> str:
    return DASH if value is None or value.mean is None else with_interval(key, value.mean, (value.low, value.high))


def _compared(analysis: Analysis) -> Iterator[Block]:
    result: LayerComparison = analysis.result
    drawn = pictures(analysis)
    yield from drawn[:1]
    yield _rows(result)
    for aligned, picture in zip(result.alignments, drawn[1:], strict=False):
        most = aligned.most_alike()
        if most is not None:
            yield Prose((f"The most similar layers are {most[0]} and {most[1]}, with {show('cka', most[2])}.",))
        yield picture
        yield Fold("The same in numbers", (_alike(aligned),))


def _alike(aligned: AlignedLayers) -> Table:
    rows = [
        (layer, *(show("cka", float(value)) for value in row))
        for layer, row in zip(aligned.first, aligned.matrix, strict=True)
    ]
    caption = f"{MEASURES['cka'].title} of each layer (row) with each (column)"
    return make_table(caption, ("Layer", *aligned.second), rows, words=(0,))


def _rows(result: LayerComparison) -> Table:
    keys = ("nearest_mean_accuracy", "scatter_ratio", "effective_rank")
    best = max(row.probe_accuracy for row in result.rows) if len(result.rows) > 1 else None
    rows = []
    for row in result.rows:
        probe = with_interval("probe_accuracy", row.probe_accuracy, row.probe_interval)
        rows.append(
            (
                Markup("<code>{}</code>").format(row.layer),
                count(row.features),
                Markup("<strong>{}</strong>").format(probe) if row.probe_accuracy == best else probe,
                with_interval("knn_accuracy", row.knn_accuracy, row.knn_interval),
                *(show(key, getattr(row, key)) for key in keys),
            )
        )
    heads = [MEASURES[key].title for key in ("probe_accuracy", "knn_accuracy", *keys)]
    note = (
        f"Probe and neighbours are fitted to {count(result.fitted)} {result.part} and scored on {count(result.scored)}."
    )
    caption = "The layers from input to output; the best linear probe is bold"
    return make_table(caption, ("Layer", "Features", *heads), rows, words=(0,), note=note)
