"""Guided backpropagation by rebuilding a network: each of its ReLUs becomes one that is guided."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

RELUS = {"relu", "relu_", "relu6", "hardtanh", "hardtanh_", "clamp", "clamp_", "clamp_min", "clamp_min_", "threshold"}
OTHERS = {"gelu", "silu", "silu_", "sigmoid", "leaky_relu", "leaky_relu_", "prelu", "elu", "elu_", "hardswish", "mish"}


class _ReLUCalls(TorchFunctionMode):
    """Counts the calls of functions that are, or may be, a ReLU, or another activation."""

    def __init__(self) -> None:
        super().__init__()
        self.count = self.others = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        self.count += name in RELUS
        self.others += name in OTHERS
        return func(*args, **(kwargs or {}))


def has_relu_modules_alone(model: nn.Module, images: Tensor) -> bool:
    """Tell whether there are ReLUs, all of them modules, and no other activation: then they can be guided."""
    relus = [one for one in model.modules() if isinstance(one, nn.ReLU | nn.ReLU6)]
    ran: list[nn.Module] = []
    handles = [one.register_forward_hook(lambda module, *_: ran.append(module)) for one in relus]
    try:
        with torch.no_grad(), _ReLUCalls() as calls:
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return calls.count == len(ran) > 0 and not calls.others


class _GuidedFunction(torch.autograd.Function):
    """Springenberg et al. 2015: what is positive on the way forth and on the way back."""

    @staticmethod
    def forward(context: Any, given: Tensor, most: float) -> Tensor:
        """Clamp at 0 and, for ReLU6, at 6."""
        context.save_for_backward(given)
        context.most = most
        return given.clamp(0, most)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Pass on what is positive, where the input was between the bounds."""
        (given,) = context.saved_tensors
        return gradient.clamp(min=0) * ((given > 0) & (given < context.most)), None


class GuidedCalls(TorchFunctionMode):
    """Puts guided ReLUs in place of those that are called as functions, and counts all that run.

    Attributes:
        count: The guided ReLUs, modules among them.
        gates: The calls of the function relu6.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = self.gates = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        self.gates += name == "relu6"  # nn.ReLU6 calls hardtanh; who calls relu6 builds a gate, relu6(x + 3) / 6
        if name in ("relu", "relu_"):
            self.count += 1
            return _GuidedFunction.apply(args[0], float("inf"))
        low, high = {"hardtanh": ("min_val", "max_val"), "clamp": ("min", "max")}.get(name, ("", ""))
        if low and kwargs and kwargs.get(low) == 0:
            self.count += 1
            return _GuidedFunction.apply(args[0], kwargs[high])
        return func(*args, **(kwargs or {}))
