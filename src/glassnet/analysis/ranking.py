"""Which layer to look at: a model's layers ranked by how faithful their maps are on some images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from glassnet.analysis import attribution
from glassnet.analysis.attribution import ATTRIBUTION, AttributionRequest, chosen_groups, mask_of
from glassnet.analysis.base import Context, Kind
from glassnet.analysis.faithfulness import MeasuredFaithfulness, MeasuredGroup
from glassnet.analysis.views import Group
from glassnet.attribution import METHODS
from glassnet.attribution.faithfulness.layers import USUAL_IMAGES, measure_layers
from glassnet.attribution.faithfulness.ranking import LayerRanking, areas_of, ranked
from glassnet.attribution.methods import is_of_a_layer
from glassnet.console import say
from glassnet.errors import InputError
from glassnet.run.store import Plot
from glassnet.subject import Subject

USUAL = ("gradcam",)
"""Methods ranked."""


@dataclass(frozen=True)
class RankingRequest:
    """What is ranked.

    Attributes:
        attribution: Images, layers, methods of layers and target; the first 100 images if none are named, and Grad-CAM
            where the methods are an attribution's usual ones.
        steps: Points of the deletion and insertion curves, less one.
        seed: Of the order of equal pixels and of the bootstrap.
    """

    attribution: AttributionRequest = field(default_factory=AttributionRequest)
    steps: int = 28
    seed: int = 0


def compute(subject: Subject, request: RankingRequest, context: Context) -> LayerRanking:
    """Measure the layers' maps on the images that the request names, all of them together.

    Raises:
        InputError: What is explained is no class, a method is none of layers, or as `attribution.compute` says.
    """
    views = subject.task.views().explain
    views.check(subject, request.attribution)
    if not views.classes:
        raise InputError(
            f"ranking layers needs the probability of a class, but {subject.name} learned {subject.task.name}, whose "
            "classes do not exclude each other; leave --rank-layers out."
        )
    groups = chosen_groups(subject, request.attribution, context)
    if not groups:
        raise InputError(f"there is nothing to rank on: no image is {request.attribution.images.partition(':')[0]}.")
    measured = [_measured(subject, group, request, context) for group in groups]
    values = {key: _joined([one[key] for one, _ in measured]) for key in measured[0][0]}
    return ranked(values, _joined([random for _, random in measured]), seed=request.seed)


def _measured(
    subject: Subject, group: Group, request: RankingRequest, context: Context
) -> tuple[dict[tuple[str, str], dict[str, np.ndarray]], dict[str, np.ndarray]]:
    asked, views = request.attribution, subject.task.views().explain
    model = context.once(("model", id(subject)), lambda: subject.model(context.device))
    given = views.inputs(subject, group, asked)
    say(f"ranking layers on {len(given)} images")
    values, random, _ = measure_layers(
        model,
        given,
        target=views.target(subject, model, group, asked) if group.targets is None else list(group.targets),
        layers=views.layers(subject, model, asked),
        methods=asked.methods,
        mask=mask_of(subject, group, asked),
        steps=request.steps,
        seed=request.seed,
        precision=asked.precision,
    )
    return values, random


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def ranking_of(result: MeasuredFaithfulness, *, seed: int = 0) -> LayerRanking | None:
    """Rank the layers whose maps were measured already, over all groups; None where there are not two."""
    first = result.groups[0]
    keys = [key for key in first.curves if key[1] != "input" and all(key in group.curves for group in result.groups)]
    if len({layer for _, layer in keys}) < 2:
        return None
    values = {key: _joined([_values(group, key) for group in result.groups]) for key in keys}
    return ranked(values, _joined([areas_of(group.random) for group in result.groups]), seed=seed)


def _values(group: MeasuredGroup, key: tuple[str, str]) -> dict[str, np.ndarray]:
    pointing = group.numbers[key].get("pointing_game")
    return areas_of(group.curves[key]) | ({} if pointing is None else {"pointing_game": pointing.values})


def resolve(subject: Subject, request: RankingRequest) -> RankingRequest:
    """Fill in what is left open: images that are not named are the first 100, chosen by nothing that a model says."""
    asked = request.attribution
    of_layers = tuple(method for method in asked.methods if method not in METHODS or is_of_a_layer(method))
    named = dataclasses.replace(
        asked,
        images=asked.images or f"first:{USUAL_IMAGES}",
        methods=USUAL if asked.methods == attribution.DEFAULTS[1] else of_layers or asked.methods,
    )
    return dataclasses.replace(request, attribution=attribution.resolve(subject, named))


def words(subject: Subject, request: RankingRequest) -> Iterable[str]:
    """Name an entry: its images, and what of layers, methods and target is not the usual."""
    usual = dataclasses.replace(request.attribution, methods=attribution.DEFAULTS[1])
    yield from attribution.words(subject, usual if request.attribution.methods == USUAL else request.attribution)
    if request.steps != 28:
        yield f"{request.steps}-steps"


def plots(_subject: Subject, _request: RankingRequest, _result: LayerRanking, _context: Context) -> Iterable[Plot]:
    """Draw nothing: a table says it all."""
    return ()


RANKING = Kind(
    name="ranking",
    request=RankingRequest,
    result=lambda _subject: LayerRanking,
    compute=compute,
    words=words,
    plots=plots,
    made_of=lambda subject, request, context: attribution.made_of(subject, request.attribution, context),
    resolve=resolve,
    about=lambda subject, request, result, context: attribution.about(subject, request.attribution, result, context),
    elsewhere=lambda request: ATTRIBUTION.elsewhere(request.attribution),
    packages=("torch", "numpy"),
    code=("analysis", "attribution", "models", "tasks"),
)
