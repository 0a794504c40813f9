"""What a mask hides from a softmax: numbers so low that it makes them 0, and which then keep nothing of their row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from glassnet.models.receptive.reach import EMPTY, HIDDEN, OPEN, ZERO, Line, Reach, squashed

LOW = -50.0
"""What is added to a number, or put in its place, to hide it from a softmax: exp(-50) = 2e-22."""
SMALL = 25.0
"""What may be added to a hidden number that stays hidden: exp(-25) = 1e-11."""


def low(value: Any) -> Tensor:
    """Tell where a constant hides what it is added to, compared with what it leaves the most of."""
    if isinstance(value, Tensor):
        if not value.is_floating_point() or value.is_meta or not value.numel():
            return torch.zeros((), dtype=torch.bool)
        return value.le(LOW + min(float(value.max()), 0)).cpu()
    return torch.tensor(isinstance(value, int | float) and value <= LOW)


def highest(masks: Sequence[Tensor]) -> Tensor | None:
    """Return one mask of several that broadcast to each other; None where none hides anything."""
    masks = [mask for mask in masks if bool(mask.any())]
    return reduce(torch.maximum, masks) if masks else None


def added(result: Reach, parts: Sequence[Reach], constants: Sequence[Any]) -> Reach:
    """Return a sum with the masks of what was added, and with that of constants.

    What is hidden stays so, but for a constant that may bring it back; a 0 that a softmax made does not stay one.
    """
    kept = parts if max(map(_number(torch.amax), constants), default=0) <= SMALL else []
    masks = [part.widened(result.shape).mask for part in kept]
    found = [torch.where(mask == HIDDEN, mask, OPEN) for mask in masks if mask is not None]
    ndim = len(result.shape)
    hidden = [low(one) for one in constants]
    wide = [one.view(*[1] * (ndim - one.ndim), *one.shape).to(torch.int8) * HIDDEN for one in hidden]
    return replace(result, mask=highest([*found, *wide]))


def scaled(result: Reach, parts: Sequence[Reach], factors: Sequence[Any]) -> Reach:
    """Return a product with what a softmax made 0, and with what is hidden if a constant of at least 1 scales it."""
    keeps = bool(factors) and min(map(_number(torch.amin), factors)) >= 1
    masks = [part.widened(result.shape).mask for part in parts]
    found = [mask if keeps else torch.where(mask == ZERO, mask, OPEN) for mask in masks if mask is not None]
    return replace(result, mask=highest(found))


def _number(extreme: Callable[[Tensor], Tensor]) -> Callable[[Any], float]:
    """Return what makes one number of a constant, as its largest; 0 where it has none."""

    def of(value: Any) -> float:
        if isinstance(value, Tensor):
            known = value.numel() and not value.is_meta and not value.is_complex()
            return float(extreme(value)) if known else 0.0
        return float(value) if isinstance(value, int | float) else 0.0

    return of


def softmax(given: Reach, axis: int) -> Reach:
    """Return what a softmax along an axis gives: of all that is not hidden, and 0 where it is."""
    axis %= len(given.shape)
    if given.mask is None:
        return _spread(given, given.reduced([axis]), axis)
    hidden = given.mask.expand(*given.mask.shape[:axis], given.shape[axis], *given.mask.shape[axis + 1 :]) > 0
    hidden = hidden & ~hidden.all(dim=axis, keepdim=True)  # where all is hidden, nothing is
    seen = replace(given, planes=given.without(hidden)).reduced([axis])
    return replace(_spread(given, seen, axis), mask=highest([hidden.to(torch.int8) * ZERO]))


def _spread(given: Reach, reduced: Reach, axis: int) -> Reach:
    """Return the result along the whole axis again."""
    lines = given.moved(lambda number: None if number == axis else number)
    return Reach(given.shape, reduced.planes, lines, known=given.known)


def product(left: Reach | None, right: Reach | None, shape: Sequence[int]) -> Reach | None:
    """Return what a product of matrices reaches: (…, i, k) times (…, k, j); a constant is None.

    What a softmax made 0 keeps nothing of the other matrix.
    """
    if left is None and right is None:
        return None
    rows = None if left is None else _of_rows(left)
    columns = None if right is None else _of_columns(left, right)
    planes = [
        reduce(torch.minimum, [part[number] for part in (rows, columns) if part is not None]) for number in (0, 1)
    ]
    lines: tuple[Line, Line] = (None, None)
    if left is None or right is None:
        only, gone = (left, -1) if left is not None else (right, -2)
        assert only is not None
        missing = len(shape) - len(only.shape)
        size = len(only.shape)
        lines = only.moved(lambda axis: None if axis - size == gone else axis + missing)
    known = all(part.known for part in (left, right) if part is not None)
    return Reach(tuple(shape), (squashed(planes[0]), squashed(planes[1])), lines, known=known)


def _of_rows(left: Reach) -> list[Tensor]:
    planes = left.planes if left.mask is None else left.without(left.mask == ZERO)
    return [plane.amin(dim=-1, keepdim=True) for plane in planes]


def _of_columns(left: Reach | None, right: Reach) -> list[Tensor]:
    if left is None or left.mask is None or not bool((left.mask == ZERO).any()):
        return [plane.amin(dim=-2, keepdim=True) for plane in right.planes]
    zero = left.mask.expand(*left.mask.shape[:-1], left.shape[-1]) == ZERO
    return [torch.where(zero[..., None], EMPTY, plane.unsqueeze(-3)).amin(dim=-2) for plane in right.planes]
