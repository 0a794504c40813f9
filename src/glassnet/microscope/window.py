"""The part of a picture that a neuron sees: it alone is run through the network while the picture is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from glassnet.errors import InputError
from glassnet.images import first_weight
from glassnet.microscope.objective import Watched, watch
from glassnet.models.receptive.find import receptive_field_of

_TRIES = 8
"""Random pictures on which the part is tried."""
_WORTH = 0.7
"""Share of the picture above which a part saves too little."""
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Window:
    """A part of pictures from which a neuron gets what it gets from the whole.

    Attributes:
        watched: The layer, as it is read for pictures of the part's size.
        top: The part's first row; `left` its first column, `height` and `width` its size, in pixels.
        left: See `top`.
        height: See `top`.
        width: See `top`.
        place: Row and column of the neuron in the layer's map of the part.
    """

    watched: Watched
    top: int
    left: int
    height: int
    width: int
    place: tuple[int, int]

    def maps(self, pictures: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch channel height width"]:
        """Return what the layer gives of the part."""
        part = pictures[:, :, self.top : self.top + self.height, self.left : self.left + self.width]
        return self.watched.maps(part)


@dataclass(frozen=True)
class Seen:
    """What a neuron sees of pictures, exactly: first pixels, lengths and the layer's strides, rows before columns."""

    first: tuple[int, int]
    length: tuple[int, int]
    stride: tuple[int, int]


def find_seen(watched: Watched, place: tuple[int, int], shape: tuple[int, int, int]) -> Seen | None:
    """Return what a neuron sees of pictures.

    Args:
        watched: The layer.
        place: Row and column of the neuron.
        shape: (channel, height, width) of the pictures.

    Returns:
        None where it sees nothing or all, or that is not known.
    """
    weight = first_weight(watched.model)
    pictures = torch.rand(2, *shape, generator=Generator().manual_seed(0)).to(weight.device, weight.dtype)

    def forward(model: nn.Module, images: Tensor) -> Any:
        try:
            return watched.forward(model, images)
        except Exception:  # of layers behind the one that is looked at, which take another size
            return None

    try:
        field = receptive_field_of(watched.model, watched.call, pictures, name=watched.layer.name, forward=forward)
        left, top, right, bottom = field.box(*place)
    except (InputError, LookupError):
        return None
    sizes = (bottom - top, right - left)
    if 0 in sizes or sizes == shape[1:]:
        return None
    strides = [one or size // places for one, size, places in zip(field.stride, shape[1:], field.map_size, strict=True)]
    return Seen((top, left), sizes, (max(1, strides[0]), max(1, strides[1])))


def find_window(
    watched: Watched,
    layer: str | nn.Module,
    seen: Seen,
    place: tuple[int, int],
    shape: tuple[int, int, int],
    seed: int,
) -> Window | None:
    """Find the part of pictures from which a neuron gets what it gets from the whole.

    The part begins at a multiple of the layer's stride, so that pools meet the same pixels. It is tried on random
    pictures: the layer must give of the part what it gives of the whole.

    Args:
        watched: The layer.
        layer: As it was asked for.
        seen: What the neuron sees.
        place: Row and column of the neuron.
        shape: (channel, height, width) of the pictures.
        seed: Of the random pictures.

    Returns:
        None where the neuron sees nearly all, or the network gives something else for the part.
    """
    (top, height, above), (left, width, before) = (
        _span(*axis) for axis in zip(seen.first, seen.length, seen.stride, shape[1:], strict=True)
    )
    if height * width > _WORTH * shape[1] * shape[2]:
        return None
    weight, generator = first_weight(watched.model), Generator().manual_seed(seed % 2**32)
    pictures = torch.rand(_TRIES, *shape, generator=generator).to(weight.device, weight.dtype)
    local = (place[0] - above, place[1] - before)
    try:
        found = watch(watched.model, layer, pictures[:2, :, top : top + height, left : left + width], watched.forward)
        window = Window(found, top, left, height, width, local)
        with torch.no_grad():
            whole = watched.maps(pictures)[:, :, place[0], place[1]]
            part = window.maps(pictures)[:, :, local[0], local[1]]
    except (InputError, IndexError):  # a network of pictures of one size
        return None
    return window if torch.allclose(part, whole, rtol=0, atol=_TOLERANCE * float(whole.abs().max())) else None


def _span(first: int, length: int, stride: int, most: int) -> tuple[int, int, int]:
    """Return where a part begins along an axis, its length, both multiples of the stride, and the places before it."""
    start, end = first // stride * stride, min(-(-(first + length) // stride) * stride, most)
    return start, end - start, start // stride
