"""Ablation: what a network loses when a channel is set to zero, or to its mean, for every channel of a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from glassnet.channels.layer import LayerCalls, find_layer
from glassnet.channels.local import ChannelSuffix
from glassnet.channels.outcomes import (
    HIGHER_IS_WORSE,
    Kind,
    Labels,
    Metric,
    Outcomes,
    make_outcomes,
    of_sums,
    output_reader,
)
from glassnet.channels.replay import Replay
from glassnet.console import progress, say
from glassnet.display import Shown
from glassnet.errors import InputError
from glassnet.images import ImageRows, Images, check_images, image_batches
from glassnet.measures import MEASURES, show
from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall, call_model, translate_torch_errors
from glassnet.models.layers import Call
from glassnet.models.parts import Part
from glassnet.models.undisturbed import undisturbed
from glassnet.stats import Interval
from glassnet.tables import Table, make_table

Value = Literal["zero", "mean"]
NORMAL = 1.959964
"""Quantile 0.975 of the normal distribution."""
SHOWN_CHANNELS = 12


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Ablation(Shown):
    """What a network loses with each channel of a layer.

    Attributes:
        layer: The layer, as it was asked for.
        value: What took a channel's place: "zero" or "mean".
        channels: Numbers of the channels ablated (m,), in the order of all else here.
        images: Number of images.
        kind: What was judged: classification, multilabel, segmentation, reconstruction or metric.
        baseline: By measure, the figure of the network as it is.
        ablated: By measure, the figure with each channel ablated (m,).
        baseline_by_class: By measure, the figure for each class (k,); NaN for a class without images.
        ablated_by_class: So with each channel ablated (m, k).
        standard_errors: By measure that is a mean over images, the standard error of its change, each image paired with
            itself (m,): s(d) / sqrt(n). NaN of one image.
        replayed: Whether what comes before the layer ran once a batch; False where the network cannot be traced, and
            every channel took a whole pass.
    """

    layer: str
    value: Value
    channels: Int64[np.ndarray, " m"]
    images: int
    kind: Kind
    baseline: Mapping[str, float]
    ablated: Mapping[str, Float64[np.ndarray, " m"]]
    baseline_by_class: Mapping[str, Float64[np.ndarray, " k"]] = field(repr=False)
    ablated_by_class: Mapping[str, Float64[np.ndarray, "m k"]] = field(repr=False)
    standard_errors: Mapping[str, Float64[np.ndarray, " m"]] = field(repr=False)
    replayed: bool = True

    @property
    def measure(self) -> str:
        """The first measure: accuracy, exact_match, mean_iou, psnr or metric."""
        return next(iter(self.baseline))

    def lost(self, measure: str | None = None) -> Float64[np.ndarray, " m"]:
        """Return what each channel's ablation costs (m,): positive is worse, of a loss a rise as of an accuracy a fall.

        Args:
            measure: The first if not given.
        """
        key = measure or self.measure
        return _sign(key) * (self._known(self.ablated, key) - self.baseline[key]) + 0.0  # no -0

    def lost_by_class(self, measure: str | None = None) -> Float64[np.ndarray, "m k"]:
        """Return what each class loses (m, k): positive is worse.

        Raises:
            InputError: There are no classes.
        """
        key = measure or next(iter(self.ablated_by_class), self.measure)
        return _sign(key) * (self._known(self.ablated_by_class, key) - self.baseline_by_class[key]) + 0.0

    def interval(self, channel: int, measure: str | None = None) -> Interval | None:
        """Bound what a channel's ablation costs at 95%: d ± 1.96 s(d) / sqrt(n), of the change d of each image.

        Args:
            channel: The channel's number.
            measure: The first if not given.

        Returns:
            None where no image changes, or the measure is no mean over images, as a mean IoU.

        Raises:
            InputError: The channel was not ablated.
        """
        key = measure or self.measure
        places = np.flatnonzero(self.channels == channel)
        if not len(places):
            raise InputError(f"channel {channel} of {self.layer} was not ablated; pass channels=… to ablate.")
        error = float(self.standard_errors[key][places[0]]) if key in self.standard_errors else 0.0
        lost = float(self.lost(key)[places[0]])
        return (lost - NORMAL * error, lost + NORMAL * error) if error > 0 else None

    def order(self, measure: str | None = None) -> Int64[np.ndarray, " m"]:
        """Return the channels' numbers, the one that costs most first; equals, and NaN at the end, by number."""
        lost = self.lost(measure)
        return self.channels[np.lexsort((self.channels, -np.nan_to_num(lost, nan=-np.inf)))]

    def _known(self, figures: Mapping[str, np.ndarray], measure: str) -> np.ndarray:
        if measure not in figures:
            raise InputError(f"no measure '{measure}' here, expected one of {', '.join(figures) or 'none'}.")
        return figures[measure]

    def __repr__(self) -> str:
        """Say in one line what was ablated, and which channel costs most."""
        key, first = self.measure, int(self.order()[0])
        return (
            f"Ablation({len(self.channels)} channels of {self.layer} set to {self.value}, {self.images:,} images, "
            f"{key} {_show(key, self.baseline[key])}, channel {first} costs most: "
            f"{_show(key, float(self.lost()[self.channels == first][0]))})"
        )

    def table(self, most: int | None = None) -> Table:
        """Lay out the channels, the one that costs most first."""
        heads = [f"{key.replace('_', ' ')} lost" for key in self.baseline]
        lost = {key: self.lost(key) for key in self.baseline}
        place = {int(channel): row for row, channel in enumerate(self.channels)}
        rows = []
        for channel in self.order()[:most].tolist():
            low_high = self.interval(channel)
            bounds = "–" if low_high is None else " to ".join(_show(self.measure, one) for one in low_high)
            rows.append((str(channel), *(_show(key, lost[key][place[channel]]) for key in lost), bounds))
        caption = f"{self.layer}: channels set to {self.value}, over {self.images:,} images"
        return make_table(caption, ("channel", *heads, "95% interval"), rows)

    def _table(self) -> Table:
        return self.table(SHOWN_CHANNELS)

    def to_json(self) -> dict[str, Any]:
        """Return all figures as JSON values; None for what has no figure."""
        return {
            "layer": self.layer,
            "value": self.value,
            "kind": self.kind,
            "images": self.images,
            "replayed": self.replayed,
            "channels": self.channels.tolist(),
            "baseline": {key: _plain(np.float64(value)) for key, value in self.baseline.items()},
            **{
                name: {key: _plain(one) for key, one in getattr(self, name).items()}
                for name in ("ablated", "baseline_by_class", "ablated_by_class", "standard_errors")
            },
        }


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
    batch_size: int = 256,
    forward: ModelCall | None = None,
) -> Ablation:
    """Measure what a network loses when a channel of a layer is set to zero, or to its mean, channel by channel.

    What comes before the layer, and whatever else does not depend on it, runs once a batch. Operations that leave
    channels apart, as activations and pools, run twice; of a convolution or linear layer behind them only one channel's
    columns are computed for each channel. The results are those of whole passes but for rounding, and each batch is
    checked against one. A network that cannot be traced (Python that reads numbers, random draws, a state that is
    written) takes a whole pass for each channel, which is said. The model is left as it was found.

    Args:
        model: Any module that takes one image batch, or what `forward` gives it.
        images: (n, channel, height, width), uint8 or float as the model takes it.
        labels: Class of each image (n,); yes or no for each label (n, labels); class of each pixel (n, height, width),
            255 for none; or images to be given back, where None stands for the images themselves. Class scores are read
            as logits.
        layer: One layer: its name, as "conv4" or "relu:1", or the module. Of a layer that runs twice the channel is
            ablated in both calls, as if its weights were zero, unless one is named.
        channels: Numbers of the channels; all if not given.
        value: "zero", or "mean" for each channel's mean over all images and pixels, which takes another pass.
        metric: From a batch's outputs and labels (or images) to one number an image, of which higher is better; in
            place of what the labels stand for.
        output: Which part of the model's output is judged, where that is no tensor.
        batch_size: Images per forward pass.
        forward: How the model is called on a batch, as `explain` takes it.

    Raises:
        InputError: There is no such layer or channel, the layer gives no channels, labels do not fit, or `value` is
            "mean" and the layer gives NaN.
    """
    check_images(images, batch_size)
    if value not in ("zero", "mean"):
        raise InputError(f"value is {value!r}, expected zero or mean.")
    call, read = forward or call_model, output_reader(output)
    found = find_layer(model, layer, images, call)
    numbers = _numbers(channels, found)
    with undisturbed(model) as put_back, torch.no_grad():
        replay = Replay(model, [found.module], _edit(found), call, read, put_back)
        fillings = _fillings(replay, found, images, batch_size, value)
        totals: _Totals | None = None
        with progress(f"ablating {found.name}", len(images) * len(numbers), announce=False) as advance:
            for start, batch in image_batches(model, images, batch_size):
                passes = _Passes(replay, batch, found.channels, fillings)
                if totals is None:
                    totals = _Totals(make_outcomes(images, labels, metric, passes.output_of_none), len(numbers))
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
            f"channels is {channels!r}, expected different whole numbers from 0 to {layer.channels - 1}, the channels "
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
            f"channel {bad} of {layer.name} has no mean, since it gives NaN or infinity; pass value='zero'."
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
            say(f"the network gives NaN or infinite values for {self.not_finite} of {self.images} images as it is.")
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


def _sign(measure: str) -> int:
    return 1 if measure in HIGHER_IS_WORSE else -1


def _show(measure: str, figure: float) -> str:
    return show(measure if measure in MEASURES else "score", figure)


def _plain(values: Any) -> Any:
    """Return an array as nested lists, with None for NaN and infinity."""
    return np.asarray(np.where(np.isfinite(values), values, None)).tolist()
