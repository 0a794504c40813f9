"""Fine-tuning: which weights stay, and at which rate the others learn: a slow backbone, a fast head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from glassnet.errors import InputError, unknown_name
from glassnet.settings import ResolvedSettings

Group = dict[str, Any]
"""Parameters of one rate and decay, as torch's optimizers take them, with their share of the rate as "share"."""


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Let the weights of some layers stay as they are.

    Args:
        model: It is changed.
        patterns: Names or patterns of modules, all of whose weights are meant, or of single weights.

    Raises:
        InputError: A pattern matches nothing, or no weight is left to train.
    """
    modules = [name for name, _ in model.named_modules() if name]
    parameters = dict(model.named_parameters())
    for pattern in patterns:
        names = [name for name in modules if name == pattern or fnmatchcase(name, pattern)]
        inside = [key for key in parameters if fnmatchcase(key, pattern) or _belongs(key, names)]
        if not inside:
            raise unknown_name("layer", pattern, modules, where=" for --freeze", noun="layers")
        for key in inside:
            parameters[key].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise InputError(f"--freeze {' '.join(patterns)} leaves no weight to train; leave the head out of it.")


def _belongs(key: str, modules: Iterable[str]) -> bool:
    return any(key.startswith(f"{name}.") for name in modules)


def keep_statistics(model: nn.Module) -> None:
    """Put normalisations whose weights are frozen into evaluation mode: their running statistics stay, too."""
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.modules.batchnorm._NormBase) and own and not any(one.requires_grad for one in own):
            module.eval()


def parameter_groups(model: nn.Module, settings: ResolvedSettings) -> list[Group]:
    """Divide what is trained by rate and decay, the head first.

    A weight of the head learns at the full rate. One of the backbone learns at the share `backbone_rate`, times
    `layer_decay` for each stage between it and the last of the backbone (discriminative rates: Howard and Ruder 2018,
    https://arxiv.org/abs/1801.06146, section 3.2). Decay draws weights to 0, which is right for the matrices of a map
    and wrong for the scale of a batch-norm, so that only weights of two dimensions or more decay.
    """
    shares = _shares(model, settings)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((shares[name], parameter.ndim >= 2), []).append(parameter)
    for decays in (True, False):  # an early run's optimizer has both groups, even if one is empty
        groups.setdefault((1.0, decays), [])
    return [
        {"params": groups[share, decays], "share": share, **({} if decays else {"weight_decay": 0.0})}
        for share, decays in sorted(groups, key=lambda key: (-key[0], not key[1]))
    ]


def _shares(model: nn.Module, settings: ResolvedSettings) -> dict[str, float]:
    names = [name for name, _ in model.named_parameters()]
    head = head_of(model)
    backbone = [name for name in names if head and not name.startswith(f"{head}.")]
    stage = {name: _stage(model, name, backbone) for name in backbone}
    stages = list(dict.fromkeys(stage.values()))
    last = len(stages) - 1
    return {
        name: settings.backbone_rate * settings.layer_decay ** (last - stages.index(stage[name]))
        if name in backbone
        else 1.0
        for name in names
    }


def head_of(model: nn.Module) -> str:
    """Name the module that makes scores of features: the one that the model's class names, or the last with weights."""
    named = getattr(type(model), "head_name", "")
    return named or [name for name, module in model.named_modules() if list(module.parameters(recurse=False))][-1]


def _stage(model: nn.Module, name: str, backbone: Sequence[str]) -> str:
    """Name the part of a backbone that learns at one rate: a child, or a child of a sequence.

    Modules that hold one other alone, as wrappers of hub networks do, are looked into.
    """
    path = name.split(".")[:-1] or [name]
    count = 0
    while count < len(path) - 1 and len(_children(backbone, path[:count])) == 1:
        count += 1  # all of the backbone lies in one module
    count += 1
    while count < len(path):
        inside = _children(backbone, path[:count])
        is_list = isinstance(model.get_submodule(".".join(path[:count])), nn.Sequential | nn.ModuleList)
        if not is_list and len(inside) > 1:
            break
        count += 1
        if is_list:
            break
    return ".".join(path[:count])


def _children(names: Sequence[str], path: Sequence[str]) -> set[str]:
    """Return the parts that weights' names have behind a path."""
    start = "".join(f"{part}." for part in path)
    return {name.removeprefix(start).partition(".")[0] for name in names if name.startswith(start)}
