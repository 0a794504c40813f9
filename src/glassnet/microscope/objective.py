"""What a picture is to drive: a channel, a neuron or a direction of a layer; and what real images reach of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.images import ImageRows, Images, image_batches
from glassnet.microscope.layer import LayerCalls, find_layer
from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall, translate_torch_errors
from glassnet.models.layers import Call

Direction = np.ndarray | Tensor | Sequence[float]
Objective = str | Direction
"""What is driven: "channel", its mean; "neuron", the channel at one place; or the mean of a direction (channel,) or of
several (m, channel)."""


class _ReachedError(BaseException):
    """The layer has given what is looked at: the rest of the network need not run. No model may catch it."""


@dataclass(frozen=True)
class Watched:
    """One call of a layer in a model, read as maps; the network runs up to it and no further.

    Attributes:
        model: Any module.
        layer: The layer.
        call: Its call.
        forward: How the model is called on images.
    """

    model: nn.Module
    layer: LayerCalls
    call: Call
    forward: ModelCall

    def maps(self, images: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch channel height width"]:
        """Return what the layer gives, with its graph; vectors are maps of one pixel.

        Raises:
            InputError: The model cannot take the images, or the layer gives NaN or infinite numbers.
        """
        found: list[Any] = []

        def stop(made: Call, output: Any) -> None:
            if made == self.call:
                found.append(output)
                raise _ReachedError

        told = translate_torch_errors(self.model, images)
        with tapped(self.model, [self.call[0]], stop), told, suppress(_ReachedError):
            self.forward(self.model, images.contiguous())  # colours of pictures lie in memory as their mixing left them
        if not found:
            raise InputError(f"layer '{self.layer.name}' does not run for every image; choose another one.")
        maps = self.layer.to_maps(self.call, found[0], len(images)).float()
        if not maps.isfinite().all():
            raise InputError(
                f"layer '{self.layer.name}' gives NaN or infinite numbers; look for these in the weights up to it."
            )
        return maps


def watch(model: nn.Module, layer: str | nn.Module, images: Tensor, forward: ModelCall) -> Watched:
    """Find a layer's call. What comes after the layer may fail, as linear layers do on images of another size.

    Raises:
        InputError: There is no such layer, or it runs several times and it is not said which call is meant.
    """
    names = {id(one): name for name, one in model.named_modules()}

    def as_far_as_possible(called: nn.Module, batch: Tensor) -> Any:
        with _counted(called) as ran:
            try:
                return forward(called, batch)
            except Exception:  # whatever anybody's model raises
                if (names.get(id(layer)) if isinstance(layer, nn.Module) else layer.partition(":")[0]) not in ran:
                    raise
        return None

    found = find_layer(model, layer, images, as_far_as_possible)
    calls = sorted(found.readings)
    if len(calls) > 1:
        named = " or ".join(f"'{module}:{number}'" for module, number in calls)
        raise InputError(f"layer '{found.name}' runs {len(calls)} times; choose one of its calls: {named}.")
    return Watched(model, found, calls[0], forward)


@contextmanager
def _counted(model: nn.Module) -> Iterator[set[str]]:
    """Note which modules have given something."""
    ran: set[str] = set()
    names = [name for name, module in model.named_modules() if name and not isinstance(module, torch.jit.ScriptModule)]
    with tapped(model, names, lambda call, _output: ran.add(call[0])):
        yield ran


@dataclass(frozen=True, eq=False)
class Aim:
    """What pictures are to drive, one number a picture.

    Attributes:
        channels: Numbers of the channels, or of the directions.
        directions: (n, channel), or None for channels alone.
        place: Row and column of a neuron in the layer's map; None means all of them.
    """

    channels: Int[np.ndarray, " n"]
    directions: Float[Tensor, "n channel"] | None
    place: tuple[int, int] | None

    def of_pictures(
        self, maps: Float[Tensor, "batch channel height width"], which: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """Return what each picture reaches of the aim numbered in `which`."""
        if self.directions is None:
            channels = torch.from_numpy(self.channels).to(maps.device)[which]
            own = maps[torch.arange(len(maps), device=maps.device), channels]
        else:
            own = torch.einsum("bchw,bc->bhw", maps, self.directions.to(maps)[which])
        return own.mean(dim=(1, 2)) if self.place is None else own[:, self.place[0], self.place[1]]

    def of_images(self, maps: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch n"]:
        """Return what each image reaches of each aim: a neuron's is the largest of all places, its best patch's."""
        if self.directions is None:
            every = maps[:, torch.from_numpy(self.channels).to(maps.device)]
        else:
            every = torch.einsum("bchw,nc->bnhw", maps, self.directions.to(maps))
        return every.mean(dim=(2, 3)) if self.place is None else every.amax(dim=(2, 3))


def take_aim(
    watched: Watched,
    size: tuple[int, int],
    channels: Sequence[int] | int | None,
    objective: Objective,
    place: tuple[int, int] | None,
) -> Aim:
    """Read what the caller asks for.

    Args:
        watched: The layer.
        size: Of its maps.
        channels: Of the layer; None takes all of them.
        objective: See `Objective`.
        place: Of the neuron; None takes the middle.

    Raises:
        InputError: A channel or place is not there, a direction has another length, or both were given.
    """
    count = watched.layer.channels
    if not isinstance(objective, str):
        if channels is not None:
            raise InputError("objective is a direction, but channels is given too; leave one of them out.")
        directions = _directions(objective, count)
        return Aim(np.arange(len(directions)), directions, _checked(place, size) if place is not None else None)
    if objective not in ("channel", "neuron"):
        raise InputError(
            f"objective is '{objective}', expected channel, neuron, or a direction: an array of {count} numbers."
        )
    if objective == "channel" and place is not None:
        raise InputError("place applies only to a neuron; pass objective='neuron' with it.")
    chosen = np.atleast_1d(np.arange(count) if channels is None else np.asarray(channels))
    if not chosen.size or chosen.dtype.kind not in "iu" or chosen.ndim != 1:
        raise InputError(f"channels is {channels!r}, expected numbers of channels, as in [0, 5].")
    if chosen.min() < 0 or chosen.max() >= count:
        wrong = chosen[(chosen < 0) | (chosen >= count)][0]
        raise InputError(
            f"layer '{watched.layer.name}' has no channel {wrong}; expected a channel from 0 to {count - 1}."
        )
    middle = (size[0] // 2, size[1] // 2)
    return Aim(
        chosen.astype(np.int64),
        None,
        None if objective == "channel" else _checked(middle if place is None else place, size),
    )


def _directions(objective: Direction, count: int) -> Float[Tensor, "n channel"]:
    given = objective.detach().cpu() if isinstance(objective, Tensor) else objective
    array = np.atleast_2d(np.asarray(given, dtype=np.float32))
    if array.ndim != 2 or array.shape[1] != count or not len(array):
        shape = np.shape(given)
        raise InputError(f"objective has shape {shape}, expected a direction ({count},) or several (m, {count}).")
    if not np.isfinite(array).all() or not array.any(axis=1).all():
        raise InputError(
            "objective has NaN or infinite numbers, or a direction of zeros; expected finite directions other than 0."
        )
    return torch.from_numpy(array)


def _checked(place: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    numbers = np.asarray(place)
    fine = numbers.shape == (2,) and numbers.dtype.kind in "iu"
    if not fine or not all(0 <= one < most for one, most in zip(numbers.tolist(), size, strict=True)):
        raise InputError(f"place is {place}, expected a row and a column in the layer's map of {size[0]} x {size[1]}.")
    return int(numbers[0]), int(numbers[1])


def real_scores(
    watched: Watched, aim: Aim, images: Images | ImageRows, batch_size: int
) -> Float[np.ndarray, "images n"]:
    """Return what each real image reaches of each aim."""
    scores = np.empty((len(images), len(aim.channels)), np.float32)
    for start, batch in image_batches(watched.model, images, batch_size):
        with torch.no_grad():
            scores[start : start + len(batch)] = aim.of_images(watched.maps(batch)).cpu().numpy()
    return scores
