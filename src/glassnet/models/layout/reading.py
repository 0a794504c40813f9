"""How a layer's output is read: which axis is the images', which holds channels, and where its pixels stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from glassnet.models.layout.axes import Axes, Axis, Factor, is_spatial, size_of

_Place = tuple[int, int, int]
"""Axis, first index and number of indices: what of an axis is left when tokens around its grid are gone."""


@dataclass(frozen=True)
class Reading:
    """How to rearrange a layer's output, or the gradient there, for any number of images.

    Attributes:
        axes: What its axes are made of.
        shape: The output's shape, for the images traced.
        images: Number of images traced.
    """

    axes: Axes
    shape: tuple[int, ...]
    images: int

    @property
    def is_by_image(self) -> bool:
        """Whether every image has numbers of its own."""
        batch = [factor for axis in self.axes for factor in axis if factor.kind == "batch"]
        return len(batch) == 1 and batch[0].whole and batch[0].size == self.images

    def channel_axes(self) -> tuple[int, ...]:
        """Return the axes that hold channels: several where heads have an axis of their own."""
        pure = [number for number, axis in enumerate(self.axes) if axis and axis[0].kind == "channel"]
        # A pixel-shuffled map has pixels and channels in one axis; it is an axis of pixels.
        return tuple(pure)

    def problem_as_map(self) -> str:
        """Say why the output is no map (n, channel, height, width), or ""."""
        if not self.is_by_image:
            return "has no axis of which it is known that it runs over the images"
        if not self.channel_axes():
            return "has no axis of which it is known that it holds channels"
        height, width, rest = self._pixels()
        if not height and not width:
            return "has no axis of which it is known that it runs over pixels"
        for name, factors in (("rows", height), ("columns", width)):
            if not _is_complete(factors):
                return f"does not hold all {name} of pixels once"
        return "has an axis that is neither images, channels nor pixels" if rest else ""

    def to_maps(self, value: Shaped[Tensor, "..."]) -> Float[Tensor, "batch channel height width"]:
        """Rearrange an output, or the gradient there, to (n, channel, height, width)."""
        cut, factors = self._unpacked(value)
        height, width, _ = self._pixels()
        channels = [f for number in self.channel_axes() for f in self.axes[number] if f.size > 1]
        batch = [factor for factor in factors if factor.kind == "batch"]
        order = [*batch, *channels, *height, *width]
        places = [_place(factors, one) for one in order]
        alone = [number for number in range(len(factors)) if number not in places]  # of size 1
        maps = cut.permute(*places, *alone)
        sizes = (maps.shape[0], *(prod(one.size for one in group) for group in (channels, height, width)))
        maps = maps.reshape(sizes)
        shifts = [-group[0].root.shift if group else 0 for group in (height, width)]
        return maps.roll(shifts, (2, 3)) if any(shifts) else maps

    def to_rows(self, value: Shaped[Tensor, "..."], *, mean: bool) -> Float[Tensor, "batch d"]:
        """Return one row an image: each channel's mean over all other axes, or all numbers."""
        owner = next(number for number, axis in enumerate(self.axes) if any(f.kind == "batch" for f in axis))
        if len([f for f in self.axes[owner] if f.size > 1]) > 1:
            value, axes = self._split_batch(value, owner)
        else:
            axes = self.axes
        place = next(number for number, axis in enumerate(axes) if any(f.kind == "batch" for f in axis))
        rows = value.movedim(place, 0)
        others = axes[:place] + axes[place + 1 :]
        channels = [number + 1 for number, axis in enumerate(others) if axis and axis[0].kind == "channel"]
        if not mean:
            return rows.reshape(len(rows), -1)
        over = [number for number in range(1, rows.ndim) if number not in channels]
        pooled = rows.mean(dim=over, dtype=torch.float32) if over else rows
        return pooled.reshape(len(pooled), -1)

    def problem_as_rows(self, *, mean: bool) -> str:
        """Say why the output gives no row an image, or ""."""
        if not self.is_by_image:
            return "has no axis of which it is known that it runs over the images"
        if mean and len(self.shape) > 2 and not self.channel_axes():
            return "has no axis of which it is known that it holds channels, which a mean over pixels must keep"
        return ""

    def describe(self) -> str:
        """Say how tokens, and what stands on another axis than usual, are read; "" for an ordinary map."""
        parts = []
        for axis in self.axes:
            tokens = axis[0].root if len(axis) == 1 and axis[0].kind == "tokens" else None
            grid = tokens.grid if tokens else axis
            if is_spatial(grid) and len([factor for factor in grid if factor.size > 1]) > 1:
                sizes = " x ".join(str(factor.size) for factor in grid if factor.size > 1)
                around = _around(tokens.before, tokens.after) if tokens else ""
                parts.append(f"the {size_of(axis)} tokens of {{}} are read as {around}a grid of {sizes}")
        return parts[0] if parts and len(self.shape) == 3 else ""

    def _pixels(self) -> tuple[list[Factor], list[Factor], list[Factor]]:
        """Return the factors of height and of width, outermost first, and what is neither pixel, channel nor image."""
        channel_axes = self.channel_axes()
        factors = [f for number, axis in enumerate(self.axes) if number not in channel_axes for f in _flat(axis)]
        by_step = sorted(factors, key=lambda factor: -factor.step)
        height = [factor for factor in by_step if factor.kind == "height"]
        width = [factor for factor in by_step if factor.kind == "width"]
        known = {id(factor) for factor in [*height, *width]}
        rest = [f for f in factors if id(f) not in known and f.kind != "batch" and f.size > 1]
        return height, width, rest

    def _unpacked(self, value: Tensor) -> tuple[Tensor, list[Factor]]:
        """Return the value with tokens around grids cut off and an axis for each factor, and these factors."""
        factors: list[Factor] = []
        for number, axis in enumerate(self.axes):
            if len(axis) == 1 and axis[0].kind == "tokens":
                value = value.narrow(number, axis[0].root.before, size_of(axis[0].root.grid))
            factors += _flat(axis)
        batch = value.numel() // prod(f.size for f in factors if f.kind != "batch")
        return value.reshape([batch if f.kind == "batch" else f.size for f in factors]), factors

    def _split_batch(self, value: Tensor, owner: int) -> tuple[Tensor, Axes]:
        """Give each factor of the images' axis an axis of its own, as those of windows."""
        parts = tuple((factor,) for factor in self.axes[owner])
        others = prod(factor.size for (factor,) in parts if factor.kind != "batch")
        count = value.shape[owner] // others
        sizes = [count if factor.kind == "batch" else factor.size for (factor,) in parts]
        return value.unflatten(owner, sizes), (*self.axes[:owner], *parts, *self.axes[owner + 1 :])


def _flat(axis: Axis) -> Sequence[Factor]:
    """Return an axis's factors, those of the grid in place of tokens."""
    return axis[0].root.grid if len(axis) == 1 and axis[0].kind == "tokens" else axis


def _place(factors: Sequence[Factor], wanted: Factor) -> int:
    return next(number for number, factor in enumerate(factors) if factor is wanted)


def _is_complete(factors: Sequence[Factor]) -> bool:
    """Tell whether factors, outermost first, make up one whole root; nothing at all is a size of 1."""
    roots = {id(factor.root) for factor in factors}
    return not factors or (len(roots) == 1 and prod(factor.size for factor in factors) == factors[0].root.size)


def _around(before: int, after: int) -> str:
    if before and after:
        return f"{before} and, at the end, {after} other tokens around "
    if before == 1:
        return "a class token and "
    return f"{before} other tokens and " if before else f"{after} other tokens after " if after else ""
