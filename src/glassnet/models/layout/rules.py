"""What torch's operations do to the axes of tensors, each as a rule from the axes taken to the axes given.

The operations are those below autograd (`aten`), into which modules, functions and scripted code all come apart. One
that has no rule keeps the axes where it keeps the shape, and says nothing of them where it does not.
"""

from math import prod

from torch import Tensor

from glassnet.models.layout.axes import (
    Axes,
    Axis,
    Kind,
    concatenated,
    demoted,
    fresh,
    is_spatial,
    merged,
    resized,
    size_of,
    whole_kind,
)
from glassnet.models.layout.moving import MOVING, Operation, Rule, default


def _convolution(one: Operation) -> Axes | None:
    """Give new channels on the second axis; the others keep what they run over, at their new sizes."""
    axes, shape = one.axes(), one.output.shape
    if axes is None or len(axes) < 3:
        return None
    names: list[Kind] = ["height", "width"] if len(axes) == 4 else ["other"] * (len(axes) - 2)
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
    assert left is not None
    assert right is not None
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
    **MOVING,
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
    "native_layer_norm": _normalised,
    "copy_": _copied,
}
