"""What operations reach that slide a window over a map: convolutions, pools, interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import gcd, prod

import torch
from torch import Tensor

from glassnet.models.receptive.moving import viewed
from glassnet.models.receptive.operation import Operation
from glassnet.models.receptive.patterns import Pattern, taps_of, transposed_window, window
from glassnet.models.receptive.reach import Reach, by_groups, everything, joined


def convolution(one: Operation) -> Reach | None:
    """Windows over a map, and all channels of a group."""
    given, weight = one.reach("input"), one["weight"]
    if one.reach("weight") is not None or given is None:
        return everything(one.all(), one.shape) if one.all() else None
    mixed = by_groups(given, one["groups"], one.shape[1])
    parts = [_through(one, mixed, part) for part in _kernels(weight)]
    return parts[0] if len(parts) == 1 else joined(parts, one.shape)


def _through(one: Operation, given: Reach, kernel: Sequence[Sequence[int]]) -> Reach:
    """Return what a convolution gives whose kernel has weights in some rows and columns."""
    result = given
    for axis, used in enumerate(kernel, 2):
        stride, padding, dilation = _sizes(one, axis - 2, len(kernel))
        if one["transposed"]:
            pattern = transposed_window(used, stride=stride, padding=padding, dilation=dilation)
        else:
            pattern = window(used, stride=stride, padding=padding, dilation=dilation)
        result = result.tapped(axis, pattern.taps(given.shape[axis], one.shape[axis]), pattern)
    return result


def _kernels(weight: Tensor) -> list[list[list[int]]]:
    """Return the rows and columns of a kernel that hold weights; a part for each row where the columns differ.

    Places where all channels have a weight of 0, as of a masked kernel, take nothing; a kernel of zeros is taken whole.
    """
    sizes = weight.shape[2:]
    whole = [[list(range(size)) for size in sizes]]
    if weight.is_meta or max(sizes) == 1:
        return whole
    held = weight.detach().ne(0).flatten(0, 1).any(dim=0).cpu()
    if held.all() or not held.any():
        return whole
    along = [held.movedim(axis, 0).reshape(size, -1).any(dim=1) for axis, size in enumerate(sizes)]
    used = [one.nonzero().flatten().tolist() for one in along]
    if held.sum() == prod(map(len, used)):
        return [used]
    return [[[row], *rest] for row in used[0] for rest in _kernels(held[row][None, None])]


def _sizes(one: Operation, number: int, dims: int) -> tuple[int, int, int]:
    """Return stride, padding and dilation along one of the axes of a map."""
    values = [one.get(name, default) for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))]
    if not isinstance(values[0], int) and len(values[0]) == 0:  # a pool's stride is its window, if not said
        values[0] = one["kernel_size"]
    stride, padding, dilation = (_of_axis(value, number, dims) for value in values)
    return stride, padding, dilation


def _of_axis(value: int | Sequence[int], number: int, dims: int) -> int:
    if isinstance(value, int):
        return value
    return value[0] if len(value) == 1 else value[number + len(value) - dims]


def pooled(one: Operation) -> Reach | None:
    """Windows over a map, each channel by itself."""
    given = one.first
    if given is None:
        return None
    shape, result = one.shape, given
    dims = int(one.name.split("pool")[1][0])
    for number in range(dims):
        axis = len(shape) - dims + number
        stride, padding, dilation = _sizes(one, number, dims)
        kernel = _of_axis(one["kernel_size"], number, dims)
        pattern = window(range(kernel), stride=stride, padding=padding, dilation=dilation)
        result = result.tapped(axis, pattern.taps(given.shape[axis], shape[axis]), pattern)
    return result


def adaptively_pooled(one: Operation) -> Reach | None:
    """As many windows as are asked for, which may be of unlike sizes."""
    given = one.first
    if given is None:
        return None
    shape, result = one.shape, given
    dims = int(one.name.split("pool")[1][0])
    for axis in range(len(shape) - dims, len(shape)):
        size, count = given.shape[axis], shape[axis]
        rows = [range(index * size // count, -(-(index + 1) * size // count)) for index in range(count)]
        # A window of all is the whole image's, whatever its size.
        even = size % count == 0 and (count > 1 or size == 1)
        pattern = window(range(size // count), stride=size // count) if even else None
        result = result.tapped(axis, taps_of(rows, size), pattern)
    return result


def resized(one: Operation) -> Reach | None:
    """Interpolation: what it takes along each axis shows what it makes of ones and zeros."""
    given = one.first
    if given is None:
        return None
    shape, result = one.shape, given
    for axis in range(2, len(shape)):
        size, count = given.shape[axis], shape[axis]
        rows = _interpolated(one, axis, size, count)
        result = result.tapped(axis, taps_of(rows, size), _interpolation(one, axis, size, count))
    return result


def _interpolated(one: Operation, axis: int, size: int, count: int) -> list[list[int]]:
    """Return which of `size` indices each of `count` takes, from what the operation makes of each one's own 1."""
    sizes = [2] * (len(one.shape) - 2)  # along the others nothing changes; torch takes a single index for another order
    wanted = [count if number == axis - 2 else 2 for number in range(len(sizes))]
    shape = [size if number == axis - 2 else 1 for number in range(len(sizes))]
    sizes[axis - 2] = size
    ones = torch.eye(size, dtype=torch.float64).view(1, size, *shape).expand(1, size, *sizes).contiguous()
    scales = [name for name in one.arguments if name.startswith("scales")]
    own = {name: one[name] if number == axis - 2 else None for number, name in enumerate(scales)}
    values = one.run({**one.arguments, next(iter(one.arguments)): ones, "output_size": wanted, **own})
    table = values.movedim(axis, 2).flatten(3)[0, :, :, 0].ne(0)
    return [column.nonzero().flatten().tolist() for column in table.T]


def _interpolation(one: Operation, axis: int, size: int, count: int) -> Pattern | None:
    """Return the pattern of an interpolation by a ratio of whole numbers, from the middle of a long axis."""
    scale = [one[name] for name in one.arguments if name.startswith("scales")]
    own = scale[axis - 2] if len(scale) > axis - 2 else None
    out, step = count // gcd(size, count), size // gcd(size, count)
    if one.get("align_corners") or (own is not None and own * size != count) or max(out, step) > 64:
        return None
    turns = 16
    rows = _interpolated(one, axis, turns * step, turns * out)
    middle = turns // 2
    return Pattern(tuple(tuple(tap - middle * step for tap in rows[middle * out + r]) for r in range(out)), step)


def folded(one: Operation) -> Reach | None:
    """Columns of patches (n, channel · pixels of a patch, patches), laid over each other on a map."""
    given = one.first
    if given is None:
        return None
    height, width = one["kernel_size"]
    options = [dict(zip(("stride", "padding", "dilation"), _sizes(one, axis, 2), strict=True)) for axis in (0, 1)]
    grid = [
        (size + 2 * own["padding"] - own["dilation"] * (kernel - 1) - 1) // own["stride"] + 1
        for size, kernel, own in zip(one["output_size"], (height, width), options, strict=True)
    ]
    patches = viewed(given, (*given.shape[:-2], one.shape[-3], height, width, *grid))
    axis, parts = len(patches.shape) - 4, []
    for place in product(range(height), range(width)):
        part = patches
        for number, index in enumerate(place):
            part = part.tapped(axis + number, torch.tensor([[index]]), None)
        part = viewed(part, (*patches.shape[:axis], *grid))
        for number, (index, own) in enumerate(zip(place, options, strict=True)):
            taps = transposed_window([index], **own).taps(grid[number], one.shape[axis + number])
            part = part.tapped(axis + number, taps, None)
        parts.append(part)
    return joined(parts, one.shape)
