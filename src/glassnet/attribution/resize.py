"""Maps at the input's size."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def resize(
    maps: Float[Tensor, "batch layer_height layer_width"], size: Sequence[int]
) -> Float[Tensor, "batch height width"]:
    """Resize maps bilinearly to (height, width) in pixels, pixels being areas whose edges stay aligned."""
    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    return F.interpolate(maps.unsqueeze(1), tuple(size), mode="bilinear", align_corners=False).squeeze(1)
