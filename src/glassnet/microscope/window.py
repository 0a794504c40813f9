"""The part of a picture that a neuron sees: it alone is run through the network while the picture is made."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from glassnet.errors import InputError
from glassnet.images import first_weight
from glassnet.microscope.objective import Watched, watch

_TRIES = 8
"""Random pictures by which the part is found, and as many others on which it is tried."""
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


def find_window(
    watched: Watched, layer: str | nn.Module, place: tuple[int, int], shape: tuple[int, int, int], seed: int
) -> Window | None:
    """Find the part of pictures that a neuron sees, by where its gradient is not 0 on random pictures.

    The part begins at a multiple of the layer's stride, so that pools meet the same pixels. It is tried on other random
    pictures: the layer must give of the part what it gives of the whole.

    Args:
        watched: The layer.
        layer: As it was asked for.
        place: Row and column of the neuron.
        shape: (channel, height, width) of the pictures.
        seed: Of the random pictures.

    Returns:
        None where the neuron sees nearly all, or the network gives something else for the part.
    """
    weight, generator = first_weight(watched.model), Generator().manual_seed(seed % 2**32)
    drawn = torch.rand(2 * _TRIES, *shape, generator=generator).to(weight.device, weight.dtype)
    pictures, others = drawn.split(_TRIES)
    maps = watched.maps(pictures.requires_grad_())
    if not maps.requires_grad:
        return None
    weights = torch.randn(maps.shape[:2], generator=generator).to(maps)
    (gradient,) = torch.autograd.grad((maps[:, :, place[0], place[1]] * weights).sum(), pictures)
    seen = gradient.ne(0).flatten(0, 1).any(dim=0)
    spans = [_span(seen.any(dim=1 - axis), int(maps.shape[2 + axis])) for axis in range(2)]
    if any(span is None for span in spans):
        return None
    (top, height, down), (left, width, across) = spans  # type: ignore[misc]
    if height * width > _WORTH * shape[1] * shape[2]:
        return None
    local = (place[0] - top // down, place[1] - left // across)
    try:
        found = watch(watched.model, layer, others[:2, :, top : top + height, left : left + width], watched.forward)
        window = Window(found, top, left, height, width, local)
        with torch.no_grad():
            whole, part = watched.maps(others)[:, :, place[0], place[1]], window.maps(others)[:, :, local[0], local[1]]
    except (InputError, IndexError):  # a network of pictures of one size
        return None
    return window if torch.allclose(part, whole, rtol=0, atol=_TOLERANCE * float(whole.abs().max())) else None


def _span(seen: Tensor, places: int) -> tuple[int, int, int] | None:
    """Return where a part begins along an axis, its length, both multiples of the stride, and the stride in pixels."""
    stride, rest = divmod(len(seen), places)
    if rest or not seen.any():
        return None
    which = seen.nonzero().flatten()
    first, last = int(which[0]) // stride * stride, -(-(int(which[-1]) + 1) // stride) * stride
    return first, last - first, stride
