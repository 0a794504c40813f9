"""Statistics of channels: the images that activate each most, how selective it is, which never respond."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glassnet.console import progress
from glassnet.errors import InputError
from glassnet.images import ImageRows, Images, check_images, device_of, image_batches
from glassnet.microscope.channels_result import Channels, LayerChannels
from glassnet.microscope.detectors import Maxima
from glassnet.microscope.dissection import Overlap, Tail
from glassnet.microscope.layer import LayerCalls, find_layers
from glassnet.microscope.members import Members, mask_rows, of_labels, of_masks
from glassnet.microscope.normalised import normalisations
from glassnet.microscope.responses import Responses
from glassnet.models.capture import tapped
from glassnet.models.inference import NO_VIEW, ModelCall, call_model, translate_torch_errors
from glassnet.models.layers import Call, LayerChoice
from glassnet.models.undisturbed import undisturbed

Labels = Sequence[int] | np.ndarray | Tensor | None
"""Class of each image, or yes or no for each label."""
Masks = np.ndarray | Tensor
"""Class of each pixel (n, height, width), 255 for none."""
IN_MEMORY = 2**26
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
    """Tell what each channel of each layer responds to, in one pass over any number of images; with masks in two.

    All figures are exact, but for a layer's dissection with more than 64 MiB of values above its thresholds, which come
    from a random part of the places then: `Tail` says how far off they are. Memory does not grow with the images, but
    for labels and their ranking (60 bytes an image): the highest activations that the AUROC needs take 4 bytes a
    channel and image, in a temporary file where these are more than 64 MiB.

    Args:
        model: Any module that takes one image batch, or what `forward` gives it; it is left as it was found.
        images: (n, channel, height, width), uint8 or float as the model takes it.
        labels: Class of each image (n,), or yes or no for each label (n, labels).
        layers: What `select_layers` takes: names, patterns, kinds, modules. A layer that runs twice gives "relu:0" and
            "relu:1". A convolution is looked at as it is, before what follows, but for what counts as active: that is
            above 0 behind a batch normalisation that takes its output, if there is one.
        masks: Class of each pixel (n, height, width), 255 for none, of any size: each channel is then compared with
            each class's pixels. Without labels, an image is of every class in its mask.
        top: Images kept for each channel, the strongest.
        classes: Names of the classes.
        batch_size: Images per forward pass; if not given, as many, from 8 to 256, as keep the layers' maps in a CPU's
            cache, and 256 on a GPU.
        forward: How the model is called on a batch, as `explain` takes it.

    Raises:
        InputError: A layer is unknown, gives no channels, NaN or infinity, or does not run alike for all images, or
            labels or classes do not fit.
    """
    check_images(images, 1 if batch_size is None else batch_size)
    if top < 1:
        raise InputError(f"top is {top}, expected at least 1.")
    members = _members(labels, masks, classes, len(images))
    call = forward or call_model
    found = find_layers(model, layers, images, call)
    behind = normalisations(model, found.values(), images, call)
    batch_size = batch_size or _batch_size(model, images, found.values())
    held = IN_MEMORY // (4 * sum(layer.channels for layer in found.values()))
    with ExitStack() as files:
        responses = {}
        for name, layer in found.items():
            maxima = None if members is None else Maxima(layer.channels, len(images), held)
            if maxima is not None:
                files.enter_context(closing(maxima))
            tail = None if masks is None else Tail(layer.channels, len(images))
            affine = behind.get(next(iter(layer.readings)))
            responses[name] = Responses(layer, top, affine=affine, members=members, maxima=maxima, tail=tail)
        _run(model, images, batch_size, call, [(one.layer, one.add) for one in responses.values()])
        by_layer = {name: LayerChannels(**one.figures()) for name, one in responses.items()}
    if masks is not None and members is not None:
        overlaps = {name: _dissect(masks, one, members.count) for name, one in responses.items()}
        _run(model, images, batch_size, call, [(found[name], take) for name, (_, take) in overlaps.items()])
        for name, (overlap, _) in overlaps.items():
            by_layer[name] = replace(by_layer[name], thresholds=overlap.thresholds.numpy(), iou=overlap.iou())
    names = None if members is None else tuple(map(str, range(members.count) if classes is None else classes))
    return Channels(layers=by_layer, images=len(images), classes=names)


def _members(labels: Labels, masks: Masks | None, classes: Sequence[str] | None, images: int) -> Members | None:
    """Return which images are of which class: as the labels say, else by the classes that masks hold."""
    if labels is not None and masks is not None and classes is None:
        raise InputError("labels and masks are given, and no classes; pass classes=…, the names of the masks' classes.")
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


Taker = Callable[[int, Tensor], None]
"""Takes the number of a batch's first image, and a layer's maps (batch, channel, height, width)."""


def _run(
    model: nn.Module,
    images: Images | ImageRows,
    batch_size: int,
    call: ModelCall,
    takers: Sequence[tuple[LayerCalls, Taker]],
) -> None:
    """Pass all images through the network, and hand the maps of each layer to whom they are for."""
    by_call = {made: pair for pair in takers for made in pair[0].readings}
    start = size = 0

    def tap(made: Call, given: Any) -> None:
        if made in by_call:
            layer, take = by_call[made]
            take(start, layer.to_maps(made, given, size))

    modules = {layer.module: layer for layer, _ in takers}
    with (
        undisturbed(model) as put_back,
        torch.no_grad(),
        progress("channels", len(images), announce=False) as advance,
    ):
        layout = _layout(model, images, call)
        for first, batch in image_batches(model, images, batch_size):
            start, size = first, len(batch)
            put_back()
            with tapped(model, modules, tap) as counts, translate_torch_errors(model, batch):
                call(model, batch.to(memory_format=layout))
            for layer in modules.values():
                layer.check_calls(counts[layer.module], first, size)
            advance(size)


def _layout(model: nn.Module, images: Images | ImageRows, call: ModelCall) -> torch.memory_format:
    """Return the layout of images in memory: channels last, the fastest, but for a model that `view`s pixels."""
    _, two = next(image_batches(model, images[:2], 2))
    with translate_torch_errors(model, two):
        try:
            call(model, two.to(memory_format=torch.channels_last))
        except RuntimeError as error:
            if NO_VIEW not in str(error):
                raise
            return torch.contiguous_format
    return torch.channels_last


def _dissect(masks: Masks, one: Responses, classes: int) -> tuple[Overlap, Taker]:
    """Return where a layer's overlap with the masks is summed up, and who does it."""
    assert one.tail is not None
    overlap = Overlap(one.tail.thresholds(), classes)
    return overlap, lambda start, maps: overlap.add(maps, mask_rows(masks, start, start + len(maps)))
