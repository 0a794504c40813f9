"""Windows along one axis: which indices an operation takes for each it gives, and what they see of an endless image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, lcm

import torch
from torch import Tensor

_LONGEST_PERIOD = 4096


@dataclass(frozen=True)
class Pattern:
    """Which indices an operation takes along an axis, repeated along an endless one.

    For index `out * q + r` of the result it takes the indices `step * q + one`, for each `one` in phases[r].
    """

    phases: tuple[tuple[int, ...], ...]
    step: int = 1

    @property
    def out(self) -> int:
        """Number of indices of the result after which the pattern repeats."""
        return len(self.phases)

    def taken(self, index: int) -> list[int]:
        """Return what it takes for one index of the result."""
        turn, phase = divmod(index, self.out)
        return [self.step * turn + one for one in self.phases[phase]]

    def taps(self, size: int, count: int) -> Tensor:
        """Return what it takes of `size` indices for each of `count`, as (count, k); `size` is what lies outside."""
        rows = [[one if 0 <= one < size else size for one in self.taken(index)] for index in range(count)]
        return taps_of(rows, size)


def taps_of(rows: Sequence[Sequence[int]], size: int) -> Tensor:
    """Return lists of indices as one table, filled up with `size`, which stands for none."""
    longest = max((len(row) for row in rows), default=0) or 1
    return torch.tensor([[*row, *[size] * (longest - len(row))] for row in rows], dtype=torch.long)


def window(used: Sequence[int], *, stride: int = 1, padding: int = 0, dilation: int = 1) -> Pattern:
    """Return the pattern of a convolution or a pool.

    Args:
        used: Numbers of the kernel's rows (or columns), as a rule all of them.
        stride: Between windows.
        padding: Before the first index.
        dilation: Between the kernel's rows.
    """
    return Pattern((tuple(one * dilation - padding for one in used),), stride)


def transposed_window(used: Sequence[int], *, stride: int, padding: int, dilation: int) -> Pattern:
    """Return the pattern of a transposed convolution: what index i gives to stride * i - padding + row * dilation."""
    phases = []
    for phase in range(stride):
        places = [phase + padding - one * dilation for one in used]
        phases.append(tuple(place // stride for place in places if place % stride == 0))
    return Pattern(tuple(phases))


@dataclass(frozen=True)
class Windows:
    """What each index of an endless axis sees of an endless image: pixels from a start up to an end, which is excluded.

    Index `period * q + r` sees from starts[r] + step * q to ends[r] + step * q.
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    step: int = 1

    @property
    def period(self) -> int:
        """Number of indices after which the windows repeat."""
        return len(self.starts)

    @property
    def size(self) -> int:
        """Pixels of the largest window."""
        return max(end - start for start, end in zip(self.starts, self.ends, strict=True))

    def at(self, index: int) -> tuple[int, int]:
        """Return the window of an index."""
        turn, phase = divmod(index, self.period)
        return self.starts[phase] + self.step * turn, self.ends[phase] + self.step * turn

    def after(self, pattern: Pattern) -> Windows | None:
        """Return the windows of what an operation makes of the axis; None where some index takes nothing."""
        turns = self.period // gcd(self.period, pattern.step)
        if turns * pattern.out > _LONGEST_PERIOD:
            return None
        windows = []
        for index in range(turns * pattern.out):
            taken = [self.at(one) for one in pattern.taken(index)]
            if not taken:
                return None
            windows.append((min(start for start, _ in taken), max(end for _, end in taken)))
        return _shortest(windows, self.step * (pattern.step * turns // self.period))

    def joined(self, other: Windows) -> Windows | None:
        """Return the windows of what is made of two axes, index by index; None where these do not run in step."""
        if self.step * other.period != other.step * self.period:
            return None
        period = lcm(self.period, other.period)
        if period > _LONGEST_PERIOD:
            return None
        pairs = [(self.at(index), other.at(index)) for index in range(period)]
        windows = [(min(one[0], two[0]), max(one[1], two[1])) for one, two in pairs]
        return _shortest(windows, self.step * (period // self.period))


def _shortest(windows: Sequence[tuple[int, int]], step: int) -> Windows:
    """Return windows with the shortest period that says the same."""
    period = len(windows)
    for shorter in range(1, period + 1):
        if period % shorter or step * shorter % period:
            continue
        shift = step * shorter // period
        if all(
            (start + shift, end + shift) == windows[index + shorter]
            for index, (start, end) in enumerate(windows[: period - shorter])
        ):
            period, step = shorter, shift
            break
    return Windows(tuple(one for one, _ in windows[:period]), tuple(one for _, one in windows[:period]), step)
