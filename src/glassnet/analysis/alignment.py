"""How alike the layers of two runs see the same images, or those of one: linear CKA alone, without probes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glassnet.analysis.base import Context, Kind, Precision
from glassnet.analysis.features import image_labels
from glassnet.analysis.layers import AlignedLayers, alignment_plot
from glassnet.data import Split
from glassnet.data.split import balanced_draw
from glassnet.embedding.layers import cka
from glassnet.errors import InputError
from glassnet.models.features import extract_features
from glassnet.models.layers import select_layers
from glassnet.subject import Part, Subject


@dataclass(frozen=True)
class AlignmentRequest:
    """What is compared.

    Attributes:
        against: Another run on the same images, by its path; None for the layers of one run among themselves.
        layers: Layers by name, pattern or kind, of each of the two; a kind of which a network has none is left out.
        split: Part of the images.
        images: So many images at most, drawn by seed, of each class alike.
        seed: Of the draw.
        precision: Of the forward pass.
    """

    against: str | None = None
    layers: tuple[str, ...] = ("conv", "linear")
    split: Part = "test"
    images: int = 1000
    seed: int = 0
    precision: Precision = "fp32"


def compute(subject: Subject, request: AlignmentRequest, context: Context) -> AlignedLayers:
    """Align the layers of a subject with another run's.

    Raises:
        InputError: They have other images, there is no such layer, or there are too few images.
    """
    other = None if request.against is None else _other(request, context)
    if other is not None and other.made_of(request.split)["images"] != subject.made_of(request.split)["images"]:
        raise InputError(
            f"{subject.name} and {other.name} have different {request.split} images; compare runs on the same data at "
            "the same image size."
        )
    return aligned(subject, other, request, context)


def aligned(subject: Subject, other: Subject | None, request: AlignmentRequest, context: Context) -> AlignedLayers:
    """Align the layers of two subjects that have the same images; of one where `other` is None."""
    pixels = _drawn(subject.part(request.split), request)
    own = _features(subject.model(context.device), pixels, request)
    seen = None if other is None else _features(other.model(context.device), pixels, request)
    found = cka(own, seen, debiased=True)
    return AlignedLayers(other.name if other else "", found.first, found.second, found.matrix, found.images)


def _drawn(split: Split, request: AlignmentRequest) -> Tensor:
    targets = split.targets
    labels = image_labels(targets) if targets.ndim < 3 else np.zeros(len(targets), np.int64)
    return split.take(balanced_draw(torch.from_numpy(labels), request.images, seed=request.seed))[0]


def _features(model: nn.Module, images: Tensor, request: AlignmentRequest) -> dict[str, np.ndarray]:
    there = []
    for word in request.layers:
        try:
            select_layers(model, word)
        except InputError:
            if len(request.layers) == 1:
                raise
            continue
        there.append(word)
    return extract_features(model, images, there or ["all"], precision=request.precision)


def _other(request: AlignmentRequest, context: Context) -> Subject:
    """Open the other run, once for a context, which may know it already."""
    other: Subject = context.once(
        ("against", request.against), lambda: Subject.of_run(str(request.against), data_root=context.data_root)
    )
    return other


def _made_of(subject: Subject, request: AlignmentRequest, context: Context) -> dict[str, Any]:
    digests = subject.made_of(request.split)
    return digests if request.against is None else digests | {"against": _other(request, context).weights_digest}


def _words(_subject: Subject, request: AlignmentRequest) -> Iterable[str]:
    yield "+".join(request.layers)
    if request.against:
        yield f"against-{request.against.rstrip('/').rpartition('/')[2]}"
    if request.split != "test":
        yield request.split
    if request.seed:
        yield f"seed{request.seed}"


ALIGNMENT = Kind(
    name="alignment",
    request=AlignmentRequest,
    result=lambda _subject: AlignedLayers,
    compute=compute,
    words=_words,
    plots=lambda subject, _request, found, _context: (alignment_plot(subject, found),),
    made_of=_made_of,
    code=("analysis", "embedding", "models"),
)
