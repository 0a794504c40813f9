"""A few images of a part with the map of the last layer, for a report to show behind cells, points and mistakes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from glassnet.analysis.attribution import AttributionRequest, ExplainedGroup, explain_group
from glassnet.analysis.base import Context, Kind, Precision
from glassnet.analysis.views import Group
from glassnet.display import Shown
from glassnet.errors import InputError
from glassnet.models.layers import select_layers
from glassnet.subject import Part, Subject

LAST = ("last-conv",)


@dataclass(frozen=True)
class ExamplesRequest:
    """Which images.

    Attributes:
        rows: Their places in the part.
        targets: The class explained for each; what the task explains where none is asked for, if empty.
        split: The part.
        precision: Of the forward and backward pass.
    """

    rows: tuple[int, ...]
    targets: tuple[int, ...] = ()
    split: Part = "test"
    precision: Precision = "fp32"


@dataclass(frozen=True)
class Examples(Shown):
    """The images, each with one map.

    Attributes:
        rows: Their places in the part.
        method: What made the maps: Grad-CAM, or saliency where there is no convolution.
        layer: Of which layer.
        group: Images, maps and facts.
    """

    rows: tuple[int, ...]
    method: str
    layer: str
    group: ExplainedGroup

    def __repr__(self) -> str:
        """Say in one line what it holds."""
        return f"Examples({len(self.rows)} images, {self.method} at {self.layer})"


def compute(subject: Subject, request: ExamplesRequest, context: Context) -> Examples:
    """Explain the prediction for each image at the last convolution, or at the input where there is none.

    Raises:
        InputError: There is no such image, or not a target for each.
    """
    _check(request, len(subject.part(request.split)))
    model = context.once(("model", id(subject)), lambda: subject.model(context.device))
    try:
        select_layers(model, list(LAST))
        methods: tuple[str, ...] = ("gradcam",)
    except InputError:
        methods = ("saliency",)
    split = subject.part(request.split).subset(torch.tensor(request.rows))
    title, rule = "Images of the report", "Chosen for the report by rule."
    group = Group("examples", title, rule, split, subject.labelled, request.targets or None)
    asked = AttributionRequest("", LAST, methods, mask="none", split=request.split, precision=request.precision)
    explained = explain_group(subject, model, group, asked)
    (method, layer), *_ = explained.maps
    return Examples(request.rows, method, layer, explained)


def _check(request: ExamplesRequest, images: int) -> None:
    """Refuse places that the part has not, and targets that are not one an image."""
    wrong = [row for row in request.rows if not 0 <= row < images]
    if wrong or not request.rows:
        got = f"rows names {wrong[0]}" if wrong else "rows is empty"
        raise InputError(f"{got}, expected indices of the {images} {request.split} images, 0 to {images - 1}.")
    if request.targets and len(request.targets) != len(request.rows):
        raise InputError(f"there are {len(request.targets)} targets for {len(request.rows)} rows; give one for each.")


def _words(_subject: Subject, request: ExamplesRequest) -> Iterable[str]:
    return ("report", request.split)


def _made_of(subject: Subject, request: ExamplesRequest, _context: Context) -> dict[str, Any]:
    return subject.made_of(request.split)


EXAMPLES = Kind(
    name="examples",
    request=ExamplesRequest,
    result=lambda _subject: Examples,
    compute=compute,
    words=_words,
    plots=lambda _subject, _request, _result, _context: (),
    made_of=_made_of,
    code=("analysis", "attribution", "models", "tasks"),
)
