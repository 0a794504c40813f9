"""How a classifier's predictions are explained: which images, which class, and what is said of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from glassnet.analysis.attribution import AttributionRequest
from glassnet.analysis.base import Context
from glassnet.analysis.scores import as_probabilities
from glassnet.analysis.selection import hit_groups
from glassnet.analysis.views import Described, ExplainViews, Facts, Group, class_of
from glassnet.attribution import Explanation
from glassnet.errors import InputError
from glassnet.measures import show
from glassnet.models.inference import predict
from glassnet.subject import Part, Subject


def _check(subject: Subject, request: AttributionRequest) -> None:
    if request.target == "label" and not subject.labelled:
        raise InputError("--target is label, but these images have no labels; give predicted or a class.")


def _layers(_subject: Subject, _model: nn.Module, request: AttributionRequest) -> list[str]:
    return list(request.layers)


def _select(subject: Subject, rule: str, wanted: int, part: Part, context: Context, precision: str) -> list[Group]:
    """Take the first images that are classified correctly, or wrongly, or half of each."""
    split = subject.part(part)
    model = context.once(("model", id(subject)), lambda: subject.model(context.device))
    key = ("hits", id(subject), part, precision)
    hit = context.once(key, lambda: predict(model, split.pixels, precision=precision).argmax(dim=1) == split.targets)
    title, how = "{}ly classified images", "{}ly classified"
    return hit_groups(split, hit, rule, wanted, part=part, title=title, how=how)


def _inputs(_subject: Subject, group: Group, _request: AttributionRequest) -> Tensor:
    return group.images


def _target(subject: Subject, _model: nn.Module, group: Group, request: AttributionRequest) -> Any:
    """Turn the --target word into what `glassnet.explain` takes."""
    if request.target == "predicted":
        return "predicted"
    if request.target == "label":
        if not group.labelled:
            raise InputError("--target is label, but these images have no labels; give predicted or a class.")
        return group.split.targets
    return class_of(request.target, subject, ("predicted", "label"))


def _describe(
    subject: Subject, _model: nn.Module, group: Group, _request: AttributionRequest, explanation: Explanation
) -> Described:
    assert explanation.output is not None
    assert explanation.targets is not None
    probabilities = as_probabilities(subject, torch.from_numpy(explanation.output)).numpy()
    facts = []
    for row in range(len(probabilities)):
        target, predicted = int(explanation.targets[row]), int(probabilities[row].argmax())
        label = subject.classes[int(group.split.targets[row])] if group.labelled else None
        facts.append(
            {
                "label": label,
                "predicted": subject.classes[predicted],
                "correct": None if label is None else label == subject.classes[predicted],
                "target": subject.classes[target],
                "probability": float(probabilities[row, target]),
            }
        )
    return Described(tuple(facts))


def _caption(facts: Facts) -> str:
    truth = "" if facts["label"] is None else f"true {facts['label']}, "
    probability = f"p({facts['target']}) = {show('probability', facts['probability'])}"
    return f": {truth}predicted {facts['predicted']}\nwhy {facts['target']}? {probability}"


EXPLAIN = ExplainViews(
    images="mixed:8",
    check=_check,
    layers=_layers,
    select=_select,
    rules=("correct", "wrong", "mixed"),
    inputs=_inputs,
    target=_target,
    describe=_describe,
    columns=(
        ("label", "label"),
        ("predicted", "predicted"),
        ("correct", "correct"),
        ("target", "target"),
        ("probability", "p(target)"),
    ),
    caption=_caption,
    classes=True,
)
