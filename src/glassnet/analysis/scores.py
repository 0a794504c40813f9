"""What the class scores of a subject's model are, and the logits and probabilities that they stand for.

A run's scores are logits, because it was trained on them. Another network may end in a softmax or a sigmoid. The end
of its graph, and the scores of its first images, show which.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from glassnet.attribution.engine.passes import build_network
from glassnet.attribution.engine.scales import Scale, scale_of
from glassnet.console import say_once
from glassnet.errors import InputError
from glassnet.images import image_batches
from glassnet.models.score_ends import ends_in
from glassnet.models.undisturbed import undisturbed
from glassnet.subject import Subject

_EXAMPLES = 8
_LARGEST = 100.0
"""Of a logit where a probability is 0 or 1, so that its logarithm is finite: as in torch's `BCELoss`."""


def subject_scale(subject: Subject) -> Scale:
    """Return what the class scores of a subject's model are.

    Where labels do not exclude each other, scores that are no probabilities are logits of a sigmoid each.

    Raises:
        InputError: The model cannot take its images.
    """
    usual: Scale = subject.task.views().explain.scores
    if subject.run is not None or not subject.task.compares_classes:
        return usual
    model = subject.model()
    weights = tuple((id(one), one._version) for one in (*model.parameters(), *model.buffers()))
    key = weights, tuple(id(one) for one in model.modules())
    if subject.__dict__.get("_scale", ((), usual))[0] != key:
        scores, end = _examples(subject)
        subject.__dict__["_scale"] = key, _of_labels(scores, end) if usual == "sigmoid" else _of_classes(scores, end)
    scale: Scale = subject.__dict__["_scale"][1]
    return scale


def as_logits(subject: Subject, scores: Float[Tensor, "n classes ..."]) -> Float[Tensor, "n classes ..."]:
    """Return the logits that class scores stand for: of a softmax, or of a sigmoid each where labels have that.

    A probability p of classes that exclude each other becomes log p, whose softmax divides all by their sum; one of a
    label of its own becomes log p - log(1 - p), in float64 and cut at ±100.
    """
    labels = subject.task.views().explain.scores == "sigmoid"
    if subject.run is not None or _must_be_logits(scores, labels=labels):
        return scores
    try:
        scale = subject_scale(subject)
    except InputError:  # a model that fails on one of its first images is judged by these scores alone
        return _by_values(scores, labels=labels)
    return _to_logits(scores, scale, labels=labels)


def logits_reader(subject: Subject) -> Callable[[Tensor], Tensor]:
    """Return what turns the class scores of any batch into logits, as `as_logits` does.

    What the scores are is settled once, so that every batch, and every changed copy of the model, is read alike.
    """
    if subject.run is not None or not subject.task.compares_classes:
        return _unchanged
    labels = subject.task.views().explain.scores == "sigmoid"
    try:
        scale = subject_scale(subject)
    except InputError:
        return partial(_by_values, labels=labels)
    return partial(_to_logits, scale=scale, labels=labels)


def _unchanged(scores: Tensor) -> Tensor:
    return scores


def as_probabilities(subject: Subject, scores: Float[Tensor, "n classes ..."]) -> Float[Tensor, "n classes ..."]:
    """Return the probabilities that class scores stand for, in float32: of classes that exclude each other, or not."""
    logits = as_logits(subject, scores)
    if subject.task.views().explain.scores == "sigmoid":
        return logits.double().sigmoid().float()
    return logits.float().softmax(dim=1)


def _must_be_logits(scores: Tensor, *, labels: bool) -> bool:
    """Tell whether scores can be nothing else, or nothing at all, so that the model need not be looked at."""
    if bool(scores.isnan().any()):
        return True
    outside = bool(((scores < -1e-6) | (scores > 1 + 1e-6)).any())
    return outside and not (labels and bool((scores <= 0).all()))  # as logarithms are


def _by_values(scores: Tensor, *, labels: bool) -> Tensor:
    """Return the logits that class scores stand for, recognised by their values alone."""
    if _must_be_logits(scores, labels=labels):
        return scores
    rows = _rows(scores)
    return _to_logits(scores, _of_labels(rows, "") if labels else _of_classes(rows, ""), labels=labels)


def _to_logits(scores: Tensor, scale: Scale, *, labels: bool) -> Tensor:
    if labels:
        return _label_logits(scores, scale)
    return scores.clamp_min(torch.finfo(scores.dtype).tiny).log() if scale == "probabilities" else scores


def _label_logits(scores: Tensor, scale: Scale) -> Tensor:
    if scale == "sigmoid":
        return scores
    values = scores.double()
    yes = values if scale == "logarithms" else values.clamp(0, 1).log()
    no = torch.log(-torch.expm1(values)) if scale == "logarithms" else torch.log1p(-values.clamp(0, 1))
    return yes.clamp_min(-_LARGEST) - no.clamp_min(-_LARGEST)


def _examples(subject: Subject) -> tuple[Float[Tensor, "rows classes"], str]:
    """Return the scores of the first images, of a segmentation a row a pixel, and where their graph ends."""
    model, images = subject.model(), subject.part("test").take(slice(0, _EXAMPLES))[0]
    network, tables, ends = build_network(model), [], set()
    with torch.inference_mode(False), torch.no_grad(), undisturbed(model) as network.put_back:
        for _, batch in image_batches(model, images, len(images)):
            output = network.with_graph(batch)
            if not isinstance(output, Tensor):
                raise InputError(f"the model gives a {type(output).__name__}, expected a tensor of class scores.")
            ends.add(ends_in(output))
            tables.append(_rows(output.detach()).cpu())
    return torch.cat(tables), ends.pop() if len(ends) == 1 else ""


def _rows(scores: Float[Tensor, "n classes ..."]) -> Float[Tensor, "rows classes"]:
    """Return scores as rows: an image each, of a segmentation a pixel each."""
    return scores.movedim(1, -1).flatten(0, -2)


def _of_classes(scores: Float[Tensor, "rows classes"], end: str) -> Scale:
    scale = scale_of(scores, end)[0] if scores.shape[1] > 1 else "logits"
    return "logits" if scale == "logarithms" else scale  # their softmax divides what they stand for by its sum


def _of_labels(scores: Float[Tensor, "rows labels"], end: str) -> Scale:
    """Tell what scores of labels are; where the graph does not show it, all in 0 to 1 are probabilities."""
    values = scores.float()
    inside = bool(((values >= -1e-6) & (values <= 1 + 1e-6)).all())
    if end == "logarithms":
        return "logarithms"
    if not inside or end == "linear":
        return "sigmoid"
    if end != "probabilities":
        say_once("the model's scores all lie between 0 and 1, so they are treated as probabilities of the labels.")
    return "probabilities"
