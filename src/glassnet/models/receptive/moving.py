"""What operations reach that move numbers and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from glassnet.models.receptive.masks import highest, low
from glassnet.models.receptive.operation import Operation, Rule
from glassnet.models.receptive.patterns import Pattern, taps_of, window
from glassnet.models.receptive.reach import EMPTY, Reach, everything, in_step, joined, of_nothing, squashed

_CONTROL = ("index", "indices", "mask", "condition")
"""Arguments that say where numbers go, and are none of them."""


def _view(one: Operation) -> Reach | None:
    given = one.first
    return None if given is None else viewed(given, one.shape)


def viewed(given: Reach, shape: Sequence[int]) -> Reach:
    """Return what a view of another shape reaches; where all is the same along an axis, it stays so."""
    groups = _groups(given.shape, shape)
    planes = [_regrouped(plane, given.shape, shape, groups, 1) for plane in given.planes]
    mask = None if given.mask is None else _regrouped(given.mask, given.shape, shape, groups, 0)
    old, missing = given.shape, len(shape) - len(given.shape)

    def place(axis: int) -> int | None:
        if tuple(shape[: axis + 1]) == old[: axis + 1]:
            return axis
        return axis + missing if axis + missing >= 0 and tuple(shape[axis + missing :]) == old[axis:] else None

    return Reach(tuple(shape), (planes[0], planes[1]), given.moved(place), mask, given.known)


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[range, range]]:
    """Return which neighbouring axes of a view are made of which."""
    groups, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        first, second = i, j
        i, j = min(i + 1, len(old)), min(j + 1, len(new))
        while (left := prod(old[first:i])) != (right := prod(new[second:j])):
            if left < right:
                i += 1
            else:
                j += 1
            if i > len(old) or j > len(new):
                raise ValueError("a view of another number of elements")
        groups.append((range(first, i), range(second, j)))
    return groups


def _regrouped(
    plane: Tensor, old: Sequence[int], new: Sequence[int], groups: Sequence[tuple[range, range]], lead: int
) -> Tensor:
    full, shape = list(plane.shape), [1] * len(new)
    for before, after in groups:
        if any(plane.shape[axis + lead] > 1 for axis in before):
            for axis in before:
                full[axis + lead] = old[axis]
            for axis in after:
                shape[axis] = new[axis]
    regrouped = plane.expand(full).reshape(*plane.shape[:lead], *shape)
    return squashed(regrouped) if lead else regrouped


def _ordered(given: Reach, order: Sequence[int]) -> Reach:
    """Return what a tensor with its axes in another order reaches."""
    planes = [plane.permute(0, *(axis + 1 for axis in order)) for plane in given.planes]
    mask = None if given.mask is None else given.mask.permute(*order)
    shape = tuple(given.shape[axis] for axis in order)
    return Reach(shape, (planes[0], planes[1]), given.moved(list(order).index), mask, given.known)


def _permute(one: Operation) -> Reach | None:
    given = one.first
    return None if given is None else _ordered(given, [axis % len(given.shape) for axis in one["dims"]])


def swapped(given: Reach, first: int, second: int) -> Reach:
    """Return what a tensor with two axes swapped reaches."""
    order = list(range(len(given.shape)))
    if order:
        order[first], order[second] = order[second], order[first]
    return _ordered(given, order)


def _transpose(one: Operation) -> Reach | None:
    return None if one.first is None else swapped(one.first, one["dim0"], one["dim1"])


def _t(one: Operation) -> Reach | None:
    return None if one.first is None else _ordered(one.first, list(range(len(one.first.shape)))[::-1])


def _expand(one: Operation) -> Reach | None:
    return None if one.first is None else one.first.widened(one.shape)


def _picked(one: Operation) -> Reach | Sequence[Reach | None] | None:
    """Slices, pieces and single indices along one axis."""
    given = one.first
    if given is None:
        return None
    axis = one["dim"] % len(given.shape)
    size = given.shape[axis]
    return [_piece(given, axis, range(size)[part], output.ndim) for part, output in _pieces(one, size)]


def _pieces(one: Operation, size: int) -> list[tuple[slice, Tensor]]:
    if one.name == "slice":
        return [(slice(one["start"], one["end"], one["step"]), one.outputs[0])]
    if one.name == "select":
        start = one["index"] % size
        return [(slice(start, start + 1), one.outputs[0])]
    lengths = one.get("split_size", one.get("split_sizes", 1))  # unbind has neither
    if isinstance(lengths, int):
        lengths = [min(lengths, size - start) for start in range(0, size, lengths)]
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    return [(slice(a, a + length), output) for a, length, output in zip(starts, lengths, one.outputs, strict=True)]


def _piece(given: Reach, axis: int, indices: range, ndim: int) -> Reach:
    part = _indexed_along(given, axis, list(indices), Pattern(((indices.start,),), indices.step))
    return part if len(part.shape) == ndim else viewed(part, (*part.shape[:axis], *part.shape[axis + 1 :]))


def _indexed_along(given: Reach, axis: int, indices: Sequence[int], pattern: Pattern | None) -> Reach:
    """Return what some indices of an axis reach; less than 0 or too many are nothing."""
    size = given.shape[axis]
    taps = taps_of([[one] if 0 <= one < size else [] for one in indices], size)
    part = given.tapped(axis, taps, pattern)
    mask = given.mask
    if mask is not None and mask.shape[axis] > 1:
        mask = torch.cat([mask, torch.zeros_like(mask.narrow(axis, 0, 1))], axis).index_select(axis, taps[:, 0])
    return replace(part, mask=mask)


def _roll(one: Operation) -> Reach | Sequence[Reach | None] | None:
    given, result = one.first, one.first
    if given is None or not one["dims"]:
        return None if given is None else _by_index(one)
    for shift, dim in zip(one["shifts"], one["dims"], strict=True):
        axis = dim % len(given.shape)
        size = given.shape[axis]
        assert result is not None
        result = _indexed_along(result, axis, [(number - shift) % size for number in range(size)], None)
    return result


def _flip(one: Operation) -> Reach | None:
    result = one.first
    for dim in one["dims"] if result is not None else ():
        assert result is not None
        axis = dim % len(result.shape)
        result = _indexed_along(result, axis, range(result.shape[axis])[::-1], None)
    return result


def _index_select(one: Operation) -> Reach | Sequence[Reach | None] | None:
    given = one.first
    if given is None or id(one["index"]) in one.reaches or one["index"].is_meta:
        return _by_index(one)
    return _indexed_along(given, one["dim"] % len(given.shape), one["index"].flatten().tolist(), None)


def _padded(one: Operation) -> Reach | None:
    """Zeros around, or the tensor's own numbers again (reflected, or the outermost)."""
    given = one.first
    if given is None:
        return None
    pads = one.get("pad", one.get("padding"))
    for number in range(len(pads) // 2):
        axis = len(given.shape) - 1 - number
        before, after = pads[2 * number : 2 * number + 2]
        if before or after:
            size = given.shape[axis]
            indices = [_inside(one.name, index, size) for index in range(-before, size + after)]
            given = _indexed_along(given, axis, indices, window((0,), padding=before))
    return given


def _inside(name: str, index: int, size: int) -> int:
    if name.startswith("reflection"):
        return size - 1 - abs(size - 1 - abs(index))
    return min(max(index, 0), size - 1) if name.startswith("replication") else index


def _cat(one: Operation) -> Reach | None:
    tensors = [tensor for tensor in one["tensors"] if tensor.ndim == len(one.shape)]  # torch leaves out an empty vector
    return _put_together(one, tensors, one["dim"] % len(one.shape), [tuple(tensor.shape) for tensor in tensors])


def _stack(one: Operation) -> Reach | None:
    axis = one["dim"] % len(one.shape)
    shape = (*one.shape[:axis], 1, *one.shape[axis + 1 :])
    return _put_together(one, one["tensors"], axis, [shape] * len(one["tensors"]))


def _put_together(
    one: Operation, tensors: Sequence[Tensor], axis: int, shapes: Sequence[tuple[int, ...]]
) -> Reach | None:
    found = [one.reaches.get(id(tensor)) for tensor in tensors]
    if all(part is None for part in found):
        return None
    parts = [
        of_nothing(shape) if part is None else part if part.shape == shape else viewed(part, shape)
        for part, shape in zip(found, shapes, strict=True)
    ]
    planes = []
    for number in (0, 1):
        mine = [part.planes[number] for part in parts]
        sizes = [max(plane.shape[place] for plane in mine) for place in range(mine[0].ndim)]
        full = [
            plane.expand(*sizes[: axis + 1], shape[axis], *sizes[axis + 2 :])
            for plane, shape in zip(mine, shapes, strict=True)
        ]
        planes.append(squashed(torch.cat(full, dim=axis + 1)))
    seeing = [number for number, part in enumerate(found) if part is not None]
    lines = in_step([parts[number] for number in seeing])
    if any(line is not None and line[0] == axis for line in lines):
        before = sum(shape[axis] for shape in shapes[: seeing[0]])
        alone = parts[seeing[0]].stepped(axis, window((0,), padding=before))
        lines = alone if len(seeing) == 1 else (None, None)
    known = all(part.known for part in parts)
    return Reach(one.shape, (planes[0], planes[1]), lines, known=known)


def _chosen(one: Operation) -> Reach | None:
    """Numbers of one tensor where a mask is set, of another where it is not."""
    mask = one.get("condition", one.get("mask"))
    if id(mask) in one.reaches or mask.is_meta:
        return joined(one.all(), one.shape) if one.all() else None
    if one.name == "where":
        pairs = ((one["self"], mask), (one["other"], ~mask.bool()))
    else:
        pairs = ((one.get("value", one.get("source")), mask), (one["self"], ~mask.bool()))
    ndim = len(one.shape)
    parts, hidden = [], []
    for value, places in pairs:
        where = places.cpu().view(*[1] * (ndim - places.ndim), *places.shape)
        part = one.reaches.get(id(value))
        if part is not None:
            wide = part.widened(one.shape)
            parts.append(Reach(wide.shape, wide.without(~where), wide.lines, wide.mask, wide.known))
        else:
            hidden.append(where & low(value))
    if not parts:
        return None
    result = joined(parts, one.shape).with_lines((None, None))
    masks = [part.mask for part in parts if part.mask is not None]
    return replace(result, mask=highest([*masks, *(one.to(torch.int8) for one in hidden)]))


def _by_index(one: Operation) -> Reach | Sequence[Reach | None] | None:
    """Run the operation on the places of numbers, and see which went where."""
    controls = [value for name in _CONTROL for value in tree_leaves(one.get(name)) if isinstance(value, Tensor)]
    known = one.all()
    if not known:
        return None
    if any(value.is_meta for value in controls) or one.get("accumulate") or one.get("reduce"):
        return everything(known, one.shape).unknown()
    if any(id(value) in one.reaches for value in controls):
        return everything(known, one.shape)
    planes = [_carried(one, number) for number in (0, 1)]
    return [
        Reach(tuple(first.shape[1:]), (squashed(first), squashed(second)), known=all(part.known for part in known))
        for first, second in zip(*planes, strict=True)
    ]


def _carried(one: Operation, number: int) -> list[Tensor]:
    """Return one of the planes of each output."""
    table, values = [torch.full((2, 1), EMPTY, dtype=torch.int32)], {}
    for name, value in one.arguments.items():
        values[name] = tree_map(partial(_places, one, number, table), value) if name not in _CONTROL else _on_cpu(value)
    values |= {name: 0 for name in ("value",) if isinstance(values.get(name), int | float)}
    columns = torch.cat(table, dim=1)
    moved = one.run(values)
    return [columns[:, output.long()] for output in (moved if isinstance(moved, tuple | list) else [moved])]


def _places(one: Operation, number: int, table: list[Tensor], value: Any) -> Any:
    """Return in place of a tensor the places of its numbers in the table, to which they are added."""
    if not isinstance(value, Tensor):
        return value
    reach = one.reaches.get(id(value))
    if reach is None:
        return torch.zeros(value.shape, dtype=torch.float64)
    plane, before = reach.planes[number], sum(part.shape[1] for part in table)
    table.append(plane.reshape(2, -1))
    places = torch.arange(before, before + plane[0].numel(), dtype=torch.float64).view(plane.shape[1:])
    return places.expand(reach.shape).contiguous()


def _on_cpu(value: Any) -> Any:
    return tree_map(lambda one: one.cpu() if isinstance(one, Tensor) else one, value)


def _same(one: Operation) -> Reach | None:
    return one.first


def _nothing(_one: Operation) -> None:
    """Hold no pixel, whatever tensor lent its shape (zeros_like)."""


MOVING: dict[str, Rule] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias", "_reshape_copy", "view_copy"), _view),
    **dict.fromkeys(("squeeze", "unsqueeze", "flatten", "unflatten"), _view),
    **dict.fromkeys(("clone", "detach", "alias", "_to_copy", "contiguous", "lift", "_conj", "_fused_dropout"), _same),
    "permute": _permute,
    "transpose": _transpose,
    "t": _t,
    "expand": _expand,
    **dict.fromkeys(("slice", "select", "unbind", "split", "split_with_sizes"), _picked),
    **dict.fromkeys(("unsafe_split", "unsafe_split_with_sizes"), _picked),
    "roll": _roll,
    "flip": _flip,
    "index_select": _index_select,
    "constant_pad_nd": _padded,
    **dict.fromkeys((f"{kind}_pad{dims}d" for kind in ("reflection", "replication") for dims in (1, 2, 3)), _padded),
    "cat": _cat,
    "stack": _stack,
    **dict.fromkeys(("where", "masked_fill"), _chosen),
    **dict.fromkeys(("index", "_unsafe_index", "gather", "take", "unfold", "rot90", "diagonal", "repeat"), _by_index),
    **dict.fromkeys(("index_put", "_index_put_impl", "_unsafe_index_put", "scatter", "index_copy"), _by_index),
    **dict.fromkeys(("slice_scatter", "select_scatter", "im2col", "pixel_shuffle", "pixel_unshuffle"), _by_index),
    **dict.fromkeys(
        ("channel_shuffle", "native_channel_shuffle", "diag_embed", "masked_scatter", "tril", "triu"), _by_index
    ),
    **dict.fromkeys(("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"), _nothing),
    **dict.fromkeys(("new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided"), _nothing),
    **dict.fromkeys(("fill", "zero", "normal", "uniform", "bernoulli", "randint_like", "lift_fresh"), _nothing),
}
