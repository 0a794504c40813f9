"""What the axes of a tensor are made of: which image, channel, row or column of pixels each index stands for.

An axis is a tuple of factors, outermost first, as in einops: after `flatten(2)` of (n, c, h, w) the last axis is
(height, width); a window of Swin's makes (batch, rows of windows, columns of windows) of the first. A factor is a part
of a root, the axis as it was first made: root index = sum of factor index times step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

Kind = Literal["batch", "channel", "height", "width", "tokens", "other"]

_RANKS: dict[Kind, int] = {"other": 0, "channel": 1, "height": 2, "width": 2, "tokens": 2, "batch": 3}


@dataclass(frozen=True, eq=False)
class Root:
    """An axis as it was made; each is only equal to itself.

    Attributes:
        kind: What its indices stand for; "tokens" are a grid with others before or after it, "other" is all unknown.
        size: Number of indices.
        shift: By how many indices it was rolled.
        before: Tokens before the grid.
        grid: Of tokens, the factors of the grid; of frequencies, the axis that they were made of.
        cut: Of rows or columns sliced from others, the root of those and where the slice starts; -1 where it has gaps.
        from_left: Whether a product with a weight from the left made it: channels, or the queries of a decoder.
    """

    kind: Kind
    size: int
    shift: int = 0
    before: int = 0
    grid: Axis = ()
    cut: tuple[Root, int] | None = None
    from_left: bool = False

    @property
    def after(self) -> int:
        """Tokens after the grid."""
        return self.size - self.before - size_of(self.grid)


@dataclass(frozen=True)
class Factor:
    """A part of a root: `size` indices, each `step` indices of the root apart."""

    root: Root
    size: int
    step: int = 1

    @property
    def kind(self) -> Kind:
        """What the root's indices stand for."""
        return self.root.kind

    @property
    def whole(self) -> bool:
        """Whether the factor is all of its root."""
        return self.size == self.root.size


Axis = tuple[Factor, ...]
Axes = tuple[Axis, ...]


def fresh(kind: Kind, size: int, *, shift: int = 0) -> Axis:
    """Return a new axis of one kind."""
    return (Factor(Root(kind, size, shift), size),)


def size_of(axis: Axis) -> int:
    """Return the number of indices of an axis."""
    return prod(factor.size for factor in axis)


def whole_kind(axis: Axis) -> Kind | None:
    """Return the kind of an axis that is one whole root; None for a composed one."""
    parts = [factor for factor in axis if factor.size > 1] or list(axis[:1])
    return parts[0].kind if len(parts) == 1 and parts[0].whole else None


def is_spatial(axis: Axis) -> bool:
    """Tell whether an axis runs over pixels, and over nothing else."""
    return bool(axis) and all(_RANKS[factor.kind] == 2 for factor in axis if factor.size > 1 or len(axis) == 1)


def resized(axis: Axis, size: int) -> Axis:
    """Return an axis whose number of indices changed, as by pooling or cropping: the same kind, if it has one."""
    if size_of(axis) == size:
        return axis
    kind = whole_kind(axis)
    return fresh(kind if kind in ("channel", "height", "width") else "other", size)


def demoted(axis: Axis) -> Axis:
    """Return an axis whose channels no longer are the layer's: another axis took their place."""
    return tuple(
        Factor(Root("other", factor.size), factor.size) if factor.kind == "channel" else factor for factor in axis
    )


def regrouped(axes: Axes, sizes: Sequence[int]) -> Axes:
    """Return the axes of a view of other sizes: neighbours merged, or split into an outer and an inner part."""
    waiting = [factor for axis in axes for factor in axis if factor.size > 1]
    result: list[Axis] = []
    for number, size in enumerate(sizes):
        same = number < len(axes) and size == 1 == size_of(axes[number])
        taken = () if size == 1 else _take(waiting, size)
        result.append(axes[number] if same else taken or fresh("other", size))
    return tuple(result)


def _take(waiting: list[Factor], size: int) -> Axis:
    """Take factors off the front, the last of them in part if need be, until they make up `size` indices.

    Where the borders of the view cut through a factor, nothing is returned, and nothing of what follows is known.
    """
    taken: list[Factor] = []
    while size > 1 and waiting:
        first = waiting.pop(0)
        inner = first.size // size
        if size % first.size == 0:
            taken.append(first)
            size //= first.size
        elif first.size % size == 0:
            taken.append(Factor(first.root, size, first.step * inner))
            waiting.insert(0, Factor(first.root, inner, first.step))
            size = 1
        else:
            waiting.clear()
    return _joined(taken) if size == 1 else ()


def _joined(factors: Sequence[Factor]) -> Axis:
    """Put parts of one root that follow each other together again."""
    result: list[Factor] = []
    for factor in factors:
        last = result[-1] if result else None
        if last and last.root is factor.root and last.step == factor.step * factor.size:
            result[-1] = Factor(factor.root, last.size * factor.size, factor.step)
        else:
            result.append(factor)
    return tuple(result)


def sliced(axis: Axis, start: int, end: int, step: int) -> Axis:
    """Return the axis of the indices from `start` to `end`, every so many."""
    size = size_of(axis)
    count = len(range(start, end, step))
    if count == size:
        return axis
    tokens = _as_tokens(axis)
    kind = whole_kind(axis)
    if kind in ("height", "width"):
        root = next((factor.root for factor in axis if factor.size > 1), axis[0].root)
        return (Factor(Root(kind, count, cut=(root, start if step == 1 else -1)), count),)
    if tokens is None:
        return resized(axis, count)
    first, last = tokens.before, tokens.before + size_of(tokens.grid)
    if step == 1 and start <= first and end >= last:
        return _tokens(first - start, tokens.grid, end - last)
    return fresh("other", count)


def concatenated(parts: Sequence[Axis]) -> Axis:
    """Return the axis of parts one after another: a grid of tokens keeps its place among others."""
    sizes = [size_of(part) for part in parts]
    grids = [number for number, part in enumerate(parts) if _as_tokens(part) is not None]
    kinds = {whole_kind(part) for part in parts}
    if len(grids) == 1:
        tokens = _as_tokens(parts[grids[0]])
        assert tokens is not None  # as just seen
        number = grids[0]
        return _tokens(sum(sizes[:number]) + tokens.before, tokens.grid, tokens.after + sum(sizes[number + 1 :]))
    roots = [part[0].root for part in parts]
    if len(kinds) == 1 and kinds <= {"height", "width"} and all(root.cut for root in roots):
        return _in_order(roots)
    if len(kinds) == 1 and kinds <= {"channel", "height", "width"}:
        return fresh(kinds.pop() or "other", sum(sizes))
    known = kinds - {"other", None}
    return fresh("channel" if known == {"channel"} else "other", sum(sizes))


def _in_order(slices: Sequence[Root]) -> Axis:
    """Return the axis of slices of rows or columns: what they were cut from, as it was or rolled, or else unknown."""
    whole, first = slices[0].cut or (slices[0], 0)
    place = first
    for one in slices:
        if one.cut is None or one.cut[0] is not whole or one.cut[1] < 0 or (one.cut[1] - place) % whole.size:
            return fresh("other", sum(piece.size for piece in slices))
        place += one.size
    if place - first != whole.size:
        return fresh("other", place - first)
    return (Factor(replace(whole, shift=(whole.shift - first) % whole.size) if first else whole, whole.size),)


def to_frequencies(axis: Axis, size: int) -> Axis:
    """Return the axis of a Fourier transform, which stands for no pixels, but can be transformed back."""
    return (Factor(Root("other", size, grid=axis), size),)


def of_frequencies(axis: Axis, size: int) -> Axis:
    """Return the axis that frequencies were made of."""
    origin = axis[0].root.grid if whole_kind(axis) == "other" else ()
    return resized(origin, size) if origin else fresh("other", size)


def _as_tokens(axis: Axis) -> Root | None:
    """Return an axis that runs over a grid, alone or with others around it, as tokens; None for any other."""
    if len(axis) == 1 and axis[0].kind == "tokens" and axis[0].whole:
        return axis[0].root
    return Root("tokens", size_of(axis), grid=axis) if is_spatial(axis) else None


def _tokens(before: int, grid: Axis, after: int) -> Axis:
    if not before and not after:
        return grid
    total = before + size_of(grid) + after
    return (Factor(Root("tokens", total, before=before, grid=grid), total),)


def merged(operands: Sequence[Axes], shape: Sequence[int]) -> Axes:
    """Return the axes of an elementwise result: of each the operand's that says most; operands broadcast."""
    result: list[Axis] = []
    for number, size in enumerate(shape):
        place = number - len(shape)
        candidates = [axes[place] for axes in operands if len(axes) >= -place and size_of(axes[place]) == size]
        result.append(_most_telling(candidates, size))
    return tuple(result)


def _most_telling(candidates: Sequence[Axis], size: int) -> Axis:
    if not candidates:
        return fresh("other", size)
    best = max(candidates, key=_rank)
    rivals = {signature(axis) for axis in candidates if _rank(axis) == _rank(best) == _RANKS["tokens"]}
    return best if len(rivals) < 2 or size == 1 else fresh("other", size)


def _rank(axis: Axis) -> int:
    return max((_RANKS[factor.kind] for factor in axis), default=0)


def signature(axis: Axis) -> tuple[object, ...]:
    """Return what two axes have in common that mean the same."""
    return tuple(
        (one.kind, one.size, one.step, one.root.size, one.root.shift, one.root.before, signature(one.root.grid))
        for one in axis
        if one.size > 1
    )
