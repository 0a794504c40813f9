"""Parts of what a model or a layer gives: tuples, dicts and the outputs of other libraries taken apart."""

import dataclasses
import operator
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from glassnet.errors import GlassnetError, InputError, unknown_name

Part = str | int | Callable[[Any], Any]
"""A name, an index, or a function from the output to the part."""


def pick(output: Any, which: str | int | Callable[[Any], Any] | None) -> Any:
    """Return the part of a model's output that the caller named.

    Raises:
        InputError: There is no such part, or the callable fails.
    """
    if callable(which):
        try:
            return which(output)
        except GlassnetError:
            raise
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise InputError(
                f"the output callable fails on the model's output, {describe(output)}: {reason}; expected class scores "
                "(n, classes)."
            ) from error
    if isinstance(output, Tensor):
        raise InputError(
            f"output is {which!r}, but the model gives {describe(output)}, which has no parts; leave output out, or "
            "pass a callable."
        )
    entries = entries_of(output)
    if which in entries:
        return entries[which]
    if isinstance(which, int):
        positions = list(entries.values())
        try:
            return positions[operator.index(which)]
        except IndexError:
            raise InputError(
                f"output is index {which}, but the model gives {describe(output)} with {len(positions)} entries."
            ) from None
    raise unknown_name("output", str(which), map(str, entries), where=f" in the {type(output).__name__} that it gives")


def entries_of(output: Any) -> dict[Any, Any]:
    """Return the parts of a model's output by key, by name or by index, without those that are None."""
    if isinstance(output, Mapping):
        entries = dict(output)
    elif hasattr(output, "_asdict"):
        entries = output._asdict()
    elif dataclasses.is_dataclass(output):
        entries = {one.name: getattr(output, one.name) for one in dataclasses.fields(output)}
    elif isinstance(output, tuple | list):
        entries = dict(enumerate(output))
    else:
        entries = dict(getattr(output, "__dict__", {}))
    return {name: value for name, value in entries.items() if value is not None}


def describe(output: Any) -> str:
    """Say what a model gives, as in "a tensor of shape (2, 5)" or "a dict of logits, loss"."""
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)}"
    names = ", ".join(map(str, entries_of(output)))
    return f"a {type(output).__name__}" + (f" of {names}" if names and not isinstance(output, tuple | list) else "")


def layer_tensor(output: Any, part: Part | None) -> Any:
    """Return the tensor that a layer gives, of a tuple or dict the part named or else the only tensor in it.

    What holds no single tensor is returned as it is.

    Raises:
        InputError: The part that was named is not there.
    """
    if isinstance(output, Tensor) and not callable(part):
        return output
    if part is not None:
        return pick(output, part)
    tensors = [one for one in entries_of(output).values() if isinstance(one, Tensor) and one.ndim]
    return tensors[0] if len(tensors) == 1 else output
