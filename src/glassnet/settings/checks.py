"""What every settings dataclass is asked: numbers in their ranges."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any, Literal

from glassnet.errors import InputError

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]


def positive(settings: Any, *names: str) -> None:
    """Refuse a number that is not finite and above 0."""
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, int) and not 0 < value < 2**31:
            raise InputError(f"--{name.replace('_', '-')} is {value}, expected a number above 0 and below 2^31.")
        if isinstance(value, float) and not 0 < value < math.inf:  # a NaN fails every comparison
            raise InputError(f"--{name.replace('_', '-')} is {value}, expected a finite number above 0.")


def between(settings: Any, name: str, low: float, high: float) -> None:
    """Refuse a number outside low … high (high excluded)."""
    value = getattr(settings, name)
    if not low <= value < high:
        raise InputError(f"--{name.replace('_', '-')} is {value}, expected at least {low} and below {high}.")


def paths(settings: Any) -> None:
    """Turn what is given for a path as text into one, as a script will, where the command line gives paths.

    What JSON could not hold and safetensors not open, since both are for UTF-8, is refused.
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if any("\ud800" <= character <= "\udfff" for character in str(value)):
            option = f"--{field.name.replace('_', '-')}"
            raise InputError(f"{option} is {os.fsencode(str(value))!r}, which is no text in UTF-8; rename it.")
        if "Path" not in str(field.type) or value is None:
            continue
        given = tuple(value) if "tuple" in str(field.type) and not isinstance(value, str) else (value,)
        if not all(isinstance(one, str | os.PathLike) for one in given):
            raise InputError(f"--{field.name.replace('_', '-')} is {value!r}, expected a path.")
        found = tuple(map(Path, given))
        object.__setattr__(settings, field.name, found if "tuple" in str(field.type) else found[0])


def seeded(settings: Any) -> None:
    """Refuse a seed that torch's generators do not take alike."""
    if not 0 <= settings.seed < 2**31:
        raise InputError(f"--seed is {settings.seed}, expected 0 or more and below 2^31.")
