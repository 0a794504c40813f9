"""A network's layers: by name, by pattern, by kind or as modules."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn

from glassnet.console import say
from glassnet.errors import InputError
from glassnet.models.structure import inside_scripted, is_a, is_layer, whole_modules

Call = tuple[str, int]
"""A module's name and the number of its call in one forward pass, from 0."""

LayerChoice = str | nn.Module | Sequence[str | nn.Module]
"""What `select_layers` takes."""

INPUT = "input"
"""Where the methods of the input alone stand among a result's layers, and so no layer's name there."""

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def _last_convolution(modules: Mapping[str, nn.Module]) -> list[str]:
    """Name the last convolution of more than one pixel, if any is, and so no residual shortcut or 1x1 head."""
    convolutions = KINDS["conv"](modules)
    return ([name for name in convolutions if is_wide(modules[name])] or convolutions)[-1:]


def is_wide(convolution: nn.Module) -> bool:
    """Tell whether a convolution sees more than one pixel at a time."""
    # A parametrized weight is computed anew when it is asked for, a traced module has nothing else.
    sizes = getattr(convolution, "kernel_size", None) or next(convolution.parameters()).shape[2:]
    return max(int(size) for size in sizes) > 1


KINDS: dict[str, Callable[[Mapping[str, nn.Module]], list[str]]] = {
    "conv": lambda modules: [name for name, module in modules.items() if is_a(module, _CONVOLUTIONS)],
    "last-conv": _last_convolution,
    "linear": lambda modules: [name for name, module in modules.items() if is_a(module, (nn.Linear,))],
    "all": lambda modules: [name for name, module in modules.items() if is_layer(module)],
}


def select_layers(model: nn.Module, layers: LayerChoice) -> list[str]:
    """Return the names of the layers that `layers` stands for, each once, in the order in which the model defines them.

    Args:
        model: Any module.
        layers: One of these, or a sequence that mixes them: a kind ("conv": every 2-D convolution and transposed
            convolution; "last-conv": the last of them that is larger than 1x1, where one is, and so no shortcut of a
            residual network, here in the order of definition, with images in that of the calls; "linear"; "all": every
            module without children, or with a weight of its own next to them), a pattern as in "features.*" or
            "conv[12]" (over all modules; * also matches dots), a module's name, a name and the number of a call as in
            "relu:0", for a module that runs more than once, or a module of the model, as in model.conv1. A kind goes
            before a module of the same name.

    Raises:
        InputError: The model has no such layer; the nearest names come first.
    """
    asked = choose_words(layers)
    if not asked:
        raise InputError('layers is empty, expected at least one name, pattern or kind, as in "conv".')
    modules, hidden = _in_sight(model)
    # A module that is shared under several names answers to each of them, but a kind or pattern counts it once.
    order = {name: i for i, (name, _) in enumerate(model.named_modules(remove_duplicate=False)) if name}
    names = {
        name
        for one in asked
        for name in (_matches(one, modules, order, model) if isinstance(one, str) else [_name_in(model, one)])
    }
    _check_names(names, order, hidden)
    if hidden and any(isinstance(one, str) and one in KINDS for one in asked):
        say(
            f"left out the layers inside {', '.join(sorted(set(hidden.values())))}, which cannot be observed because "
            "they are scripted or traced."
        )
    return sorted(names, key=lambda name: (order[split_call(name)[0]], name.count(":"), split_call(name)[1] or 0))


def _in_sight(model: nn.Module) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Return the modules whose calls can be seen, and those inside scripted ones, with the names of these."""
    if isinstance(model, torch.jit.ScriptModule):
        raise InputError(
            f"the model is a {type(model).__name__}, so its layers cannot be observed; pass the network that it was "
            "scripted or traced from, or use methods that need no layer, such as saliency."
        )
    hidden = inside_scripted(model)
    return {name: one for name, one in whole_modules(model).items() if name and name not in hidden}, hidden


def _check_names(names: Collection[str], order: Collection[str], hidden: Mapping[str, str]) -> None:
    for name in names:
        module = name if name in order else split_call(name)[0]
        if module in hidden:
            raise InputError(
                f"layer '{module}' cannot be observed because '{hidden[module]}' is scripted or traced; choose "
                f"'{hidden[module]}' itself, or replace it with the module that it was made from."
            )
        if split_call(module)[1] is not None:
            raise InputError(
                f"the model has a module named '{module}', which looks like a call of '{split_call(module)[0]}'; "
                f"rename it, for example to '{module.replace(':', '_')}'."
            )


def asked_by_name(model: nn.Module, layers: LayerChoice) -> list[str]:
    """Return what `layers` says word by word, with the name of each module that it holds."""
    return [one if isinstance(one, str) else _name_in(model, one) for one in choose_words(layers)]


def layer_words(model: nn.Module, layers: LayerChoice) -> tuple[str, ...]:
    """Return what `layers` says word by word, each module by its name; also one of a copy with the same weights.

    Raises:
        InputError: A module is not in the model, and no single one of its kind has its weights.
    """
    return tuple(one if isinstance(one, str) else _name_in(model, one, alike=True) for one in choose_words(layers))


def choice_in_copy(model: nn.Module, layers: LayerChoice, copied: nn.Module) -> list[str | nn.Module]:
    """Return the same choice for a copy of the model, whose modules are others."""
    return [one if isinstance(one, str) else copied.get_submodule(_name_in(model, one)) for one in choose_words(layers)]


def split_call(name: str) -> tuple[str, int | None]:
    """Split "relu:1" into the module's name and the number of the call; a plain name has no number."""
    module, colon, number = name.rpartition(":")
    return (module, int(number)) if colon and number.isdecimal() else (name, None)


def name_calls(names: Sequence[str], asked: str | Sequence[str], ran: Mapping[Call, str]) -> dict[str, Call]:
    """Give each usable call of the selected layers its public name, in order.

    A layer that ran once keeps its name, but for one named "input", which becomes "input:0", since methods of the
    images stand under "input"; one that ran twice becomes "relu:0" and "relu:1", less the calls that cannot
    be used. A layer of which no call can be used is left out where a kind or a pattern brought it in, and refused where
    it was asked for by name.

    Args:
        names: What `select_layers` returned for it.
        asked: What was asked of `select_layers`, as `asked_by_name` returns it.
        ran: Every call of these layers, with what makes it unusable, or "" where it can be used.

    Raises:
        InputError: A layer asked for by name, or every layer, did not run or cannot be used.
    """
    outright = {asked} if isinstance(asked, str) else set(asked)
    usable: dict[str, Call] = {}
    refused: list[str] = []
    for name in names:
        module, number = split_call(name)
        calls = [call for call in ran if call[0] == module]
        chosen = [call for call in calls if number is None or call[1] == number]
        fine = [call for call in chosen if not ran[call]]
        if not fine:
            problem = ran[chosen[0]] if chosen else _not_run(number, len(calls))
            refused.append(f"layer '{module}' {problem}.")
            if name in outright:
                raise InputError(refused[-1])
        elif len(chosen) == 1:
            usable[f"{name}:0" if name == INPUT else name] = fine[0]
        else:
            usable |= {f"{module}:{call[1]}": call for call in fine}
    if not usable:
        raise InputError(refused[0])
    return usable


def say_left_out(names: Sequence[str], ran: Mapping[Call, str]) -> None:
    """Say which of the layers that a kind or a pattern brought in are left out, in one sentence for each reason.

    Args:
        names: What `select_layers` returned.
        ran: Every call of these layers, with what makes it unusable, or "" where it can be used.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        module, number = split_call(name)
        calls = [call for call in ran if call[0] == module]
        chosen = [call for call in calls if number in (None, call[1])]
        for problem in dict.fromkeys([ran[call] for call in chosen] or [_not_run(number, len(calls))]):
            layers = found.setdefault(problem.partition("; choose another")[0], [])
            if problem and module not in layers:
                layers.append(module)
    for reason, layers in found.items():
        if reason:
            say(f"left out {', '.join(layers)}: {'it' if len(layers) == 1 else 'each'} {reason}.")


def choose_words(layers: LayerChoice) -> list[str | nn.Module]:
    """Return a choice as a list of what it says.

    Raises:
        InputError: It is no text, module or sequence of these.
    """
    if isinstance(layers, str | nn.Module):
        return [layers]
    if not isinstance(layers, Iterable):
        raise InputError(
            f"layers is {layers!r} of type {type(layers).__name__}, expected names, patterns, kinds or modules, such "
            'as "conv".'
        )
    return list(layers)


def _name_in(model: nn.Module, module: nn.Module, *, alike: bool = False) -> str:
    owner = type(model).__name__
    if not isinstance(module, nn.Module):
        raise InputError(
            f"layers holds {module!r} of type {type(module).__name__}, expected names, patterns, kinds or modules."
        )
    if module is model:
        raise InputError(f"layers holds the whole {owner}, expected modules inside it, or names such as conv.")
    for name, one in model.named_modules():
        if one is module:
            return name
    twins = [name for name, one in model.named_modules() if alike and _same_weights(one, module)]
    if len(twins) == 1:
        return twins[0]
    raise InputError(
        f"layers holds a {type(module).__name__} that is not in this {owner}; pass a module of this network, or a name."
    )


def _same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Tell whether two modules are of one kind and have the same weights, not none."""
    weights, others = first.state_dict(), second.state_dict()
    return (
        type(first) is type(second)
        and bool(weights)
        and weights.keys() == others.keys()
        and all(torch.equal(weights[name].cpu(), others[name].cpu()) for name in weights)
    )


def _not_run(number: int | None, calls: int) -> str:
    if number is None or not calls:
        return "did not run when the model was called in evaluation mode; choose another one"
    return f"has no call {number}: it ran {calls} times, and its calls are numbered from 0 to {calls - 1}"


def _matches(asked: str, modules: Mapping[str, nn.Module], order: Mapping[str, int], model: nn.Module) -> list[str]:
    if asked in KINDS:
        names = KINDS[asked](modules)
    elif asked in order or split_call(asked)[0] in order:
        names = [asked]
    else:
        names = [name for name in modules if fnmatchcase(name, asked)]
    if not names:
        raise _unknown_layer(asked, modules, type(model).__name__)
    return names


def _unknown_layer(asked: str, modules: Mapping[str, nn.Module], owner: str) -> InputError:
    near = [] if asked in KINDS else difflib.get_close_matches(asked, {**modules, **KINDS}, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    convolutions, layers = KINDS["conv"](modules), KINDS["all"](modules)
    noun, names = ("convolutions", convolutions) if convolutions else ("layers", layers)
    listed = ", ".join(names[:40]) + (f" and {len(names) - 40} more" if len(names) > 40 else "")
    advice = "" if convolutions else " Some methods, such as saliency, need no layer."
    return InputError(f"no layer '{asked}' in {owner}.{hint} Its {noun} are {listed or 'none'}.{advice}")
