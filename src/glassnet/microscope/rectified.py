"""ReLUs that take the very output of a layer that is looked at, too: much of what one gives follows from the other."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.images import ImageRows, Images, image_batches
from glassnet.microscope.layer import LayerCalls
from glassnet.models.capture import hooked_with_arguments
from glassnet.models.inference import ModelCall, translate_torch_errors
from glassnet.models.layers import Call
from glassnet.models.undisturbed import undisturbed


class Outputs:
    """What some calls gave in the pass that is running, without keeping it alive."""

    def __init__(self) -> None:
        self._given: dict[Call, tuple[weakref.ref[Tensor], int]] = {}

    def note(self, made: Call, output: Any) -> None:
        """Take the output of a call, as it is now."""
        if isinstance(output, Tensor) and not output.is_inference():
            self._given[made] = (weakref.ref(output), output._version)

    def taken(self, arguments: Any, output: Any) -> list[Call]:
        """Return the calls whose output, as it was, is what a module took that now gave another, or wrote over it."""
        (one, *more), options = arguments if arguments[0] else ((None,), {})
        if more or options or not isinstance(one, Tensor) or one.is_inference():
            return []
        version = one._version - (output is one)
        return [made for made, (given, before) in self._given.items() if given() is one and before == version]


def rectifiers(
    model: nn.Module, layers: Iterable[LayerCalls], images: Images | ImageRows, call: ModelCall
) -> dict[Call, Call]:
    """Return, by the call of a ReLU, the call whose very output it takes; both are looked at, and laid out alike."""
    readings = {made: reading for layer in layers for made, reading in layer.readings.items()}
    modules = {name: model.get_submodule(name) for name, _ in readings}
    plain = {name for name, one in modules.items() if type(one) is nn.ReLU and not _has_hooks(one)}
    if not plain:
        return {}
    outputs = Outputs()
    found: dict[Call, Call] = {}

    def tap(made: Call, arguments: Any, output: Any) -> None:
        if made in readings:
            for source in outputs.taken(arguments, output) if made[0] in plain else ():
                if readings[source].axes == readings[made].axes:
                    found[made] = source
            outputs.note(made, output)

    _, two = next(image_batches(model, images[:2], 2))
    hooks = hooked_with_arguments(model, modules, tap)
    with undisturbed(model), torch.no_grad(), hooks, translate_torch_errors(model, two):
        call(model, two)
    return found


def check_source(outputs: Outputs, made: Call, source: Call, arguments: Any, output: Any) -> None:
    """Refuse a pass in which a ReLU takes something else than the output that it took of the first images.

    Raises:
        InputError: It does.
    """
    if source not in outputs.taken(arguments, output):
        raise InputError(
            f"layer '{made[0]}' takes the output of '{source[0]}' for the first images but not for others; ask for one "
            "of these layers at a time."
        )


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def by_name(found: Mapping[Call, Call], layers: Mapping[str, LayerCalls]) -> dict[str, str]:
    """Return the same by the layers' names."""
    names = {made: name for name, layer in layers.items() for made in layer.readings}
    return {names[made]: names[source] for made, source in found.items()}
