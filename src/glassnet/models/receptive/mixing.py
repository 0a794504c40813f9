"""What operations reach that work number by number or mix all of an axis: sums, norms, products, attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from glassnet.models.receptive.masks import added, product, scaled, softmax
from glassnet.models.receptive.moving import swapped, viewed
from glassnet.models.receptive.operation import Operation
from glassnet.models.receptive.reach import Reach, by_groups, everything, joined


def pointwise(one: Operation) -> Reach | None:
    """Number by number, of all tensors that broadcast to the result."""
    known = one.all()
    if not known:
        return None
    result = joined(known, one.shape)
    constants = [value for value in (one.get("self"), one.get("other")) if id(value) not in one.reaches]
    if one.name == "add" and one.get("alpha", 1) == 1:  # what a softmax will not see stays so
        return added(result, known, constants)
    if one.name == "mul":
        return scaled(result, known, constants)
    if one.name == "div" and one.first is not None:
        return scaled(result, [one.first], [torch.as_tensor(value).reciprocal() for value in constants])
    return result


def _axes_over(one: Operation, given: Reach) -> list[int]:
    asked = one.get("dim", one.get("axis"))
    if asked is None or asked == []:
        return list(range(len(given.shape)))
    return [axis % max(len(given.shape), 1) for axis in ([asked] if isinstance(asked, int) else asked)]


def reduced(one: Operation) -> Reach | None:
    """Of all indices of some axes."""
    given = one.first
    if given is None:
        return None
    axes = _axes_over(one, given)
    kept = given.reduced(axes)
    if len(one.shape) == len(kept.shape):
        return kept
    left = [axis for axis in range(len(kept.shape)) if axis not in axes]
    planes = [plane.reshape(2, *(plane.shape[axis + 1] for axis in left)) for plane in kept.planes]
    lines = kept.moved(lambda axis: left.index(axis) if axis in left else None)
    return Reach(one.shape, (planes[0], planes[1]), lines, known=kept.known)


def along(one: Operation) -> Reach | None:
    """Of all indices of an axis, at each of those that it gives (sort, topk)."""
    given = one.first
    if given is None:
        return None
    axis = one["dim"] % max(len(given.shape), 1)
    result = given.reduced([axis])
    return Reach(one.shape, result.planes, result.lines, known=result.known)


def cumulated(one: Operation) -> Reach | None:
    """Of all indices up to each."""
    given = one.first
    if given is None:
        return None
    axis = one["dim"] % len(given.shape)
    return given.changed(given.shape, lambda plane: plane.cummin(dim=axis + 1).values).with_lines(
        given.moved(lambda number: None if number == axis else number)
    )


def softmaxed(one: Operation) -> Reach | None:
    """Of all along an axis that no mask hides; the logarithm of what is hidden is no 0, and of the number, too."""
    given = one.first
    if given is None or "log" not in one.name:
        return None if given is None else softmax(given, one["dim"])
    seen = replace(softmax(given, one["dim"]), mask=None)
    return joined([seen, replace(given, mask=None)], one.shape).with_lines(seen.lines)


def _over(given: Reach, axes: Sequence[int]) -> Reach:
    """Return what is made of all of some axes, along all of them."""
    whole = given.reduced(axes)
    return Reach(given.shape, whole.planes, whole.lines, known=given.known)


def batch_normalised(one: Operation) -> Sequence[Reach | None] | None:
    """Number by number, or in training of all but the channel."""
    given = one.first
    if given is None:
        return None
    fixed = "no_training" in one.name or one.get("training") is False
    result = given if fixed else _over(given, [axis for axis in range(len(given.shape)) if axis != 1])
    return [result] + [None if fixed else everything([given], tuple(out.shape)) for out in one.outputs[1:]]


def layer_normalised(one: Operation) -> Sequence[Reach | None] | None:
    """Of all of the last axes."""
    given = one.first
    if given is None:
        return None
    over = range(len(given.shape) - len(one["normalized_shape"]), len(given.shape))
    result = _over(given, over)
    return [result, *(Reach(tuple(out.shape), result.planes, known=given.known) for out in one.outputs[1:])]


def group_normalised(one: Operation) -> Sequence[Reach | None] | None:
    """Of all places, and the channels of a group."""
    given = one.first
    if given is None:
        return None
    places = given.reduced(range(2, len(given.shape)))
    result = by_groups(places, one["group"], given.shape[1])
    whole = Reach(given.shape, result.planes, known=given.known)
    return [whole, *(everything([given], tuple(out.shape)) for out in one.outputs[1:])]


def multiplied(one: Operation) -> Reach | None:
    """A product of matrices, and what is added to it."""
    names = {"addmm": ("mat1", "mat2"), "_addmm_activation": ("mat1", "mat2"), "baddbmm": ("batch1", "batch2")}
    left, right = names.get(one.name, ("self", "mat2" if "mat2" in one.arguments else "other"))
    result = product(one.reach(left), one.reach(right), one.shape)
    bias = one.reach("self") if one.name in names else None
    parts = [part for part in (result, bias) if part is not None]
    return joined(parts, one.shape) if bias is not None else result


def linear(one: Operation) -> Reach | None:
    """Of all of the last axis."""
    if one.reach("weight") is not None or one.first is None:
        return everything(one.all(), one.shape) if one.all() else None
    return product(one.first, None, one.shape)


def attention(one: Operation) -> Sequence[Reach | None] | None:
    """softmax(q kᵀ + mask) v."""
    query, key, value = (one.reach(name) for name in ("query", "key", "value"))
    turned = None if key is None else swapped(key, -2, -1)
    queries, keys = one["query"].shape, one["key"].shape
    scores = product(query, turned, (*queries[:-1], keys[-2]))
    if scores is not None:
        scores = softmax(_masked(one, scores), len(scores.shape) - 1)
    result = product(scores, value, tuple(one.outputs[0].shape))
    return [result] + [None] * (len(one.outputs) - 1)


def _masked(one: Operation, scores: Reach) -> Reach:
    mask = one.get("attn_mask", one.get("attn_bias"))
    constants: list[Any] = []
    if isinstance(mask, Tensor):
        if id(mask) in one.reaches:
            scores = joined([scores, one.reaches[id(mask)]], scores.shape)
        else:
            boolean = mask.dtype == torch.bool
            constants.append(torch.where(mask, 0.0, float("-inf")) if boolean else mask)
    if one.get("is_causal"):
        constants.append(torch.full(scores.shape[-2:], float("-inf")).triu(1))
    return added(scores, [scores], constants)


def sampled(one: Operation) -> Reach | None:
    """Anywhere on a map, where that hangs on the image; where it does not, the places would have to be known."""
    given, grid = one.reach("input"), one.reach("grid")
    if grid is None:
        return None if given is None else everything([given], one.shape).unknown()
    places = grid.reduced([-1])
    where = viewed(places, (places.shape[0], 1, *places.shape[1:-1]))
    parts = [Reach(one.shape, where.planes, known=grid.known)]
    if given is not None:
        whole = given.reduced(range(2, len(given.shape)))
        parts.append(Reach(one.shape, whole.planes, known=given.known))
    return joined(parts, one.shape)


def gated(one: Operation) -> Reach | None:
    """One half of an axis times the sigmoid of the other."""
    given = one.first
    if given is None:
        return None
    axis = one["dim"] % len(given.shape)
    size = given.shape[axis] // 2
    taps = torch.tensor([[index, index + size] for index in range(size)])
    return given.tapped(axis, taps, None)


def fourier(one: Operation) -> Reach | None:
    """Of all along the axes transformed."""
    given = one.first
    if given is None:
        return None
    whole = given.reduced(one["dim"])
    return Reach(one.shape, whole.planes, whole.lines, known=given.known)


def as_real(one: Operation) -> Reach | None:
    """Both parts of each number."""
    return None if one.first is None else viewed(one.first, (*one.first.shape, 1)).widened(one.shape)


def as_complex(one: Operation) -> Reach | None:
    """Of both parts."""
    given = one.first
    return None if given is None else viewed(given.reduced([-1]), given.shape[:-1])


def distances(one: Operation) -> Reach | None:
    """Distances of each row of the first to each of the second."""
    left, right = one.reach("x1"), one.reach("x2")
    return product(left, None if right is None else swapped(right, -2, -1), one.shape)


def copied(one: Operation) -> Reach | None:
    """What another tensor holds."""
    source = one.reach("src")
    return None if source is None else source.widened(one.shape)


def looked_up(one: Operation) -> Reach | None:
    """A row of a table at each index."""
    if one.reach("weight") is not None or one.reach("indices") is None:
        return everything(one.all(), one.shape).unknown() if one.all() else None
    places = one.reach("indices")
    assert places is not None
    return viewed(places, (*places.shape, 1)).widened(one.shape)


def first_pointwise(one: Operation) -> Sequence[Reach | None]:
    """Number by number; what else is given is of no use but to a backward pass."""
    return [pointwise(one), *[None] * (len(one.outputs) - 1)]


def of_all(one: Operation) -> Reach | None:
    """Of all numbers of all arguments."""
    return everything(one.all(), one.shape) if one.all() else None


def by_vector(one: Operation) -> Reach | None:
    """A product of a matrix with a vector."""
    rows, vector = one.reach("self"), one.reach("vec")
    kept = None if rows is None else rows.reduced([1])
    parts = [] if kept is None else [viewed(kept, kept.shape[:1])]
    parts += [] if vector is None else [everything([vector], one.shape)]
    return joined(parts, one.shape) if parts else None
