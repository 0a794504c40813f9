"""Any images through any model: its outputs batch by batch, and what torch says of a failure as one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from glassnet.devices import autocast
from glassnet.errors import GlassnetError, InputError, WorkError, is_too_large
from glassnet.images import first_weight

ModelCall = Callable[[nn.Module, Tensor], Any]
"""How a model is called on a batch of images, as in lambda model, images: model(images, text)."""


def call_model(model: nn.Module, images: Tensor) -> Any:
    """Call a model on a batch of images, the way of one that takes nothing else."""
    return model(images)


@contextmanager
def translate_torch_errors(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Turn what torch says while the model works on a batch of images into one sentence.

    Raises:
        InputError: The model cannot take the batch.
        WorkError: The memory does not suffice.
    """
    try:
        yield
    except GlassnetError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        check_memory(error, len(images))
        raise InputError(_refusal(model, images, str(error) or type(error).__name__)) from error


def check_memory(error: Exception, count: int) -> None:
    """Say in one sentence that `count` images were too many, if that is what the error means.

    Raises:
        WorkError: The memory does not suffice.
    """
    if is_too_large(error):
        raise WorkError(f"not enough memory for {count} images at once; pass a smaller batch_size.") from error


def _refusal(model: nn.Module, images: Tensor, reason: str) -> str:
    name, shape = type(model).__name__, tuple(images.shape)
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is not None and first.in_channels != shape[1] and f"to have {first.in_channels} channels" in reason:
        channels = f"{first.in_channels} channel{'s' if first.in_channels > 1 else ''}"
        return f"images has shape (n, {', '.join(map(str, shape[1:]))}), but {name} takes images of {channels}."
    return f"{name} fails on images of shape {shape}: {reason.strip().splitlines()[0].rstrip('.')}."


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every part of a model into evaluation mode, and back also when the block raises."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        with suppress(NotImplementedError):  # an exported program has one mode
            model.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def keeping_state(model: nn.Module) -> Iterator[None]:
    """Leave a model's buffers, the tensors that it keeps as attributes, and torch's random generators as they were.

    A spiking or recurrent network writes its state over its buffers, or puts others in their place.
    """
    places = [held for module in model.modules() for held in (module._buffers, vars(module))]
    found = [(held, name, value, value._version, value.clone()) for held in places for name, value in _tensors(held)]
    device = first_weight(model).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            with torch.no_grad():
                for held, name, value, version, copy in found:
                    held[name] = value
                    if value._version != version or not _equal(value, copy):
                        value.copy_(copy)


def _tensors(held: Any) -> list[tuple[str, Tensor]]:
    """Return what may be written to; a tensor of inference mode may not, and one without numbers needs no copy."""
    return [
        (name, value)
        for name, value in held.items()
        if isinstance(value, Tensor) and value.device.type != "meta" and not value.is_inference()
    ]


def _equal(value: Tensor, copy: Tensor) -> bool:
    """Tell whether two tensors are equal, for those that write past the version (`.data`); else the version counts."""
    try:
        return torch.equal(value, copy)
    except RuntimeError:  # sparse, or a type that torch cannot compare
        return True


def eager() -> AbstractContextManager[Any]:
    """Run what was compiled by `torch.compile` as it was written, since hooks are lost in compiled code.

    Nothing can be compiled before torch._dynamo is loaded, which takes a second.
    """
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def predict(
    model: nn.Module, images: Tensor, *, batch_size: int = 512, precision: str = "fp32"
) -> Float[Tensor, "n ..."]:
    """Run a model in evaluation mode over images and gather its outputs on the CPU.

    The model is left in the mode it was found in.

    Args:
        model: Takes float images in [0, 1] on its own device.
        images: (n, channel, height, width), uint8 (scaled to [0, 1] here, a batch at a time) or float.
        batch_size: Images per forward pass.
        precision: "fp32" or "bf16".
    """
    return torch.cat([one.cpu() for one in outputs(model, images.split(batch_size), precision=precision)])


def outputs(model: nn.Module, batches: Iterable[Tensor], *, precision: str = "fp32") -> Iterator[Any]:
    """Yield a model's output for each batch of images, on its device and in float32, whatever tensors it is made of.

    While this generator is at work the model is in evaluation mode; then it is put back.

    Args:
        model: Takes float images in [0, 1] on its own device.
        batches: Images as `predict` takes them, at least one a batch.
        precision: "fp32" or "bf16".
    """
    weight = first_weight(model)
    device = weight.device
    with evaluating(model):
        for batch in batches:
            with torch.no_grad():
                images = _ready(batch, weight)
                with autocast(device, precision):
                    output = model(images)
                output = tree_map(lambda one: one.float() if isinstance(one, Tensor) else one, output)
            yield output


def _ready(images: Tensor, weight: Tensor) -> Float[Tensor, "batch channel height width"]:
    """Bring images to the device of the weights, and to their type where that is not float32's."""
    images = images.to(weight.device)
    images = images.float() / 255 if images.dtype == torch.uint8 else images
    return images.to(dtype=weight.dtype, memory_format=torch.channels_last)


class FlipTTA(nn.Module):
    """A segmentation network wrapped for test-time augmentation by a left-right flip.

    It returns the log of the mean of both probabilities, each pixel at its own place."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, images: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        """Return log((p(x) + flip(p(flip(x)))) / 2), with p the softmax over the classes and flip left to right."""
        plain = self.network(images).float().softmax(dim=1)
        turned = self.network(images.flip(-1)).float().softmax(dim=1).flip(-1)
        return ((plain + turned) / 2).clamp_min(1e-12).log()
