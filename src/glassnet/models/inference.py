"""Any images through any model: its outputs batch by batch, and what torch says of a failure as one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from glassnet.console import step
from glassnet.devices import autocast
from glassnet.errors import GlassnetError, InputError, WorkError, is_too_large
from glassnet.images import ImageRows, first_weight
from glassnet.models.memory_order import memory_order
from glassnet.models.structure import check_weights
from glassnet.turns import evaluating

ModelCall = Callable[[nn.Module, Tensor], Any]
"""How a model is called on a batch of images, as in lambda model, images: model(images, text)."""


def call_model(model: nn.Module, images: Tensor) -> Any:
    """Call a model on a batch of images, the way of one that takes nothing else."""
    return model(images)


NO_VIEW = "view size is not compatible"
"""What torch says where a `view` asks for pixels in an order in which they do not lie."""
_OF_INPUTS = (TypeError, AttributeError, KeyError)
"""What a model raises that misses another input."""


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
    except Exception as error:  # whatever anybody's model raises
        check_memory(error, len(images))
        raise InputError(_refusal(model, images, error)) from error


def check_memory(error: Exception, count: int) -> None:
    """Say in one sentence that `count` images were too many, if that is what the error means.

    Raises:
        WorkError: The memory does not suffice.
    """
    if is_too_large(error):
        raise WorkError(f"not enough memory for {count} images at once; pass a smaller batch_size.") from error


def _refusal(model: nn.Module, images: Tensor, error: Exception) -> str:
    name, shape = type(model).__name__, tuple(images.shape)
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
    reason = f"no {reason}" if isinstance(error, KeyError) else reason
    if "use_reentrant=True" in reason:
        return (
            f"{name} uses torch.utils.checkpoint with use_reentrant=True, which blocks the gradients of layers and "
            "images; pass use_reentrant=False there, or turn checkpointing off."
        )
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is not None and first.in_channels != shape[1] and f"to have {first.in_channels} channels" in reason:
        channels = f"{first.in_channels} channel{'s' if first.in_channels > 1 else ''}"
        return f"images has shape (n, {', '.join(map(str, shape[1:]))}), but {name} takes images of {channels}."
    hint = "; if it takes more than images, call it through forward=lambda model, images: …"
    return f"{name} fails on images of shape {shape}: {reason}{hint if isinstance(error, _OF_INPUTS) else ''}."


def predict(
    model: nn.Module, images: Tensor | ImageRows, *, batch_size: int = 512, precision: str = "fp32"
) -> Float[Tensor, "n ..."]:
    """Run a model in evaluation mode over images and gather its outputs on the CPU.

    The model is left in the mode it was found in.

    Args:
        model: A model that takes float images in [0, 1]; it stays on its device.
        images: (n, channel, height, width), uint8 (scaled to [0, 1] batch by batch) or float.
        batch_size: Images per forward pass.
        precision: "fp32" or "bf16".
    """
    batches = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
    return torch.cat([one.cpu() for one in outputs(model, batches, precision=precision)])


def outputs(model: nn.Module, batches: Iterable[Tensor], *, precision: str = "fp32") -> Iterator[Any]:
    """Yield a model's output for each batch of images, on its device and in float32, whatever tensors it is made of.

    The model is in evaluation mode while it works on a batch; between batches it is as it was found, and free for
    other threads.

    Args:
        model: Takes float images in [0, 1] on its own device.
        batches: Images as `predict` takes them, at least one a batch.
        precision: "fp32" or "bf16".

    Raises:
        InputError: The model cannot take a batch, or its weights are not there.
        WorkError: The memory does not suffice for a batch.
    """
    check_weights(model)
    weight = first_weight(model)
    order: torch.memory_format | None = None
    for batch in batches:
        step()
        images = _ready(batch, weight)
        with evaluating(model), torch.no_grad():
            order = order or memory_order(model, images)
            output = _output(model, _laid_out(images, order, given=batch), precision)
            output = tree_map(lambda one: one.float() if isinstance(one, Tensor) else one, output)
        yield output


def _output(model: nn.Module, images: Tensor, precision: str) -> Any:
    """Run a model once, or twice where it asks by `view` for pixels in torch's own order."""
    with translate_torch_errors(model, images), autocast(images.device, precision):
        try:
            return model(images)
        except RuntimeError as error:
            if NO_VIEW not in str(error):
                raise
        return model(images.contiguous())


def _ready(images: Tensor, weight: Tensor) -> Float[Tensor, "batch channel height width"]:
    """Bring images to the device of the weights, and to their type where that is not float32's."""
    images = images.to(weight.device)
    images = images.float() / 255 if images.dtype == torch.uint8 else images
    return images.to(dtype=weight.dtype)


def _laid_out(images: Tensor, order: torch.memory_format, *, given: Tensor) -> Tensor:
    """Return images in an order in memory, and never the caller's own, which a model may write into."""
    laid_out = images.contiguous(memory_format=order)
    return laid_out.clone() if laid_out is given else laid_out


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
