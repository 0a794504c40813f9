"""One operation of a forward pass: its arguments by name, and what its tensors reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from glassnet.models.receptive.reach import Reach


@dataclass(frozen=True, eq=False)
class Operation:
    """One call.

    Attributes:
        name: The operation's, without namespace and overload, and without the mark of one in place.
        function: What was called.
        arguments: All of its arguments by the names of its schema, those left out by default.
        reaches: What tensors reached before the call, by id; those made of no pixel are not there.
        outputs: What it gave.
    """

    name: str
    function: Any
    arguments: Mapping[str, Any]
    reaches: Mapping[int, Reach]
    outputs: Sequence[Any]

    def __getitem__(self, name: str) -> Any:
        """Return an argument."""
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument, or what stands for one that the operation does not have."""
        return self.arguments.get(name, default)

    def reach(self, name: str) -> Reach | None:
        """Return what a tensor reaches; None for a constant, and where there is no such argument."""
        value = self.arguments.get(name)
        return self.reaches.get(id(value)) if isinstance(value, Tensor) else None

    @property
    def first(self) -> Reach | None:
        """What the first argument reaches."""
        value = next(iter(self.arguments.values()))
        return self.reaches.get(id(value)) if isinstance(value, Tensor) else None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first tensor that it gave."""
        return tuple(next(one for one in self.outputs if isinstance(one, Tensor)).shape)

    def run(self, arguments: Mapping[str, Any]) -> Any:
        """Call the operation with other arguments."""
        schema = self.function._schema.arguments
        options = {one.name: arguments[one.name] for one in schema if one.kwarg_only}
        return self.function(*(arguments[one.name] for one in schema if not one.kwarg_only), **options)

    def all(self, *, but: Sequence[str] = ("out",)) -> list[Reach]:
        """Return what its tensors reach, constants left out."""
        values = [value for name, value in self.arguments.items() if name not in but]
        leaves = [one for one in tree_leaves(values) if isinstance(one, Tensor)]
        return [self.reaches[id(one)] for one in leaves if id(one) in self.reaches]


Rule = Callable[[Operation], Reach | Sequence[Reach | None] | None]
"""What an operation gives reaches: of its only or first tensor, or of each; None for what is made of no pixel."""


def bound(schema: Any, args: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments of a call by name."""
    names = [one.name for one in schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **options}
    return {one.name: given.get(one.name, one.default_value) for one in schema.arguments}
