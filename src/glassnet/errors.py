"""Errors that say what was got, what was expected and what to do."""

import difflib
import numbers
from collections.abc import Iterable
from typing import Any


class GlassnetError(Exception):
    """A failure that glassnet foresaw; its message is one sentence for the user."""

    exit_code = 1


class InputError(GlassnetError, ValueError):
    """The user's input cannot be used: a wrong name, a wrong shape, a damaged file."""

    exit_code = 2


class OtherDataError(InputError):
    """A run's data are others than it was trained on, so that what the model says of them has no meaning."""


class WorkError(GlassnetError, RuntimeError):
    """The input was fine, but the work failed: a loss that became NaN, a connection that broke."""


class Cancelled(GlassnetError):  # noqa: N818
    """Nobody wants the result any more: raised at the next step of work that is watched."""


def unknown_name(kind: str, got: str, choices: Iterable[str], *, where: str = "", noun: str = "choices") -> InputError:
    """Build the error for a name that is none of `choices`, the nearest first.

    Args:
        kind: What the name stands for, as in "model" or "layer".
        got: The name that was given.
        choices: All valid names.
        where: What holds the choices, as in " in convnet"; starts with a space where it is not empty.
        noun: What the choices are called in the sentence.
    """
    names = list(choices)
    near = difflib.get_close_matches(got, names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    listed = ", ".join(names) if len(names) <= 40 else ", ".join(names[:40]) + f" and {len(names) - 40} more"
    return InputError(f"no {kind} '{got}'{where}.{hint} The {noun} are: {listed or 'none'}.")


def is_too_large(error: Exception) -> bool:
    """Tell whether an error means that there is too little memory, as Python or torch says it on any device."""
    said = ("allocate memory", "out of memory", "Storage size calculation overflowed", "numel")
    if isinstance(error, MemoryError | OverflowError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error) for words in said)


def is_integer(value: Any) -> bool:
    """Tell whether a value is a whole number of Python or NumPy; 2.0 and True are none."""
    return not isinstance(value, bool) and isinstance(value, numbers.Integral)


def checked_integer(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """Return an option as a plain int.

    Raises:
        InputError: It is no whole number, or one of another type, as 2.0 and True, or out of its range.
    """
    if not is_integer(value):
        raise InputError(f"{name} is {value!r}, expected a whole number, such as {max(2, least or 0)}.")
    number = int(value)
    if (least is not None and number < least) or (most is not None and number > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        raise InputError(f"{name} is {number}, expected {bounds}.")
    return number


def checked_number(name: str, value: Any) -> float:
    """Return an option as a plain float.

    Raises:
        InputError: It is no real number.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputError(f"{name} is {value!r}, expected a number, such as 2.5.")
    return float(value)
