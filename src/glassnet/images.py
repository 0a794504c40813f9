"""Images as numbers: grey values to floats, the values of a mask that are no class, and the loop over batches."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from glassnet.console import step
from glassnet.errors import InputError, checked_integer

BACKGROUND = 0
"""Value of the pixels of a mask that belong to no object."""
VOID = 255
"""Value of the pixels of a mask that are of no class known, and count for nothing."""
Images = Tensor | np.ndarray
"""(n, channel, height, width), uint8 in 0..255 or float as the model takes it; `check_images` refuses all else."""


@runtime_checkable
class ImageRows(Protocol):
    """Images that are read when they are sliced, as those of a part that is too large for memory; uint8."""

    @property
    def shape(self) -> torch.Size:
        """Give (n, channel, height, width)."""

    @property
    def ndim(self) -> int:
        """Give 4."""

    @property
    def dtype(self) -> torch.dtype:
        """Give torch.uint8."""

    def __len__(self) -> int:
        """Count the images."""

    def __getitem__(self, places: slice) -> Tensor:
        """Read some of them."""


def to_float(images: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Map grey values 0..255 to [0, 1]; floats are what the model takes, and stay as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the model's first weight; the CPU where it has none."""
    return first_weight(model).device


def check_images(images: Images | ImageRows, batch_size: int) -> None:
    """Refuse what cannot be a batch of images.

    Raises:
        InputError: The images are no 4-D array of uint8 or float, there are none, or batch_size is below 1.
    """
    if not isinstance(images, Tensor | np.ndarray) and getattr(images, "is_read_by_rows", False) is not True:
        raise InputError(
            f"images is a {type(images).__name__}, expected a tensor or NumPy array (n, channel, height, width)."
        )
    if isinstance(images, Tensor) and images.layout != torch.strided:
        raise InputError("images is a sparse tensor, expected a dense one; pass images.to_dense().")
    if images.ndim != 4:
        raise InputError(f"images has shape {tuple(images.shape)}, expected (n, channel, height, width).")
    if 0 in images.shape:
        raise InputError(f"images has shape {tuple(images.shape)}, so it is empty; pass at least one image.")
    kind = images.dtype.name if isinstance(images, np.ndarray) else str(images.dtype).removeprefix("torch.")
    if kind != "uint8" and "float" not in kind:
        raise InputError(f"images has dtype {kind}, expected uint8 (0 to 255) or float (0 to 1).")
    checked_integer("batch_size", batch_size, least=1)


def image_batches(
    model: nn.Module, images: Images | ImageRows, batch_size: int
) -> Iterator[tuple[int, Float[Tensor, "batch channel height width"]]]:
    """Yield (first index, chunk), each chunk a float copy on the model's device, in the type of the model's weights.

    It lies in memory in torch's own order, however the images lie: a model that reads pixels by their places in memory
    counts on that.

    Raises:
        InputError: A pixel is NaN or infinite.
    """
    weight = first_weight(model)
    for start in range(0, len(images), batch_size):
        step("images" if len(images) > batch_size else "", start, len(images))
        part = images[start : start + batch_size]
        # Always a copy: an array may be read-only (a memory map), and a model may write into what it is given.
        chunk = torch.from_numpy(_as_torch_has_it(part)) if isinstance(part, np.ndarray) else part.detach().clone()
        scale = 255 if chunk.dtype == torch.uint8 else None
        chunk = chunk.to(weight.device).to(weight.dtype).contiguous()
        chunk = chunk.div_(scale) if scale else chunk
        finite = chunk.isfinite().flatten(1).all(dim=1)
        if not finite.all():
            raise InputError(f"image {start + int(finite.int().argmin())} has NaN or infinite pixels; leave it out.")
        yield start, chunk


def _as_torch_has_it(array: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Copy an array in a type that torch knows: long doubles as float64, and bytes in the machine's order."""
    kind = array.dtype.newbyteorder("=")
    return np.array(array, dtype=np.float64 if kind.kind == "f" and kind.itemsize > 8 else kind)


def first_weight(model: nn.Module) -> Tensor:
    """Return the weight that images meet first, for its device and type; an empty one on the CPU where there is none.

    That is the weight matrix of the first convolution or linear layer, else the first parameter of two or more axes,
    else any: a scalar or a class token before the layers may be of another type than these.

    Raises:
        InputError: It is no module.
    """
    check_module(model)
    layers = (m for m in model.modules() if isinstance(m, _ConvNd | nn.Linear))
    matrices = (p for source in (*layers, model) for p in source.parameters() if p.is_floating_point())
    matrix = next((p for p in matrices if not is_uninitialized(p) and p.ndim > 1), None)
    if matrix is not None:
        return matrix
    return next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))


def check_module(model: object) -> None:
    """Refuse what is no module.

    Raises:
        InputError: It is anything else, as an exported program or a function.
    """
    if not isinstance(model, nn.Module):
        kind, hint = type(model).__name__, ""
        if callable(getattr(model, "module", None)):
            hint = "; for an exported program, pass program.module()"
        raise InputError(f"model is of type {kind}, expected a torch.nn.Module{hint}.")


def is_uninitialized(parameter: Tensor) -> bool:
    """Tell whether a lazy layer's parameter has no shape yet."""
    return isinstance(parameter, UninitializedParameter | UninitializedBuffer)
