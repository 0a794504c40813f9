"""What torch's operations do to the axes of tensors, each as a rule from the axes taken to the axes given.

The operations are those below autograd (`aten`), into which modules, functions and scripted code all come apart. One
that has no rule keeps the axes where it keeps the shape, and says nothing of them where it does not.
"""

from math import prod

from torch import Tensor

from glassnet.models.layout.axes import (
    Axes,
    Axis,
    Factor,
    Kind,
    Root,
    concatenated,
    demoted,
    fresh,
    is_spatial,
    merged,
    of_frequencies,
    resized,
    size_of,
    to_frequencies,
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
    return (axes[0], fresh("channel", shape[1]), *map(demoted, places))


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


def _reduced(one: Operation, place: int = 1) -> Axes | None:
    axes = one.axes()
    if axes is None:
        return None
    asked = one.argument(place)
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
        if _mixes_lines(left):
            return (*left[:-1], fresh("other", shape[-1]))
        rows = demoted(left[-2]) if len(left) > 1 else fresh("other", shape[-2])
        return (*left[:-2], rows, fresh("channel", shape[-1]))
    if left is None and right is not None:
        return (*right[:-2], _from_left(right[:-2], shape[-2]), demoted(right[-1]))
    assert left is not None
    assert right is not None
    rows = demoted(left[-2]) if left[-2][0].root.from_left and _holds_channels(right[-1]) else left[-2]
    return (*merged([left[:-2], right[:-2]], shape[:-2]), rows, right[-1])


def _from_left(others: Axes, size: int) -> Axis:
    """Return the rows of a weight times a tensor: new channels, unless there are some; the queries of attention."""
    if any(map(_holds_channels, others)):
        return fresh("other", size)
    return (Factor(Root("channel", size, from_left=True), size),)


def _holds_channels(axis: Axis) -> bool:
    return any(factor.kind == "channel" for factor in axis)


def _mixes_lines(axes: Axes) -> bool:
    """Tell whether the last axis is the rows or columns of maps, whose channels and others stand before it.

    A product with a weight then mixes places within each channel, and makes no channels.
    """
    others = {factor.kind for axis in axes[:-1] for factor in axis if factor.size > 1}
    kind = whole_kind(axes[-1])
    return kind in ("height", "width") and "channel" in others and bool(others & ({"height", "width"} - {kind}))


def _linear(one: Operation) -> Axes | None:
    axes = one.axes()
    if axes is not None and _mixes_lines(axes):
        return (*axes[:-1], fresh("other", one.output.shape[-1]))
    return None if axes is None else (*map(demoted, axes[:-1]), fresh("channel", one.output.shape[-1]))


def _attention(one: Operation) -> Axes | None:
    """softmax(q kᵀ) v: the queries' axes, and the values' channels."""
    if one.place:
        return tuple(fresh("other", size) for size in one.output.shape)
    queries, values = one.axes(0), one.axes(2)
    if queries is None and values is None:
        return None
    if queries is None and values is not None:  # learned ones, as of a decoder
        return (*values[:-2], fresh("other", one.output.shape[-2]), values[-1])
    assert queries is not None
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
    if axes is None or one.place or len(one.argument(1, ())) != 1:
        return axes
    if _holds_channels(axes[-1]) and any(factor.kind in ("height", "width") for factor in axes[-1]):
        return (*axes[:-1], fresh("channel", size_of(axes[-1])))  # of all of a patch
    if whole_kind(axes[-1]) != "other":
        return axes
    if any(map(_holds_channels, axes)):
        return axes
    return (*axes[:-1], fresh("channel", size_of(axes[-1])))


def _sampled(one: Operation) -> Axes | None:
    """Keep images and channels of what is sampled anywhere on a map, as by a spatial transformer."""
    axes = one.axes()
    return axes and (*axes[:2], *(fresh("other", size) for size in one.output.shape[2:]))


def _distances(one: Operation) -> Axes | None:
    """Distances of each row of the first to each of the second."""
    left, right = one.sizes(0), one.sizes(1)
    if one.axes(0) is None and one.axes(1) is None:
        return None
    return (*merged([left[:-2], right[:-2]], one.output.shape[:-2]), demoted(left[-2]), demoted(right[-2]))


def _fourier(one: Operation) -> Axes | None:
    """Make frequencies of what is no channel, and of these again what they were made of."""
    axes = one.axes()
    if axes is None:
        return None
    back = one.argument(3) is False or not one.output.is_complex()
    change = of_frequencies if back else to_frequencies
    dims = {dim % len(axes) for dim in one.args[1]}
    return tuple(
        change(axis, size) if number in dims and whole_kind(axis) != "channel" else axis
        for number, (axis, size) in enumerate(zip(axes, one.output.shape, strict=True))
    )


def _embedded(one: Operation) -> Axes | None:
    """Look up a row of the table, new channels, at each index."""
    axes = one.axes(1)
    return axes and (*map(demoted, axes), fresh("channel", one.output.shape[-1]))


def _as_complex(one: Operation) -> Axes | None:
    axes = one.axes()
    return axes and axes[:-1]


def _as_real(one: Operation) -> Axes | None:
    axes = one.axes()
    return axes and (*axes, fresh("other", 2))


def _recurrent(one: Operation) -> Axes | None:
    """Give new channels at each step of (steps, n, channel); of the last states, only the images are known."""
    axes, shape = one.axes(), one.output.shape
    if axes is None or one.place > 2:
        return None
    steps = [axes[0]] if one.place == 0 else [fresh("other", size) for size in shape[:-2]]
    return (*steps, axes[1], fresh("channel", shape[-1]))


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
    **dict.fromkeys(("reflection_pad2d", "replication_pad2d"), _pooled),
    **dict.fromkeys(("grid_sampler_2d", "_grid_sampler_2d_cpu_fallback", "cudnn_grid_sampler"), _sampled),
    "constant_pad_nd": _padded,
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "argmax", "argmin", "var", "std"), _reduced),
    **dict.fromkeys(("logsumexp", "prod", "any", "all", "var_mean"), _reduced),
    **dict.fromkeys(("norm", "linalg_vector_norm"), lambda one: _reduced(one, 2)),
    **dict.fromkeys(("_cdist_forward", "_euclidean_dist"), _distances),
    **dict.fromkeys(("_fft_c2c", "_fft_r2c", "_fft_c2r"), _fourier),
    "embedding": _embedded,
    "view_as_complex": _as_complex,
    "view_as_real": _as_real,
    "mkldnn_rnn_layer": _recurrent,
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
