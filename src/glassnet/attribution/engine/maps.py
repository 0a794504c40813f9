"""Maps: layers' outputs, token sequences among them, read as maps, and maps resized to the images."""

from collections.abc import Callable, Sequence
from math import isqrt

from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

Reshape = Callable[[Tensor], Tensor]
"""From what a layer gives, as (n, tokens, d), to (n, channel, height, width); it may only pick and rearrange values."""


def to_maps(value: Shaped[Tensor, "batch ..."], reshape: Reshape | None) -> Shaped[Tensor, "batch ..."]:
    """Rearrange a layer's output, or the gradient there, to (n, channel, height, width), if it can be read so.

    Args:
        value: What `reshape` takes; without it, (n, tokens, d), the tokens being a square grid, after a class token or
            not. All else is returned as it is.
        reshape: Says how instead.
    """
    if reshape is not None:
        return reshape(value)
    if value.ndim != 3 or not (side := grid_side(value.shape[1])):
        return value
    return value[:, -side * side :].transpose(1, 2).unflatten(2, (side, side))


def grid_side(tokens: int) -> int:
    """Return the side of the square grid that so many tokens form, one class token before them or none; 0 if none."""
    side = isqrt(tokens)
    return side if side >= 2 and tokens - side * side in (0, 1) else 0


def shape_problem(value: Shaped[Tensor, "..."], size: int, reshape: Reshape | None) -> str:
    """Say why a layer's output for `size` images is no map, or ""."""
    shape = tuple(value.shape)
    try:
        maps = to_maps(value, reshape)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        return f"gives shape {shape}, on which reshape fails: {str(error).splitlines()[0].rstrip('.')}"
    if isinstance(maps, Tensor) and maps.ndim == 4 and len(maps) == size:
        return ""
    wanted = f"a map needs ({size}, channel, height, width)"
    if reshape is not None:
        became = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        return f"gives shape {shape}, of which reshape makes {became}, but {wanted}"
    if value.ndim == 3 and len(value) == size:
        return f"gives {shape[1]} tokens, which are no square grid; pass reshape, from {shape} to {wanted[12:]}"
    return f"gives shape {shape}, but {wanted}; choose a convolution"


def describe_grids(tokens: dict[str, int]) -> str:
    """Say how layers with these numbers of tokens are read."""
    parts = []
    for count in dict.fromkeys(tokens.values()):
        side, layers = grid_side(count), [name for name, number in tokens.items() if number == count]
        first = "a class token and " if count > side * side else ""
        parts.append(f"the {count} tokens of {_listed(layers)} are read as {first}a grid of {side} x {side}")
    return f"{'; '.join(parts)} (explain's reshape reads them otherwise)."


def _listed(names: Sequence[str]) -> str:
    return f"{names[0]} and {len(names) - 1} more layers" if len(names) > 2 else " and ".join(names)


def resize(
    maps: Float[Tensor, "batch layer_height layer_width"], size: Sequence[int]
) -> Float[Tensor, "batch height width"]:
    """Resize maps bilinearly to (height, width) in pixels, pixels being areas whose edges stay aligned."""
    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    return F.interpolate(maps.unsqueeze(1), tuple(size), mode="bilinear", align_corners=False).squeeze(1)
