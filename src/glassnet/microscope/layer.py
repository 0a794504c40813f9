"""One layer looked at channel by channel: which calls it has, and where its output holds channels and pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.images import ImageRows, Images, image_batches
from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall, translate_torch_errors
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
from glassnet.models.layout.axes import fresh
from glassnet.models.layout.reading import Reading
from glassnet.models.layout.trace import trace_or_reason
from glassnet.models.undisturbed import undisturbed


@dataclass(frozen=True)
class LayerCalls:
    """A layer's calls in a forward pass, and how each one's output is read.

    Attributes:
        name: As the layer was asked for: its module's name, or that and the number of a call.
        module: The module's name.
        readings: By call; all have the same number of channels.
        channels: That number.
        calls: How often the module runs in a forward pass, whether or not these calls are looked at.
    """

    name: str
    module: str
    readings: Mapping[Call, Reading]
    channels: int
    calls: int

    def check_calls(self, calls: int, start: int, size: int) -> None:
        """Refuse a pass of `size` images from `start` on in which the module ran more or less often.

        Raises:
            InputError: It did.
        """
        if calls != self.calls:
            images = f"images {start} to {start + size - 1}" if size > 1 else f"image {start}"
            raise InputError(
                f"layer '{self.module}' ran {_times(calls)} for {images} but {_times(self.calls)} for the first "
                "images; choose layers that run the same number of times in every pass."
            )

    def reading(self, call: Call, value: Tensor, size: int) -> Reading:
        """Return how the output of one call for `size` images is read.

        Raises:
            InputError: It is laid out otherwise than that of the first images.
        """
        reading = self.readings[call]
        if not reading.fits(value.shape, size):
            raise InputError(
                f"layer '{self.name}' gives shape {tuple(value.shape)} for {size} images but {reading.shape} for "
                f"{reading.images}: its layout is not the same in every pass; choose another layer."
            )
        return reading

    def rows(self, call: Call, value: Shaped[Tensor, ...], size: int) -> Float[Tensor, "batch channel"]:
        """Return each image's mean of each channel."""
        return self.reading(call, value, size).to_rows(value, mean=True)

    def replaced(
        self,
        call: Call,
        value: Shaped[Tensor, ...],
        mask: Bool[Tensor, " channel"],
        filling: Float[Tensor, " channel"],
        size: int,
    ) -> Shaped[Tensor, ...]:
        """Return an output with a number in place of all of a channel, wherever the mask is True."""
        reading = self.reading(call, value, size)
        apart = reading.apart(value) if len(reading.units) != value.ndim else value
        places = reading.numbers()
        shape = [size if number in places else 1 for number, size in enumerate(apart.shape)]
        mixed = torch.where(mask.view(shape), filling.to(value.dtype).view(shape), apart)
        return mixed.reshape(value.shape) if mixed.ndim != value.ndim else mixed

    def to_maps(self, call: Call, value: Shaped[Tensor, ...], size: int) -> Float[Tensor, "batch channel height width"]:
        """Rearrange an output to maps; vectors become one pixel, and tokens without a grid a column of pixels."""
        return self.reading(call, value, size).to_places(value)

    def with_maps(
        self, call: Call, value: Shaped[Tensor, ...], maps: Float[Tensor, "batch channel height width"]
    ) -> Shaped[Tensor, ...]:
        """Return an output with other maps in it, laid out in memory as it was.

        What is no map there, as a class token, stays as it is.
        """
        numbers = torch.arange(value.numel(), dtype=torch.float64, device=value.device).view(value.shape)
        places = self.to_maps(call, numbers, len(maps)).reshape(-1).long()
        mixed = value.reshape(-1).index_copy(0, places, maps.to(value.dtype).reshape(-1)).view(value.shape)
        return mixed if value.is_contiguous() else torch.empty_like(value).copy_(mixed)


def _times(count: int) -> str:
    return f"{count} time{'s' * (count != 1)}"


def find_layer(model: nn.Module, layer: str | nn.Module, images: Images | ImageRows, call: ModelCall) -> LayerCalls:
    """Find one layer's calls and read how their outputs are laid out, from a pass of two images.

    A module named as a kind of layers is, such as "conv", goes before the kind here.

    Raises:
        InputError: There is no such layer, there are several, it did not run, or its output holds no channels.
    """
    named = dict(model.named_modules()).get(layer) if isinstance(layer, str) else None
    settled = settle_last(model, layer if named is None else named, images, forward=call)
    names, asked = select_layers(model, settled), asked_by_name(model, settled)
    if len(names) > 1:
        raise InputError(f"layer is {layer!r}, which means {len(names)} layers; expected one, such as '{names[0]}'.")
    module, number = split_call(names[0])
    known, problems = _read(model, [module], images, call)
    chosen = name_calls(names, asked, problems)
    used = [one for one in known if number is None or one[1] == number]
    for one in used:
        if problems[one]:
            raise InputError(f"layer '{module}' {problems[one]}.")
    found = {one: reading for one in used if (reading := known[one]) is not None}
    counts = {_count(reading) for reading in found.values()}
    if len(counts) > 1:
        first = next(iter(chosen))
        raise InputError(
            f"the calls of layer '{module}' give different numbers of channels; name one call, such as '{first}'."
        )
    return LayerCalls(names[0], module, found, counts.pop(), len(known))


def find_layers(
    model: nn.Module, layers: LayerChoice, images: Images | ImageRows, call: ModelCall
) -> dict[str, LayerCalls]:
    """Find the calls of several layers, each by itself and by its public name, and read how they are laid out.

    Raises:
        InputError: There is no such layer, or one asked for by name did not run or holds no channels.
    """
    settled = settle_last(model, layers, images, forward=call)
    names, asked = select_layers(model, settled), asked_by_name(model, settled)
    known, problems = _read(model, dict.fromkeys(split_call(name)[0] for name in names), images, call)
    chosen = name_calls(names, asked, problems)
    say_left_out(names, problems)
    readings = {name: reading for name, one in chosen.items() if (reading := known[one]) is not None}
    ran = Counter(module for module, _ in known)
    return {
        name: LayerCalls(name, chosen[name][0], {chosen[name]: reading}, _count(reading), ran[chosen[name][0]])
        for name, reading in readings.items()
    }


def _read(
    model: nn.Module, modules: Collection[str], images: Images | ImageRows, call: ModelCall
) -> tuple[dict[Call, Reading | None], dict[Call, str]]:
    """Return how the output of each call of some modules is read, and why it cannot be or "", from two images."""
    _, two = next(image_batches(model, images[:2], 2))
    readings, untraced = trace_or_reason(model, two, modules, call)
    known: dict[Call, Reading | None] = {}
    problems: dict[Call, str] = {}

    def note(one: Call, output: Any) -> None:
        known[one] = readings.get(one) or _plain(output, len(two))
        problems[one] = _problem(output, known[one], untraced)

    with undisturbed(model), torch.no_grad(), tapped(model, modules, note), translate_torch_errors(model, two):
        call(model, two)
    return known, problems


def _plain(output: Any, size: int) -> Reading | None:
    """Read (n, channel) and (n, channel, height, width), where no trace was possible."""
    if not isinstance(output, Tensor) or output.ndim not in (2, 4) or len(output) != size:
        return None
    kinds = ("batch", "channel", "height", "width")[: output.ndim]
    return Reading(tuple(map(fresh, kinds, output.shape)), tuple(output.shape), size)  # type: ignore[arg-type]


def _problem(output: Any, reading: Reading | None, untraced: str) -> str:
    if not isinstance(output, Tensor):
        return f"gives a {type(output).__name__} instead of a tensor; choose a layer inside it"
    if not output.is_floating_point():
        return f"gives a tensor of dtype {output.dtype}, expected floating-point numbers; choose another layer"
    reason = untraced or "does not have the same layout in every pass"
    if reading is not None:
        reason = reading.problem_as_rows(mean=True)
    return reason and f"gives a tensor of shape {tuple(output.shape)}, which {reason}; choose another layer"


def _count(reading: Reading) -> int:
    sizes: Sequence[int] = [prod(factor.size for factor in unit) for unit in reading.units]
    return prod(sizes[number] for number in reading.numbers())
