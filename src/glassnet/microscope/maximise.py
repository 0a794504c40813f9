"""Activation maximisation: the picture that drives a channel most, found by gradient ascent from noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from glassnet.devices import autocast
from glassnet.errors import InputError, checked_integer, checked_number
from glassnet.images import ImageRows, Images, check_images, device_of, first_weight, image_batches
from glassnet.microscope.ascent import Ascent
from glassnet.microscope.behind import layer_of_channels
from glassnet.microscope.objective import Aim, Objective, Watched, real_scores, take_aim, watch
from glassnet.microscope.pictures import Canvas, Transforms, generator_of
from glassnet.microscope.visualized import Visualized
from glassnet.microscope.window import Seen, Window, find_seen, find_window
from glassnet.models.inference import ModelCall, call_model
from glassnet.models.undisturbed import undisturbed


def visualize(
    model: nn.Module,
    layer: str | nn.Module,
    channels: Sequence[int] | int | None = None,
    *,
    objective: Objective = "channel",
    place: tuple[int, int] | None = None,
    size: int | tuple[int, int] | None = None,
    real: Images | ImageRows | None = None,
    copies: int = 1,
    diversity: float = 0.0,
    steps: int = 256,
    rate: float = 0.05,
    transforms: Transforms | None = Transforms(),  # noqa: B008
    norm: float | None = None,
    level: float | None = None,
    seed: int = 0,
    batch_size: int = 64,
    forward: ModelCall | None = None,
) -> Visualized:
    """Find the pictures that activate channels of a layer most, many at a time (activation maximisation).

    x* = argmax_x s(t(x)), where s is the objective and t are random transformations; Adam optimises the picture's
    frequencies (`Canvas`). The model runs only up to the layer, in evaluation mode on its own device, and is left as it
    was found. Equal seeds give equal pictures, bit for bit on a CPU. A channel's picture does not depend on what else
    is optimised with it, except for rounding.

    Olah et al. 2017, https://distill.pub/2017/feature-visualization.

    Args:
        model: Any module that takes a batch of images in [0, 1], or whatever `forward` passes it.
        layer: One layer: a name, a name and a call such as "relu:0", or a module; "last-conv" as in `ablate`.
        channels: Numbers of channels; None means all.
        objective: "channel": the mean over the layer's map, which gives a texture; "neuron": the value at one place,
            which gives one pattern the size of the receptive field; or a direction (channel,) or several (m, channel),
            such as the difference of two classes at the logits or a principal component of features. A direction is
            averaged over the map.
        place: Row and column of the neuron in the layer's map, or of the direction; for a neuron, the middle by
            default.
        size: Height and width of the pictures in pixels; by default the size of the real images, or 64 without them.
            Layers before a linear layer accept any size.
        real: Images (n, channel, height, width) in [0, 1] or uint8 to compare the pictures with. Pictures start at
            their mean.
        copies: Pictures per channel, each from different noise.
        diversity: How strongly a channel's copies are kept apart, as a share of what they reach: the mean cosine of
            their Gram matrices at the layer, times this and |s|, is subtracted.
        steps: Number of optimisation steps.
        rate: Adam's learning rate, which falls to 0 along a half cosine.
        transforms: Strength of the random transformations; None turns them off.
        norm: The largest Euclidean length of a picture's difference from its starting level; None sets no bound except
            [0, 1].
        level: Grey level from 0 to 1 at which pictures start; by default the mean of the real images, or 0.5.
        seed: Seed of all random draws.
        batch_size: Pictures, or real images, per batch; it affects memory and time only.
        forward: How the model is called on a batch in [0, 1], as in lambda model, x: model((x - mean) / std).

    Raises:
        InputError: An option has an invalid value; the layer is unknown, runs several times, has no gradient or gives
            NaN; or real images are not in [0, 1].
    """
    steps, copies = checked_integer("steps", steps, least=1), checked_integer("copies", copies, least=1)
    batch_size, seed = checked_integer("batch_size", batch_size, least=1), checked_integer("seed", seed)
    _check_reals(rate=rate, norm=norm, level=level, diversity=diversity)
    if real is not None:
        check_images(real, batch_size)
    device = device_of(model)
    # The caller's modes must not matter: gradients are needed, and only in float32.
    with torch.inference_mode(False), torch.enable_grad(), autocast(device, "fp32"), undisturbed(model) as put_back:
        canvas = _canvas(model, size, real, norm, level, batch_size)

        def call(called: nn.Module, batch: Tensor) -> Any:
            put_back()  # what a spiking network keeps of the pass before
            return (forward or call_model)(called, batch)

        weight = first_weight(model)
        generators = [generator_of(seed, "", 0, number) for number in range(2)]
        first = canvas.pictures(torch.stack([canvas.noise(one) for one in generators])).to(weight.device, weight.dtype)
        layer = layer_of_channels(model, layer, first, call)
        watched = watch(model, layer, first, call)
        with torch.no_grad():
            *_, height, width = watched.maps(first).shape
            aim = take_aim(watched, (height, width), channels, objective, place)
        shape = (int(first.shape[1]), canvas.height, canvas.width)
        # What keeps copies apart looks at the whole map.
        seen, window = _part_seen(watched, layer, aim, shape, seed, whole=bool(diversity) and copies > 1)
        scores, best = _against_real(model, watched, layer, aim, canvas, real, batch_size)
        ascent = Ascent(watched, aim, canvas, transforms, steps, rate, diversity, copies, seed, window, best)
        done = list(ascent.batches(batch_size))
        images, reached, dead = (torch.cat(parts).cpu().numpy() for parts in zip(*done, strict=True))
    named = objective if isinstance(objective, str) else "direction"
    numbers = np.repeat(np.arange(len(aim.channels)), copies)
    found = (watched.layer.name, named, aim.channels[numbers], reached)
    measured = _measured(reached, scores, numbers)
    box = None if seen is None else (*seen.first, *seen.length)
    return Visualized(images, *found, *measured, dead=dead, place=aim.place, seen=box, seed=seed)


def _part_seen(
    watched: Watched, layer: str | nn.Module, aim: Aim, shape: tuple[int, int, int], seed: int, *, whole: bool
) -> tuple[Seen | None, Window | None]:
    """Return what the neuron sees of a picture, and the window that is optimised alone, unless the whole is."""
    if aim.place is None:
        return None, None
    seen = find_seen(watched, aim.place, shape)
    if seen is None or whole:
        return seen, None
    return seen, find_window(watched, layer, seen, aim.place, shape, seed)


def _against_real(
    model: nn.Module,
    watched: Watched,
    layer: str | nn.Module,
    aim: Aim,
    canvas: Canvas,
    real: Images | ImageRows | None,
    batch_size: int,
) -> tuple[Any, Any]:
    """Return what real images reach, and, where they are of the pictures' size, the best of them for each channel."""
    if real is None:
        return None, None
    alike = tuple(real.shape[2:]) == (canvas.height, canvas.width)
    scores = real_scores(watched if alike else _seen(watched, layer, real), aim, real, batch_size)
    return scores, _nth_best(model, real, scores) if alike else None


def _canvas(
    model: nn.Module,
    size: int | tuple[int, int] | None,
    real: Images | ImageRows | None,
    norm: float | None,
    level: float | None,
    batch_size: int,
) -> Canvas:
    """Settle the pictures' size, channels and starting level."""
    known = (64, 64) if real is None else (int(real.shape[2]), int(real.shape[3]))
    height, width = known if size is None else _size(size)
    mean = None if real is None else _mean(model, real, batch_size)
    count = _channels(model) if mean is None else len(mean)
    start = torch.full((count,), 0.5 if level is None else level) if mean is None or level is not None else mean
    return Canvas(height, width, start.view(-1, 1, 1), norm)


def _size(size: Any) -> tuple[int, int]:
    """Return a height and a width in pixels.

    Raises:
        InputError: It is neither one whole number nor two of them.
    """
    if not isinstance(size, Sequence | np.ndarray) or isinstance(size, str):
        size = (size, size)
    if len(size) != 2:
        raise InputError(f"size is {size!r}, expected a number of pixels, or a height and a width.")
    return checked_integer("size", size[0], least=1), checked_integer("size", size[1], least=1)


def _channels(model: nn.Module) -> int:
    convolution = next((one for one in model.modules() if isinstance(one, nn.Conv2d)), None)
    if convolution is None:
        raise InputError(
            f"{type(model).__name__} has no convolution to show how many channels its images have; pass real."
        )
    return convolution.in_channels


def _mean(model: nn.Module, real: Images | ImageRows, batch_size: int) -> Float[Tensor, " channel"]:
    """Return the mean of each channel of images.

    Raises:
        InputError: They do not lie in [0, 1].
    """
    total = torch.zeros(real.shape[1], dtype=torch.float64)
    for _, batch in image_batches(model, real, batch_size):
        low, high = float(batch.min()), float(batch.max())
        if low < -1e-3 or high > 1.001:
            raise InputError(
                f"real has values from {low:.3g} to {high:.3g}, expected 0 to 1; pass images before normalisation, and "
                "forward=lambda model, x: model((x - mean) / std)."
            )
        total += batch.double().mean(dim=(2, 3)).sum(dim=0).cpu()
    return (total / len(real)).float()


def _seen(watched: Watched, layer: str | nn.Module, real: Images | ImageRows) -> Watched:
    """Return the layer as it is read for the real images, whose size is another than the pictures'."""
    _, two = next(image_batches(watched.model, real[:2], 2))
    return watch(watched.model, layer, two, watched.forward)


def _nth_best(
    model: nn.Module, real: Images | ImageRows, scores: Float[np.ndarray, "images m"]
) -> Callable[[int], Float[Tensor, "channel height width"]]:
    index = scores.argmax(axis=0)

    def best(number: int) -> Tensor:
        start = int(index[number])
        return next(image_batches(model, real[start : start + 1], 1))[1][0].float().cpu()

    return best


def _measured(
    reached: Float[np.ndarray, " n"], scores: Float[np.ndarray, "images m"] | None, numbers: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"] | None, Int[np.ndarray, " n"] | None, Int[np.ndarray, " n"] | None]:
    """Return the best real score of each picture's aim, whose image it is, and the picture's rank among all."""
    if scores is None:
        return None, None, None
    index = scores.argmax(axis=0)
    best = scores[index, np.arange(scores.shape[1])]
    rank = 1 + np.array([(scores[:, one] >= own).sum() for one, own in zip(numbers, reached, strict=True)])
    return best[numbers], index[numbers], rank


def _check_reals(*, rate: float, norm: float | None, level: float | None, diversity: float) -> None:
    for name, value in {"rate": rate, "norm": norm, "level": level, "diversity": diversity}.items():
        if value is not None:
            checked_number(name, value)
    if not (math.isfinite(rate) and rate > 0):
        raise InputError(f"rate is {rate}, expected a number above 0.")
    if norm is not None and not (math.isfinite(norm) and norm > 0):
        raise InputError(f"norm is {norm}, expected a number above 0, or None.")
    if level is not None and not 0 <= level <= 1:
        raise InputError(f"level is {level}, expected a grey level from 0 to 1.")
    if not (math.isfinite(diversity) and diversity >= 0):
        raise InputError(f"diversity is {diversity}, expected 0 or more.")
