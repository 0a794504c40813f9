"""The layer table: what each layer of any network takes, returns, holds and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.models.inference import evaluating


@dataclass(frozen=True)
class Layer:
    """One call of one layer: sizes without the batch, learned parameters, multiply-accumulates per image."""

    name: str
    kind: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int
    macs: int


def layer_table(model: nn.Module, input_shape: Sequence[int]) -> list[Layer]:
    """List a model's layers in the order in which an image passes them.

    A layer is a module without children. One that runs twice stands twice, its parameters counted the first time.
    Multiply-accumulates are those of convolutions and linear maps; all else is counted as 0, as is usual. The model is
    left as it was found.

    Args:
        model: Any module that takes one tensor.
        input_shape: (batch, channel, height, width), or any other shape that the model takes.

    Raises:
        InputError: The model cannot take an input of that shape.
    """
    rows: list[Layer] = []
    names = {module: name for name, module in model.named_modules() if not list(module.children())}
    seen: set[nn.Module] = set()

    def record(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not isinstance(output, Tensor) or not inputs or not isinstance(inputs[0], Tensor):
            return
        own = 0 if module in seen else sum(p.numel() for p in module.parameters() if p.requires_grad)
        seen.add(module)
        sizes = tuple(inputs[0].shape[1:]), tuple(output.shape[1:])
        rows.append(Layer(names[module], type(module).__name__, *sizes, own, _macs(module, inputs[0], output)))

    hooks = [module.register_forward_hook(record) for module in names]
    try:
        with evaluating(model), torch.no_grad():
            model(_zeros(model, input_shape))
    except RuntimeError as error:
        raise InputError(
            f"{type(model).__name__} cannot take an input of shape {tuple(input_shape)}: {str(error).splitlines()[0]}."
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
    return rows


def _zeros(model: nn.Module, shape: Sequence[int]) -> Tensor:
    weight = next(model.parameters(), torch.empty(0))
    return torch.zeros(tuple(shape), device=weight.device, dtype=weight.dtype)


def _macs(module: nn.Module, taken: Tensor, output: Tensor) -> int:
    """Count multiply-accumulates per image: each weight is used once per output (or, transposed, input) position."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return output[0].numel() * module.weight[0].numel()
    if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        return taken[0].numel() * module.weight[0].numel()
    if isinstance(module, nn.Linear):
        return output[0].numel() * module.in_features
    return 0
