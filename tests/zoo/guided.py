"""Guided backpropagation by rebuilding a network: each of its ReLU modules becomes one that is guided."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

RELUS = {"relu", "relu_", "relu6", "hardtanh", "hardtanh_", "clamp", "clamp_", "clamp_min", "clamp_min_", "threshold"}


class _ReLUCalls(TorchFunctionMode):
    """Counts the calls of functions that are, or may be, a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += getattr(func, "__name__", "") in RELUS
        return func(*args, **(kwargs or {}))


def why_not_guided(model: nn.Module, images: Tensor) -> str:
    """Say why there is no reference of guided backpropagation, or nothing where every ReLU is a module."""
    relus = [one for one in model.modules() if isinstance(one, nn.ReLU | nn.ReLU6)]
    ran: list[nn.Module] = []
    handles = [one.register_forward_hook(lambda module, *_: ran.append(module)) for one in relus]
    leaky = nn.LeakyReLU | nn.PReLU | nn.ELU | nn.GELU | nn.SiLU | nn.Hardswish | nn.Mish | nn.SELU | nn.CELU
    try:
        with torch.no_grad(), _ReLUCalls() as calls:
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    if not ran:
        return "no ReLU modules"
    if any(isinstance(one, leaky) for one in model.modules()):
        return "other activations among the ReLUs"
    return "ReLUs called as functions" if calls.count > len(ran) else ""


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


class _GuidedModule(nn.Module):
    def __init__(self, most: float) -> None:
        super().__init__()
        self.most = most

    def forward(self, given: Tensor) -> Tensor:
        return _GuidedFunction.apply(given, self.most)


def with_guided_modules(model: nn.Module) -> nn.Module:
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ReLU | nn.ReLU6):
                setattr(module, name, _GuidedModule(6.0 if isinstance(child, nn.ReLU6) else float("inf")))
    return model
