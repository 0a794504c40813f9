"""One forward pass of two images, watched below autograd, that tells how every layer's output is laid out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from glassnet.models.dispatch import DispatchMode
from glassnet.models.inference import ModelCall, call_model
from glassnet.models.layers import Call
from glassnet.models.layout.axes import Axes, fresh, resized, signature, size_of, whole_kind
from glassnet.models.layout.moving import Operation, default
from glassnet.models.layout.reading import Reading
from glassnet.models.layout.rules import RULES
from glassnet.models.one_pass import one_pass
from glassnet.models.parts import Part

_Key = tuple[int, int, tuple[int, ...], tuple[int, ...]]

MODULES_OF_MAPS = (
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.BatchNorm2d,
    nn.InstanceNorm2d,
    nn.Dropout2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)
"""Modules that take and give (n, channel, height, width), whatever else the model does."""

IMAGES_TRACED = 2


class AxisTrace(DispatchMode):
    """Follows the axes of all tensors that come of the images, operation by operation.

    Tensors are known by their memory, shape and strides: what autograd wraps anew keeps these, and memory that is used
    again is written by another operation, which is seen.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        names = ("batch", "channel", "height", "width")
        axes = tuple(axis for name, size in zip(names, images.shape, strict=True) for axis in [fresh(name, size)])  # type: ignore[arg-type]
        self._known: dict[_Key, Axes | None] = {_key(images): axes}
        self._empty: dict[int, list[_Key]] = {}  # by memory, what holds no image but what is written over parts of it

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and note the axes of what it gives."""
        options = dict(kwargs or {})
        # Before the call, which may write over its arguments.
        given = {id(one): self.axes_of(one) for one in tree_leaves((args, options)) if isinstance(one, Tensor)}
        output = func(*args, **options)
        outputs = output if isinstance(output, tuple | list) else [output]
        name = func._schema.name.split("::")[1]
        for place, tensor in enumerate(outputs):
            same = name.startswith("as_strided") and isinstance(tensor, Tensor) and _key(tensor) in self._known
            if isinstance(tensor, Tensor) and not same:  # other strides of axes of one index change nothing
                operation = Operation(args, options, lambda one: given.get(id(one)), tensor, place)
                axes = _axes_after(name, operation)
                self._known[_key(tensor)] = axes
                self._note_parts(name, tensor, axes)
        return output

    def _note_parts(self, name: str, tensor: Tensor, axes: Axes | None) -> None:
        """Give what holds no image the axes of what is written over a part of it, as circular padding does."""
        key = _key(tensor)
        memory = self._empty.setdefault(key[0], [])
        if axes is None and name != "copy_":
            self._empty[key[0]] = [*(one for one in memory if one != key), key]
        elif axes is not None and name == "copy_":
            for whole in memory:
                if whole != key and _is_part(key, whole):
                    self._known[whole] = _grown(axes, self._known.get(whole), whole[2])
        elif key in memory:
            memory.remove(key)

    def axes_of(self, tensor: Tensor) -> Axes | None:
        """Return what the axes of a tensor are made of; None where no image reached it."""
        axes = self._known.get(_key(tensor))
        return axes if axes is not None and tuple(map(size_of, axes)) == tuple(tensor.shape) else None

    def reading(self, value: Tensor, module: nn.Module) -> Reading:
        """Return how a tensor that a module gives is laid out."""
        return _reading(self.axes_of(value), value, module)


def _axes_after(name: str, operation: Operation) -> Axes | None:
    rule: Callable[[Operation], Axes | None] = RULES.get(name) or RULES.get(name.rstrip("_")) or default
    shape = tuple(operation.output.shape)
    try:
        axes = rule(operation)
    except (LookupError, TypeError, ValueError, AssertionError):  # a form of the operation that the rule does not know
        axes = tuple(fresh("other", size) for size in shape)
    if axes is not None and tuple(map(size_of, axes)) != shape:
        return tuple(fresh("other", size) for size in shape)
    return axes


def _key(tensor: Tensor) -> _Key:
    # The stride of an axis of one index says nothing.
    strides = tuple(stride if size > 1 else 0 for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.untyped_storage()._cdata, int(tensor.storage_offset()), tuple(tensor.shape), strides


def _is_part(part: _Key, whole: _Key) -> bool:
    """Tell whether one tensor may be a slice of another of as many axes."""
    same = (
        all(a == b or not a or not b for a, b in zip(part[3], whole[3], strict=True))
        if len(part[3]) == len(whole[3])
        else False
    )
    return same and part[1] >= whole[1] and all(a <= b for a, b in zip(part[2], whole[2], strict=True))


def _grown(part: Axes, known: Axes | None, shape: Sequence[int]) -> Axes:
    """Return the axes of a tensor over a slice of which another was written, and others of other axes before."""
    grown = tuple(resized(axis, size) for axis, size in zip(part, shape, strict=True))
    if known is None:
        return grown
    return tuple(
        one if signature(one) == signature(two) or whole_kind(one) == whole_kind(two) else fresh("other", size_of(one))
        for one, two in zip(known, grown, strict=True)
    )


def trace(
    model: nn.Module,
    images: Tensor,
    modules: Collection[str],
    call: ModelCall = call_model,
    part: Part | None = None,
) -> dict[Call, Reading]:
    """Return how each call of the named modules gives its output.

    Args:
        model: Any module; it is left as it was found.
        images: (n, channel, height, width), of which two are taken, the first twice where there is one.
        modules: Names of modules.
        call: How the model is called on images; as model(images) if not said.
        part: Of what a layer gives, if that is no tensor.

    Returns:
        By call; a call that gives no tensor is not there.
    """
    two = images_to_trace(images)
    readings: dict[Call, Reading] = {}
    mode = AxisTrace(two)

    def tap(made: Call, value: Tensor) -> None:
        readings[made] = mode.reading(value, model.get_submodule(made[0]))

    one_pass(model, two, modules, tap, mode, call=call, part=part)
    return readings


def images_to_trace(images: Tensor) -> Tensor:
    """Return a copy of two images; of one, it twice: an axis of a single index says nothing."""
    two = images[:IMAGES_TRACED] if len(images) > 1 else images.expand(IMAGES_TRACED, -1, -1, -1)
    return two.detach().contiguous().clone()


def trace_or_reason(
    model: nn.Module, images: Tensor, modules: Collection[str], call: ModelCall, part: Part | None = None
) -> tuple[dict[Call, Reading], str]:
    """Trace, and where that fails, say why, as what the layouts are not known for."""
    try:
        return trace(model, images, modules, call, part), ""
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        lines = str(error).strip().splitlines()
        reason = (lines[0] if lines else type(error).__name__).rstrip(".")
        return {}, f"could not be traced, because the model fails on {IMAGES_TRACED} images ({reason})"


def _reading(axes: Axes | None, output: Tensor, module: nn.Module) -> Reading:
    shape = tuple(output.shape)
    traced = Reading(_untangled(axes or tuple(fresh("other", size) for size in shape)), shape, IMAGES_TRACED)
    if is_plain(module, shape, IMAGES_TRACED) and traced.problem_as_map():
        return plain_reading(shape)
    return traced


def plain_reading(shape: Sequence[int]) -> Reading:
    """Return the reading of a map (n, channel, height, width) as it is."""
    batch, channel, height, width = shape
    axes = (fresh("batch", batch), fresh("channel", channel), fresh("height", height), fresh("width", width))
    return Reading(axes, tuple(shape), batch)


def is_plain(module: nn.Module, shape: Sequence[int], images: int) -> bool:
    """Tell whether a module's kind alone says that its output is (n, channel, height, width)."""
    return isinstance(module, MODULES_OF_MAPS) and len(shape) == 4 and shape[0] == images


def _untangled(axes: Axes) -> Axes:
    """Take an axis of pixels that holds channels within, as after a pixel shuffle, as one of pixels."""
    if not any(axis and axis[0].kind == "channel" for axis in axes):
        return axes
    return tuple(
        fresh(axis[0].kind, size_of(axis))
        if axis and axis[0].kind in ("height", "width") and axis[0].whole and _holds_channels(axis[1:])
        else axis
        for axis in axes
    )


def _holds_channels(factors: Sequence[Any]) -> bool:
    return bool(factors) and all(factor.kind == "channel" for factor in factors)
