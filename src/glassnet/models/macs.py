"""Multiply-accumulates of what really runs: each operation below autograd, charged to the module that runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import HigherOrderOperator
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from glassnet.models.dispatch import DispatchMode
from glassnet.models.structure import whole_modules

aten = torch.ops.aten


def _attention(query: Tensor, key: Tensor, value: Tensor, *_args: Any, **_options: Any) -> int:
    """Count q kᵀ and its product with v; key and value may have fewer heads than the query, which share them."""
    scores = query.shape[:-1].numel() * key.shape[-2]
    return scores * (query.shape[-1] + value.shape[-1])


def _recurrent_layer(sequence: Tensor, from_input: Tensor, from_hidden: Tensor, *_args: Any, **_options: Any) -> int:
    return sequence.shape[:-1].numel() * (from_input.numel() + from_hidden.numel())


def _recurrent(sequence: Tensor, weights: list[Tensor], *_args: Any, **_options: Any) -> int:
    return sequence.shape[:-1].numel() * sum(weight.numel() for weight in weights if weight.ndim > 1)


def _grouped_product(left: Tensor, right: Tensor, *_args: Any, **_options: Any) -> int:
    return left.numel() * right.shape[-1]


def _bilinear(left: Tensor, weight: Tensor, *_args: Any, **_options: Any) -> int:
    return left.shape[0] * weight.numel()


# What torch's own table of formulas lacks, or refuses for some shapes. Not every name stands in every release.
_OWN: Mapping[str, Callable[..., int]] = {
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_fused_attention_overrideable": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
    "mkldnn_rnn_layer": _recurrent_layer,
    "_cudnn_rnn": _recurrent,
    "_trilinear": _bilinear,
    "_grouped_mm": _grouped_product,
}


def _own_formulas() -> dict[Any, Callable[..., int]]:
    return {getattr(aten, name): formula for name, formula in _OWN.items() if hasattr(aten, name)}


class MacCounter(DispatchMode):
    """Hands `charge` the multiply-accumulates of each operation that runs while the mode is on.

    It stands below autograd, where only torch's basic operations arrive, whoever called them: layers, functions,
    scripted, traced and exported modules.
    """

    supports_higher_order_operators = True

    def __init__(self, charge: Callable[[int], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._charge, self._own = charge, _own_formulas()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation, split into simpler ones where it has no formula and can be."""
        kwargs = kwargs or {}
        operation = getattr(func, "_overloadpacket", func)
        own, known = self._own.get(operation), flop_registry.get(operation)
        if own is None and known is None and not isinstance(func, HigherOrderOperator):
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if own is not None:
            self._charge(own(*args, **kwargs))
        elif known is not None:
            self._charge(known(*args, **kwargs, out_val=result) // 2)  # a multiplication and an addition each
        return result


@dataclass
class ModuleCall:
    """One call of one module: what it took and gave (of several tensors the first), and its own operations' cost.

    Attributes:
        name: The module's.
        module: It.
        input: The first tensor's shape without the batch; None where there is none.
        output: So too of what it returned.
        told: What `tell` says of that first tensor.
        macs: Multiply-accumulates of the whole batch, less those of modules inside it.
    """

    name: str
    module: nn.Module
    input: tuple[int, ...] | None
    output: tuple[int, ...] | None = None
    macs: int = 0
    told: Any = None


@contextmanager
def charged_calls(model: nn.Module, tell: Callable[[Tensor], Any] | None = None) -> Iterator[list[ModuleCall]]:
    """List every call of every module while the block runs, in the order in which they begin.

    The first of the list is no call: it takes the cost of what runs outside of all modules. What `tell` says of the
    first tensor that a call gives is noted with it, right after the call.
    """
    calls = [ModuleCall("", model, None)]
    running = [calls[0]]

    def charge(macs: int) -> None:
        running[-1].macs += macs

    def before(name: str, module: nn.Module, inputs: Any) -> None:
        calls.append(ModuleCall(name, module, _size(inputs)))
        running.append(calls[-1])

    def after(output: Any) -> None:
        call, tensor = running.pop(), _first_tensor(output)
        call.output = _size(output)
        call.told = tell(tensor) if tell is not None and tensor is not None else None

    with ExitStack() as stack:
        for name, module in whole_modules(model).items():
            stack.enter_context(_hooked(name, module, before, after))
        stack.enter_context(MacCounter(charge))
        yield calls


@contextmanager
def _hooked(
    name: str, module: nn.Module, before: Callable[[str, nn.Module, Any], None], after: Callable[[Any], None]
) -> Iterator[None]:
    def begin(_module: nn.Module, args: Any, kwargs: Any) -> None:
        before(name, module, (args, kwargs))

    def end(_module: nn.Module, _args: Any, output: Any) -> None:
        after(output)

    # By the class: scripted modules refuse the method, but call what it leaves. First, since a hook of an old-style
    # parametrization computes the weight, which belongs to the layer.
    first = nn.Module.register_forward_pre_hook(module, begin, with_kwargs=True, prepend=True)
    # Also where the call fails, since a module around it may go on without what it gives.
    last = nn.Module.register_forward_hook(module, end, always_call=True)
    try:
        yield
    finally:
        first.remove()
        last.remove()


def _size(value: Any) -> tuple[int, ...] | None:
    """Return the shape of the first tensor anywhere in `value`, without its first axis."""
    tensor = _first_tensor(value)
    return None if tensor is None or tensor.is_nested else tuple(tensor.shape[1:])


def _first_tensor(value: Any) -> Tensor | None:
    for leaf in tree_leaves(value):
        held = leaf.values() if isinstance(leaf, Mapping) else getattr(leaf, "__dict__", {}).values()
        if isinstance(leaf, Tensor):
            return leaf
        if isinstance(leaf, nn.Module | type):
            continue
        inside = next((one for one in held if isinstance(one, Tensor)), None)
        if inside is not None:
            return inside
    return None
