"""What speaks for a prediction: the maps of one image, as the command keeps them, or of pixels that a page sends.

Both go through `explain_group`, and so does `glassnet explain`: the same image has the same maps everywhere.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int, UInt8
from torch import Tensor, nn

from glassnet.analysis import KINDS, Context, get
from glassnet.analysis.attribution import AttributionRequest, ExplainedGroup, explain_group
from glassnet.analysis.views import Group
from glassnet.attribution import explain
from glassnet.attribution.engine.guided import GuidedReLUError
from glassnet.attribution.methods import choose_methods, is_of_a_layer
from glassnet.data import Split
from glassnet.errors import InputError, OtherDataError, WorkError
from glassnet.explorer.predicting import probabilities_of
from glassnet.method_titles import METHOD_TITLES
from glassnet.models.inference import predict
from glassnet.models.layers import select_layers
from glassnet.subject import Part, Subject


@dataclass(frozen=True, eq=False)
class ExplainedImage:
    """The maps of one image and what is known of it.

    Attributes:
        group: The maps, as a group of one.
        inputs: What the model was given (1, channel, height, width): the image, or the image with its noise.
        entry: KIND/NAME in the store; empty where it is not kept.
        seconds: That it took.
    """

    group: ExplainedGroup
    inputs: Tensor
    entry: str
    seconds: float

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is known of the image, by the keys of the task."""
        return self.group.facts[0]

    def map(self, method: str, layer: str) -> Float32[np.ndarray, ...]:
        """Return one map: (height, width), or (channel, height, width)."""
        return self.group.maps[method, layer][0]


def group_of(split: Split, place: int, part: Part, *, labelled: bool) -> Group:
    """Return one image of a part as a group of its own."""
    chosen = split.subset(torch.tensor([place]))
    return Group("chosen", "Chosen images", f"{part.capitalize()} images chosen by index.", chosen, labelled)


def group_of_pixels(pixels: Tensor, like: Group | None = None) -> Group:
    """Return pixels that a page sends, (1, channel, height, width), as a group.

    Args:
        pixels: As the model takes images.
        like: The image that was edited, whose label and number, and so its noise, they keep; None for an own image.
    """
    if like is not None:
        split = Split(pixels, like.split.targets, files=like.split.files, numbers=like.split.numbers)
        return replace(like, split=split)
    return Group("own", "Own image", "An own image.", Split(pixels, torch.zeros(1, dtype=torch.int64)), labelled=False)


def model_inputs(subject: Subject, group: Group, part: Part) -> Tensor:
    """Return what the model is given for a group's images: these, or these with the noise of their numbers."""
    return subject.task.views().explain.inputs(subject, group, AttributionRequest(split=part))


def maps_request(
    subject: Subject, *, layers: Sequence[str], methods: Sequence[str], target: str, part: Part
) -> AttributionRequest:
    """Return the settings of the command that asks for these maps, but for the image.

    All convolutions by name are the kind "conv", which the command asks for where nothing else is said.

    Raises:
        InputError: A layer or a method is unknown.
    """
    choose_methods(list(methods))
    model = subject.model()
    words = tuple(layers) or ("conv",)
    if any(map(is_of_a_layer, methods)):
        select_layers(model, list(words))
        words = ("conv",) if set(words) == _convolutions(subject, model) else words
    return AttributionRequest(layers=words, methods=tuple(methods), target=target or "predicted", split=part)


def _convolutions(subject: Subject, model: nn.Module) -> set[str]:
    """Return the layers that the kind "conv" means for a subject."""
    asked = subject.task.views().explain.layers(subject, model, AttributionRequest())
    try:
        return set(select_layers(model, asked))
    except InputError:
        return set()


def kept_maps(subject: Subject, request: AttributionRequest, place: int, context: Context) -> ExplainedImage:
    """Return the maps of an image of a part, from the store or into it; without a store they are only returned.

    Args:
        subject: Whose image.
        request: What is explained.
        place: The image's place in the part, as `glassnet explain --images` takes it.
        context: Where to compute.

    Raises:
        InputError: What is asked for means nothing here.
        WorkError: The model fails on the image, or gives NaN.
    """
    started = time.perf_counter()
    group = group_of(subject.part(request.split), place, request.split, labelled=subject.labelled)
    if subject.store is None or not subject.store.writable:
        return explained(subject, request, group, context)
    _check(subject, request, group, context)
    name = group.name_of(0, request.split)
    with failing_at(name):
        analysis = get(
            KINDS["attribution"], subject, replace(request, images=str(place)), context=context, figures=False
        )
    inputs = model_inputs(subject, group, request.split)
    (made,) = analysis.result.groups
    return ExplainedImage(made, inputs, analysis.name, time.perf_counter() - started)


def explained(subject: Subject, request: AttributionRequest, group: Group, context: Context) -> ExplainedImage:
    """Return the maps of a group of one image, which are kept nowhere.

    Raises:
        InputError: What is asked for means nothing here.
        WorkError: The model fails on the image, or gives NaN.
    """
    started = time.perf_counter()
    request = KINDS["attribution"].resolve(subject, replace(request, images="0"))
    _check(subject, request, group, context)
    with failing_at(group.name_of(0, request.split) if group.name != "own" else "this image"):
        made = explain_group(subject, subject.model(context.device), group, replace(request, mask="none"))
    inputs = model_inputs(subject, group, request.split)
    return ExplainedImage(made, inputs, "", time.perf_counter() - started)


def _check(subject: Subject, request: AttributionRequest, group: Group, context: Context) -> None:
    """Refuse what the task cannot explain, before the model runs."""
    views = subject.task.views().explain
    request = KINDS["attribution"].resolve(subject, replace(request, images="0"))
    views.check(subject, request)
    views.target(subject, subject.model(context.device), group, request)


@contextlib.contextmanager
def failing_at(name: str) -> Iterator[None]:
    """Tell what the model does wrong on an image from what was asked wrongly.

    Raises:
        WorkError: The model raises or gives NaN; the image is named.
    """
    try:
        yield
    except (OtherDataError, GuidedReLUError):
        raise
    except InputError as error:
        if error.__cause__ is None and "NaN" not in str(error):
            raise
        raise WorkError(f"{name}: {error}") from error


def probabilities(subject: Subject, inputs: Tensor, context: Context) -> Float32[np.ndarray, " classes"]:
    """Return the model's probability of each class for one image; nothing where its scores are of no classes.

    Args:
        subject: Whose model.
        inputs: (1, channel, height, width).
        context: Where to compute.
    """
    if not subject.task.views().explain.classes:
        return np.zeros(0, dtype=np.float32)
    passed = explain(subject.model(context.device), inputs, methods={"given": lambda images: images})
    assert passed.output is not None
    return probabilities_of(subject, torch.from_numpy(passed.output))[0].numpy()


def predicted_mask(subject: Subject, inputs: Tensor, context: Context) -> UInt8[np.ndarray, "height width"]:
    """Return the class that a segmentation gives each pixel of one image."""
    return predict(subject.model(context.device), inputs).argmax(dim=1)[0].to(torch.uint8).numpy()


def map_notes(image: ExplainedImage, methods: Sequence[str]) -> dict[str, str]:
    """Say of each map what a reader should know, by "METHOD|LAYER"; of a method without maps by "METHOD|"."""
    notes = {}
    for (method, layer), maps in image.group.maps.items():
        if not np.isfinite(maps).all():
            notes[f"{method}|{layer}"] = "The values are not finite: the gradients overflow here."
        elif not maps.any():
            notes[f"{method}|{layer}"] = "The map is zero everywhere: nothing here raises the score."
    for method in methods:
        if not any(name == method for name, _ in image.group.maps):
            notes[f"{method}|"] = (
                f"{METHOD_TITLES.get(method, method)} does not apply to this network: its ReLUs cannot be guided."
            )
    return notes


def target_class(image: ExplainedImage, subject: Subject) -> int | None:
    """Return the class that is explained; None where it is none."""
    targets: Int[np.ndarray, " n"] | None = image.group.targets
    if targets is not None:
        return int(targets[0])
    name = image.facts.get("target")
    return subject.classes.index(str(name)) if image.group.regions is not None and name in subject.classes else None


def target_words(image: ExplainedImage, request: AttributionRequest) -> str:
    """Say in words what is explained."""
    name = str(image.facts.get("target"))
    if image.group.regions is not None:
        return f"the region of {name}" if request.target.startswith("region:") else f"all pixels predicted as {name}"
    if image.group.targets is None:
        return "the error of the reconstruction" if name == "error" else f"the number {name} of the code"
    return f"the score of {name}"
