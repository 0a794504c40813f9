"""Any image batch, given to any model: chunks on the model's device, and failures said in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from glassnet.errors import GlassnetError, InputError, WorkError

Images = Tensor | np.ndarray
"""(n, channel, height, width), uint8 in 0..255 or float as the model takes it; `check_images` refuses all else."""


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the model's first weight; the CPU where it has none."""
    return _first_weight(model).device


def check_images(images: Images, batch_size: int) -> None:
    """Refuse what cannot be a batch of images.

    Raises:
        InputError: The images are no 4-D array of uint8 or float, there are none, or batch_size is below 1.
    """
    if not isinstance(images, Tensor | np.ndarray):
        raise InputError(
            f"images is a {type(images).__name__}, expected a tensor or NumPy array (n, channel, height, width)."
        )
    if images.ndim != 4:
        raise InputError(f"images has shape {tuple(images.shape)}, expected (n, channel, height, width).")
    if 0 in images.shape:
        raise InputError(f"images has shape {tuple(images.shape)}: there is nothing in it; pass at least one image.")
    kind = str(images.dtype).removeprefix("torch.")
    if kind != "uint8" and "float" not in kind:
        raise InputError(f"images has dtype {kind}, expected uint8 (0 to 255) or float (0 to 1).")
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}, expected at least 1.")


def image_batches(
    model: nn.Module, images: Images, batch_size: int
) -> Iterator[tuple[int, Float[Tensor, "batch channel height width"]]]:
    """Yield (first index, chunk), each chunk a float copy on the model's device, in the type of the model's weights.

    Raises:
        InputError: A pixel is NaN or infinite.
    """
    weight = _first_weight(model)
    for start in range(0, len(images), batch_size):
        part = images[start : start + batch_size]
        # Always a copy: an array may be read-only (a memory map), and a model may write into what it is given.
        chunk = torch.from_numpy(np.array(part)) if isinstance(part, np.ndarray) else part.detach().clone()
        scale = 255 if chunk.dtype == torch.uint8 else None
        chunk = chunk.to(weight.device).to(weight.dtype)
        chunk = chunk.div_(scale) if scale else chunk
        finite = chunk.isfinite().flatten(1).all(dim=1)
        if not finite.all():
            raise InputError(f"image {start + int(finite.int().argmin())} has NaN or infinite pixels; leave it out.")
        yield start, chunk


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
    if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
        raise WorkError(f"not enough memory for {count} images at once; pass a smaller batch_size.") from error


def _refusal(model: nn.Module, images: Tensor, reason: str) -> str:
    name, shape = type(model).__name__, tuple(images.shape)
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is not None and first.in_channels != shape[1] and f"to have {first.in_channels} channels" in reason:
        channels = f"{first.in_channels} channel{'s' if first.in_channels > 1 else ''}"
        return f"images has shape (n, {', '.join(map(str, shape[1:]))}), but {name} takes images of {channels}."
    return f"{name} fails on images of shape {shape}: {reason.strip().splitlines()[0].rstrip('.')}."


def _first_weight(model: nn.Module) -> Tensor:
    return next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
