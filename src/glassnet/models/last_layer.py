"""The last convolution of a network: the last that runs, which only a pass of an image can tell."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from glassnet.images import ImageRows, Images, image_batches
from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall, call_model, translate_torch_errors
from glassnet.models.layers import (
    Call,
    LayerChoice,
    choose_words,
    is_wide,
    select_layers,
)  # fmt: skip
from glassnet.models.undisturbed import undisturbed

LAST = "last-conv"


def settle_last(
    model: nn.Module, layers: LayerChoice, images: Images | ImageRows, *, forward: ModelCall | None = None
) -> LayerChoice:
    """Put the name of the last convolution that runs in place of "last-conv", wherever `layers` says it.

    `select_layers` sees no image and takes the last that is defined, which may be another, or may not run. One pass of
    the first image tells; there is none where no choice says "last-conv", or the model has but one convolution.

    Args:
        model: Any module that takes one image batch, or what `forward` gives it.
        layers: What `select_layers` takes.
        images: (n, channel, height, width).
        forward: How the model is called on a batch of images.

    Raises:
        InputError: The model has no convolution, or cannot take the first image.
    """
    words = choose_words(layers)
    if LAST not in [word for word in words if isinstance(word, str)]:
        return layers
    select_layers(model, LAST)  # the refusal names it as it was asked for
    names = select_layers(model, "conv")
    ran = _order(model, names, images, forward or call_model) if len(names) > 1 else names
    modules = dict(model.named_modules())
    last = next((name for name in reversed(ran) if is_wide(modules[name])), ran[-1] if ran else LAST)
    return [last if isinstance(word, str) and word == LAST else word for word in words]


def _order(model: nn.Module, names: list[str], images: Images | ImageRows, forward: ModelCall) -> list[str]:
    """Return the layers in the order in which they run, those that run twice twice."""
    order: list[str] = []

    def note(call: Call, _output: Any) -> None:
        order.append(call[0])

    with undisturbed(model), torch.no_grad(), tapped(model, names, note):
        for _, image in image_batches(model, images[:1], 1):
            with translate_torch_errors(model, image):
                forward(model, image)
    return order
