"""What a network is made of: its modules, without those that only compute another's weights, and what each holds."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from glassnet.errors import InputError
from glassnet.images import check_module, is_uninitialized


def whole_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return all modules by name, the model itself as "", without those that only compute another's weights."""
    inner = {part for module in model.modules() if is_parametrized(module) for part in _parametrizations(module)}
    return {name: module for name, module in model.named_modules() if module not in inner}


def own_children(module: nn.Module) -> list[nn.Module]:
    """Return a module's children, less the parametrizations of its weights."""
    inner = set(_parametrizations(module))
    return [child for child in module.children() if child not in inner]


def own_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that are a module's own and no child's, those behind its parametrized weights included."""
    behind = [p for part in _parametrizations(module) for p in part.parameters(recurse=False)]
    return [*module.parameters(recurse=False), *behind]


def is_layer(module: nn.Module) -> bool:
    """Tell whether a module has no children, or a weight next to them, as a convolution with a module that pads."""
    return not own_children(module) or "weight" in module._parameters or is_parametrized(module, "weight")


def is_a(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Tell whether a module is of one of these classes, also if scripting or tracing left only their name."""
    if isinstance(module, torch.jit.ScriptModule):
        return getattr(module, "original_name", "") in [kind.__name__ for kind in kinds]
    return isinstance(module, kinds)


def inside_scripted(model: nn.Module) -> dict[str, str]:
    """Return each module that runs unseen, inside one that was scripted or traced, and the name of that one."""
    modules = dict(model.named_modules())
    hidden: dict[str, str] = {}
    for name in modules:
        around = name
        while around:
            around = around.rpartition(".")[0]
            if isinstance(modules.get(around), torch.jit.ScriptModule):
                hidden[name] = around
    return hidden


def check_weights(model: nn.Module, *, numbers: bool = True) -> None:
    """Refuse a model whose weights are not there yet.

    Args:
        model: Any module.
        numbers: Whether the weights must have numbers; on the device "meta" they have shapes alone.

    Raises:
        InputError: It is no module, a layer is lazy and was never called, or the weights are on the device "meta".
    """
    check_module(model)
    for name, module in model.named_modules():
        if any(map(is_uninitialized, own_parameters(module))):
            raise InputError(
                f"layer '{name}' ({type(module).__name__}) has no weights yet; call the model once on a batch of "
                "images first."
            )
    if numbers and any(parameter.is_meta for parameter in model.parameters()):
        raise InputError(
            f"{type(model).__name__} is on the device meta, so its weights have no values; load weights into it, for "
            "example with model.to_empty(device='cpu') and model.load_state_dict(weights)."
        )


def _parametrizations(module: nn.Module) -> list[nn.Module]:
    return list(module.get_submodule("parametrizations").modules()) if is_parametrized(module) else []
