"""Statistics of channels: the images that activate each most, how selective it is, which never respond."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glassnet.console import progress
from glassnet.errors import InputError
from glassnet.images import ImageRows, Images, check_images, image_batches
from glassnet.microscope.channels_result import Channels, LayerChannels
from glassnet.microscope.detectors import Maxima
from glassnet.microscope.dissection import Overlap, Tail
from glassnet.microscope.layer import LayerCalls, find_layers
from glassnet.microscope.members import Members, mask_rows, of_labels, of_masks
from glassnet.microscope.normalised import normalisations
from glassnet.microscope.responses import Responses
from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall, call_model, translate_torch_errors
from glassnet.models.layers import Call, LayerChoice
from glassnet.models.undisturbed import undisturbed

Labels = Sequence[int] | np.ndarray | Tensor | None
"""Class of each image, or yes or no for each label."""
Masks = np.ndarray | Tensor
"""Class of each pixel (n, height, width), 255 for none."""
IN_MEMORY = 2**28
"""Bytes of images' highest activations that are held in memory; more go to a temporary file."""


def channels(
    model: nn.Module,
    images: Images | ImageRows,
    labels: Labels = None,
    *,
    layers: LayerChoice = "conv",
    masks: Masks | None = None,
    top: int = 9,
    classes: Sequence[str] | None = None,
    batch_size: int = 256,
    forward: ModelCall | None = None,
) -> Channels:
    """Tell what each channel of each layer responds to, in one pass over any number of images; with masks in two.

    All figures are exact, but for a layer's dissection with more than 64 MiB of values above its thresholds, which come
    from a random part of the places then: `Tail` says how far off they are. Memory does not grow with the images, but
    for labels and their ranking (50 bytes an image): the highest activations that the AUROC needs take 4 bytes a
    channel and image, in a temporary file where these are more than 256 MiB.

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
        batch_size: Images per forward pass.
        forward: How the model is called on a batch, as `explain` takes it.

    Raises:
        InputError: A layer is unknown or gives no channels, NaN or infinity, or labels or classes do not fit.
    """
    check_images(images, batch_size)
    if top < 1:
        raise InputError(f"top is {top}, expected at least 1.")
    members = _members(labels, masks, classes, len(images))
    call = forward or call_model
    found = find_layers(model, layers, images, call)
    behind = normalisations(model, found.values(), images, call)
    on_disk = 4 * len(images) * sum(layer.channels for layer in found.values()) > IN_MEMORY
    with ExitStack() as files:
        responses = {}
        for name, layer in found.items():
            file = files.enter_context(tempfile.TemporaryFile(prefix="glassnet-")) if members and on_disk else None
            maxima = None if members is None else Maxima(layer.channels, len(images), file)
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

    modules = dict.fromkeys(module for module, _ in by_call)
    with (
        undisturbed(model) as put_back,
        torch.no_grad(),
        progress("channels", len(images), announce=False) as advance,
    ):
        for first, batch in image_batches(model, images, batch_size):
            start, size = first, len(batch)
            put_back()
            with tapped(model, modules, tap), translate_torch_errors(model, batch):
                call(model, batch)
            advance(size)


def _dissect(masks: Masks, one: Responses, classes: int) -> tuple[Overlap, Taker]:
    """Return where a layer's overlap with the masks is summed up, and who does it."""
    assert one.tail is not None
    overlap = Overlap(one.tail.thresholds(), classes)
    return overlap, lambda start, maps: overlap.add(maps, mask_rows(masks, start, start + len(maps)))
