"""Which pixels each number of a tensor is made of: their first and last row and column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

from glassnet.models.receptive.patterns import Pattern, Windows

EMPTY = 2**30
"""First row, and less the last one, of what is made of no pixel."""

Line = tuple[int | None, Windows] | None
"""The axis along which the windows of an endless image run, and these windows; no axis where one index had one."""

OPEN, HIDDEN, ZERO = 0, 1, 2
"""Numbers of a mask: any other, one so low that a softmax makes it 0, one that it made 0."""


@dataclass(frozen=True, eq=False)
class Reach:
    """What the numbers of a tensor are made of.

    Attributes:
        shape: The tensor's.
        planes: Of rows and of columns of the image, (2, *shape) each: the first one, and less the one after the last,
            so that the smaller number reaches further in both; axes along which all is the same have size 1.
        lines: Of rows and of columns, what the tensor's own rows and columns see of an image without borders, as far as
            that is the same all along them.
        mask: (*shape), axes of size 1 as above: what a softmax made or will make 0; None where there is nothing.
        known: Whether all operations that it came through are known.
    """

    shape: tuple[int, ...]
    planes: tuple[Tensor, Tensor]
    lines: tuple[Line, Line] = (None, None)
    mask: Tensor | None = None
    known: bool = True

    def changed(self, shape: Sequence[int], change: Callable[[Tensor], Tensor]) -> Reach:
        """Return what another tensor reaches, by a function of each plane (2, *shape); without lines and mask."""
        rows, columns = (squashed(change(plane)) for plane in self.planes)
        return Reach(tuple(shape), (rows, columns), known=self.known)

    def with_lines(self, lines: tuple[Line, Line]) -> Reach:
        """Return the same with other lines."""
        return replace(self, lines=lines)

    def moved(self, place: Callable[[int], int | None]) -> tuple[Line, Line]:
        """Return the lines where axes have other numbers; None where an axis has none any more."""

        def on(line: Line) -> Line:
            if line is None or line[0] is None:
                return line
            axis = place(line[0])
            return None if axis is None and self.shape[line[0]] > 1 else (axis, line[1])

        return on(self.lines[0]), on(self.lines[1])

    def stepped(self, axis: int, pattern: Pattern | None) -> tuple[Line, Line]:
        """Return the lines after an operation along one axis.

        They are of all indices of the other axes together, and so None where an axis is cut along which these differ.
        """

        def on(line: Line, plane: Tensor) -> Line:
            if line is None or line[0] != axis:
                return line if plane.shape[axis + 1] == 1 else None
            after = None if pattern is None else line[1].after(pattern)
            return None if after is None else (axis, after)

        return on(self.lines[0], self.planes[0]), on(self.lines[1], self.planes[1])

    def tapped(self, axis: int, taps: Tensor, pattern: Pattern | None) -> Reach:
        """Return what an operation along one axis gives that takes some indices for each: (count, k), size for none."""
        shape = (*self.shape[:axis], len(taps), *self.shape[axis + 1 :])
        result = self.changed(shape, lambda plane: _tapped(plane, axis + 1, taps, self.shape[axis]))
        return result.with_lines(self.stepped(axis, pattern))

    def reduced(self, axes: Iterable[int]) -> Reach:
        """Return what is made of all indices of some axes, which keep one index."""
        over = {axis % len(self.shape) for axis in axes} if self.shape else set()
        shape = tuple(1 if number in over else size for number, size in enumerate(self.shape))
        result = self.changed(
            shape, lambda plane: plane.amin([one + 1 for one in over], keepdim=True) if over else plane
        )
        return result.with_lines(self.moved(lambda axis: None if axis in over else axis))

    def widened(self, shape: Sequence[int]) -> Reach:
        """Return the same for a tensor of another shape that it broadcasts to, or that has fewer indices per axis."""
        missing = len(shape) - len(self.shape)
        planes = [_with_axes(plane, missing, 1) for plane in self.planes]
        mask = self.mask if self.mask is None else _with_axes(self.mask, missing, 0)
        lines = self.moved(lambda axis: axis + missing if self.shape[axis] == shape[axis + missing] else None)
        return Reach(tuple(shape), (planes[0], planes[1]), lines, mask, self.known)

    def without(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return the planes with nothing where a mask of the same number of axes is True."""
        first, second = (torch.where(numbers, EMPTY, plane) for plane in self.planes)
        return first, second

    def unknown(self) -> Reach:
        """Return the same as what an operation without a rule gave."""
        return replace(self, known=False)


def of_images(shape: Sequence[int]) -> Reach:
    """Return what images (n, channel, height, width) are made of: each pixel of itself."""
    planes = []
    for axis in (2, 3):
        first = torch.arange(shape[axis], dtype=torch.int32)
        sizes = [shape[axis] if number == axis else 1 for number in range(4)]
        planes.append(torch.stack([first, -first - 1]).view(2, *sizes))
    pixel = Windows((0,), (1,))
    return Reach(tuple(shape), (planes[0], planes[1]), ((2, pixel), (3, pixel)))


def of_nothing(shape: Sequence[int]) -> Reach:
    """Return what a constant is made of."""
    plane = torch.full((2, *[1] * len(shape)), EMPTY, dtype=torch.int32)
    return Reach(tuple(shape), (plane, plane))


def joined(parts: Sequence[Reach], shape: Sequence[int]) -> Reach:
    """Return what is made of several tensors, number by number, as they broadcast to a shape."""
    wide = [part.widened(shape) for part in parts]
    planes = [reduce(torch.minimum, [part.planes[number] for part in wide]) for number in (0, 1)]
    known = all(part.known for part in parts)
    return Reach(tuple(shape), (squashed(planes[0]), squashed(planes[1])), in_step(wide), known=known)


def in_step(parts: Sequence[Reach]) -> tuple[Line, Line]:
    """Return the lines of what is made of several tensors of the same axes; None where theirs do not run in step."""
    return _line([part.lines[0] for part in parts]), _line([part.lines[1] for part in parts])


def everything(parts: Sequence[Reach], shape: Sequence[int]) -> Reach:
    """Return what is made of all numbers of several tensors, and everywhere of the same."""
    flat = [part.reduced(range(len(part.shape))) for part in parts]
    planes = [torch.stack([part.planes[number].reshape(2) for part in flat]).amin(dim=0) for number in (0, 1)]
    rows, columns = (plane.view(2, *[1] * len(shape)) for plane in planes)
    return Reach(tuple(shape), (rows, columns), known=all(part.known for part in parts))


def by_groups(given: Reach, groups: int, channels: int) -> Reach:
    """Return what new channels reach that are made of all old ones, or of those of their group."""
    size = given.shape[1]

    def mixed(plane: Tensor) -> Tensor:
        if plane.shape[2] == 1 or groups == 1:
            return plane.amin(dim=2, keepdim=True)
        grouped = plane.unflatten(2, (groups, size // groups)).amin(dim=3)
        return grouped.repeat_interleave(channels // groups, dim=2)

    shape = (given.shape[0], channels, *given.shape[2:])
    return given.changed(shape, mixed).with_lines(given.moved(lambda axis: None if axis == 1 else axis))


def largest_window(reach: Reach | None) -> tuple[int, int] | None:
    """Return the height and width of what a number of a tensor sees nowhere near a border; None if that is not known.

    Where numbers see unlike much, it is the largest that any of them sees. A vector is taken as one.
    """
    if reach is None or not reach.known:
        return None
    reach = reach.reduced([1]) if len(reach.shape) == 2 else reach
    sizes = []
    for line, plane in zip(reach.lines, reach.planes, strict=True):
        spans = torch.where(plane[0] == EMPTY, 0, -plane[1] - plane[0])
        sizes.append(int(spans.max()) if line is None else line[1].size)
    return (sizes[0], sizes[1]) if min(sizes) else None


def squashed(plane: Tensor) -> Tensor:
    """Return a plane with one index along each axis along which all is the same."""
    for axis in range(1, plane.ndim):
        if plane.shape[axis] > 1:
            first = plane.narrow(axis, 0, 1)
            if plane.stride(axis) == 0 or bool((plane == first).all()):
                plane = first
    return plane


def _line(lines: Sequence[Line]) -> Line:
    first = lines[0]
    for other in lines[1:]:
        if first is None or other is None or first[0] != other[0]:
            return None
        both = first[1].joined(other[1])
        first = None if both is None else (first[0], both)
    return first


def _with_axes(plane: Tensor, count: int, place: int) -> Tensor:
    return plane.view(*plane.shape[:place], *[1] * count, *plane.shape[place:])


def _tapped(plane: Tensor, axis: int, taps: Tensor, size: int) -> Tensor:
    if plane.shape[axis] == 1:  # all along the axis the same
        some = (taps < size).any(dim=1)
        if bool(some.all()):
            return plane
        return torch.where(some.view([len(some) if one == axis else 1 for one in range(plane.ndim)]), plane, EMPTY)
    padded = torch.cat([plane, torch.full_like(plane.narrow(axis, 0, 1), EMPTY)], dim=axis)
    picked: Tensor = padded.index_select(axis, taps.flatten()).unflatten(axis, tuple(taps.shape))
    return picked.amin(dim=axis + 1)
