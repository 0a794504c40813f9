"""What every channel of some layers has learned: its images, its classes, what is lost without it, its own picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from glassnet.analysis.base import Context, Kind
from glassnet.analysis.channel_sheets import sheets
from glassnet.analysis.features import image_labels, in_order
from glassnet.analysis.measured_channels import ChannelsRequest, MeasuredChannels, part_of
from glassnet.analysis.scores import logits_reader
from glassnet.console import say
from glassnet.data import Split
from glassnet.data.split import balanced_draw
from glassnet.errors import InputError
from glassnet.images import ImageRows
from glassnet.microscope.ablation import ablate
from glassnet.microscope.ablation_result import Ablation
from glassnet.microscope.behind import behind_normalisation
from glassnet.microscope.channels_result import Channels
from glassnet.microscope.maximise import visualize
from glassnet.microscope.statistics import channels
from glassnet.microscope.visualized import Visualized
from glassnet.subject import Subject

MOST_IN_A_BATCH = 256
"""Images of a forward pass, at most."""


def compute(subject: Subject, request: ChannelsRequest, context: Context) -> MeasuredChannels:
    """Measure the channels of a subject's layers.

    Raises:
        InputError: A layer is unknown or gives no channels, NaN or infinity; there is no such part; or a number is
            below 1.
    """
    _check(request)
    model = context.once(("model", id(subject)), lambda: subject.model(context.device))
    part = part_of(subject, request.split, context)
    chosen = drawn(part, request.images, request.seed)
    own = part.subset(chosen)
    given, _ = subject.task.views().given(subject, own, request.split)
    layers, convolutions = behind_normalisation(model, request.layers, given)
    found = channels(model, given, **_labels(subject, own), layers=layers, top=request.top)
    notes: list[str] = []
    batch_size = min(context.batch_size, subject.task.batch_size, MOST_IN_A_BATCH)
    ablations = _ablations(subject, model, own, found, request, batch_size, notes)
    result = MeasuredChannels(
        channels=_in_part(found, chosen),
        ablations=ablations,
        pictures={},
        sheets={},
        convolutions=convolutions,
        split=request.split if subject.run is not None else "",
        notes=tuple(notes),
    )
    result = dataclasses.replace(result, sheets={name: _on_sheet(result, name, request.sheet) for name in found})
    if not request.visualize:
        return result
    pictures = _pictures(model, given, result, request, notes)
    return dataclasses.replace(result, pictures=_numbered(pictures, chosen), notes=tuple(notes))


def _check(request: ChannelsRequest) -> None:
    for name in ("images", "top", "sheet"):
        if getattr(request, name) < 1:
            raise InputError(f"{name} is {getattr(request, name)}, expected at least 1.")
    if request.ablation_images < 0:
        raise InputError(f"ablation_images is {request.ablation_images}, expected 0 (no ablation) or more.")


def drawn(part: Split, images: int, seed: int) -> Int64[Tensor, " n"]:
    """Return the places of the images of a part that are looked at."""
    return balanced_draw(torch.from_numpy(image_labels(part.targets)), images, seed=seed)


def _labels(subject: Subject, part: Split) -> dict[str, Any]:
    """Return classes, labels or masks as `channels` takes them; nothing where images have none."""
    if not subject.labelled or not subject.classes:
        return {}
    kind = "masks" if part.has_masks else "labels"
    return {kind: part.targets, "classes": subject.classes}


def _in_part(found: Channels, chosen: Int64[Tensor, " n"]) -> Channels:
    """Number the strongest images by their places in the part."""
    places = chosen.numpy()
    layers = {name: dataclasses.replace(one, top_images=places[one.top_images]) for name, one in found.layers.items()}
    return dataclasses.replace(found, layers=layers)


def _numbered(pictures: dict[str, Visualized], chosen: Int64[Tensor, " n"]) -> dict[str, Visualized]:
    """Number the best real images by their places in the part."""
    places = chosen.numpy()
    done = {}
    for name, one in pictures.items():
        index = one.real_index
        done[name] = one if index is None else dataclasses.replace(one, real_index=places[index])
    return done


def _ablations(
    subject: Subject,
    model: nn.Module,
    own: Split,
    found: Channels,
    request: ChannelsRequest,
    batch_size: int,
    notes: list[str],
) -> dict[str, Ablation]:
    """Measure what is lost without each channel, layer by layer."""
    if not request.ablation_images:
        return {}
    some = own.subset(drawn(own, request.ablation_images, request.seed))
    images, wanted = subject.task.views().given(subject, some, request.split)
    if wanted is None:
        notes.append("The images have no labels, so the loss from removing a channel cannot be measured.")
        return {}
    count = sum(map(len, found.layers.values()))
    layers = "1 layer" if len(found) == 1 else f"{len(found)} layers"
    say(f"removing {count:,} channels of {layers}, one at a time, on {len(some):,} images")
    options: dict[str, Any] = {"value": request.value, "to_logits": logits_reader(subject), "batch_size": batch_size}
    done: dict[str, Ablation] = {}
    for name in found:
        try:
            done[name] = ablate(model, images, wanted, name, **options)
        except InputError as error:
            notes.append(f"What the network loses without the channels of {name} is left out: {error}")
            say(f"left out: {error}")
    return done


def _on_sheet(result: MeasuredChannels, layer: str, most: int) -> Int64[np.ndarray, " shown"]:
    """Choose the channels of a sheet: half of them the most selective, half the most needed."""
    order = result.channels[layer].order()
    half = -(-most // 2)
    first = [*result.selective(layer, half).tolist(), *result.needed(layer, half).tolist(), *order.tolist()]
    shown = set(list(dict.fromkeys(first))[:most])
    return np.array([one for one in order.tolist() if one in shown], dtype=np.int64)


def _pictures(
    model: nn.Module,
    given: Tensor | ImageRows,
    result: MeasuredChannels,
    request: ChannelsRequest,
    notes: list[str],
) -> dict[str, Visualized]:
    """Optimise a synthetic image for each live channel of the sheets, and measure it against all images."""
    done: dict[str, Visualized] = {}
    for name, shown in result.sheets.items():
        alive = shown[~result.channels[name].is_dead[shown]]
        if not len(alive):
            continue
        say(f"optimising synthetic images for {len(alive)} channels of {name}")
        try:
            done[name] = visualize(model, name, alive.tolist(), objective="neuron", real=given, seed=request.seed)
        except InputError as error:
            notes.append(f"The synthetic images of the channels of {name} are left out: {error}")
            say(f"left out: {error}")
    return done


def words(_subject: Subject, request: ChannelsRequest) -> Iterable[str]:
    """Name an entry by its layers, and by what is not usual."""
    yield "+".join(request.layers)
    usual = ChannelsRequest()
    if request.split != usual.split:
        yield request.split
    for name, short in (("images", ""), ("top", "top"), ("ablation_images", "ablate"), ("sheet", "sheet")):
        if getattr(request, name) != getattr(usual, name):
            yield f"{short}{getattr(request, name)}"
    if request.value != usual.value:
        yield request.value
    if request.visualize:
        yield "pictures"
    if request.seed:
        yield f"seed{request.seed}"


def _made_of(subject: Subject, request: ChannelsRequest, context: Context) -> dict[str, Any]:
    if request.split == "validation":
        return subject.made_of("train", split=part_of(subject, request.split, context))
    return subject.made_of(request.split)


def _resolve(subject: Subject, request: ChannelsRequest) -> ChannelsRequest:
    """Put layers in the model's order, and settings that change nothing to their usual values."""
    value = request.value if request.ablation_images else ChannelsRequest.value
    return dataclasses.replace(request, layers=in_order(subject, request.layers), value=value)


CHANNELS = Kind(
    name="channels",
    request=ChannelsRequest,
    result=lambda _subject: MeasuredChannels,
    compute=compute,
    words=words,
    plots=sheets,
    made_of=_made_of,
    resolve=_resolve,
    packages=("torch", "numpy", "matplotlib"),
    code=("analysis", "microscope", "models", "tasks"),
)
