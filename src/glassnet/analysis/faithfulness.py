"""How faithful the maps of an attribution are: hide pixels, randomise weights, compare methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from glassnet import figures
from glassnet.analysis import attribution
from glassnet.analysis.attribution import ATTRIBUTION, AttributionRequest, ExplainedGroup
from glassnet.analysis.base import Context, Kind, get
from glassnet.analysis.scores import subject_scale
from glassnet.attribution.faithfulness import (
    Curves,
    MeanCI,
    SanityCheck,
    agreement,
    deletion_insertion,
    faithfulness,
    mean_ci,
    sanity_check,
)
from glassnet.console import say
from glassnet.display import Shown
from glassnet.errors import InputError
from glassnet.run.store import FigureWords, Plot
from glassnet.subject import Subject


@dataclass(frozen=True)
class FaithfulnessRequest:
    """What is measured.

    Attributes:
        attribution: The maps.
        seed: Of the order of equal pixels, the random weights and the bootstrap.
    """

    attribution: AttributionRequest = field(default_factory=AttributionRequest)
    seed: int = 0


@dataclass(frozen=True, repr=False)
class MeasuredGroup(Shown):
    """How faithful the maps of one group are.

    Attributes:
        name: The group.
        title: Its heading.
        images: Their number.
        numbers: By (method, layer), measures with their intervals over images.
        curves: By (method, layer), deletion and insertion curves.
        random: The same of pixels in random order, which a map must beat.
        sanity: Correlation with the trained model's maps while its weights are randomised.
        passes: By method, whether its map notices; None where that is undecided.
        agreement: By two methods and a layer, rank correlation of their maps.
        randomised: By method, the mean of each step of `sanity`, with its interval over images.
    """

    name: str
    title: str
    images: int
    numbers: Mapping[tuple[str, str], Mapping[str, MeanCI]]
    curves: Mapping[tuple[str, str], Curves]
    random: Curves
    sanity: SanityCheck
    passes: Mapping[str, bool | None]
    agreement: Mapping[tuple[str, str, str], MeanCI]
    randomised: Mapping[str, tuple[MeanCI, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class MeasuredFaithfulness(Shown):
    """How faithful an attribution's maps are, group by group.

    Attributes:
        of: The attribution's name.
        groups: The groups of images.
    """

    of: str
    groups: tuple[MeasuredGroup, ...]

    def __repr__(self) -> str:
        """Say in one line what was measured."""
        return f"MeasuredFaithfulness(of {self.of}: {', '.join(f'{one.images} {one.name}' for one in self.groups)})"


def compute(subject: Subject, request: FaithfulnessRequest, context: Context) -> MeasuredFaithfulness:
    """Measure the maps that the request names; they are made first where they are not there.

    Raises:
        InputError: What is explained is no class, or as `attribution.compute` says.
    """
    if not subject.task.views().explain.classes:
        raise InputError(
            f"--faithfulness needs the score of a class for the whole image, but {subject.name} learned "
            f"{subject.task.name}; leave it out."
        )
    explained = get(ATTRIBUTION, subject, request.attribution, context=context)
    groups = tuple(_measured(subject, group, request.seed, context) for group in explained.result.groups)
    return MeasuredFaithfulness(explained.name, groups)


def _measured(subject: Subject, group: ExplainedGroup, seed: int, context: Context) -> MeasuredGroup:
    say(f"measuring {len(group.maps)} kinds of maps of {len(group.names)} images")
    model = context.once(("model", id(subject)), lambda: subject.model(context.device))
    images, explanation, targets = group.images, group.explanation(), group.targets
    assert targets is not None  # the views said so
    output = _output(subject)
    flat = np.zeros((len(images), *images.shape[-2:]))  # all pixels equal, hence in random order
    checked = sanity_check(
        model, images, methods=explanation.methods, layers=explanation.layers[-1:] or "last-conv", target=targets
    )
    measured = faithfulness(model, images, explanation, mask=group.mask, seed=seed, output=output)
    return MeasuredGroup(
        name=group.name,
        title=group.title,
        images=len(images),
        numbers=measured.numbers,
        curves=measured.curves,
        random=deletion_insertion(model, images, flat, targets, seed=seed, output=output),
        sanity=checked,
        passes={method: checked.passes(method) for method in checked.rank_correlation},
        agreement=agreement(explanation, seed=seed),
        randomised={method: tuple(checked.steps(method)) for method in checked.rank_correlation},
    )


def _output(subject: Subject) -> str | None:
    """Say what the model's scores are: what a run was trained on; for another classifier, what its graph or values say.

    Scores do not show whether several labels can hold at once, but the task says so.
    """
    scores = subject.task.views().explain.scores
    if subject.run is not None or scores != "sigmoid":
        return scores if subject.run is not None else None
    scale = subject_scale(subject)
    return None if scale == "logarithms" else scale  # logarithms are recognised later


def plots(
    _subject: Subject, _request: FaithfulnessRequest, result: MeasuredFaithfulness, _context: Context
) -> Iterable[Plot]:
    """Draw deletion and insertion, and the randomisation check, of each group."""
    for group in result.groups:
        yield _curves(group)
        yield _sanity(group)


def _curves(group: MeasuredGroup) -> Plot:
    title = f"{group.title}: deletion and insertion"
    figure = figures.faithfulness_curves(
        group.random.fractions,
        {key: _bands(one.deletion) for key, one in group.curves.items()},
        {key: _bands(one.insertion) for key, one in group.curves.items()},
        random=(_bands(group.random.deletion), _bands(group.random.insertion)),
        title=title,
    )
    words = FigureWords(
        name=f"faithfulness-{group.name}"[:80],
        title=title,
        alt=f"{title}: the target's probability while pixels are deleted or inserted in each map's order.",
        caption="A map must beat random order.",
        lead="With a faithful map the class is lost early when the highest pixels are deleted, and found early when "
        "they are inserted.",
    )
    return Plot(figure, words)


def _sanity(group: MeasuredGroup) -> Plot:
    check = group.sanity
    title = f"{group.title}: do the maps change when the weights are randomised?"
    layers = [layer for _, layer in group.numbers if layer != "input"]
    steps = {method: _rows(check.steps(method)) for method in check.rank_correlation}
    words = FigureWords(
        name=f"sanity-{group.name}"[:80],
        title=title,
        alt=f"{title} Rank correlation of each method's maps with the trained model's, step by step.",
        caption=f"Maps at {(layers[-1] if layers else 'the input')}. The weights are randomised layer by layer, from "
        "the output down (Adebayo et al. 2018).",
        lead="A map that does not change does not depend on what the model has learned.",
    )
    return Plot(figures.sanity_curves(check.layers, steps, title=title), words)


def _bands(curves: np.ndarray) -> np.ndarray:
    return _rows([mean_ci(column) for column in curves.T])


def _rows(values: Iterable[MeanCI]) -> np.ndarray:
    return np.array([(value.mean, value.low, value.high) for value in values], dtype=float)


def resolve(subject: Subject, request: FaithfulnessRequest) -> FaithfulnessRequest:
    """Fill in what the attribution leaves open."""
    return FaithfulnessRequest(attribution.resolve(subject, request.attribution), request.seed)


def made_of(subject: Subject, request: FaithfulnessRequest, context: Context) -> dict[str, Any]:
    """Digests of what the attribution is made of."""
    return attribution.made_of(subject, request.attribution, context)


FAITHFULNESS = Kind(
    name="faithfulness",
    request=FaithfulnessRequest,
    result=lambda _subject: MeasuredFaithfulness,
    compute=compute,
    words=lambda subject, request: attribution.words(subject, request.attribution),
    plots=plots,
    made_of=made_of,
    resolve=resolve,
    about=lambda subject, request, result, context: attribution.about(subject, request.attribution, result, context),
    elsewhere=lambda request: ATTRIBUTION.elsewhere(request.attribution),
    packages=("torch", "numpy", "matplotlib"),
    code=("analysis", "attribution", "models", "tasks"),
)
