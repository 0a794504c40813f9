"""What torch says when a model cannot take its images, said in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from glassnet.errors import GlassnetError, InputError, WorkError


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
