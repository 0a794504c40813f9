"""One forward pass watched below autograd: every operation seen, and what chosen layers give handed over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall
from glassnet.models.layers import Call
from glassnet.models.parts import Part, layer_tensor
from glassnet.models.undisturbed import undisturbed
from glassnet.turns import evaluating


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


@contextmanager
def layer_by_layer() -> Iterator[None]:
    """Keep torch from running whole blocks of attention in one operation, past their layers."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
