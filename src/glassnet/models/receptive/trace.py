"""A forward pass watched below autograd: which pixels each number of each tensor is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves

from glassnet.models.dispatch import DispatchMode
from glassnet.models.receptive.memory import Memory, has_storage
from glassnet.models.receptive.mixing import pointwise
from glassnet.models.receptive.operation import Operation, Rule, bound
from glassnet.models.receptive.reach import Reach, everything, of_images
from glassnet.models.receptive.rules import RULES


class ReachTrace(DispatchMode):
    """Follows which pixels of the images all tensors are made of, operation by operation.

    What an operation without a rule gives is taken to be made of all that it took, and marked as not known.
    """

    supports_higher_order_operators = True

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._memory = Memory()
        self._memory.write(images, of_images(images.shape), anew=True)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and note what it gives."""
        options = dict(kwargs or {})
        taken = [one for one in tree_leaves((args, options)) if isinstance(one, Tensor)]
        rule = _rule(func)
        if rule is None and isinstance(func, torch._ops.OpOverload):
            with self:
                result = func.decompose(*args, **options)
            if result is not NotImplemented:
                return result
        with _disable_current_modes():  # before the call, which may write over its arguments
            reaches = {id(one): reach for one in taken if (reach := self._memory.read(one)) is not None}
        storages = {one.untyped_storage()._cdata for one in taken if has_storage(one)}
        output = func(*args, **options)
        outputs = [output] if isinstance(output, Tensor) else [*output] if isinstance(output, tuple | list) else []
        if reaches and not (rule is None and _strides_alone(func)):
            with _disable_current_modes():
                self._note(func, rule, args, options, reaches, outputs, storages)
        return output

    def read(self, tensor: Tensor) -> Reach | None:
        """Return what a tensor reaches; None where it is made of no pixel."""
        with _disable_current_modes():
            return self._memory.read(tensor)

    def _note(
        self,
        func: Any,
        rule: Rule | None,
        args: Sequence[Any],
        options: Mapping[str, Any],
        reaches: Mapping[int, Reach],
        outputs: Sequence[Any],
        storages: set[int],
    ) -> None:
        given = _given(func, rule, args, options, reaches, outputs)
        writes = not isinstance(func, torch._ops.OpOverload) or func._schema.is_mutable
        for tensor, reach in zip(outputs, given, strict=True):
            if not isinstance(tensor, Tensor) or not has_storage(tensor):
                continue
            anew = tensor.untyped_storage()._cdata not in storages
            if anew or writes:
                self._memory.write(tensor, reach, anew=anew)
            else:
                self._memory.view(tensor, reach)


def _strides_alone(func: Any) -> bool:
    """Tell whether an operation gives the same memory in another order, which is read from there when it is needed."""
    return isinstance(func, torch._ops.OpOverload) and _name(func) == "as_strided"


def _rule(func: Any) -> Rule | None:
    if not isinstance(func, torch._ops.OpOverload):
        return None
    found = RULES.get(_name(func))
    return pointwise if found is None and torch.Tag.pointwise in func.tags else found


def _name(func: Any) -> str:
    """Return an operation's name, without the mark of one that writes over its argument."""
    name: str = func._schema.name.split("::")[1]
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def _given(
    func: Any,
    rule: Rule | None,
    args: Sequence[Any],
    options: Mapping[str, Any],
    reaches: Mapping[int, Reach],
    outputs: Sequence[Any],
) -> list[Reach | None]:
    """Return what each output reaches: by the rule, or else all that the operation took, as not known."""
    found: list[Reach | None] = []
    if rule is not None:
        try:
            one = Operation(_name(func), func, bound(func._schema, args, options), reaches, outputs)
            result = rule(one)
            found = [*result] if isinstance(result, Sequence) else [result] * len(outputs)
        except (LookupError, TypeError, ValueError, AssertionError, RuntimeError):  # a form that the rule does not know
            found = []
    if len(found) == len(outputs) and all(map(_fits, found, outputs)):
        return found
    parts = [*reaches.values()]
    return [everything(parts, one.shape).unknown() if isinstance(one, Tensor) else None for one in outputs]


def _fits(reach: Reach | None, output: Any) -> bool:
    return reach is None or (isinstance(output, Tensor) and reach.shape == tuple(output.shape))
