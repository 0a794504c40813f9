"""Where each layer looks, for a fixed selection of images: maps by method and layer, with their shares in a mask."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int, Shaped
from torch import Tensor, nn

from glassnet import figures
from glassnet.analysis.base import Context, Kind, Precision
from glassnet.analysis.features import in_order
from glassnet.analysis.selection import is_elsewhere, is_file, select
from glassnet.analysis.views import Facts, Group
from glassnet.attribution import METHODS, Explanation, explain
from glassnet.attribution.faithfulness import STROKE_THRESHOLD, MeanCI, inside, share_inside, stroke_mask
from glassnet.console import printable, say
from glassnet.data import DIGITS
from glassnet.display import Shown
from glassnet.errors import InputError
from glassnet.method_titles import METHOD_TITLES
from glassnet.run.store import FigureWords, Plot
from glassnet.subject import Part, Subject

DRAWN = 16
"""A figure of more images is too tall to be read."""
DEFAULTS = (("conv",), ("gradcam", "guided_gradcam"), "predicted")
"""Layers, methods and target."""


@dataclass(frozen=True)
class AttributionRequest:
    """What is explained.

    Attributes:
        images: Indices, a rule or a path; the task's usual rule if empty.
        layers: Layers by name, pattern or kind.
        methods: Attribution methods.
        target: Class whose score is explained.
        mask: What the maps are compared with.
        split: Part of the images that indices and rules mean.
        precision: Of the forward and backward passes.
    """

    images: str = ""
    layers: tuple[str, ...] = DEFAULTS[0]
    methods: tuple[str, ...] = DEFAULTS[1]
    target: str = DEFAULTS[2]
    mask: Literal["auto", "stroke", "none"] = "auto"
    split: Part = "test"
    precision: Precision = "fp32"


@dataclass(frozen=True, eq=False, repr=False)
class ExplainedGroup(Shown):
    """The maps of one group of images.

    Attributes:
        name: Short name of the group.
        title: Its heading.
        rule: By which rule the images were taken.
        names: File of each image, or its number as in "test image 23".
        numbers: Stable number of each image in its part; -1 for a file from elsewhere.
        facts: What is known of each image.
        note: A sentence on all of them; empty for none.
        images: What the model was given.
        maps: By (method, layer), at the images' size.
        targets: The class explained for each image; None where it is no class.
        regions: The part of each image whose score is explained; None for the whole.
        mask: Where attribution should lie; None without a mask.
        inside: By (method, layer), shares of the maps in the mask.
    """

    name: str
    title: str
    rule: str
    names: tuple[str, ...]
    numbers: tuple[int, ...]
    facts: tuple[Mapping[str, Any], ...]
    note: str
    images: Shaped[np.ndarray, "n channel height width"]
    maps: Mapping[tuple[str, str], Shaped[np.ndarray, "n ..."]]
    targets: Int[np.ndarray, " n"] | None
    regions: Bool[np.ndarray, "n height width"] | None
    mask: Bool[np.ndarray, "n height width"] | None
    inside: Mapping[tuple[str, str], Mapping[str, MeanCI]]

    def explanation(self) -> Explanation:
        """Return the maps as `glassnet.explain` gives them, for what measures them."""
        methods = tuple(dict.fromkeys(method for method, _ in self.maps))
        layers = tuple(dict.fromkeys(layer for _, layer in self.maps if layer != "input"))
        scores = np.zeros(len(self.images), dtype=np.float32)
        return Explanation(self.maps, {}, methods, layers, self.targets, scores, None, images=self.images)


@dataclass(frozen=True)
class Attribution(Shown):
    """All groups that were explained.

    Attributes:
        groups: The groups, each with its maps.
        methods: The methods, each once.
        layers: The layers, in the model's order.
        threshold: Grey value above which a pixel belongs to the mask; None without a mask.
    """

    groups: tuple[ExplainedGroup, ...]
    methods: tuple[str, ...]
    layers: tuple[str, ...]
    threshold: float | None

    def __repr__(self) -> str:
        """Say in one line what was explained."""
        images = sum(len(group.names) for group in self.groups)
        return f"Attribution({images} images, {', '.join(self.methods)} at {', '.join(self.layers) or 'the input'})"


def compute(subject: Subject, request: AttributionRequest, context: Context) -> Attribution:
    """Attribute a model's scores on some images, layer by layer.

    Raises:
        InputError: An image, layer, method or target is unknown, or means nothing for the task.
    """
    views = subject.task.views().explain
    views.check(subject, request)
    model = context.once(("model", id(subject)), lambda: subject.model(context.device))
    groups = [explain_group(subject, model, group, request) for group in chosen_groups(subject, request, context)]
    if not groups:
        raise InputError(
            f"there is nothing to explain: no image is {request.images.partition(':')[0]}; choose other images."
        )
    first = groups[0].explanation()
    threshold = STROKE_THRESHOLD if groups[0].mask is not None else None
    return Attribution(tuple(groups), first.methods, first.layers, threshold)


def chosen_groups(subject: Subject, request: AttributionRequest, context: Context) -> list[Group]:
    """Return the images that a request asks for, as one or two groups, none of them empty; say which one is."""
    chosen = select(subject, request.images, request.split, request.precision, context)
    for group in chosen:
        if not len(group.split):
            say(f"{group.title}: no such images, nothing to explain.")
    return [group for group in chosen if len(group.split)]


def resolve(subject: Subject, request: AttributionRequest) -> AttributionRequest:
    """Fill in the images and the target where none are named; the order of layers and methods does not matter."""
    views = subject.task.views().explain
    images = request.images or (views.images if subject.labelled else "first:8")
    target = views.default_target if request.target == DEFAULTS[2] else request.target
    rank = {method: place for place, method in enumerate(METHODS)}
    methods = tuple(sorted(dict.fromkeys(request.methods), key=lambda method: rank.get(method, len(rank))))
    layers = in_order(subject, request.layers)
    return dataclasses.replace(request, images=images, target=target, layers=layers, methods=methods)


def explain_group(subject: Subject, model: nn.Module, group: Group, request: AttributionRequest) -> ExplainedGroup:
    """Explain a group of images, and say what is known of each."""
    views = subject.task.views().explain
    given = views.inputs(subject, group, request)
    explanation = explain(
        model,
        given,
        target=views.target(subject, model, group, request) if group.targets is None else list(group.targets),
        layers=views.layers(subject, model, request),
        methods=request.methods,
        precision=request.precision,
        batch_size=len(given) if views.together else "auto",
    )
    described = views.describe(subject, model, group, request, explanation)
    mask = mask_of(subject, group, request)
    return ExplainedGroup(
        name=group.name,
        title=group.title,
        rule=group.rule,
        names=tuple(group.name_of(row, request.split) for row in range(len(given))),
        numbers=tuple(group.split.numbers.tolist()),
        facts=described.facts,
        note=" ".join(filter(None, (described.note, explanation.gap_note()))),
        images=_array(given),
        maps=dict(explanation.maps),
        targets=explanation.targets,
        regions=described.regions,
        mask=mask,
        inside={key: {} if mask is None else inside(maps, mask) for key, maps in explanation.maps.items()},
    )


def _array(images: Tensor) -> np.ndarray:
    return images.detach().cpu().numpy()


def mask_of(subject: Subject, group: Group, request: AttributionRequest) -> np.ndarray | None:
    """Return where attribution should lie in a group's images; None without a mask."""
    views = subject.task.views().explain
    stroke = request.mask == "stroke" or (request.mask == "auto" and subject.data in DIGITS and views.classes)
    return stroke_mask(group.images) if stroke else None


def made_of(subject: Subject, request: AttributionRequest, context: Context) -> dict[str, Any]:
    """Digests of the model, and of the images: the files', or of the part that a rule chooses from."""
    if not is_file(request.images):
        return subject.made_of(request.split)
    (group,) = select(subject, request.images, request.split, request.precision, context)
    return subject.made_of(request.split, split=group.split)


def words(_subject: Subject, request: AttributionRequest) -> Iterable[str]:
    """Name an entry: its images, and what of layers, methods and target is not the usual."""
    yield Path(request.images).name if is_file(request.images) else request.images.replace(":", "")
    for given, usual in zip((request.layers, request.methods, (request.target,)), DEFAULTS, strict=True):
        if given not in (usual, (usual,)):
            yield "+".join(given)
    if request.mask != "auto":
        yield f"mask-{request.mask}"
    if request.split != "test":
        yield request.split
    if request.precision != "fp32":
        yield request.precision


def plots(subject: Subject, _request: AttributionRequest, result: Attribution, _context: Context) -> Iterable[Plot]:
    """Draw each group's maps, layer by layer."""
    views = subject.task.views().explain
    for group in result.groups:
        if len(group.names) > DRAWN:
            say(f"the figure shows the first {DRAWN} of {len(group.names)} images; arrays.npz holds all of them.")
        captions = [f"{name}{views.caption(facts)}" for name, facts in zip(group.names, group.facts, strict=True)]
        yield Plot(_grid(group, result, captions[:DRAWN]), _grid_words(group, result, captions))


def _grid(group: ExplainedGroup, result: Attribution, captions: list[str]) -> Any:
    maps = {key: values[:DRAWN] for key, values in group.maps.items()}
    mask = None if group.mask is None else group.mask[:DRAWN]
    shares = None if mask is None else {key: share_inside(values, mask) for key, values in maps.items()}
    return figures.attribution_grid(
        group.images[:DRAWN],
        maps,
        list(result.layers),
        list(result.methods),
        captions,
        numbers=shares,
        number_name="fraction of its positive attribution inside the stroke",
        regions=None if group.regions is None else group.regions[:DRAWN],
    )


def _grid_words(group: ExplainedGroup, result: Attribution, captions: list[str]) -> FigureWords:
    where = ", ".join(result.layers) or "the input"
    methods = " and ".join(METHOD_TITLES.get(method, method) for method in result.methods)
    line = "" if group.regions is None else " A white line outlines the region that is explained."
    return FigureWords(
        name=f"maps-{group.name}"[:80],
        title=group.title,
        alt=f"{group.title}: {len(captions)} images, each with its {methods} at {where}.",
        caption="Each map is scaled by its own largest value, so colours compare places within a map, never two "
        f"maps.{line}",
        lead="Bright places raise the explained score most. Layers run from input (left) to output (right).",
    )


def facts_table(subject: Subject, result: Attribution) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Lay out the explained images: header and rows."""
    from glassnet.formats import DASH, plain
    from glassnet.measures import MEASURES

    columns = subject.task.views().explain.columns
    present = [
        (key, head) for key, head in columns if any(f.get(key) is not None for g in result.groups for f in g.facts)
    ]

    def cell(key: str, facts: Facts) -> str:
        value = facts.get(key)
        return DASH if value is None else MEASURES[key].show(value) if key in MEASURES else plain(value)

    rows = [
        (group.title, name, *(cell(key, facts) for key, _ in present))
        for group in result.groups
        for name, facts in zip(group.names, group.facts, strict=True)
    ]
    return ("images", "image", *(head for _, head in present)), rows


def about(_subject: Subject, request: AttributionRequest, _result: Any, _context: Context) -> dict[str, Any]:
    """Say where a user's own images lie, whatever folder the command was given in; the result names their files."""
    if not is_file(request.images):
        return {}
    return {"images": {"path": printable(str(Path(request.images).resolve()), lines=False)}}


ATTRIBUTION = Kind(
    name="attribution",
    request=AttributionRequest,
    result=lambda _subject: Attribution,
    compute=compute,
    words=words,
    plots=plots,
    made_of=made_of,
    resolve=resolve,
    about=about,
    elsewhere=lambda request: is_elsewhere(request.images),
    packages=("torch", "numpy", "matplotlib"),
    code=("analysis", "attribution", "models", "tasks"),
)
