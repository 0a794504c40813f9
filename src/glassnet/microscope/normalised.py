"""Batch normalisations that take a layer's output: above 0 means above 0 behind them, where a ReLU stands."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from glassnet.images import ImageRows, Images, image_batches
from glassnet.microscope.layer import LayerCalls
from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall, translate_torch_errors
from glassnet.models.layers import Call
from glassnet.models.undisturbed import undisturbed

Affine = tuple[Float[Tensor, " channel"], Float[Tensor, " channel"]]
"""Scale and shift of each channel."""


def normalisations(
    model: nn.Module, layers: Iterable[LayerCalls], images: Images | ImageRows, call: ModelCall
) -> dict[Call, Affine]:
    """Return what a batch normalisation that takes the very output of a call makes of it in evaluation mode.

    y = g (x - mean) / sqrt(var + eps) + b, as scale and shift; a call that no such module takes is not there.
    """
    channels = {made: layer.channels for layer in layers for made in layer.readings}
    norms = [one for one in model.modules() if isinstance(one, _BatchNorm) and one.running_var is not None]
    if not norms:
        return {}
    given: dict[Call, Any] = {}
    found: dict[Call, Affine] = {}

    def look(module: nn.Module, taken: tuple[Any, ...]) -> None:
        for made, output in given.items():
            if taken and taken[0] is output and module.running_mean.numel() == channels[made]:  # type: ignore[operator]
                found[made] = _affine(module)  # type: ignore[arg-type]

    def note(made: Call, output: Any) -> None:
        if made in channels:
            given[made] = output

    _, first = next(image_batches(model, images[:2], 2))
    noted = tapped(model, {made[0] for made in channels}, note)
    with ExitStack() as hooks, undisturbed(model), torch.no_grad(), noted, translate_torch_errors(model, first):
        for norm in norms:
            hooks.callback(norm.register_forward_pre_hook(look).remove)
        call(model, first)
    return found


def _affine(norm: _BatchNorm) -> Affine:
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight
    shift = -norm.running_mean * scale
    return scale.detach().clone(), (shift if norm.bias is None else shift + norm.bias).detach().clone()
