"""Where the channels of a convolution are looked at: behind the batch normalisation that takes them, if one does."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from glassnet.console import say_once
from glassnet.images import ImageRows, Images, image_batches
from glassnet.microscope.layer import find_layers
from glassnet.microscope.rectified import Outputs
from glassnet.models.inference import ModelCall, call_model, translate_torch_errors
from glassnet.models.layers import KINDS as KINDS_OF_LAYERS
from glassnet.models.layers import Call, LayerChoice
from glassnet.models.undisturbed import undisturbed

KINDS = ("conv", "last-conv")
"""The words for layers that mean convolutions, wherever their channels are looked at."""
_BETWEEN = (nn.MaxPool2d, nn.AvgPool2d, nn.Dropout, nn.Dropout2d, nn.Identity)
"""Modules that keep channels apart, and their sign."""


def behind_normalisation(
    model: nn.Module, layers: LayerChoice, images: Images | ImageRows, *, forward: ModelCall | None = None
) -> tuple[tuple[str | nn.Module, ...], dict[str, str]]:
    """Return the layers to look at for words that say layers, and by such a layer the convolution it stands for.

    A convolution that a batch normalisation follows, perhaps behind a pool, has channels without a zero and a sign of
    their own: what is 0 in them the normalisation shifts, and where its scale is negative their lowest value counts.
    Behind it, 0 is what the ReLU that mostly follows cuts at. So the kinds "conv" and "last-conv" mean the output of
    the normalisation there, and the convolution itself where there is none. A layer's own name means that very layer.
    A normalisation that takes anything else, as what a ReLU gives or wrote over the convolution's output, is none.

    Args:
        model: Any module.
        layers: Names, patterns, kinds and modules, as `select_layers` takes them.
        images: (n, channel, height, width), of which two are looked at.
        forward: How the model is called on a batch.

    Raises:
        InputError: There is no convolution that runs.
    """
    call = forward or call_model
    asked: dict[str | nn.Module, None] = {}
    stands_for: dict[str, str] = {}
    for word in [layers] if isinstance(layers, str | nn.Module) else layers:
        if isinstance(word, nn.Module) or word not in KINDS:
            asked[word] = None
            continue
        found = find_layers(model, word, images, call)
        behind = _normalisations(
            model, {made: name for name, one in found.items() for made in one.readings}, images, call
        )
        for name in found:
            shown = behind.get(name, name)
            # A module that is named as a kind is asked for as itself.
            asked[model.get_submodule(shown) if shown in KINDS_OF_LAYERS else shown] = None
            if name in behind:
                stands_for[behind[name]] = name
    return tuple(asked), stands_for


def layer_of_channels(
    model: nn.Module, layer: str | nn.Module, images: Images | ImageRows, call: ModelCall
) -> str | nn.Module:
    """Return the one layer that a word means where channels are looked at, and say so where it is a normalisation.

    So "last-conv" means the same in `channels`, `ablate`, `visualize` and `concepts`. A module that is named as a kind
    goes before the kind, and whatever means no convolution, or several, stays as it is.

    Raises:
        InputError: The word means convolutions, and there is none that runs.
    """
    if not isinstance(layer, str) or layer not in KINDS or layer in dict(model.named_modules()):
        return layer
    shown, stands_for = behind_normalisation(model, layer, images, forward=call)
    if len(shown) > 1:
        return layer
    name = next(iter(stands_for), "")
    if name:
        say_once(
            f"'{layer}' means '{name}' here, the batch normalisation that takes the output of '{stands_for[name]}'; "
            f"for the convolution itself, give its name."
        )
    return shown[0]


def _normalisations(
    model: nn.Module, convolutions: dict[Call, str], images: Images | ImageRows, call: ModelCall
) -> dict[str, str]:
    """Return the batch normalisation behind each convolution that has one, both by name."""
    owner: dict[Call, str] = {}
    outputs = Outputs()  # as they were given: what is written over them since is another value
    found: dict[str, Call] = {}
    counts: Counter[str] = Counter()
    modules = dict(model.named_modules())
    looked = {name: one for name, one in modules.items() if isinstance(one, (_BatchNorm, *_BETWEEN))}
    looked |= {made[0]: modules[made[0]] for made in convolutions}

    def note(name: str, taken: Any, output: Any) -> None:
        made = (name, counts[name])
        counts[name] += 1
        own = convolutions.get(made)
        before = own or next((owner[one] for one in outputs.taken((taken, {}), None)), None)
        if before is None:
            return
        if own is None and isinstance(modules[name], _BatchNorm):
            found.setdefault(before, made)
        else:
            owner[made] = before
            outputs.note(made, output)

    _, first = next(image_batches(model, images[:2], 2))
    with ExitStack() as hooks, undisturbed(model), torch.no_grad(), translate_torch_errors(model, first):
        for name, module in looked.items():
            hook = module.register_forward_hook(lambda _, taken, output, name=name: note(name, taken, output))
            hooks.callback(hook.remove)
        call(model, first)
    return {one: name if counts[name] == 1 else f"{name}:{number}" for one, (name, number) in found.items()}
