"""How the labels of an image are explained: which images, which label, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from glassnet.analysis.attribution import AttributionRequest
from glassnet.analysis.base import Context
from glassnet.analysis.features import image_labels
from glassnet.analysis.scores import as_logits, as_probabilities
from glassnet.analysis.selection import hit_groups
from glassnet.analysis.views import Described, ExplainViews, Facts, Group, class_of
from glassnet.attribution import Explanation
from glassnet.errors import InputError
from glassnet.measures import show
from glassnet.models.inference import predict
from glassnet.subject import Part, Subject
from glassnet.tasks.multilabel.learn import said

NONE = "no label"


def named(classes: Sequence[str], has: np.ndarray) -> str:
    """Name the labels of an image, as in "cat, dog"."""
    return ", ".join(name for name, there in zip(classes, has, strict=True) if there) or NONE


def _check(subject: Subject, request: AttributionRequest) -> None:
    if request.target == "label" and not subject.labelled:
        raise InputError("--target is label, but these images have no labels; give predicted or a label's name.")
    if request.target not in ("predicted", "label"):
        class_of(request.target, subject, ("predicted", "label"))


def _select(subject: Subject, rule: str, wanted: int, part: Part, context: Context, precision: str) -> list[Group]:
    """Take the first images of which every label is right, or one is wrong, or half of each."""
    split = subject.part(part)
    model = context.once(("model", id(subject)), lambda: subject.model(context.device))

    def hits() -> torch.Tensor:
        answers = said(as_logits(subject, predict(model, split.pixels, precision=precision)))
        return (answers == (split.targets.cpu() == 1)).all(dim=1)

    hit = context.once(("hits", id(subject), part, precision), hits)
    title, how = "{}ly labelled images", "labelled {}ly"
    return hit_groups(split, hit, rule, wanted, part=part, title=title, how=how)


def _target(subject: Subject, model: nn.Module, group: Group, request: AttributionRequest) -> Any:
    """Turn the --target word into what `glassnet.explain` takes."""
    if request.target == "predicted":
        return "predicted"
    if request.target != "label":
        return class_of(request.target, subject, ("predicted", "label"))
    if not group.labelled:
        raise InputError("--target is label, but these images have no labels; give predicted or a label's name.")
    first = image_labels(group.split.targets)
    probable = predict(model, group.images).cpu().argmax(dim=1).numpy()
    return np.where(first == len(subject.classes), probable, first)


def _describe(
    subject: Subject, _model: nn.Module, group: Group, request: AttributionRequest, explanation: Explanation
) -> Described:
    assert explanation.output is not None
    assert explanation.targets is not None
    probabilities = as_probabilities(subject, torch.from_numpy(explanation.output)).numpy()
    facts = []
    for row, (probability, target) in enumerate(zip(probabilities, explanation.targets.tolist(), strict=True)):
        label = named(subject.classes, group.split.targets[row].numpy()) if group.labelled else None
        predicted = named(subject.classes, probability >= 0.5)
        facts.append(
            {
                "label": label,
                "predicted": predicted,
                "correct": None if label is None else label == predicted,
                "target": subject.classes[target],
                "probability": float(probability[target]),
            }
        )
    bare = sum(one["label"] == NONE for one in facts) if request.target == "label" else 0
    note = (
        f"{bare} of {len(facts)} images have no label; for these, the most probable label is explained." if bare else ""
    )
    return Described(tuple(facts), note=note)


def _caption(facts: Facts) -> str:
    truth = "" if facts["label"] is None else f"true {facts['label']}; "
    probability = f"p({facts['target']}) = {show('probability', facts['probability'])}"
    return f": {truth}predicted {facts['predicted']}\nwhy {facts['target']}? {probability}"


EXPLAIN = ExplainViews(
    images="mixed:8",
    check=_check,
    layers=lambda _subject, _model, request: list(request.layers),
    select=_select,
    rules=("correct", "wrong", "mixed"),
    inputs=lambda _subject, group, _request: group.images,
    target=_target,
    describe=_describe,
    columns=(
        ("label", "labels"),
        ("predicted", "predicted"),
        ("correct", "all correct"),
        ("target", "explained"),
        ("probability", "p(explained)"),
    ),
    caption=_caption,
    classes=True,
    scores="sigmoid",  # each label has a probability of its own
)
