"""The receptive fields of a network's layers, from one pass of random or given images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from glassnet.errors import InputError, is_integer
from glassnet.images import ImageRows, Images, first_weight, image_batches
from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall, call_model, translate_torch_errors
from glassnet.models.last_layer import settle_last
from glassnet.models.layers import (
    Call,
    LayerChoice,
    asked_by_name,
    name_calls,
    say_left_out,
    select_layers,
    split_call,
)
from glassnet.models.layout.reading import Reading
from glassnet.models.layout.trace import AxisTrace, images_to_trace
from glassnet.models.one_pass import one_pass
from glassnet.models.receptive.field import How, ReceptiveField, Regular, regular
from glassnet.models.receptive.gradient import seen_by_gradient
from glassnet.models.receptive.patterns import Windows
from glassnet.models.receptive.reach import EMPTY, Reach
from glassnet.models.receptive.trace import ReachTrace
from glassnet.turns import exclusive

_MOST_CHANNELS = 3


def receptive_field(
    model: nn.Module,
    layer: str | nn.Module,
    image_size: int | Sequence[int],
    *,
    forward: ModelCall | None = None,
) -> ReceptiveField:
    """Find which pixels each unit of a layer sees: exact boxes, and their size, stride and offset if they are regular.

    The first and last pixel are followed through every operation of one forward pass, below autograd, so it does not
    matter how the network is written. For convolutions and pools with kernel k_l and stride s_l, the result is the
    well-known size = 1 + sum over l of (k_l - 1) times the strides before l. If paths differ in size, their union
    counts. A layer after attention, a global pool or a norm over places sees the whole image. Pixels that a mask of -50
    or less hides from a softmax are not seen, nor are kernel positions where all channels have weight 0. Other zero
    weights count, such as pruned ones between single channels.

    A box shows what can change a unit at all, not how much each pixel matters: in deep networks the centre matters most
    (Luo et al. 2016, https://arxiv.org/abs/1701.04128).

    Araujo et al. 2019, Computing receptive fields of convolutional neural networks, https://doi.org/10.23915/distill.00021.

    Args:
        model: Any module that takes a batch of images, or whatever `forward` passes it; it is left as it was found.
        layer: One layer: its name, its name and the number of a call such as "relu:1", "last-conv", or the module.
        image_size: Height and width of the images in pixels, or one number for both; or the images' shape, (channel,
            height, width) or (n, channel, height, width).
        forward: How the model is called on a batch, as in `explain`.

    Raises:
        InputError: There is no such layer, it does not run or runs twice; the model cannot take such images; or the
            layer does not depend on them.
    """
    shape = _shape(model, image_size)
    images = torch.rand(shape, generator=Generator().manual_seed(0))
    found = receptive_fields(model, layer, images, forward=forward)
    if len(found) > 1:
        names = list(found)
        raise InputError(
            f"layer is {layer!r}, which means {len(names)} layers or calls; choose one, such as '{names[0]}'."
        )
    return next(iter(found.values()))


def receptive_fields(
    model: nn.Module, layers: LayerChoice, images: Images | ImageRows, *, forward: ModelCall | None = None
) -> dict[str, ReceptiveField]:
    """Find which pixels each unit of several layers sees, as `receptive_field` does, in one pass of two images.

    Returns:
        By layer, as `explain` names them. A layer that a kind or a pattern brings in is left out if nothing can be said
        of what it sees, and a message says why.

    Raises:
        InputError: There is no such layer, or one asked for by name, or every one, does not run, has no known layout,
            or does not depend on the images.
    """
    call = forward or call_model
    settled = settle_last(model, layers, images, forward=call)
    names, asked = select_layers(model, settled), asked_by_name(model, settled)
    _, two = next(image_batches(model, images[:2], 2))
    two = images_to_trace(two)
    seen, problems = _followed(model, two, dict.fromkeys(split_call(name)[0] for name in names), call)
    fields: dict[Call, ReceptiveField] = {}
    for name, made in name_calls(names, asked, problems).items():
        try:
            fields[made] = _field(name, model, two, made, seen[made], call)
        except InputError as error:  # it does not depend on the images
            problems[made] = str(error).removeprefix(f"layer '{name}' ").rstrip(".")
    chosen = name_calls(names, asked, problems)
    say_left_out(names, problems)
    return {name: replace(fields[made], layer=name) for name, made in chosen.items()}


def receptive_field_of(
    model: nn.Module, made: Call, images: Images | ImageRows, *, name: str, forward: ModelCall | None = None
) -> ReceptiveField:
    """Find what each unit of one call of a layer sees, as `receptive_field` does, from two images.

    Args:
        model: Any module.
        made: The call.
        images: (n, channel, height, width).
        name: What the layer is called in the result.
        forward: How the model is called on a batch.

    Raises:
        InputError: The layer does not hang on the images.
    """
    call = forward or call_model
    _, two = next(image_batches(model, images[:2], 2))
    two = images_to_trace(two)
    return _field(name, model, two, made, _followed(model, two, [made[0]], call)[0][made], call)


def _shape(model: nn.Module, image_size: int | Sequence[int]) -> tuple[int, ...]:
    given: Any = list(image_size) if isinstance(image_size, Iterable) else [image_size]
    sizes = [int(size) for size in given if is_integer(size) and size > 0]
    if not 1 <= len(sizes) <= 4 or len(sizes) < len(given):
        raise InputError(
            f"image_size is {image_size!r}, expected whole numbers of at least 1: the height and width in pixels, such "
            "as 224 or (224, 160), or a shape, such as (3, 224, 224)."
        )
    height, width = sizes[-2:] if len(sizes) > 1 else sizes * 2
    channels = sizes[-3] if len(sizes) > 2 else _channels(model, height * width)
    return (2, channels, height, width)


def _channels(model: nn.Module, pixels: int) -> int:
    """Return how many channels the model's first layer takes."""
    first = next((one for one in model.modules() if isinstance(one, nn.Conv2d | nn.Linear)), None)
    if isinstance(first, nn.Conv2d):
        return first.in_channels
    weight = first_weight(model)
    return weight.shape[1] // pixels or _MOST_CHANNELS if weight.ndim == 2 else _MOST_CHANNELS


@dataclass(frozen=True)
class _Seen:
    """What a call of a layer gave: how it is laid out, and what its numbers are made of."""

    reading: Reading
    reach: Reach | None
    shape: tuple[int, ...]

    def problem(self) -> str:
        """Say why nothing can be said of its units, or ""."""
        problem = self.reading.problem_as_rows(mean=True)
        return problem and f"gives a tensor of shape {self.shape}, which {problem}; choose another layer"


def _followed(
    model: nn.Module, images: Tensor, modules: Collection[str], call: ModelCall
) -> tuple[dict[Call, _Seen], dict[Call, str]]:
    """Return what each call of some modules gives, and of each that runs why nothing can be said of it, or ""."""
    axes, reaches = AxisTrace(images), ReachTrace(images)
    seen: dict[Call, _Seen] = {}
    problems: dict[Call, str] = {}

    def tap(made: Call, value: Tensor) -> None:
        reading = axes.reading(value, model.get_submodule(made[0]))
        seen[made] = _Seen(reading, reaches.read(value), tuple(value.shape))

    def note(made: Call, output: Any) -> None:
        problems[made] = f"gives a {type(output).__name__} without a tensor of images; choose a layer inside it"

    # Exclusive before the hooks hang: they would note the passes of other threads, too.
    with exclusive(model), translate_torch_errors(model, images), tapped(model, modules, note):
        one_pass(model, images, modules, tap, axes, reaches, call=call)
    return seen, problems | {made: one.problem() for made, one in seen.items()}


def _field(name: str, model: nn.Module, images: Tensor, made: Call, seen: _Seen, call: ModelCall) -> ReceptiveField:
    height, width = images.shape[2:]
    how: How = "operations"
    lines: tuple[Windows | None, Windows | None] = (None, None)
    if seen.reach is not None and seen.reach.known:
        bounds = _bounds(seen.reading, seen.reach)
        lines = _lines(seen.reading, seen.reach, bounds.shape[:2])
    else:
        how, bounds = "gradient", seen_by_gradient(name, model, images, made, seen.reading, call)
    rows = _regular(bounds[:, :, 1], bounds[:, :, 3], height, lines[0])
    columns = _regular(bounds[:, :, 0].T, bounds[:, :, 2].T, width, lines[1])
    return ReceptiveField(
        layer=name,
        size=(rows.size, columns.size),
        stride=(rows.stride, columns.stride),
        offset=(rows.offset, columns.offset),
        map_size=(bounds.shape[0], bounds.shape[1]),
        image_size=(height, width),
        how=how,
        bounds=bounds,
    )


def _bounds(reading: Reading, reach: Reach) -> np.ndarray:
    """Return the box of each unit, over all of its channels."""
    edges = []
    for plane in reach.planes:
        first, last = (reading.to_places(one.expand(reach.shape))[0].amin(dim=0) for one in plane)
        edges.append((first, -last))
    (top, bottom), (left, right) = edges
    boxes = torch.stack([left, top, right, bottom], dim=2)
    return torch.where((top == EMPTY)[..., None], 0, boxes).to(torch.int32).numpy()


def _lines(reading: Reading, reach: Reach, map_size: tuple[int, ...]) -> tuple[Windows | None, Windows | None]:
    """Return the windows of an endless image along the map's rows and columns."""
    if reading.problem_as_map() and map_size != (1, 1):
        return None, None
    first, second = (
        line[1] if line is not None and (1 if line[0] is None else reach.shape[line[0]]) == size else None
        for line, size in zip(reach.lines, map_size, strict=True)
    )
    return first, second


def _regular(starts: np.ndarray, ends: np.ndarray, length: int, windows: Windows | None) -> Regular:
    """Return size, stride and offset along the first axis; across it, all units that see anything must see the same."""
    seen = ends > starts
    which = np.arange(len(starts)), seen.argmax(axis=1)
    first, last = starts[which], ends[which]
    if (seen & ((starts != first[:, None]) | (ends != last[:, None]))).any():
        return Regular(int((ends - starts).max()))
    return regular(first, last, length, windows)
