"""What torch's operations do to the axes of tensors, each as a rule from the axes taken to the axes given.

The operations are those below autograd (`aten`), into which modules, functions and scripted code all come apart. One
that has no rule keeps the axes where it keeps the shape, and says nothing of them where it does not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from torch import Tensor

from glassnet.models.layout.axes import (
    Axes,
    Axis,
    Factor,
    concatenated,
    demoted,
    fresh,
    is_spatial,
    merged,
    regrouped,
    resized,
    size_of,
    sliced,
    whole_kind,
)


@dataclass(frozen=True)
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


def _convolution(one: Operation) -> Axes | None:
    """Give new channels on the second axis; the others keep what they run over, at their new sizes."""
    axes, shape = one.axes(), one.output.shape
    if axes is None or len(axes) < 3:
        return None
    names = ("height", "width") if len(axes) == 4 else ("other",) * (len(axes) - 2)
    places = []
    for axis, name, size in zip(axes[2:], names, shape[2:], strict=True):
        kind = whole_kind(axis)
        # A plain convolution takes images: what is not known to be anything else is a map's height or width.
        places.append(fresh(name, size) if kind in ("other", None) and not _is_of_tokens(axis) else resized(axis, size))
    return (axes[0], fresh("channel", shape[1]), *(axis if len(axes) == 4 else demoted(axis) for axis in places))


def _is_of_tokens(axis: Axis) -> bool:
    return is_spatial(axis) or whole_kind(axis) == "tokens"


def _pooled(one: Operation) -> Axes | None:
    axes = one.axes()
    if axes is None or len(axes) != one.output.ndim:
        return None if axes is None else default(one)
    return tuple(resized(axis, size) for axis, size in zip(axes, one.output.shape, strict=True))


def _padded(one: Operation) -> Axes | None:
    axes = one.axes()
    if axes is None:
        return None
    result, pads = list(axes), one.args[1]
    for number in range(len(pads) // 2):
        place, (before, after) = len(axes) - 1 - number, pads[2 * number : 2 * number + 2]
        if (before or after) and min(before, after) >= 0 and whole_kind(axes[place]) in (None, "tokens"):
            result[place] = concatenated([fresh("other", before), axes[place], fresh("other", after)])
        else:
            result[place] = resized(axes[place], size_of(axes[place]) + before + after)
    return tuple(result)


def _reduced(one: Operation) -> Axes | None:
    axes = one.axes()
    if axes is None:
        return None
    asked = one.argument(1)
    if isinstance(asked, Tensor):  # the elementwise maximum of two tensors
        return default(one)
    if len(axes) == one.output.ndim:
        return tuple(a if size_of(a) == s else fresh("other", s) for a, s in zip(axes, one.output.shape, strict=True))
    dims = range(len(axes)) if asked is None or asked == [] else [asked] if isinstance(asked, int) else asked
    gone = {dim % len(axes) for dim in dims}
    return tuple(axis for number, axis in enumerate(axes) if number not in gone)


def _product(one: Operation, first: int, second: int) -> Axes | None:
    """Matrix products: rows of the first, columns of the second; what a weight is multiplied with becomes channels."""
    left, right = one.axes(first), one.axes(second)
    if left is None and right is None:
        return None
    shape = one.output.shape
    if right is None and left is not None:
        rows = demoted(left[-2]) if len(left) > 1 else fresh("other", shape[-2])
        return (*left[:-2], rows, fresh("channel", shape[-1]))
    if left is None and right is not None:
        return (*right[:-2], fresh("channel", shape[-2]), demoted(right[-1]))
    assert left is not None and right is not None  # as just seen
    return (*merged([left[:-2], right[:-2]], shape[:-2]), left[-2], right[-1])


def _linear(one: Operation) -> Axes | None:
    axes = one.axes()
    return None if axes is None else (*map(demoted, axes[:-1]), fresh("channel", one.output.shape[-1]))


def _attention(one: Operation) -> Axes | None:
    """softmax(q kᵀ) v: the queries' axes, and the values' channels."""
    if one.place:
        return tuple(fresh("other", size) for size in one.output.shape)
    queries, values = one.axes(0), one.axes(2)
    if queries is None:
        return None
    return (*queries[:-1], values[-1] if values is not None else fresh("channel", one.output.shape[-1]))


def _im2col(one: Operation) -> Axes | None:
    """Patches as columns: (n, channel of all its pixels, rows of patches times columns of patches)."""
    axes = one.axes()
    if axes is None or len(axes) != 4:
        return None
    kernel, dilation, padding, stride = one.args[1:5]
    counts = [
        (size_of(axes[2 + i]) + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
    ]
    if prod(counts) != one.output.shape[2]:
        return None
    grid = tuple(factor for i in (0, 1) for factor in resized(axes[2 + i], counts[i]))
    return (axes[0], fresh("channel", one.output.shape[1]), grid)


def _col2im(one: Operation) -> Axes | None:
    axes, shape = one.axes(), one.output.shape
    if axes is None or len(shape) != 4:
        return None
    return (axes[0], fresh("channel", shape[1]), fresh("height", shape[2]), fresh("width", shape[3]))


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


def _indexed(one: Operation) -> Axes | None:
    axes, shape = one.axes(), tuple(one.output.shape)
    if axes is None:
        return None
    places = [number for number, index in enumerate(one.args[1]) if index is not None]
    if len(places) == 1 and len(axes) == len(shape):
        number = places[0]
        return (*axes[:number], fresh("other", shape[number]), *axes[number + 1 :])
    return tuple(fresh("other", size) for size in shape)


def _normalised(one: Operation) -> Axes | None:
    """Keep the axes; where LayerNorm's weights are of an unknown last axis, and no other is of channels, it is."""
    axes = default(one) if one.place == 0 else tuple(fresh("other", size) for size in one.output.shape)
    if axes is None or one.place or len(one.argument(1, ())) != 1 or whole_kind(axes[-1]) != "other":
        return axes
    if any(factor.kind == "channel" for axis in axes for factor in axis):
        return axes
    return (*axes[:-1], fresh("channel", size_of(axes[-1])))


def _copied(one: Operation) -> Axes | None:
    known = [axes for axes in (one.axes(0), one.axes(1)) if axes is not None]
    return merged(known, one.output.shape) if known else None


RULES: dict[str, Rule] = {
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
    **dict.fromkeys(("convolution", "_convolution", "convolution_overrideable", "mkldnn_convolution"), _convolution),
    **dict.fromkeys(
        ("max_pool2d_with_indices", "max_pool2d", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d"), _pooled
    ),
    **dict.fromkeys(("fractional_max_pool2d", "max_unpool2d", "pixel_shuffle", "pixel_unshuffle"), _pooled),
    **dict.fromkeys(("upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d"), _pooled),
    **dict.fromkeys(("_upsample_bilinear2d_aa", "upsample_bicubic2d", "_upsample_bicubic2d_aa"), _pooled),
    **dict.fromkeys(("reflection_pad2d", "replication_pad2d", "grid_sampler_2d"), _pooled),
    "constant_pad_nd": _padded,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "argmax", "argmin", "var", "std"), _reduced),
    **dict.fromkeys(("logsumexp", "norm", "linalg_vector_norm", "prod", "any", "all", "var_mean"), _reduced),
    "mm": lambda one: _product(one, 0, 1),
    "bmm": lambda one: _product(one, 0, 1),
    "matmul": lambda one: _product(one, 0, 1),
    "addmm": lambda one: _product(one, 1, 2),
    "_addmm_activation": lambda one: _product(one, 1, 2),
    "baddbmm": lambda one: _product(one, 1, 2),
    "linear": _linear,
    "mkldnn_linear": _linear,
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_attention_math",
            "scaled_dot_product_attention",
        ),
        _attention,
    ),
    "im2col": _im2col,
    "col2im": _col2im,
    "unfold": _unfold,
    "roll": _roll,
    **dict.fromkeys(("flip", "sort", "index_select", "gather", "rot90"), _mixed),
    "topk": lambda one: _mixed(replace(one, args=(one.args[0], one.argument(2, -1)))),
    "index": _indexed,
    "native_layer_norm": _normalised,
    "copy_": _copied,
}
