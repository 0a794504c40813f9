"""Where operations leave a layer's channels: rules for those that let no channel see another."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

_Rule = Callable[["_Step"], "Place | None"]


@dataclass(frozen=True)
class Place:
    """Where a tensor holds the channels.

    Attributes:
        axis: The axis; its size is channels · inner.
        channels: How many there are, at least 2.
        inner: Numbers of each channel, side by side on the axis, as after flattening.
    """

    axis: int
    channels: int
    inner: int = 1

    @property
    def size(self) -> int:
        """The axis's size."""
        return self.channels * self.inner

    def slice(self, channel: int) -> slice:
        """Return where a channel is on the axis."""
        return slice(channel * self.inner, (channel + 1) * self.inner)

    def of(self, value: Tensor, channel: int) -> Tensor:
        """Return a channel of a tensor, as a view."""
        return value.narrow(self.axis, channel * self.inner, self.inner)


@dataclass(frozen=True)
class _Step:
    """An operation on one tensor that holds channels, its arguments, that tensor and what it gives."""

    place: Place
    arguments: Sequence[Any]
    taken: Any
    given: Any

    def argument(self, number: int, default: Any) -> Any:
        return self.arguments[number] if len(self.arguments) > number else default


def place_after(
    node: fx.Node,
    values: Mapping[fx.Node, Any],
    places: Mapping[fx.Node, Place],
    changing: Sequence[fx.Node],
    of_inputs: Collection[fx.Node],
) -> Place | None:
    """Return where an operation leaves the channels; None where it mixes them, or may do so.

    Args:
        node: The operation.
        values: Of it and its arguments.
        places: Of what was run before.
        changing: Its arguments that an edit reaches.
        of_inputs: What is made of the edit's inputs alone, as its mask.
    """
    if node.target is torch.ops.aten.where.self and node.args[2] not in changing and node.args[0] in of_inputs:
        return _of_mask(values[node.args[0]], values[node])  # type: ignore[index]
    if not changing or not all(one in places for one in changing) or len({places[one] for one in changing}) > 1:
        return None
    place, given = places[changing[0]], values[node]
    if _keeps_numbers_apart(node.target):
        shapes = {tuple(values[one].shape) for one in changing}
        return place if isinstance(given, Tensor) and shapes == {tuple(given.shape)} else None
    rule = _RULES.get(_name(node.target))
    if rule is None or len(changing) > 1 or node.args[0] is not changing[0]:
        return None
    return rule(_Step(place, node.args, values[changing[0]], given))


def _of_mask(mask: Tensor, given: Tensor) -> Place | None:
    """Return the axis of a mask that has one, as (1, c, 1, 1)."""
    wide = [axis for axis, size in enumerate(mask.shape) if size > 1]
    if len(wide) != 1 or mask.ndim != given.ndim:
        return None
    return Place(wide[0], mask.shape[wide[0]])


def _name(target: Any) -> str:
    return target._schema.name.removeprefix("aten::") if isinstance(target, torch._ops.OpOverload) else str(target)


def _keeps_numbers_apart(target: Any) -> bool:
    if not isinstance(target, torch._ops.OpOverload):
        return False
    return torch.Tag.pointwise in target.tags or _name(target) in ("clone", "alias", "detach", "_to_copy")


def _part(step: _Step) -> Place | None:
    """Of a tuple, as a pool's output and its places."""
    fits = isinstance(step.given, Tensor) and step.given.ndim > step.place.axis
    return step.place if fits and step.given.shape[step.place.axis] == step.place.size else None


def _normalised(step: _Step) -> Place | None:
    """By batch normalisation with the statistics of the training."""
    return step.place if step.place.axis == 1 and step.argument(3, None) is not None else None


def _normalised_if_evaluating(step: _Step) -> Place | None:
    return None if step.argument(5, True) else _normalised(step)


def _pooled(step: _Step) -> Place | None:
    return step.place if step.place.axis == 1 and step.taken.ndim == 4 else None


def _convolved(step: _Step) -> Place | None:
    """By a depthwise convolution; others mix channels."""
    place, weight = step.place, step.argument(1, None)
    if place.axis != 1 or place.inner != 1 or step.argument(6, True) or step.argument(8, 1) != place.channels:
        return None
    return Place(1, place.channels, step.given.shape[1] // place.channels) if weight is not None else None


def _reduced(step: _Step) -> Place | None:
    dims = step.argument(1, None) or range(step.taken.ndim)
    over = {dim % step.taken.ndim for dim in dims}
    if step.place.axis in over:
        return None
    moved = 0 if step.argument(2, False) else sum(dim < step.place.axis for dim in over)
    return replace(step.place, axis=step.place.axis - moved)


def _padded(step: _Step) -> Place | None:
    first = step.taken.ndim - len(step.argument(1, ())) // 2
    return step.place if step.place.axis < first else None


def _viewed(step: _Step) -> Place | None:
    """Find the axis before which lies what lay before the channels, and on which they and what follows them are."""
    place, old, new = step.place, step.taken.shape, step.given.shape
    before = prod(old[: place.axis])
    for axis, size in enumerate(new):
        if prod(new[:axis]) == before and size % place.size == 0:
            return Place(axis, place.channels, place.inner * (size // place.size))
    return None


def _permuted(step: _Step) -> Place | None:
    order = [dim % step.taken.ndim for dim in step.argument(1, ())]
    return replace(step.place, axis=order.index(step.place.axis))


def _transposed(step: _Step) -> Place | None:
    order = list(range(step.taken.ndim))
    first, second = (step.argument(number, number - 1) for number in (1, 2))
    order[first], order[second] = order[second], order[first]
    return replace(step.place, axis=order.index(step.place.axis))


_POOLS = (
    "max_pool2d_with_indices",
    "max_pool2d",
    "avg_pool2d",
    "adaptive_avg_pool2d",
    "_adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "upsample_nearest2d",
    "upsample_bilinear2d",
    "upsample_bicubic2d",
)
_VIEWS = ("view", "_unsafe_view", "reshape", "flatten", "squeeze", "unsqueeze", "_reshape_alias")
_NORMS = ("native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm", "_native_batch_norm_legit")

_RULES: dict[str, _Rule] = {
    **dict.fromkeys(_POOLS, _pooled),
    **dict.fromkeys(_VIEWS, _viewed),
    **dict.fromkeys(_NORMS, _normalised_if_evaluating),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), _reduced),
    "_native_batch_norm_legit_no_training": _normalised,
    "convolution": _convolved,
    "constant_pad_nd": _padded,
    "permute": _permuted,
    "transpose": _transposed,
    "t": _transposed,
    str(operator.getitem): _part,
}
