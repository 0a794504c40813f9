"""One forward pass watched below autograd: every operation seen, and what chosen layers give handed over."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall
from glassnet.models.layers import Call
from glassnet.models.parts import Part, layer_tensor
from glassnet.models.undisturbed import undisturbed
from glassnet.turns import evaluating, layer_by_layer


def one_pass(
    model: nn.Module,
    images: Tensor,
    modules: Collection[str],
    tap: Callable[[Call, Tensor], object],
    *modes: TorchDispatchMode,
    call: ModelCall,
    part: Part | None = None,
) -> None:
    """Run a model once, without gradients and as it is in evaluation, and leave it as it was found.

    Args:
        model: Any module.
        images: (n, channel, height, width).
        modules: Names of modules.
        tap: Gets each tensor that one of them gives, while the pass goes on; of what gives none, nothing.
        modes: What sees the operations, the first one last.
        call: How the model is called on images.
        part: Of what a layer gives, if that is no tensor.
    """

    def hand_over(made: Call, output: Any) -> None:
        value = layer_tensor(output, part)
        if isinstance(value, Tensor) and value.ndim:
            tap(made, value)

    # On the device meta there is nothing to disturb: shapes alone are traced.
    guard = evaluating(model) if images.is_meta else undisturbed(model)
    with guard, torch.no_grad(), layer_by_layer(), tapped(model, modules, hand_over), ExitStack() as watching:
        for mode in modes:
            watching.enter_context(mode)
        call(model, images)
