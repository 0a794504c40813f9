"""Batch-norm folded into the layer before it, for inference: the same outputs by fewer passes over memory."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from glassnet.models.modes import evaluating

TOLERANCE = 1e-5
"""Largest difference that folding may make to an output in fp32, as a share of the largest output."""

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


def fold_batchnorm(
    model: nn.Module, example: Float[Tensor, "batch channel height width"], *, keep: Collection[str] = ()
) -> nn.Module:
    """Return a network that gives what the model gives in evaluation mode, with fewer batch-norms.

    With s = gamma / sqrt(variance + eps), batch-norm of W x + b is (s W) x + s (b - mean) + beta: again such a layer. A
    max pool in between changes nothing where no s is negative, since max(s y + c) = s max(y) + c; where one is, the
    batch-norm stays.

    The network is a traced one (torch.fx). Its layers have the model's names; those that were not folded are the
    model's own, so it is for use while the model is in evaluation mode. What cannot be traced, has hooks, has nothing
    to fold, or gives another output for `example` is returned as it is.

    Args:
        model: Any module that takes one image batch; it is left as it was found.
        example: An image or a few, for the comparison.
        keep: Layers whose own outputs are of interest: they are neither changed nor left out. A folded layer would
            give what only the batch-norm behind it gives in the model.
    """
    if any(module._forward_hooks or module._forward_pre_hooks for module in model.modules()):
        return model
    if not any(type(module) in _BATCH_NORMS for module in model.modules()):
        return model
    with evaluating(model), torch.no_grad():
        folded = _folded(model, keep)
        return folded if folded is not None and _agree(model, folded, example) else model


class _Tracer(fx.Tracer):
    """Take every module without children as one step, whatever its code does with what it is given."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(True for _ in m.children()) or super().is_leaf_module(m, module_qualified_name)


def _folded(model: nn.Module, keep: Collection[str]) -> nn.Module | None:
    try:
        traced = fx.GraphModule(model, _Tracer().trace(model))
    except (
        Exception
    ):  # code that decides by values, or checks types, each fails on the tracer's stand-ins in its own way
        return None
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    if not calls.keys() >= set(keep):  # a part that the tracer went through is no call any more
        return None
    layers = dict(traced.named_modules())
    pairs = [(node, before) for node in traced.graph.nodes if (before := _foldable(node, layers, calls, keep))]
    for norm, before in pairs:
        traced.set_submodule(str(before.target), _fold(layers[str(before.target)], layers[str(norm.target)]))
        norm.replace_all_uses_with(norm.args[0])
        traced.graph.erase_node(norm)
    traced.recompile()
    return traced if pairs else None


def _foldable(
    node: fx.Node, layers: dict[str, nn.Module], calls: Counter[Any], keep: Collection[str]
) -> fx.Node | None:
    """Return the layer that a batch-norm can be folded into; None for other nodes, and where there is none."""
    norm, before = _layer(node, layers), _input(node)
    if type(norm) not in _BATCH_NORMS or norm.running_mean is None or norm.running_var is None:
        return None
    path = [node, before]
    if type(_layer(before, layers)) in _MAX_POOLS and bool((_scale(norm) >= 0).all()):
        before = _input(before)
        path.append(before)
    if before is None or type(_layer(before, layers)) not in _WEIGHTED:
        return None
    steps = [one for one in path if one is not None]
    shared = any(calls[one.target] > 1 for one in (node, before)) or any(len(one.users) > 1 for one in steps[1:])
    return None if shared or any(one.target in keep for one in steps) else before


def _input(node: fx.Node | None) -> fx.Node | None:
    return node.args[0] if node is not None and node.args and isinstance(node.args[0], fx.Node) else None


def _layer(node: fx.Node | None, layers: dict[str, nn.Module]) -> Any:
    return layers.get(str(node.target)) if node is not None and node.op == "call_module" else None


def _scale(norm: Any) -> Tensor:
    deviation = (norm.running_var.double() + norm.eps).sqrt()
    return (norm.weight.double() if norm.weight is not None else 1) / deviation


def _fold(layer: nn.Module, norm: Any) -> nn.Module:
    """Return a copy of a convolution or linear map with the batch-norm after it taken in; computed in double."""
    folded: Any = copy.copy(layer)
    folded._parameters = dict(layer._parameters)
    scale, shift = _scale(norm), norm.bias.double() if norm.bias is not None else 0
    bias = folded.bias.double() if folded.bias is not None else 0
    weight = folded.weight.double() * scale.view(-1, *[1] * (folded.weight.ndim - 1))
    folded.bias = _constant((bias - norm.running_mean.double()) * scale + shift, folded.weight)
    folded.weight = _constant(weight, folded.weight)
    return folded


def _constant(values: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(values.to(like.dtype), requires_grad=False)


def _agree(model: nn.Module, folded: nn.Module, example: Tensor) -> bool:
    """Compare the two on a few images: what the tracer fixed for good may depend on the images."""
    # A GPU's convolutions otherwise round to TF32, each of the two in its own way.
    with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False):
        expected, found = model(example), folded(example)
    if not isinstance(expected, Tensor) or expected.shape != found.shape:
        return False
    scale = expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny)
    return bool((expected - found).abs().max() <= TOLERANCE * scale)
