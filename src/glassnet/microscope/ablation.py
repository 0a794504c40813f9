"""Ablation: what a network loses when a channel is set to zero, or to its mean, for every channel of a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from glassnet.console import progress, say
from glassnet.errors import InputError
from glassnet.images import ImageRows, Images, check_images, image_batches
from glassnet.microscope.ablation_result import Ablation, Value
from glassnet.microscope.behind import layer_of_channels
from glassnet.microscope.layer import LayerCalls, find_layer
from glassnet.microscope.local import ChannelSuffix
from glassnet.microscope.outcomes import (
    Labels,
    Metric,
    Outcomes,
    label_numbers,
    make_outcomes,
    of_sums,
    output_reader,
)
from glassnet.microscope.replay import Replay
from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall, call_model, translate_torch_errors
from glassnet.models.layers import Call
from glassnet.models.parts import Part
from glassnet.models.undisturbed import undisturbed


def ablate(
    model: nn.Module,
    images: Images | ImageRows,
    labels: Labels,
    layer: str | nn.Module,
    *,
    channels: Sequence[int] | np.ndarray | None = None,
    value: Value = "zero",
    metric: Metric | None = None,
    output: Part | None = None,
    to_logits: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = 256,
    forward: ModelCall | None = None,
) -> Ablation:
    """Measure what a network loses when channels of a layer are set to zero, or to their means, one at a time.

    Whatever does not depend on the layer runs once per batch. Operations that keep channels apart, such as activations
    and pools, run twice; in the convolution or linear layer after them, only the ablated channel's columns are
    computed. The results equal those of full passes up to rounding, and each batch is checked against a full pass. A
    network that cannot be traced (Python that reads numbers, random draws, a state that is written) takes a full pass
    for each channel, and a message says so. The model is left as it was found.

    Args:
        model: Any module that takes a batch of images, or whatever `forward` passes it.
        images: (n, channel, height, width), uint8 or float as the model takes it.
        labels: The class of each image (n,); yes or no for each label (n, labels); the class of each pixel (n, height,
            width), 255 for none; or the images to reconstruct, where None stands for the input images. Class scores
            are read as logits; for a model that ends in a softmax or a sigmoid, pass `to_logits`.
        layer: One layer: its name, such as "conv4" or "relu:1", or the module. "last-conv" means what it means to
            `channels`: the last convolution, or the batch normalisation behind it if there is one. If the layer runs
            twice, the channel is ablated in both calls, as if its weights were zero, unless one call is named.
        channels: Numbers of the channels; all by default.
        value: "zero", or "mean" for each channel's mean over all images and pixels, which takes another pass.
        metric: A function from a batch's outputs and labels (or images) to one number per image, higher is better. It
            replaces the measures that the labels imply.
        output: Which part of the model's output to judge, if the output is not a tensor.
        to_logits: A function from a batch's class scores to logits, if the model does not return logits: torch.log
            after a softmax, torch.logit after a sigmoid. Not for images, and not with a metric.
        batch_size: Images per forward pass.
        forward: How the model is called on a batch, as in `explain`.

    Raises:
        InputError: There is no such layer or channel, the layer's output has no channels, the labels do not fit, or
            `value` is "mean" and the layer's output has NaN.
    """
    check_images(images, batch_size)
    if value not in ("zero", "mean"):
        raise InputError(f"value is {value!r}, expected zero or mean.")
    targets = labels if labels is None or isinstance(labels, Tensor) else label_numbers(labels)
    call, of_images = forward or call_model, targets is None or targets.ndim == 4
    read = output_reader(output, of_images=of_images)
    found = find_layer(model, layer_of_channels(model, layer, images, call), images, call)
    numbers = _numbers(channels, found)
    with undisturbed(model) as put_back, torch.no_grad():
        replay = Replay(model, [found.module], _edit(found), call, read, put_back)
        fillings = _fillings(replay, found, images, batch_size, value)
        totals: _Totals | None = None
        with progress(f"ablating {found.name}", len(images) * len(numbers), announce=False) as advance:
            for start, batch in image_batches(model, images, batch_size):
                passes = _Passes(replay, batch, found.channels, fillings)
                if totals is None:
                    outcomes = make_outcomes(images, targets, metric, passes.output_of_none, to_logits)
                    totals = _Totals(outcomes, len(numbers))
                totals.begin(start, passes.output_of_none)
                for row, channel in enumerate(numbers.tolist()):
                    totals.add(row, passes.output(channel))
                    advance(len(batch))
    assert totals is not None
    return totals.result(found.name, value, numbers, replayed=not replay.untraced)


def _numbers(channels: Sequence[int] | np.ndarray | None, layer: LayerCalls) -> Int64[np.ndarray, " m"]:
    numbers = np.arange(layer.channels) if channels is None else np.asarray(channels)
    fine = numbers.ndim == 1 and len(numbers) and np.issubdtype(numbers.dtype, np.integer)
    if not fine or numbers.min() < 0 or numbers.max() >= layer.channels or len(set(numbers.tolist())) < len(numbers):
        raise InputError(
            f"channels is {channels!r}, expected distinct whole numbers from 0 to {layer.channels - 1}, the channels "
            f"of {layer.name}."
        )
    return numbers.astype(np.int64)


def _edit(layer: LayerCalls) -> Any:
    """Return the edit whose inputs are the mask of channels, and a filling for each call."""
    places = {call: number for number, call in enumerate(layer.readings, 1)}

    def edit(call: Call, given: Tensor, inputs: Sequence[Tensor], size: int) -> Tensor:
        return layer.replaced(call, given, inputs[0], inputs[places[call]], size) if call in places else given

    return edit


def _fillings(
    replay: Replay, layer: LayerCalls, images: Images | ImageRows, batch_size: int, value: Value
) -> list[Tensor]:
    """Return what takes the place of each channel, for each call of the layer."""
    sums = {call: torch.zeros(layer.channels, dtype=torch.float64) for call in layer.readings}
    if value == "zero":
        return [one.float() for one in sums.values()]
    size = 0

    def tap(call: Call, given: Tensor) -> None:
        if call in sums:
            sums[call] += layer.rows(call, given, size).double().sum(dim=0).cpu()

    for _, batch in image_batches(replay.model, images, batch_size):
        size = len(batch)
        replay.put_back()
        with tapped(replay.model, [layer.module], tap), translate_torch_errors(replay.model, batch):
            replay.call(replay.model, batch)
    means = [one / len(images) for one in sums.values()]
    bad = next((int((~one.isfinite()).int().argmax()) for one in means if not one.isfinite().all()), None)
    if bad is not None:
        raise InputError(
            f"channel {bad} of {layer.name} has no mean, because it holds NaN or infinity; pass value='zero'."
        )
    return [one.float() for one in means]


class _Passes:
    """The outputs of one batch, as it is and with each channel ablated, by the cheapest way that the network allows."""

    def __init__(self, replay: Replay, images: Tensor, channels: int, fillings: Sequence[Tensor]) -> None:
        self._replay, self._images = replay, images
        self._mask = torch.zeros(channels, dtype=torch.bool, device=images.device)
        self._others = [one.to(images.device) for one in fillings]
        half = torch.arange(channels, device=images.device) % 2 == 0
        none = [self._mask, *self._others]
        suffix = replay.begin(images, none, [half, *self._others])
        self._local = None if suffix is None else ChannelSuffix(suffix, none, [~self._mask, *self._others])
        self.output_of_none = replay.whole_pass(images, none) if self._local is None else self._local.output_of_none

    def output(self, channel: int) -> Tensor:
        """Return what the network gives with one channel ablated."""
        mask = self._mask.clone()
        mask[channel] = True
        inputs = [mask, *self._others]
        return (
            self._replay.whole_pass(self._images, inputs)
            if self._local is None
            else self._local.output(channel, inputs)
        )


class _Totals:
    """Sums over images, of the network as it is (row 0) and with each channel ablated, in double precision."""

    def __init__(self, outcomes: Outcomes, channels: int) -> None:
        self.outcomes, self.rows = outcomes, channels + 1
        self.images = 0
        self.each: dict[str, Tensor] = {}
        self.squares: dict[str, Tensor] = {}
        self.by_class: dict[str, Tensor] = {}
        self.sums: dict[str, Tensor] = {}
        self.in_class = torch.zeros(outcomes.classes, dtype=torch.float64)
        self.not_finite = 0

    def begin(self, start: int, output: Tensor) -> None:
        """Take a batch's outputs without ablation."""
        self.targets = self.outcomes.of_batch(start, len(output), output.device)
        self.images += len(output)
        self.not_finite += int((~output.isfinite().reshape(len(output), -1).all(dim=1)).sum())
        self.groups = self.outcomes.groups(self.targets)
        if self.groups is not None:
            self.in_class += torch.bincount(self.groups, minlength=len(self.in_class)).double().cpu()
        self.baseline = self._put(0, output)

    def add(self, row: int, output: Tensor) -> None:
        """Take a batch's outputs with one channel ablated."""
        each = self._put(row + 1, output)
        for key, values in each.items():
            change = values - self.baseline[key]
            self._room(self.squares, key, change)[row + 1] += change.square().sum()

    def _put(self, row: int, output: Tensor) -> Mapping[str, Tensor]:
        scores = self.outcomes.scores(output, self.targets)
        for key, values in scores.each.items():
            self._room(self.each, key, values)[row] += values.sum()
            if self.groups is not None:
                room = self._room(self.by_class, key, values, (self.outcomes.classes,))
                room[row].index_add_(0, self.groups, values)
        for key, values in scores.sums.items():
            self._room(self.sums, key, values, tuple(values.shape))[row] += values
        return scores.each

    def _room(self, rooms: dict[str, Tensor], key: str, like: Tensor, shape: tuple[int, ...] = ()) -> Tensor:
        if key not in rooms:
            rooms[key] = torch.zeros((self.rows, *shape), dtype=torch.float64, device=like.device)
        return rooms[key]

    def result(self, layer: str, value: Value, numbers: np.ndarray, *, replayed: bool) -> Ablation:
        """Return the figures."""
        if self.not_finite:
            say(
                f"the network gives NaN or infinite values for {self.not_finite} of {self.images} images, even without "
                "ablation."
            )
        n = self.images
        figures = {key: (one / n).cpu().numpy() for key, one in self.each.items()}
        by_class = {key: (one.cpu() / self.in_class).numpy() for key, one in self.by_class.items()}
        more, more_by_class = of_sums(self.outcomes.kind, {key: one.cpu().numpy() for key, one in self.sums.items()})
        errors = {}
        for key, squares in self.squares.items():
            changes = figures[key] - figures[key][0]
            spread = np.maximum(squares.cpu().numpy() - n * changes**2, 0) / max(n - 1, 1)
            errors[key] = (np.sqrt(spread / n) if n > 1 else np.full(self.rows, np.nan))[1:]
        figures, by_class = more | figures, more_by_class | by_class
        return Ablation(
            layer=layer,
            value=value,
            channels=numbers,
            images=n,
            kind=self.outcomes.kind,
            baseline={key: float(one[0]) for key, one in figures.items()},
            ablated={key: one[1:] for key, one in figures.items()},
            baseline_by_class={key: one[0] for key, one in by_class.items()},
            ablated_by_class={key: one[1:] for key, one in by_class.items()},
            standard_errors=errors,
            replayed=replayed,
        )
