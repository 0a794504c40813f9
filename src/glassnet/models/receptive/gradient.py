"""What the units of a layer see by the gradient, where an operation is not known."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from glassnet.errors import InputError
from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall, translate_torch_errors
from glassnet.models.layers import Call
from glassnet.models.layout.reading import Reading
from glassnet.models.parts import layer_tensor
from glassnet.models.undisturbed import replaced, undisturbed

_ROUNDING = {torch.float64: 0.0, torch.float32: 1e-6}
"""Share of the largest gradient up to which one is taken for rounding."""
_PATIENCE, _MOST = 4, 32
"""Pairs of random images in a row that show nothing new, after which no more are drawn, and pairs at most."""
_REGULAR = 0.75
"""Share of windows that must lie a stride apart for the others to be taken for such, of which less was seen."""


def seen_by_gradient(
    layer: str, model: nn.Module, images: Tensor, made: Call, reading: Reading, call: ModelCall
) -> np.ndarray:
    """Return a box of pixels for each unit of a layer, (rows, columns, 4) as (x0, y0, x1, y1).

    The gradient of a random sum of a row of units says which rows of pixels they see, that of a column which columns,
    in float64 where the model can. Pairs of random images are drawn until four in a row show nothing new, at most 32.
    Where three in four windows lie a stride apart, the others are taken for such, too. A box may be larger than what
    its unit sees, where units of a row see other rows than each other; and smaller, where a pixel counts for few
    images only, as behind ReLUs and maxima.

    Raises:
        InputError: The layer has no gradient towards the images.
    """
    try:
        return _boxes(layer, model, images, made, reading, call, torch.float64)
    except InputError:
        return _boxes(layer, model, images, made, reading, call, images.dtype)


def _boxes(
    layer: str, model: nn.Module, images: Tensor, made: Call, reading: Reading, call: ModelCall, dtype: torch.dtype
) -> np.ndarray:
    generator = Generator().manual_seed(0)
    weights = [one for one in (*model.parameters(), *model.buffers()) if one.is_floating_point() and one.dtype != dtype]
    outputs: list[Tensor] = []

    def tap(one: Call, output: Any) -> None:
        value = layer_tensor(output, None)
        if one == made and isinstance(value, Tensor):
            outputs.append(reading.to_places(value))

    def draw() -> list[tuple[np.ndarray, np.ndarray]]:
        drawn = torch.rand(images.shape, generator=generator).to(images.device, dtype).requires_grad_()
        outputs.clear()
        with undisturbed(model), replaced(model, {one: one.detach().to(dtype) for one in weights}), torch.enable_grad():
            with tapped(model, [made[0]], tap), translate_torch_errors(model, drawn):
                call(model, drawn)
            if not outputs or not outputs[0].requires_grad:
                raise InputError(
                    f"layer '{layer}' does not depend on the images, or only without a gradient; choose another layer."
                )
            maps = outputs[0] * torch.randn(outputs[0].shape, generator=generator).to(outputs[0])
            return [_spans(maps, drawn, axis) for axis in (2, 3)]

    spans, nothing_new = draw(), 0
    for _ in range(_MOST - 1):
        wider = [_union(one, two) for one, two in zip(spans, draw(), strict=True)]
        same = all(np.array_equal(one, two) for one, two in zip(spans, wider, strict=True))
        spans, nothing_new = wider, (nothing_new + 1) * same
        if nothing_new == _PATIENCE:
            break
    spans = [_evened(*one, length) for one, length in zip(spans, images.shape[2:], strict=True)]
    (top, bottom), (left, right) = spans
    rows, columns = len(top), len(left)
    boxes = np.zeros((rows, columns, 4), dtype=np.int32)
    boxes[..., 0], boxes[..., 2] = left, right
    boxes[..., 1], boxes[..., 3] = top[:, None], bottom[:, None]
    if not boxes.any():
        raise InputError(f"layer '{layer}' does not depend on the images: its gradient is 0 everywhere.")
    return boxes


def _spans(maps: Tensor, images: Tensor, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where along the axis the pixels begin and end that a row (or column) of units has a gradient to."""
    starts, ends = [], []
    for index in range(maps.shape[axis]):
        (gradient,) = torch.autograd.grad(maps.select(axis, index).sum(), images, retain_graph=True)
        strength = gradient.abs().movedim(axis, 0).flatten(1).amax(dim=1)
        seen = (strength > strength.max() * _ROUNDING.get(images.dtype, 1e-3)).nonzero().flatten()
        starts.append(int(seen[0]) if len(seen) else 0)
        ends.append(int(seen[-1]) + 1 if len(seen) else 0)
    return np.array(starts), np.array(ends)


def _union(one: tuple[np.ndarray, np.ndarray], two: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the spans that hold both; one that ends where it starts holds nothing."""
    empty, other = one[0] >= one[1], two[0] >= two[1]
    starts = np.where(empty, two[0], np.where(other, one[0], np.minimum(one[0], two[0])))
    return starts, np.maximum(one[1], two[1])


def _evened(starts: np.ndarray, ends: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return windows that are a stride apart, where most are; what was seen of the others lies within."""
    numbers = np.arange(len(starts))
    seen = ends > starts
    if seen.sum() < 4:
        return starts, ends
    strides = np.concatenate([np.diff(starts[seen]), np.diff(ends[seen])])
    for stride in np.unique(strides[strides > 0]):
        first = (starts - stride * numbers)[seen].min()
        last = (ends - stride * numbers)[seen].max()
        even = (first + stride * numbers).clip(0, length), (last + stride * numbers).clip(0, length)
        fits = [(own == wanted)[seen].mean() for own, wanted in zip((starts, ends), even, strict=True)]
        if min(fits) >= _REGULAR:
            return np.where(seen, even[0], starts), np.where(seen, even[1], ends)
    return starts, ends
