"""What the channels of a layer respond to, and what the network loses without them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from glassnet.explorer.arrays import Arrays
from glassnet.explorer.asked import Opened, Part, Wait, binary, computed

ROUTER = APIRouter(prefix="/subjects/{subject}")
Layer = Annotated[str, Query(min_length=1, max_length=300, description="Name of the layer.")]
Pictures = Annotated[bool, Query(description="Whether some channels get a picture that activates them most.")]
_ABOUT = (
    "numbers i4, activations f4 (channels, images), boxes i4 (channels, images, 4), active, selectivity, lost f4 "
    "(channels), class_means, auroc, iou f4 (channels, classes), pictures u1 (some, c, h, w), pictured i4 (some)"
)


@ROUTER.get("/layer-channels", responses=binary(_ABOUT), response_class=Response)
async def layer_channels(
    opened: Opened, layer: Layer, part: Part = "test", pictures: Pictures = False, *, wait: Wait
) -> Response:
    """Give the channels of a layer: from disk, or measured now."""

    def run() -> Arrays:
        from glassnet.explorer.microscope import Wanted, answer

        return answer(opened, Wanted(layer, part, pictures))

    what = f"{'pictures of the ' if pictures else ''}channels of {layer}"
    return await computed(opened, ("layer-channels", layer, part, pictures), what, run, wait=wait)
