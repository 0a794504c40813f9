"""Rules of operations that move values and compute nothing: the axes are those taken, in another order or number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from glassnet.models.layout.axes import (
    Axes,
    Axis,
    Factor,
    concatenated,
    fresh,
    merged,
    regrouped,
    resized,
    size_of,
    sliced,
    whole_kind,
)


@dataclass(frozen=True, eq=False)
class Operation:
    """One call: its arguments, the axes of its tensors, and what it gave.

    Attributes:
        args: As torch got them, options by keyword appended in no order.
        options: Arguments by keyword.
        axes_of: Returns a tensor's axes; None for a weight, a constant, or anything that no image reached.
        output: The tensor given; for operations that give several, the one whose axes are asked for.
        place: Which one.
    """

    args: Sequence[Any]
    options: dict[str, Any]
    axes_of: Callable[[Tensor], Axes | None]
    output: Tensor
    place: int = 0

    def axes(self, number: int = 0) -> Axes | None:
        """Return the axes of an argument."""
        value = self.argument(number)
        return self.axes_of(value) if isinstance(value, Tensor) else None

    def argument(self, number: int, default: Any = None) -> Any:
        """Return an argument by its place."""
        return self.args[number] if len(self.args) > number else default

    def sizes(self, number: int) -> Axes:
        """Return the axes of an argument, unknown ones where it has none."""
        tensor = self.args[number]
        return self.axes_of(tensor) or tuple(fresh("other", size) for size in tensor.shape)


Rule = Callable[[Operation], Axes | None]


def default(one: Operation) -> Axes | None:
    """Keep the axes of the operands that broadcast to the output; of any other operation, those of the same size."""
    shape = tuple(one.output.shape)
    tensors = [arg for arg in (*one.args, *one.options.values()) if isinstance(arg, Tensor)]
    known = [axes for axes in map(one.axes_of, tensors) if axes is not None]
    if not known:
        return None
    if all(_broadcasts(tuple(map(size_of, axes)), shape) for axes in known):
        return merged(known, shape)
    if len(known[0]) != len(shape):
        return tuple(fresh("other", size) for size in shape)
    return _unsure(known[0], shape)


def _unsure(axes: Axes, shape: Sequence[int]) -> Axes:
    """Of an operation that may have moved anything, trust the image an index belongs to, and no more."""
    return tuple(
        axis if size_of(axis) == size and any(factor.kind == "batch" for factor in axis) else fresh("other", size)
        for axis, size in zip(axes, shape, strict=True)
    )


def _broadcasts(sizes: Sequence[int], shape: Sequence[int]) -> bool:
    return len(sizes) <= len(shape) and all(
        size in (1, wanted) for size, wanted in zip(reversed(sizes), reversed(shape), strict=False)
    )


def _view(one: Operation) -> Axes | None:
    axes = one.axes()
    return None if axes is None else regrouped(axes, one.output.shape)


def _permute(one: Operation) -> Axes | None:
    axes = one.axes()
    return None if axes is None else tuple(axes[number] for number in one.args[1])


def _transpose(one: Operation) -> Axes | None:
    axes = one.axes()
    if axes is None:
        return None
    swapped = list(axes)
    first, second = one.args[1], one.args[2]
    swapped[first], swapped[second] = swapped[second], swapped[first]
    return tuple(swapped)


def _reverse(one: Operation) -> Axes | None:
    axes = one.axes()
    return None if axes is None else axes[::-1]


def _squeeze(one: Operation) -> Axes | None:
    axes = one.axes()
    if axes is None or len(axes) == one.output.ndim:
        return axes
    asked = one.argument(1, range(len(axes)))
    dims = {dim % len(axes) for dim in ([asked] if isinstance(asked, int) else asked)}
    return tuple(axis for number, axis in enumerate(axes) if number not in dims or size_of(axis) > 1)


def _unsqueeze(one: Operation) -> Axes | None:
    axes = one.axes()
    if axes is None:
        return None
    place = one.args[1] % one.output.ndim
    return (*axes[:place], fresh("other", 1), *axes[place:])


def _select(one: Operation) -> Axes | None:
    axes = one.axes()
    if axes is None:
        return None
    dim = one.args[1] % len(axes)
    return (*axes[:dim], *axes[dim + 1 :])


def _unbind(one: Operation) -> Axes | None:
    axes = one.axes()
    if axes is None:
        return None
    dim = one.argument(1, 0) % len(axes)
    return (*axes[:dim], *axes[dim + 1 :])


def _slice(one: Operation) -> Axes | None:
    axes = one.axes()
    if axes is None:
        return None
    dim = one.argument(1, 0) % len(axes)
    size = size_of(axes[dim])
    start, end, step = slice(one.argument(2), one.argument(3), one.argument(4, 1)).indices(size)
    return (*axes[:dim], sliced(axes[dim], start, end, step), *axes[dim + 1 :])


def _split(one: Operation) -> Axes | None:
    axes = one.axes()
    if axes is None:
        return None
    dim = one.argument(2, one.options.get("dim", 0)) % len(axes)
    size, lengths = size_of(axes[dim]), one.args[1]
    if isinstance(lengths, int):
        lengths = [min(lengths, size - start) for start in range(0, size, lengths)]
    start = sum(lengths[: one.place])
    return (*axes[:dim], sliced(axes[dim], start, start + lengths[one.place], 1), *axes[dim + 1 :])


def _cat(one: Operation) -> Axes | None:
    tensors = [tensor for tensor in one.args[0] if tensor.ndim == one.output.ndim]
    known = [one.axes_of(tensor) for tensor in tensors]
    if all(axes is None for axes in known):
        return None
    every = [axes or tuple(fresh("other", s) for s in t.shape) for axes, t in zip(known, tensors, strict=True)]
    dim = one.argument(1, 0) % one.output.ndim
    whole = merged([axes[:dim] + axes[dim + 1 :] for axes in every], _without(tuple(one.output.shape), dim))
    return (*whole[:dim], concatenated([axes[dim] for axes in every]), *whole[dim:])


def _stack(one: Operation) -> Axes | None:
    known = [axes for axes in map(one.axes_of, one.args[0]) if axes is not None]
    if not known:
        return None
    dim = one.argument(1, 0) % one.output.ndim
    whole = merged(known, _without(tuple(one.output.shape), dim))
    return (*whole[:dim], fresh("other", one.output.shape[dim]), *whole[dim:])


def _without(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    return shape[:dim] + shape[dim + 1 :]


def _unfold(one: Operation) -> Axes | None:
    axes = one.axes()
    if axes is None:
        return None
    dim, size, step = one.args[1] % len(axes), one.args[2], one.args[3]
    windows = one.output.shape[dim]
    if size == step and windows * size == size_of(axes[dim]):
        split = regrouped((axes[dim],), (windows, size))
        return (*axes[:dim], split[0], *axes[dim + 1 :], split[1])
    return (*axes[:dim], resized(axes[dim], windows), *axes[dim + 1 :], fresh("other", size))


def _roll(one: Operation) -> Axes | None:
    axes = one.axes()
    if axes is None:
        return None
    shifts, dims = one.args[1], one.argument(2, [])
    result = list(axes)
    for shift, dim in zip(shifts, dims, strict=True):
        result[dim] = _rolled(axes[dim], shift)
    return tuple(result) if dims else tuple(fresh("other", size) for size in one.output.shape)


def _rolled(axis: Axis, shift: int) -> Axis:
    kind = whole_kind(axis)
    if kind not in ("height", "width"):
        return axis if kind == "other" else fresh("other", size_of(axis))
    factor = next((one for one in axis if one.size > 1), axis[0])
    shifted = (factor.root.shift + shift) % factor.size
    return (Factor(replace(factor.root, shift=shifted), factor.size),)


def _mixed(one: Operation) -> Axes | None:
    """Forget the axis along which indices are picked or put in another order."""
    axes = one.axes()
    if axes is None:
        return None
    asked = one.argument(1, -1)
    dims = [asked] if isinstance(asked, int) else asked if isinstance(asked, list) else range(len(axes))
    places = {dim % len(axes) for dim in dims}
    if len(axes) != one.output.ndim:
        return tuple(fresh("other", size) for size in one.output.shape)
    return tuple(
        axis if number not in places and size_of(axis) == size else fresh("other", size)
        for number, (axis, size) in enumerate(zip(axes, one.output.shape, strict=True))
    )


def _picked(one: Operation) -> Axes | None:
    """Forget the axis along which indices are picked; channels in another order are channels still."""
    before, after = one.axes(), _mixed(one)
    if before is None or after is None or len(before) != len(after):
        return after
    return tuple(
        fresh("channel", size_of(new)) if whole_kind(old) == "channel" and whole_kind(new) == "other" else new
        for old, new in zip(before, after, strict=True)
    )


def _placed(one: Operation) -> Axes | None:
    """Forget the axis along which values were put at other indices (scatter, index_copy, index_add)."""
    known = [axes for axes in (one.axes(0), one.axes(3)) if axes is not None]
    axes = merged(known, one.output.shape) if known else None
    if axes is None or one.axes(3) is None:
        return axes
    dim = one.args[1] % len(axes)
    return (*axes[:dim], fresh("other", one.output.shape[dim]), *axes[dim + 1 :])


def _put(one: Operation) -> Axes | None:
    """Forget the axes along which values were put at indices; constants put there change nothing."""
    axes, values = one.axes(0), one.axes(2)
    if values is None:
        return axes
    places = [number for number, index in enumerate(one.args[1]) if index is not None]
    if len(places) == 1 and one.args[1][places[0]].ndim == 1 and len(values) == one.output.ndim:
        axes, number = merged([axes, values] if axes else [values], one.output.shape), places[0]
        return (*axes[:number], fresh("other", one.output.shape[number]), *axes[number + 1 :])
    return unknown(one)


def unknown(one: Operation) -> Axes | None:
    """Say nothing of an operation that may put anything anywhere."""
    return tuple(fresh("other", size) for size in one.output.shape)


def _repeated(one: Operation) -> Axes | None:
    axes = one.axes()
    if axes is None:
        return None
    times = one.args[1]
    whole = [*[fresh("other", 1)] * (len(times) - len(axes)), *axes]
    return tuple(
        axis if count == 1 else fresh("channel" if whole_kind(axis) == "channel" else "other", size)
        for axis, count, size in zip(whole, times, one.output.shape, strict=True)
    )


def _made_anew(_one: Operation) -> None:
    """Hold no image, whatever tensor lent its shape (zeros_like)."""


def _indexed(one: Operation) -> Axes | None:
    """Forget the axes along which tensors pick indices; their own axes stand there, or first where these lie apart."""
    axes, shape = one.axes(), tuple(one.output.shape)
    if axes is None:
        return None
    indices = [(number, index) for number, index in enumerate(one.args[1]) if index is not None]
    places = [number for number, _ in indices]
    taken = [index.ndim if index.dtype in (torch.bool, torch.uint8) else 1 for _, index in indices]
    left = [axis for number, axis in enumerate(axes) if number not in places]
    if max(taken) > 1:
        return tuple(fresh("other", size) for size in shape)
    together = places == list(range(places[0], places[0] + len(places)))
    first, new = places[0] if together else 0, len(shape) - len(left)
    if len(places) == new == 1 and whole_kind(axes[first]) == "channel":  # in another order, they are channels still
        return (*left[:first], fresh("channel", shape[first]), *left[first:])
    return (*left[:first], *(fresh("other", size) for size in shape[first : first + new]), *left[first:])


def _turned(one: Operation) -> Axes | None:
    """Forget the two axes that are turned by right angles."""
    return _mixed(replace(one, args=(one.args[0], list(one.argument(2, (0, 1))))))


MOVING: dict[str, Rule] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias", "_reshape_copy", "view_copy"), _view),
    "permute": _permute,
    "transpose": _transpose,
    "t": _reverse,
    "numpy_T": _reverse,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "select": _select,
    "unbind": _unbind,
    "slice": _slice,
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes"), _split),
    "cat": _cat,
    "stack": _stack,
    "unfold": _unfold,
    "roll": _roll,
    **dict.fromkeys(("sort", "gather"), _mixed),
    **dict.fromkeys(("flip", "index_select"), _picked),
    "rot90": _turned,
    "topk": lambda one: _mixed(replace(one, args=(one.args[0], one.argument(2, -1)))),
    "index": _indexed,
    **dict.fromkeys(("scatter", "scatter_add", "scatter_reduce", "index_copy", "index_add"), _placed),
    **dict.fromkeys(("index_put", "_index_put_impl", "_unsafe_index_put"), _put),
    **dict.fromkeys(("masked_scatter", "put", "take", "as_strided", "masked_select", "slice_scatter"), unknown),
    "repeat": _repeated,
    **dict.fromkeys(("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"), _made_anew),
    **dict.fromkeys(("new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided"), _made_anew),
}
