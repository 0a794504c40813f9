"""Statistics of channels: the images that activate each most, how selective it is, which never respond."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glassnet.console import progress
from glassnet.errors import InputError, checked_integer
from glassnet.images import ImageRows, Images, check_images, device_of, image_batches
from glassnet.microscope.behind import behind_normalisation
from glassnet.microscope.channels_result import Channels, LayerChannels
from glassnet.microscope.detectors import Maxima
from glassnet.microscope.dissection import Overlap, Tail
from glassnet.microscope.layer import LayerCalls, find_layers
from glassnet.microscope.members import Members, mask_rows, of_labels, of_masks
from glassnet.microscope.rectified import Outputs, by_name, check_source, rectifiers
from glassnet.microscope.responses import Responses
from glassnet.models.capture import hooked_with_arguments
from glassnet.models.inference import ModelCall, call_model, translate_torch_errors
from glassnet.models.layers import Call, LayerChoice
from glassnet.models.memory_order import memory_order
from glassnet.models.receptive.field import ReceptiveField
from glassnet.models.receptive.find import receptive_fields
from glassnet.models.undisturbed import undisturbed

Labels = Sequence[int] | np.ndarray | Tensor | None
"""Class of each image, or yes or no for each label."""
Masks = np.ndarray | Tensor
"""Class of each pixel (n, height, width), 255 for none."""
IN_MEMORY = 2**25
"""Bytes of images' highest activations that are held in memory; more go to a temporary file."""
IN_CACHE = 2**22
"""Numbers of the largest map of a batch that a CPU still finds in its cache when they are looked at."""
BATCH_SIZES = (8, 256)
"""Images per forward pass, at least and at most, where it is not said how many."""


def channels(
    model: nn.Module,
    images: Images | ImageRows,
    labels: Labels = None,
    *,
    layers: LayerChoice = "conv",
    masks: Masks | None = None,
    top: int = 9,
    classes: Sequence[str] | None = None,
    batch_size: int | None = None,
    forward: ModelCall | None = None,
) -> Channels:
    """Measure what each channel of each layer responds to, in one pass over any number of images, or two with masks.

    All values are exact, with one exception: if a layer's dissection has more than 64 MiB of values above its
    thresholds, these come from a random part of the places, and `Tail` gives the error. Memory does not grow with the
    number of images, except for labels and their ranking (60 bytes per image). The highest activations, which the AUROC
    needs, take 4 bytes per channel and image; above 32 MiB they go to a temporary file.

    Args:
        model: Any module that takes a batch of images, or whatever `forward` passes it; it is left as it was found.
        images: (n, channel, height, width), uint8 or float as the model takes it.
        labels: Class of each image (n,), or yes or no for each label (n, labels).
        layers: Names, patterns, kinds or modules. A layer that runs twice gives "relu:0" and "relu:1". If a batch
            normalisation takes a convolution's output, directly or after a pool, the kinds "conv" and "last-conv" mean
            the output of that normalisation, and all values stand under its name, such as "bn1". A layer's own name,
            such as "conv1", always means that layer itself.
        masks: Class of each pixel (n, height, width), 255 for none, of any size: each channel is then compared with
            each class's pixels. Without labels, an image belongs to every class in its mask.
        top: Number of strongest images kept for each channel.
        classes: Names of the classes.
        batch_size: Images per forward pass; by default 256 on a GPU, and on a CPU as many, from 8 to 256, as keep the
            layers' maps in its cache.
        forward: How the model is called on a batch, as in `explain`.

    Raises:
        InputError: A layer is unknown, has no channels, gives NaN or infinity, or does not run the same way for all
            images; or labels or classes do not fit.
    """
    check_images(images, 1 if batch_size is None else batch_size)
    top = checked_integer("top", top, least=1)
    members = _members(labels, masks, classes, len(images))
    call = forward or call_model
    layers, _ = behind_normalisation(model, layers, images, forward=call)
    found = find_layers(model, layers, images, call)
    batch_size = min(batch_size or _batch_size(model, images, found.values()), len(images))
    figures, thresholds = _responses(model, images, batch_size, call, found, top, members, masks is not None)
    if masks is not None and members is not None:
        overlaps = {name: Overlap(thresholds[name], members.count) for name in found}
        _run(model, images, batch_size, call, [(found[name], _dissect(masks, one)) for name, one in overlaps.items()])
        for name, one in overlaps.items():
            figures[name] |= {"thresholds": one.thresholds.numpy(), "iou": one.iou()}
    fields = _fields(model, found.values(), images, call)
    for name, own in figures.items():
        if name in fields and fields[name].map_size == own["size"]:
            places = own["top_places"]
            own["boxes"] = fields[name].boxes(places.reshape(-1, 2)).reshape(*places.shape[:2], 4)
    by_layer = {name: LayerChannels(**own) for name, own in figures.items()}
    names = None if members is None else tuple(map(str, range(members.count) if classes is None else classes))
    return Channels(layers=by_layer, images=len(images), classes=names)


def _fields(
    model: nn.Module, layers: Iterable[LayerCalls], images: Images | ImageRows, call: ModelCall
) -> dict[str, ReceptiveField]:
    """Return what each place of the layers' maps sees, of the layers of which it is known."""
    modules = [model.get_submodule(name) for name in dict.fromkeys(layer.module for layer in layers)]
    try:
        return receptive_fields(model, modules, images, forward=call)
    except InputError:  # of one of them
        found: dict[str, ReceptiveField] = {}
        for module in modules:
            with suppress(InputError):
                found |= receptive_fields(model, module, images, forward=call)
        return found


def _members(labels: Labels, masks: Masks | None, classes: Sequence[str] | None, images: int) -> Members | None:
    """Return which images are of which class: as the labels say, else by the classes that masks hold."""
    if labels is not None and masks is not None and classes is None:
        raise InputError("labels and masks are given without classes; pass classes=…, the names of the masks' classes.")
    shown = None if masks is None else of_masks(masks, images, classes)
    return shown if labels is None else of_labels(labels, images, classes)


def _batch_size(model: nn.Module, images: Images | ImageRows, layers: Iterable[LayerCalls]) -> int:
    """Return how many images go through the network at once."""
    if device_of(model).type != "cpu":
        return BATCH_SIZES[1]
    readings = [reading for layer in layers for reading in layer.readings.values()]
    largest = max(prod(one.shape) // one.images for one in readings)
    guessed = 16 * prod(images.shape[1:])  # the first maps, where only others are asked for
    return min(max(IN_CACHE // max(largest, guessed), BATCH_SIZES[0]), BATCH_SIZES[1])


def _responses(
    model: nn.Module,
    images: Images | ImageRows,
    batch_size: int,
    call: ModelCall,
    layers: Mapping[str, LayerCalls],
    top: int,
    members: Members | None,
    with_masks: bool,
) -> tuple[dict[str, dict[str, Any]], dict[str, Tensor]]:
    """Return all figures but those of dissection, by layer, and the thresholds for these, where there are masks."""
    sources = rectifiers(model, layers.values(), images, call)
    count = sum(layer.channels for layer in layers.values())
    held = IN_MEMORY // (4 * count)
    tails = {name: Tail(layer.channels, len(images)) for name, layer in layers.items()} if with_masks else None
    with closing(Maxima(count, len(images), held)) if members else nullcontext() as maxima:
        responses = Responses(
            layers,
            top=top,
            batch_size=batch_size,
            rectified=by_name(sources, layers),
            members=members,
            maxima=maxima,
            tails=tails,
        )
        takers = [(layer, _to_responses(responses, name)) for name, layer in layers.items()]
        _run(model, images, batch_size, call, takers, sources, responses.end)
        return responses.figures(), responses.thresholds()


Taker = Callable[[int, Tensor], None]
"""Takes the number of a batch's first image, and a layer's maps (batch, channel, height, width)."""


def _run(
    model: nn.Module,
    images: Images | ImageRows,
    batch_size: int,
    call: ModelCall,
    takers: Sequence[tuple[LayerCalls, Taker]],
    sources: Mapping[Call, Call] | None = None,
    end: Callable[[int, int], object] = lambda _start, _size: None,
) -> None:
    """Pass all images through the network, and hand the maps of each layer to whom they are for.

    It is checked that a call of `sources` takes the very output of the one that stands for it there. At the end of a
    batch, `end` is given its first image and how many it has.
    """
    by_call = {made: pair for pair in takers for made in pair[0].readings}
    sources = sources or {}
    start = size = 0
    outputs = Outputs()

    def tap(made: Call, arguments: Any, given: Any) -> None:
        if made in by_call:
            layer, take = by_call[made]
            if made in sources:
                check_source(outputs, made, sources[made], arguments, given)
            outputs.note(made, given)
            take(start, layer.to_maps(made, given, size))

    modules = {layer.module: layer for layer, _ in takers}
    with (
        undisturbed(model) as put_back,
        torch.no_grad(),
        progress("channels", len(images), announce=False) as advance,
    ):
        _, one = next(image_batches(model, images[:1], 1))
        order = memory_order(model, one, call=None if call is call_model else call, count=len(images))
        for first, batch in image_batches(model, images, batch_size):
            start, size, outputs = first, len(batch), Outputs()
            put_back()
            with hooked_with_arguments(model, modules, tap) as counts, translate_torch_errors(model, batch):
                call(model, batch.to(memory_format=order))
            for layer in modules.values():
                layer.check_calls(counts[layer.module], first, size)
            end(first, size)
            advance(size)


def _to_responses(responses: Responses, name: str) -> Taker:
    return lambda _, maps: responses.add(name, maps)


def _dissect(masks: Masks, overlap: Overlap) -> Taker:
    return lambda start, maps: overlap.add(maps, mask_rows(masks, start, start + len(maps)))
