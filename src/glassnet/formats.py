"""Numbers as a reader sees them; what is missing, NaN or no number at all is a dash."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

DASH = "–"


def is_number(value: Any) -> TypeGuard[int | float]:
    """Tell whether `value` is a finite number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def count(value: Any) -> str:
    """Write a whole number with commas, as in 467,818."""
    return f"{value:,.0f}" if is_number(value) else DASH


def decimal(value: Any, digits: int = 3) -> str:
    """Write a number with `digits` decimals, and one that would vanish by its power of ten."""
    if not is_number(value):
        return DASH
    vanishes = value != 0 and abs(value) < 0.5 * 10**-digits
    return (f"{value:.1e}" if vanishes else f"{value:,.{digits}f}").replace("-", "−")


def percent(value: Any, digits: int = 2) -> str:
    """Write a share of 1 as a percentage, as in 98.40%."""
    return f"{100 * value:.{digits}f}%" if is_number(value) else DASH


def decibels(value: Any) -> str:
    """Write a level in decibels, as in 24.12 dB."""
    return f"{decimal(value, 2)} dB" if is_number(value) else DASH


def duration(value: Any) -> str:
    """Write a time in seconds, in minutes from 2 minutes on, in hours from 2 hours on."""
    if not is_number(value):
        return DASH
    if value < 9.95:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    if minutes < 2:
        return f"{round(value)} s"
    return f"{minutes} min {seconds:02d} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def shape(value: Any) -> str:
    """Write a shape, as in 32 × 28 × 28."""
    return " × ".join(map(count, value)) if isinstance(value, Sequence) and not isinstance(value, str) else DASH


def plain(value: Any) -> str:
    """Write any value of a settings file."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or DASH
    if isinstance(value, dict):
        return ", ".join(f"{key}={plain(part)}" for key, part in value.items()) or DASH
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return DASH
    return str(value)


def between(bounds: Sequence[float] | None, digits: int) -> str:
    """Write an interval from low to high; a dash where there is none."""
    return DASH if bounds is None else f"{decimal(bounds[0], digits)} to {decimal(bounds[1], digits)}"
