"""How many images go into one pass: as many as a budget of memory holds, and packs of variants of a batch."""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from glassnet.errors import InputError
from glassnet.images import Images, image_batches
from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall, call_model, translate_torch_errors

MEMORY_BYTES = 2 * 2**30

_MOST_IMAGES = 256  # more at once gains nothing
# VGG16, with every layer asked for, holds about 4,000 bytes a pixel: what is below this budget needs no measuring.
_PLENTY_BYTES_A_PIXEL = 16_384

Rerun = Callable[..., Iterator[Tensor]]
"""`rerun(what, variants)` yields an ingredient or a method, as in "score", for each variant of the batch's images; with
`rows`, whole numbers, variants are of these images of the batch alone."""


def choose_batch_size(
    model: nn.Module,
    images: Images,
    modules: Collection[str],
    batch_size: object,
    memory_bytes: int,
    call: ModelCall = call_model,
) -> int:
    """Return a batch size as given, or for "auto" the largest that the memory budget holds, at least 1.

    The model is run on one image to measure it, if the images are not small enough for any model.

    Raises:
        InputError: The batch size is neither a number nor "auto", the budget is not positive, or the model fails.
    """
    if isinstance(batch_size, int):
        return batch_size
    if batch_size != "auto":
        raise InputError(f'batch_size is {batch_size!r}, expected a number of images or "auto".')
    if memory_bytes < 1:
        raise InputError(f"memory_bytes is {memory_bytes}, expected a positive number of bytes.")
    plenty = images.shape[2] * images.shape[3] * _PLENTY_BYTES_A_PIXEL
    if len(images) * plenty <= memory_bytes or len(images) == 1:
        return min(len(images), _MOST_IMAGES)
    _, image = next(image_batches(model, images[:1], 1))
    return max(1, min(memory_bytes // max(bytes_of_a_pass(model, image, modules, call), 1), len(images), _MOST_IMAGES))


def bytes_of_a_pass(model: nn.Module, images: Tensor, modules: Collection[str], call: ModelCall = call_model) -> int:
    """Measure what the graph of these images holds, what the modules give, and as much again for gradients.

    It measures in the precision of the weights; under autocast to bf16 it is about half.
    """
    weights = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    saved: dict[int, int] = {}
    given = 0

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    def tap(_: object, output: Any) -> None:
        nonlocal given
        given += output.nbytes if isinstance(output, Tensor) else 0

    hooks = saved_tensors_hooks(pack, lambda tensor: tensor)
    with translate_torch_errors(model, images), tapped(model, modules, tap), hooks:
        # Bound to a name, so that the graph holds what it saved until all of it is counted.
        _graph = call(model, images.requires_grad_().clone())
    return sum(saved.values()) + 2 * given


def in_packs(
    run: Callable[[Float[Tensor, "many channel height width"], int], Float[Tensor, "many ..."]],
    variants: Iterable[Float[Tensor, "batch channel height width"]],
    batch_size: int,
) -> Iterator[Float[Tensor, "batch ..."]]:
    """Run several variants of a batch in one pass, as many as make up `batch_size` images.

    Variants are taken as they are needed, so that a generator of many never fills the memory.

    Args:
        run: Takes the images of a pack and the number of variants in it, and gives one row an image.
        variants: Variants of the same batch of images.
        batch_size: Images in one pass; a single variant may be larger.
    """
    waiting = iter(variants)
    for first in waiting:
        pack = [first, *islice(waiting, max(batch_size // len(first), 1) - 1)]
        yield from run(torch.cat(pack), len(pack)).split(len(first))
