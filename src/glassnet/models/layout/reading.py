"""How a layer's output is read: which axis is the images', which holds channels, and where its pixels stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from glassnet.models.layout.axes import Axes, Axis, Factor, is_spatial, size_of, whole_kind


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

    @property
    def units(self) -> Axes:
        """The axes, but each factor of the images' axis by itself, as of windows or heads that were put into it."""
        return tuple(unit for axis in self.axes for unit in (((f,) for f in axis) if _is_of_images(axis) else (axis,)))

    def channel_units(self) -> tuple[int, ...]:
        """Return the units that hold channels: several where heads have one of their own."""
        first = tuple(number for number, unit in enumerate(self.units) if unit[0].kind == "channel")
        return first or tuple(number for number, unit in enumerate(self.units) if _is_of_patch(unit))

    def problem_as_map(self) -> str:
        """Say why the output is no map (n, channel, height, width), or ""."""
        if not self.is_by_image:
            return "has no axis known to run over the images"
        if not self.channel_units():
            return "has no axis known to hold channels"
        height, width, rest = self._pixels()
        if not height and not width:
            return "has no axis known to run over pixels"
        for name, factors in (("row", height), ("column", width)):
            if not _is_complete(factors):
                return f"does not hold each {name} of pixels exactly once"
        return "has an axis that is neither images, channels nor pixels" if rest else ""

    def to_maps(self, value: Shaped[Tensor, ...]) -> Shaped[Tensor, "batch channel height width"]:
        """Rearrange an output, or the gradient there, to (n, channel, height, width)."""
        apart, factors = self._unpacked(value)
        height, width, _ = self._pixels()
        channels = [f for number in self.channel_units() for f in self.units[number] if f.size > 1]
        order = [*(f for f in factors if f.kind == "batch"), *channels, *height, *width]
        places = [_place(factors, one) for one in order]
        alone = [number for number in range(len(factors)) if number not in places]  # of size 1
        maps = apart.permute(*places, *alone)
        maps = maps.reshape(len(maps), *(prod(one.size for one in group) for group in (channels, height, width)))
        shifts = [-group[0].root.shift if group else 0 for group in (height, width)]
        return maps.roll(shifts, (2, 3)) if any(shifts) else maps

    def apart(self, value: Shaped[Tensor, ...]) -> Shaped[Tensor, ...]:
        """Return an output with one axis for each of the units."""
        return _as_axes(value, self.units)

    def to_rows(self, value: Shaped[Tensor, ...], *, mean: bool) -> Float[Tensor, "batch d"]:
        """Return one row an image: each channel's mean over all other axes, or all numbers."""
        apart = self.apart(value)
        place = next(number for number, unit in enumerate(self.units) if _is_of_images(unit))
        rows = apart.movedim(place, 0)
        if not mean or rows.ndim == 2:
            return rows.reshape(len(rows), -1)
        channels = [number + (number < place) for number in self.channel_units()]
        over = [number for number in range(1, rows.ndim) if number not in channels]
        pooled = rows.mean(dim=over, dtype=torch.float32) if over else rows
        return pooled.reshape(len(pooled), -1)

    def problem_as_rows(self, *, mean: bool) -> str:
        """Say why the output gives no row an image, or ""."""
        if not self.is_by_image:
            return "has no axis known to run over the images"
        if mean and len(self.shape) > 2 and not self.channel_units():
            return "has no axis known to hold channels, which a mean over pixels must keep"
        return ""

    def fits(self, shape: Sequence[int], images: int) -> bool:
        """Tell whether an output of this shape, for so many images, is laid out so."""
        scaled = [
            size * images // self.images if _is_of_images(axis) else size
            for axis, size in zip(self.axes, self.shape, strict=True)
        ]
        return scaled == list(shape)

    def describe(self) -> str:
        """Say how tokens are read, with {} for the layers' names; "" where rows and columns have an axis each."""
        grids = [axis for axis in self.axes if is_spatial(axis) and _factors(axis) > 1]
        around = [unit[0].root for unit in self.units if _is_tokens(unit)]
        if self.problem_as_map() or (not grids and not around):
            return ""
        height, width, _ = self._pixels()
        size = f"{prod(one.size for one in height)} x {prod(one.size for one in width)}"
        if any(_factors(axis) > 1 and is_spatial(axis[1:]) for axis in self.axes if _is_of_images(axis)):
            return f"the windows of {{}} are joined to a grid of {size}"
        tokens = around[0].size if around else size_of(grids[0])
        before, after = (around[0].before, around[0].after) if around else (0, 0)
        parts = [_others(before)] * bool(before) + [f"a grid of {size}"] + [_others(after)] * bool(after)
        return f"the {tokens} tokens of {{}} are read as {' and '.join(parts)}"

    def numbers(self) -> tuple[int, ...]:
        """Return the units that hold channels; of vectors, the one of numbers, known to be channels or not."""
        units = self.channel_units()
        if units or len(self.units) != 2:
            return units
        return tuple(number for number, unit in enumerate(self.units) if not _is_of_images(unit))

    def to_places(self, value: Shaped[Tensor, ...]) -> Shaped[Tensor, "batch channel height width"]:
        """Rearrange an output to maps; vectors become one pixel, and tokens without a grid a column of pixels.

        Two axes beside those of images and channels are rows and columns, even where it is not known which pixels they
        stand for, as behind a flip: the map stays as the layer gives it.
        """
        if not self.problem_as_map():
            return self.to_maps(value)
        apart, places = self.apart(value), self.numbers()
        batch = next(number for number, unit in enumerate(self.units) if _is_of_images(unit))
        others = [number for number in range(apart.ndim) if number not in places and number != batch]
        channels = prod(apart.shape[number] for number in places)
        if len(others) == 2 and len(places) == 1 and apart.ndim == value.ndim:
            first, second = (whole_kind(self.units[number]) for number in others)
            turned = first != second and (first == "width" or second == "height")
            return apart.permute(batch, *places, *(others[::-1] if turned else others))
        return apart.permute(batch, *places, *others).reshape(apart.shape[batch], channels, -1, 1)

    def _pixels(self) -> tuple[list[Factor], list[Factor], list[Factor]]:
        """Return the factors of height and of width, outermost first, and what is neither pixel, channel nor image."""
        channels = self.channel_units()
        factors = [f for number, unit in enumerate(self.units) if number not in channels for f in _flat(unit)]
        by_step = sorted(factors, key=lambda factor: -factor.step)
        height = [factor for factor in by_step if factor.kind == "height"]
        width = [factor for factor in by_step if factor.kind == "width"]
        known = {id(factor) for factor in [*height, *width]}
        rest = [f for f in factors if id(f) not in known and f.kind != "batch" and f.size > 1]
        return height, width, rest

    def _unpacked(self, value: Tensor) -> tuple[Tensor, list[Factor]]:
        """Return the value with tokens around grids cut off and an axis for each factor, and these factors."""
        apart, factors = self.apart(value), [factor for unit in self.units for factor in _flat(unit)]
        for number, unit in enumerate(self.units):
            if _is_tokens(unit):
                apart = apart.narrow(number, unit[0].root.before, size_of(unit[0].root.grid))
        return _as_axes(apart, [(factor,) for factor in factors]), factors


def _as_axes(value: Tensor, axes: Sequence[Axis]) -> Tensor:
    """Give a tensor one axis for each of these, for as many images as it has."""
    others = prod(size_of(axis) for axis in axes if not _is_of_images(axis))
    return value.reshape([value.numel() // others if _is_of_images(axis) else size_of(axis) for axis in axes])


def _is_of_images(axis: Axis) -> bool:
    return any(factor.kind == "batch" for factor in axis)


def _is_of_patch(axis: Axis) -> bool:
    """Tell whether an axis runs over all numbers of a patch: its channels, and the inner part of rows and columns."""
    return any(factor.kind == "channel" for factor in axis) and all(
        factor.kind == "channel" or factor.size * factor.step < factor.root.size for factor in axis if factor.size > 1
    )


def _is_tokens(axis: Axis) -> bool:
    return len(axis) == 1 and axis[0].kind == "tokens" and axis[0].whole


def _flat(axis: Axis) -> Sequence[Factor]:
    """Return an axis's factors, those of the grid in place of tokens."""
    return axis[0].root.grid if _is_tokens(axis) else axis


def _place(factors: Sequence[Factor], wanted: Factor) -> int:
    return next(number for number, factor in enumerate(factors) if factor is wanted)


def _is_complete(factors: Sequence[Factor]) -> bool:
    """Tell whether factors, outermost first, make up one whole root, each index or every so many; none is a size of 1.

    Every so many is what a patch embedding or a pixel unshuffle written out leaves: its inner part became channels.
    """
    roots = {id(factor.root) for factor in factors}
    return not factors or (
        len(roots) == 1 and prod(factor.size for factor in factors) * factors[-1].step == factors[0].root.size
    )


def _factors(axis: Axis) -> int:
    return sum(factor.size > 1 for factor in axis)


def _others(count: int) -> str:
    return "a class token" if count == 1 else f"{count} other tokens"
