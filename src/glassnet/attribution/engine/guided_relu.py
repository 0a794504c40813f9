"""Guided backward passes through every ReLU, however it is called, on the graph of an ordinary forward pass."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from glassnet.errors import InputError

# Activations that stand where a ReLU would, but pass some of a negative input on, so that the rule does not fit.
_UNDEFINED = {
    "celu": "CELU",
    "elu": "ELU",
    "gelu": "GELU",
    "hardswish": "Hardswish",
    "leaky_relu": "LeakyReLU",
    "mish": "Mish",
    "prelu": "PReLU",
    "rrelu": "RReLU",
    "selu": "SELU",
    "silu": "SiLU",
    "softplus": "Softplus",
}


class GuidedReLUError(InputError):
    """Guided backpropagation is not defined for a model.

    Attributes:
        reason: Why not, as a clause.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"guided backpropagation does not apply: {reason}; use gradcam instead.")
        self.reason = reason


class GuidedReLU(TorchFunctionMode):
    """Makes the ReLUs that run inside it ready for guided backward passes.

    It sees `nn.ReLU`, `F.relu`, `torch.relu`, `Tensor.relu`, their in-place forms, `relu6` and `clamp(min=0)`, in any
    module, shared or not. The forward pass is untouched: a hook on a ReLU's output clamps the gradient that arrives
    there while `guiding` is on, and torch's own backward then masks it by the sign of the input. So one graph serves
    plain and guided backward passes.

    Attributes:
        count: The ReLUs seen so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self._guiding = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a torch function; hook the result if it is a ReLU.

        Raises:
            GuidedReLUError: It is an activation for which guided backpropagation is not defined.
        """
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "").rstrip("_")
        if (
            (name in _UNDEFINED or _rectifies(name, args, kwargs))
            and isinstance(result, Tensor)
            and result.requires_grad
        ):
            if name in _UNDEFINED:
                raise GuidedReLUError(
                    f"this model uses {_UNDEFINED[name]}, and the rule is defined for ReLU, which passes nothing of a "
                    "negative input"
                )
            self.count += 1
            result.register_hook(self._guide)
        return result

    @contextmanager
    def guiding(self) -> Iterator[None]:
        """Guide the backward passes of the block."""
        self._guiding = True
        try:
            yield
        finally:
            self._guiding = False

    def _guide(self, gradient: Tensor) -> Tensor | None:
        return gradient.clamp(min=0) if self._guiding else None


def _rectifies(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Tell whether a call is a ReLU: 0 below 0, and the input itself above, if need be up to 6."""
    if name in ("relu", "relu6"):
        return True
    if name in ("clamp", "clip", "clamp_min"):
        low, high = _argument("min", 1, args, kwargs), _argument("max", 2, args, kwargs)
        return high is None and isinstance(low, int | float) and low == 0
    return name == "hardtanh" and _argument("min_val", 1, args, kwargs) == 0


def _argument(name: str, place: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return kwargs.get(name, args[place] if len(args) > place else None)
